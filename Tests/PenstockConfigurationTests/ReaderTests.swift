// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import Testing

/// Reads `yaml` by a table of the given fields.
private func read<Value: Sendable>(
    _ yaml: String,
    _ fields: [any AnyField],
    _ body: (inout ConfigurationReader) -> Value
) -> ConfigurationResult<Value> {
    ConfigurationLoader.fixture().parse(yaml).read(FieldTable("root", "A table.", fields), body)
}

@Suite struct ReaderTests {
    @Test("A field that is left out, or wrong, gives its default; without one, a stand-in") func standsIn() {
        let fallback = Field.integer("fallback", "A number.", default: 7, in: 5...9)
        let required = Field.integer("required", "A number.", in: 5...9)
        let optional = Field.integer("optional", "A number.", in: 5...9).optional
        for (yaml, count) in [("{}", 1), ("{ fallback: x, required: x, optional: x }", 3)] {
            var values: [Int?] = []
            let result = read(yaml, [fallback, required, optional]) { reader in
                values = [reader[fallback], reader[required], reader[optional]]
            }
            #expect(values == [7, 5, nil])
            #expect(result.value == nil && result.findings.count == count)
        }
    }

    @Test("A value is not there when a finding is an error, and is there with warnings") func withholds() {
        let field = Field.boolean("a", "A switch.", default: true)
        let warned = read("a: false", [field]) { reader in
            reader.advise(reader[field], at: field, "is better left on")
            return 1
        }
        #expect(warned.value == 1)
        #expect(
            warned.findings.map(\.description).first?.contains("warning: \"a\" is better left on") == true
        )
        let refused = read("a: false", [field]) { reader in
            reader.require(
                reader[field],
                at: field,
                code: "house-rule",
                "must be on",
                suggestion: "leave it out"
            )
            return 1
        }
        #expect(refused.value == nil)
        #expect(
            refused.findings.map(\.description)
                == ["connectors.yaml:1:4: error: \"a\" must be on; leave it out [house-rule]"]
        )
    }

    @Test("A rule about a field that is wrong anyway is not told") func keepsQuiet() {
        let field = Field.integer("a", "A number.", in: 1...10)
        for yaml in ["a: x", "{}"] {
            let result = read(yaml, [field]) { reader in
                let value = reader[field]
                reader.require(value > 5, at: field, "must be more than 5")
            }
            #expect(result.findings.count == 1)
        }
    }

    @Test("A rule about a key that is left out points at its mapping") func pointsAtMapping() {
        let field = Field.integer("a", "A number.", default: 1, in: 1...10)
        let result = read("\n\n{ }", [field]) { reader in
            #expect(!reader.has(field))
            reader.require(reader[field] > 5, at: field, "must be more than 5")
        }
        #expect(result.findings.map(\.place.line) == [3])
        #expect(result.findings.map(\.path.description) == ["a"])
    }

    @Test("Reading a field twice tells of it once") func tellsOnce() {
        let field = Field.integer("a", "A number.", in: 1...10)
        let result = read("a: x", [field]) { reader in [reader[field], reader[field]] }
        #expect(result.findings.count == 1)
    }

    @Test("Keys that begin with x- are the operator's own at the root, and nowhere else")
    func allowsExtensions() {
        let text = "x-a: 1\nfunctions: { f: { local: { command: x, x-b: 1 } } }"
        let result = ConfigurationLoader.fixture().parse(text).read(ExampleConfiguration.self)
        #expect(result.findings.map(\.path.description) == ["functions.f.local.x-b"])
    }

    @Test("A table may be left out when none of its fields is required") func fillsInTables() {
        struct Strict: ConfigurationTable {
            static let name = Field.string("name", "A name.")
            static let table = FieldTable("strict", "A table.", [name])
            init(_ reader: inout ConfigurationReader) { _ = reader[Self.name] }
        }
        let lenient = Field.table("batch", "When a batch is full.", of: BatchExample.self)
        let strict = Field.table("strict", "A table.", of: Strict.self)
        #expect(!lenient.isRequired && strict.isRequired)
        for yaml in ["x-none: 1", "batch:", "batch: {}"] {
            let result = read(yaml, [lenient]) { $0[lenient] }
            #expect(result.value?.size == 100)
        }
        #expect(read("{}", [strict]) { _ = $0[strict] }.findings.map(\.code) == [.missingKey])
        let maybe = lenient.optional
        #expect(read("{}", [maybe]) { $0[maybe]?.size }.value == .some(nil))
    }

    @Test("A list takes a single element where it says so, and counts what it has") func readsLists() {
        let single = Field.strings("a", "Texts.", count: 1...2)
        #expect(read("a: x", [single]) { $0[single] }.value == ["x"])
        #expect(read("a: [x, 1]", [single]) { $0[single] }.value == ["x", "1"])
        #expect(read("a: []", [single]) { $0[single] }.findings.map(\.code) == [.outOfRange])
        #expect(read("a: [1, 2, 3]", [single]) { $0[single] }.findings.map(\.code) == [.outOfRange])
        let numbers = Field.list("a", "Numbers.", of: .integer(in: 1...3))
        #expect(read("a: 1", [numbers]) { $0[numbers] }.findings.map(\.code) == [.wrongType])
        let broken = read("a: [1, x, 9]", [numbers]) { $0[numbers] }
        #expect(broken.findings.map(\.path.description) == ["a[1]", "a[2]"])
        let tables = Field.list("a", "Tables.", of: .table(BatchExample.self))
        #expect(read("a: [{ size: 3 }, {}]", [tables]) { $0[tables].map(\.size) }.value == [3, 100])
        #expect(read("x-none: 1", [tables]) { $0[tables].count }.value == 0)
    }

    @Test("A table put together at run time is read like any other") func readsDynamicTables() {
        let kinds = ["alpha", "beta"].map { name -> Alternative<String> in
            let level = Field.integer("level", "A level.", default: 1, in: 0...9)
            let table = FieldTable(name, "One of several.", [level])
            return .key(name, "One of several.", .table(table) { "\(name) \($0[level])" }) { $0 }
        }
        let source = Field.oneOf("source", "What is read.", kinds)
        #expect(read("source: { beta: { level: 3 } }", [source]) { $0[source] }.value == "beta 3")
        #expect(read("source: { alpha: }", [source]) { $0[source] }.value == "alpha 1")
    }

    @Test("Wiring mistakes of a table stop at once") func trapsOnWiring() async {
        await #expect(processExitsWith: .failure) {
            _ = FieldTable("t", "A table.", [Field.string("a", "One."), Field.boolean("a", "Two.")])
        }
        await #expect(processExitsWith: .failure) {
            let document = ConfigurationLoader.process.parse("{}")
            _ = document.read(FieldTable("t", "A table.", [])) { $0[Field.string("a", "One.", default: "")] }
        }
        await #expect(processExitsWith: .failure) {
            _ = Field.oneOf("a", "One.", [Alternative.word("x", "A word.", 1)], default: "y")
        }
    }
}
