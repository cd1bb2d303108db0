// SPDX-License-Identifier: Apache-2.0
//
// A loop that runs a Node handler on the Lambda Runtime API: `node runtime.mjs handler.mjs`.
// The module exports `handler(event, context)`.

import http from "node:http";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, route, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host, port, agent, method, path: `/2018-06-01/runtime/${route}`, timeout: 0 },
      (response) => {
        const pieces = [];
        response.on("data", (piece) => pieces.push(piece));
        response.on("end", () => resolve({ headers: response.headers, body: Buffer.concat(pieces) }));
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

function described(error) {
  return JSON.stringify({
    errorType: error?.name ?? "Error",
    errorMessage: error?.message ?? String(error),
    stackTrace: error?.stack?.split("\n").slice(1) ?? [],
  });
}

let handler;
try {
  ({ handler } = await import(pathToFileURL(path.resolve(process.argv[2]))));
} catch (error) {
  await call("POST", "init/error", described(error));
  process.exit(1);
}

for (;;) {
  const { headers, body } = await call("GET", "invocation/next");
  const awsRequestId = headers["lambda-runtime-aws-request-id"];
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const context = { awsRequestId, getRemainingTimeInMillis: () => deadline - Date.now() };
  try {
    const answer = await handler(JSON.parse(body), context);
    await call("POST", `invocation/${awsRequestId}/response`, JSON.stringify(answer ?? null));
  } catch (error) {
    await call("POST", `invocation/${awsRequestId}/error`, described(error));
  }
}
