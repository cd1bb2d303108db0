// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockAdmin
import PenstockConfiguration
import PenstockTesting
import Testing

/// The web page: how its files are served, and that they are what their headers say.
@Suite(.timeLimit(.minutes(5)))
struct PageTests {
    /// All files that the page loads, by path, as found from the first one.
    private static func files(of admin: AdminFixture) async throws -> [String: TestResponse] {
        var files = ["/": try await admin.get("/")]
        var queue = ["/"]
        while let path = queue.popLast(), let file = files[path] {
            // `href="page/page.css"`, `src="page/page.mjs"`, `from "./api.mjs"`
            let names =
                file.text.matches(of: /(?:href|src)="(page\/[^"]+)"/).map { "/\($0.output.1)" }
                + file.text.matches(of: /from "\.\/([^"]+)"/).map { "/page/\($0.output.1)" }
            for name in names where files[name] == nil {
                files[name] = try await admin.get(name)
                queue.append(name)
            }
        }
        return files
    }

    @Test("All files are there, with their types, and say what a browser may do with them")
    func served() async throws {
        try await AdminFixture.serve { admin in
            let files = try await Self.files(of: admin)
            #expect(files.count == 7)
            let types = ["css": "text/css", "mjs": "text/javascript"]
            for (path, file) in files {
                #expect(file.status == 200, "\(path)")
                let type = path == "/" ? "text/html" : types[String(path.suffix(3))]
                #expect(file.headers["content-type"] == type.map { "\($0); charset=utf-8" }, "\(path)")
                #expect(file.headers["x-content-type-options"] == "nosniff")
                #expect(file.headers["referrer-policy"] == "same-origin")
                #expect(file.headers["cache-control"] == "no-cache")
                let policy = try #require(file.headers["content-security-policy"])
                for part in [
                    "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
                    "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
                    "require-trusted-types-for 'script'",
                ] { #expect(policy.components(separatedBy: "; ").contains(part)) }
                #expect(!policy.contains("unsafe") && !policy.contains("*"))
            }
        }
    }

    @Test("A file that the browser has is not sent again, and another one is")
    func tags() async throws {
        try await AdminFixture.serve { admin in
            let files = try await Self.files(of: admin)
            #expect(Set(files.values.compactMap { $0.headers["etag"] }).count == files.count)
            for (path, file) in files {
                let tag = try #require(file.headers["etag"])
                for known in [tag, "W/\(tag)", "\"other\", \(tag)", "*"] {
                    let again = try await admin.get(path, headers: ["If-None-Match: \(known)"])
                    #expect(again.status == 304 && again.body.isEmpty, "\(path) \(known)")
                    #expect(again.headers["etag"] == tag && again.headers["cache-control"] == "no-cache")
                }
                let other = try await admin.get(path, headers: ["If-None-Match: \"other\""])
                #expect(other.status == 200 && other.body == file.body)
            }
        }
    }

    @Test("The page needs no token, for it holds no data; without a token only names of this machine get it")
    func access() async throws {
        try await AdminFixture.serve(token: AdminFixture.token) { admin in
            let files = try await Self.files(of: admin)
            #expect(files.count == 7 && files.values.allSatisfy { $0.status == 200 })
            #expect(try await admin.get("/api/v1/triggers").status == 401)
            #expect(try await admin.get("/", headers: ["Host: penstock.internal"]).status == 200)
        }
        try await AdminFixture.serve { admin in
            let elsewhere = try await admin.get("/", headers: ["Host: evil.example"])
            let foreign = ["Host: localhost:1", "Origin: http://evil.example"]
            let script = try await admin.get("/page/page.mjs", headers: foreign)
            let order = try await admin.send("POST", "/", body: "{}")
            #expect(elsewhere.status == 403 && script.status == 403 && order.status == 405)
        }
    }

    @Test("The answer to a HEAD has the headers and no body, so that the next answer is understood")
    func head() async throws {
        try await AdminFixture.serve { admin in
            for path in ["/", "/api/v1/triggers", "/nothing"] {
                let whole = try await admin.get(path)
                let connection = try #require(TestConnection(port: admin.port))
                await connection.send(TestConnection.request("HEAD", path))
                var lines: [String] = []
                while let line = await connection.line(), !line.isEmpty { lines.append(line) }
                #expect(lines.first?.contains(" \(whole.status) ") == true)
                #expect(lines.contains { $0.lowercased() == "content-length: \(whole.body.count)" })
                await connection.send(TestConnection.request("GET", "/healthz"))
                #expect(await connection.response()?.text == "ok\n")
            }
        }
    }

    @Test("The page is small, loads nothing from elsewhere, and has no script or style inside of its HTML")
    func content() async throws {
        try await AdminFixture.serve { admin in
            let files = try await Self.files(of: admin)
            #expect(files.values.reduce(0) { $0 + $1.body.count } < 48 << 10)
            for (path, file) in files {
                let text = file.text
                #expect(!text.contains("://") && !text.contains("\"//") && !text.contains("url("), "\(path)")
                #expect(text.contains("SPDX-License-Identifier: Apache-2.0"), "\(path)")
                guard path == "/" else { continue }
                #expect(!text.contains("<style") && !text.contains("style="))
                #expect(text.matches(of: /<script/).count == text.matches(of: /<script [^>]*src="page/).count)
                #expect(text.firstMatch(of: /\son[a-z]+=/) == nil)
            }
        }
    }

    @Test("Scripts make no HTML of text, and keep the token nowhere but in the tab")
    func scripts() async throws {
        try await AdminFixture.serve { admin in
            let scripts = try await Self.files(of: admin).filter { $0.key.hasSuffix(".mjs") }
            #expect(scripts.count == 5)
            for (path, script) in scripts {
                for word in [
                    "innerHTML", "outerHTML", "insertAdjacentHTML", "createContextualFragment", "DOMParser",
                    "document.write", "eval(", "Function(", "localStorage", "cookie", "import(",
                    "XMLHttpRequest",
                    "WebSocket", "EventSource", "sendBeacon", ".style", "window.open",
                ] { #expect(!script.text.contains(word), "\(path): \(word)") }
            }
            let keepers = scripts.filter { $0.value.text.contains("sessionStorage") }
            #expect(keepers.map(\.key) == ["/page/api.mjs"])
        }
    }

    @Test("Each path that the scripts ask for is one of the API's, and all are asked for in one place")
    func paths() async throws {
        try await AdminFixture.serve { admin in
            let scripts = try await Self.files(of: admin).filter { $0.key.hasSuffix(".mjs") }
            let callers = scripts.filter {
                $0.value.text.contains("fetch(") || $0.value.text.contains("api/v1")
            }
            #expect(callers.map(\.key) == ["/page/api.mjs"])
            let text = try #require(callers.first).value.text
            #expect(text.matches(of: /fetch\(/).count == 1)
            let asked = text.matches(of: /"([A-Z]+) (api\/[^"]*)"/).map { "\($0.output.1) /\($0.output.2)" }
            #expect(asked.count == 9 && asked.count == text.matches(of: /api\/v1/).count)
            let known = try #require(try await admin.get("/api/v1").json()["paths"]?.arrayValue)
            #expect(Set(asked).subtracting(known.compactMap(\.stringValue)) == [])
        }
    }
}
