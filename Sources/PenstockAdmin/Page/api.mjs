// SPDX-License-Identifier: Apache-2.0

// Requests to the admin API of the Penstock that served the page.

/** All that is asked; relative, so that the page works below a path of a proxy, too. */
const routes = {
  info: "GET api/v1/info",
  members: "GET api/v1/members",
  triggers: "GET api/v1/triggers",
  pause: "POST api/v1/triggers/{name}/pause",
  resume: "POST api/v1/triggers/{name}/resume",
  letters: "GET api/v1/dead-letters",
  letter: "GET api/v1/dead-letters/{id}",
  redrive: "POST api/v1/dead-letters/redrive",
  drop: "POST api/v1/dead-letters/drop",
};

/** An answer that is no success; `status` is that of HTTP. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The token, for as long as the tab is open, and for this tab alone. */
export const token = {
  get: () => sessionStorage.getItem("token"),
  set: (text) => sessionStorage.setItem("token", text),
  forget: () => sessionStorage.removeItem("token"),
};

/** The members that have a value, as a query. */
export function search(members) {
  const known = Object.entries(members).filter(([, value]) => value !== undefined && value !== "");
  return known.length > 0 ? `?${new URLSearchParams(known)}` : "";
}

/** Sends a request; throws a Refusal, or what fetch throws when there is no answer. */
async function send(route, { values, query = {}, order, signal } = {}) {
  const [method, template] = routes[route].split(" ");
  const path = template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(values[name])) + search(query);
  const headers = {};
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  if (order) headers["Content-Type"] = "application/json";
  // An order may take as long as it needs.
  signal ??= method === "GET" ? AbortSignal.timeout(10_000) : null;
  const response = await fetch(path, { method, headers, body: order && JSON.stringify(order), cache: "no-store", signal });
  if (response.ok) return response;
  const message = await response.json().then((document) => document.error.message).catch(() => null);
  throw new Refusal(response.status, message ?? `what answers here, with status ${response.status}, is not Penstock`);
}

/** The answer as a value. */
export async function call(route, options) {
  const text = await (await send(route, options)).text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(200, "what answers here is not Penstock");
  }
}

/** The lines of an answer as values, as they come. */
export async function* follow(route, options) {
  const reader = (await send(route, options)).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
  if (rest) yield JSON.parse(rest);
}
