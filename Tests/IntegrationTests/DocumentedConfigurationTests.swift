// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// The examples of the pages, as somebody copies them.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(2)))
struct DocumentedConfigurationTests {
    /// A configuration in a page, or the triggers of one.
    struct Example: Sendable, CustomTestStringConvertible {
        var page: String
        var line: Int
        var text: String

        var testDescription: String { "\(self.page):\(self.line)" }
    }

    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Blocks of YAML that begin with a key of the configuration.
    private static let examples: [Example] = {
        let docs = root.appending(path: "docs")
        let pages = (try? FileManager.default.contentsOfDirectory(atPath: docs.path)) ?? []
        let paths = ["README.md"] + pages.filter { $0.hasSuffix(".md") }.sorted().map { "docs/\($0)" }
        return paths.flatMap { path -> [Example] in
            let page = (try? String(contentsOf: root.appending(path: path), encoding: .utf8)) ?? ""
            var examples: [Example] = []
            var block: Example?
            for (index, line) in page.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                if line == "```yaml" {
                    block = Example(page: path, line: index + 2, text: "")
                } else if line == "```", let whole = block {
                    block = nil
                    let keys = ["triggers:", "functions:", "state:", "dead_letters:", "admin:"]
                    // Some show only what a trigger has beside its source.
                    let isPart = whole.text.hasPrefix("triggers:") && !whole.text.contains("source:")
                    let isExample = keys.contains { whole.text.hasPrefix($0) } && !isPart
                    if isExample { examples.append(whole) }
                } else {
                    block?.text += line + "\n"
                }
            }
            return examples
        }
    }()

    @Test("Each is valid, but for functions, variables and files that are yours", arguments: examples)
    func valid(example: Example) throws {
        let home = try TemporaryFolder()
        let files = FileManager.default
        try files.createDirectory(
            at: home.url.appending(path: "functions/resize"),
            withIntermediateDirectories: true
        )
        let schedules = "{\"name\": \"alice\", \"expression\": \"0 7 * * 1-5\"}\n"
        try schedules.write(
            to: home.url.appending(path: "schedules.jsonl"),
            atomically: true,
            encoding: .utf8
        )
        var text = example.text
        if !text.contains("functions:") {
            let names = Set(text.matches(of: /function: ([a-z_-]+)/).map { String($0.output.1) })
            let functions = names.sorted().map { "  \($0): { http: { url: \"http://127.0.0.1/\" } }\n" }
            text += functions.isEmpty ? "" : "functions:\n\(functions.joined())"
        }
        try text.write(to: home.url.appending(path: "connectors.yaml"), atomically: true, encoding: .utf8)
        let names = text.matches(of: /\$\{([A-Z_]+)\}/).map { String($0.output.1) }
        let environment = Dictionary(names.map { ($0, Self.value(of: $0)) }, uniquingKeysWith: { $1 })
        let answer = try CommandRun(["validate"], in: home.url, environment: environment)
        #expect(answer.status == 0, "\(answer.errors)")
    }

    private static func value(of name: String) -> String {
        name == "DATABASE_URL" ? "postgres://db.example/orders" : "a-secret-of-yours"
    }

    @Test("There are some") func enough() {
        #expect(Self.examples.count >= 12, "\(Self.examples.map(\.testDescription))")
    }
}
