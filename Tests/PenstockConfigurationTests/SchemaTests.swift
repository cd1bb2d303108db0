// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import Testing

@Suite struct SchemaTests {
    static let schema = JSONSchema.schema(of: ExampleConfiguration.table)

    /// Placeholders stay as they are, as in an editor that knows no environment.
    static let editor = ConfigurationLoader(
        environment: { "${\($0)}" },
        readFile: { path, _ throws(FileReadError) in Array("${file:\(path)}".utf8) }
    )

    @Test(
        "The schema accepts what the reader accepts",
        arguments: [ReadingTests.whole, "x-mine: 1", "functions:"]
    )
    func accepts(yaml: String) throws {
        let value = Self.editor.parse(yaml).root.json
        #expect(try SchemaValidator(root: Self.schema).failures(of: value) == [])
    }

    /// What only the reader knows: limits of durations and sizes, the calendar, ports, rules between fields.
    static let readersOwn: Set<Finding.Code> = [
        .unknownReference, .badValue, .outOfRange, .badTimestamp, .conflict, .literalSecret,
    ]

    /// A port, a size and a leading zero that no pattern sees.
    static let notInPatterns = [":99999", "99999999999999TiB", "007"]

    @Test(
        "The schema refuses what the reader refuses",
        arguments: BrokenSnippet.structure + BrokenSnippet.values
    )
    func refuses(snippet: BrokenSnippet) throws {
        let document = Self.editor.parse(snippet.yaml)
        let findings = document.read(ExampleConfiguration.self).findings.filter {
            !Self.readersOwn.contains($0.code)
        }
        let failures = try SchemaValidator(root: Self.schema).failures(of: document.root.json)
        if !findings.isEmpty, !Self.notInPatterns.contains(where: { snippet.yaml.contains($0) }) {
            #expect(!failures.isEmpty, "\(findings)")
        }
    }

    @Test("The schema's limits are the fields'", arguments: [0, 1, 1000, 1001])
    func limits(concurrency: Int) throws {
        let yaml = "functions: { f: { local: { command: x, concurrency: \(concurrency) } } }"
        let document = Self.editor.parse(yaml)
        let failures = try SchemaValidator(root: Self.schema).failures(of: document.root.json)
        #expect(failures.isEmpty == document.read(ExampleConfiguration.self).findings.isEmpty)
    }

    @Test("Durations and sizes of the schema are the reader's") func patterns() throws {
        let fields: [any AnyField] = [
            Field.duration("duration", "A duration.", default: .zero),
            Field.size("size", "A size.", in: 0...Int.max),
        ]
        let schema = JSONSchema.schema(of: FieldTable("t", "A table.", fields))
        let texts = [
            "5s", "1h30m", "5", "", "30m1h", "1.5s", "6MB", "6Mi", "256KiB", "1TiB", "5ms", "s", "7d1ms",
        ]
        for text in texts {
            for (key, isRead) in [
                ("duration", Duration(configurationText: text) != nil), ("size", ByteSize.parse(text) != nil),
            ] {
                let value = JSONValue.object(
                    [.init("size", .integer(1)), .init(key, .string(text))].suffix(2)
                )
                let failures = try SchemaValidator(root: schema).failures(of: value)
                #expect(failures.isEmpty == isRead, "\(key) \(text)")
            }
        }
    }

    @Test("A value with a form of its own may be a number, where its form allows numbers")
    func parsedNumbers() throws {
        let fields: [any AnyField] = [
            Field.parsed("retries", "Retries.", "a number, or unlimited", placeholder: "") { $0 }
        ]
        let schema = JSONSchema.schema(of: FieldTable("t", "A table.", fields))
        let values: [(JSONValue, Bool)] = [
            (.integer(2), true), (.string("unlimited"), true), (.boolean(true), false), (.null, false),
        ]
        for (value, isRead) in values {
            let document = JSONValue.object([.init("retries", value)])
            #expect(try SchemaValidator(root: schema).failures(of: document).isEmpty == isRead, "\(value)")
        }
    }

    @Test("The schema says what it is, and each key has its words") func describes() throws {
        #expect(Self.schema["$schema"] == .string("https://json-schema.org/draft/2020-12/schema"))
        #expect(Self.schema["additionalProperties"] == .boolean(false))
        let trigger = Self.schema["properties"]?["triggers"]?["additionalProperties"]
        #expect(trigger?["required"] == .array([.string("source"), .string("function")]))
        let window = trigger?["properties"]?["batch"]?["properties"]?["window"]
        #expect(window?["description"] == .string("How long to wait for more."))
        #expect(window?["default"] == .string("500ms"))
        let size = trigger?["properties"]?["batch"]?["properties"]?["size"]?["anyOf"]
        #expect(
            size?.text
                == ##"[{"type":"integer","minimum":1,"maximum":10000},{"$ref":"#/$defs/placeholder"}]"##
        )
    }

    @Test("The text of the schema is JSON, the same each time") func isJSON() throws {
        let text = Self.schema.prettyText
        #expect(JSONSchema.schema(of: ExampleConfiguration.table).prettyText == text)
        for form in [text, Self.schema.text] {
            let object = try JSONSerialization.jsonObject(with: Data(form.utf8)) as? [String: Any]
            #expect(object?.keys.contains("$defs") == true)
        }
    }

    @Test("JSON text survives each character and number") func writesJSON() throws {
        let value = JSONValue.object([
            .init("a\"\\\n\r\t\u{0}\u{1F}\u{7F}\u{2028}é😀", .array([.null, .boolean(true), .integer(.min)])),
            .init("n", .array([.number(1.5), .number(2), .number(1e300), .number(.infinity), .string("")])),
            .init("empty", .array([.object([]), .array([])])),
        ])
        for form in [value.text, value.prettyText] {
            let object = try JSONSerialization.jsonObject(with: Data(form.utf8)) as? [String: Any]
            let first = object?["a\"\\\n\r\t\u{0}\u{1F}\u{7F}\u{2028}é😀"] as? [Any]
            #expect(first?.count == 3 && first?[2] as? Int == .min)
            let numbers = object?["n"] as? [Any]
            #expect(
                numbers?[0] as? Double == 1.5 && numbers?[1] as? Int == 2 && numbers?[2] as? Double == 1e300
            )
            #expect(numbers?[3] is NSNull)
        }
    }
}
