// SPDX-License-Identifier: Apache-2.0

@testable import LocalFunction

/// Runtimes for tests: Python scripts over a bare socket, so that each byte on the wire is the test's.
enum ScriptedRuntime {
    /// What each script begins with.
    private static let preamble = """
        import json, os, signal, socket, subprocess, sys, threading
        host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
        BASE = "/2018-06-01/runtime/"
        def connect():
            return socket.create_connection((host, int(port)))
        class Peer:
            def __init__(self, s=None):
                self.s = s or connect()
                self.f = self.s.makefile("rb")
            def raw(self, data):
                self.s.sendall(data if isinstance(data, bytes) else data.encode())
            def answer(self):
                line = self.f.readline().decode().strip()
                if not line: return None, {}, b""
                headers = {}
                while True:
                    h = self.f.readline().decode().strip()
                    if not h: break
                    k, v = h.split(": ", 1)
                    headers[k.lower()] = v
                body = self.f.read(int(headers.get("content-length", 0)))
                return line.split(" ", 1)[1], headers, body
            def call(self, method, path, body=b"", headers=""):
                if isinstance(body, str): body = body.encode()
                self.raw(f"{method} {BASE}{path} HTTP/1.1\\r\\nHost: x\\r\\n{headers}Content-Length: {len(body)}\\r\\n\\r\\n".encode() + body)
                return self.answer()
            def next(self):
                status, headers, body = self.call("GET", "invocation/next")
                self.id = headers["lambda-runtime-aws-request-id"]
                self.headers = headers
                return body.decode()
            def respond(self, body):
                return self.call("POST", f"invocation/{self.id}/response", body)
            def fail(self, body, headers=""):
                return self.call("POST", f"invocation/{self.id}/error", body, headers)
        def say(*words):
            print(*words, flush=True)
        def complain(*words):
            print(*words, file=sys.stderr, flush=True)
        """

    /// A function whose processes run this script.
    static func configuration(_ script: String, concurrency: Int = 1) -> LocalFunctionConfiguration {
        var configuration = LocalFunctionConfiguration(
            command: [LocalFunctionFixture.python, "-c", Self.preamble + "\n" + script]
        )
        configuration.handler = "script"
        configuration.concurrency = concurrency
        return configuration
    }

    /// Does what the event says, over and over: `echo`, `pid`, `throw`, `hang`, `exit N`, `signal`, `large
    /// N`, ….
    static let obedient = """
        p = Peer()
        while True:
            event = json.loads(p.next())
            do = event["do"]
            if do == "echo": p.respond(json.dumps(event))
            elif do == "pid": p.respond(str(os.getpid()))
            elif do == "throw": p.fail(json.dumps({"errorType": "ValueError", "errorMessage": "bad \\u00e9 \\"x\\"", "stackTrace": ["a", {"b": [1]}]}))
            elif do == "throw late type": p.fail('{"errorMessage":"m"}', "Lambda-Runtime-Function-Error-Type: Function.Broken\\r\\n")
            elif do == "throw rubbish": p.fail("no json at all")
            elif do == "exit": sys.exit(event["code"])
            elif do == "signal": os.kill(os.getpid(), event["number"])
            elif do == "hang":
                child = subprocess.Popen(["sleep", "1000"])
                say("child", child.pid)
                threading.Event().wait()
            elif do == "say":
                for i in range(event["lines"]): say("out", i)
                complain("err")
                sys.stdout.write("no line end"); sys.stdout.flush()
                p.respond("null")
            elif do == "large": say(*p.respond("x" * event["bytes"]))
            elif do == "memory":
                block = bytearray(event["bytes"])
                for i in range(0, len(block), 4096): block[i] = 1
                if event.get("hang"): threading.Event().wait()
                p.respond("null")
            elif do == "environment": p.respond(json.dumps(dict(os.environ)))
        """
}
