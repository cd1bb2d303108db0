// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import Testing

@Suite struct ExplanationTests {
    @Test("Explain fills in defaults, in the order of the tables, and says which they are") func explains() {
        let text = """
            triggers:
              t:
                on_failure: { topic: failed }
                batch: { window: 90m }
                function: f
                source: { kafka: { group: "a:", brokers: "${BROKERS}" } }
                filters: [{ a: [1, "1", null] }, []]
            functions:
              f: { local: { memory: 1048576, command: [x, -v, "true", ""], environment: { A: "$${B}" } } }
            """
        let document = ConfigurationLoader.fixture(["BROKERS": "kafka:9092"]).parse(text)
        #expect(document.read(ExampleConfiguration.self).findings.map(\.description) == [])
        let expected = """
            state: sqlite:data/penstock.db  # default
            functions:
              f:
                local:
                  command: [x, "-v", "true", ""]
                  environment:
                    A: "$${B}"
                  timeout: 30s  # default
                  memory: 1MiB
                  concurrency: 4  # default
            triggers:
              t:
                source:
                  kafka:
                    brokers: ["${BROKERS}"]
                    group: "a:"
                    properties: {}  # default
                function: f
                filters:
                  - a: [1, "1", null]
                  - []
                batch:
                  size: 100  # default
                  window: 1h30m
                factor: 2  # default
                on_failure:
                  topic: failed

            """
        #expect(Explanation(of: document, by: ExampleConfiguration.table).text == expected)
    }

    @Test(
        "What explain prints reads back as the same configuration",
        arguments: [ReadingTests.whole, "x-a: 1"]
    )
    func readsBack(yaml: String) {
        let first = Explanation(of: ReadingTests.loader.parse(yaml), by: ExampleConfiguration.table).text
        let document = ReadingTests.loader.parse(first)
        #expect(document.read(ExampleConfiguration.self).findings.map(\.description) == [])
        let second = Explanation(of: document, by: ExampleConfiguration.table).text
        let uncommented = first.replacing("  # default", with: "")
        #expect(second.replacing("  # default", with: "") == uncommented)
    }

    @Test("Any text comes back from explain as it was") func quotesTexts() throws {
        var generator = SeededGenerator(seed: 5)
        let alphabet = Array("ab1 :-#{}[]\"'\\\n\té😀$,&*!|>%@`~?=./_")
        let field = Field.strings("a", "Texts.")
        let table = FieldTable("t", "A table.", [field])
        for _ in 0..<2000 {
            let text = String(
                (0..<Int.random(in: 0...6, using: &generator)).map { _ in
                    alphabet.randomElement(using: &generator)!
                }
            )
            let source = text.replacing("${", with: "$${")
            let json = JSONValue.object([.init("a", .array([.string(source)]))]).text
            let document = ConfigurationLoader.fixture().parse(json)
            guard document.findings.isEmpty else { continue }
            let explained = Explanation(of: document, by: table).text
            let again = ConfigurationLoader.fixture().parse(explained)
            #expect(again.findings == [], "\(explained)")
            #expect(again.root["a"]?.elements?.first?.scalar?.text == text, "\(explained)")
        }
    }

    @Test(
        "A file with errors is explained as far as it goes",
        arguments: BrokenSnippet.structure + BrokenSnippet.values
    )
    func survivesErrors(snippet: BrokenSnippet) {
        let document = ConfigurationLoader.fixture(["WORD": "hunter2"]).parse(snippet.yaml)
        let text = Explanation(of: document, by: ExampleConfiguration.table).text
        #expect(text.hasPrefix("state: "))
        #expect(!text.contains("hunter2"))
    }

    @Test("The reference has a section for each table, and a row for each key") func documents() {
        let text = FieldDocumentation.markdown(for: ExampleConfiguration.table, title: "connectors.yaml")
        let headings = text.split(separator: "\n").filter { $0.hasPrefix("#") }
        #expect(
            headings == [
                "## connectors.yaml", "### `functions.NAME.local`", "### `functions.NAME.http`",
                "### `triggers.NAME`",
                "### `triggers.NAME.source.kafka`", "### `triggers.NAME.batch`",
            ]
        )
        let rows = [
            "| `state` | text | `sqlite:data/penstock.db` | Where state is kept. |",
            "| `command` | list: text | required | The program and its arguments. |",
            "| `timeout` | duration, 100ms to 15m | `30s` | How long an invocation may take. |",
            "| `memory` | size, 1MiB to 64GiB | `512MiB` | Memory at most. |",
            "| `token` | secret | not set | A bearer token. |",
            "| `format` | `lambda`, `cloudevents` | `lambda` | What to post. |",
            "| `batch` | table, below | its defaults | When a batch is full. |",
            "| `on_failure` | one of `dead_letters`, `topic:` | `dead_letters` | "
                + "Where records go that are given up. |",
        ]
        for row in rows {
            #expect(text.contains(row + "\n"), "\(row)")
        }
    }

    @Test("Words with a bar keep their cell") func escapesCells() {
        let table = FieldTable("t", "A table.", [Field.string("a", "This | that.", default: "")])
        let text = FieldDocumentation.markdown(for: table, title: "T", level: 1)
        #expect(text.hasPrefix("# T\n\nA table.\n"))
        #expect(text.contains("| `a` | text | empty | This \\| that. |"))
    }
}
