// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import Testing

@testable import PenstockFilters

@Suite struct RecordPathTests {
    private static func hashes(_ path: String, _ records: [SampleRecord]) throws -> [UInt64?] {
        let key = try RecordPath(path).key(in: FilterFixture.fields())
        let block = FilterFixture.block(records)
        return records.indices.map { key.hash(of: block, at: $0) }
    }

    private static func hash(_ path: String, _ body: String?) throws -> UInt64? {
        try Self.hashes(path, [.text(body)])[0]
    }

    @Test(
        "The value at the path makes the key, wherever it stands",
        arguments: [
            #"{"customer":{"id":"c-1"}}"#,
            #" { "a" : [1,{"customer":{"id":"no"}}], "customer" : { "name":"x{,}", "id" : "c-1" , "z":[] } } "#,
            #"{"customer":{"\u0069d":"c\u002d1"}}"#,
            #"{"customer":{"id":"c-1","id":"c-2"}}"#,
            #"{"c":"\\","customer":{"ids":"no","id":"c-1"},"later":"#,
        ]
    )
    func found(body: String) throws {
        let expected = unsafe Array("c-1".utf8).withUnsafeBytes { unsafe RecordKey.hash($0) }
        #expect(try Self.hash("value.customer.id", body) == expected)
    }

    @Test("Other values are other keys, numbers by how they are written")
    func different() throws {
        let values = ["1", "2", "1.0", "-1", "true", "false", #""c""#, #""""#]
        let hashes = try Self.hashes("value.k", values.map { .text(#"{"k":\#($0)}"#) })
        #expect(!hashes.contains(nil))
        #expect(Set(hashes).count == values.count)
        #expect(try Self.hash("value.k", #"{"k": 1 }"#) == hashes[0])
    }

    @Test(
        "Without a value at the path a record has no key",
        arguments: [
            nil, "", " ", "text", "7", "[1]", "{}", "{", #"{"customer"}"#, #"{"customer":}"#,
            #"{"customer":{"id":}}"#, #"{"customer":{"id":nothing}}"#, #"{"customer":{"id":"#,
            #"{"customer":{"id":null}}"#, #"{"customer":{"id":{}}}"#, #"{"customer":{"id":["c"]}}"#,
            #"{"customer":[{"id":"c"}]}"#, #"{"customer":"id"}"#, #"{"a":{]},"customer":{"id":"c"}}"#,
            #"{"customer.id":"c"}"#, "{\"customer\":{\"id\":\"\u{1}\"}}",
        ] as [String?]
    )
    func missing(body: String?) throws {
        #expect(try Self.hash("value.customer.id", body) == nil)
    }

    @Test("The key may be in the record's key, or in a header, whose name may have dots")
    func otherParts() throws {
        let record = SampleRecord(
            key: Array(#"{"tenant":"c"}"#.utf8),
            body: nil,
            headers: [("a", [0]), ("tenant.id", Array("c".utf8)), ("tenant.id", [1])]
        )
        let expected = try Self.hash("value.k", #"{"k":"c"}"#)
        #expect(expected != nil)
        #expect(try Self.hashes("key.tenant", [record]) == [expected])
        #expect(try Self.hashes("headers.tenant.id", [record]) == [expected])
        #expect(try Self.hashes("headers.b", [record]) == [nil])
        let whole = SampleRecord(key: Array("c".utf8), body: nil)
        #expect(try Self.hashes("key", [whole]) == [expected])
    }

    @Test(
        "What is no place for a key is refused, and says why",
        arguments: [
            ("", "it is empty"), ("value..a", "a name between two dots is empty"),
            ("value.", "a name between two dots is empty"),
            ("vale.a", #"names "vale"; a key is in key, value, headers"#),
            ("offset", #"names "offset"; a key is in key, value, headers"#),
            ("value", #"names all of "value"; add what in it, as in value.name"#),
            ("headers", #"names all of "headers"; add what in it, as in headers.name"#),
        ]
    )
    func refused(path: String, reason: String) {
        let error = #expect(throws: RecordPath.Malformed.self) {
            _ = try RecordPath(path).key(in: FilterFixture.fields())
        }
        #expect(error?.description == reason)
    }

    @Test("Memory for a text of unusual length is given back with the next one")
    func indexShrinks() throws {
        let indexer = JSONIndexer()
        defer { indexer.free() }
        func index(_ text: String) -> Int? {
            let copy = Table(Array(text.utf8) + [UInt8](repeating: 0, count: 64))
            defer { copy.free() }
            return indexer.index(copy.bytes(count: text.utf8.count))?.count
        }
        #expect(index("[1]") == 3)
        #expect(index("[\"" + String(repeating: "x", count: 3 << 20) + "\"]") == 3)
        #expect(indexer.capacity >= 3 << 20)
        #expect(index("[1,2]") == 5)
        #expect(indexer.capacity <= 1 << 20)
        #expect(index("[\"" + String(repeating: "x", count: 900_000) + "\"]") == 3)
        #expect(indexer.capacity <= 1 << 20)
    }
}
