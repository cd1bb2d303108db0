// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import Testing

@testable import PenstockFilters

/// A record with parts that filters look at.
struct SampleRecord {
    var key: [UInt8]?
    var body: [UInt8]?
    var headers: [(name: String, value: [UInt8]?)] = []
    var partition = 0
    var offset: UInt64 = 7
    var tag: UInt8 = 1

    static func text(_ body: String?) -> SampleRecord {
        SampleRecord(body: body.map { Array($0.utf8) })
    }
}

/// Filters as a trigger has them.
struct FilterFixture {
    static func fields(_ body: RecordFields.Mismatch = .ignored) -> RecordFields {
        RecordFields([
            RecordFields.Field("topic", .partitionText { String($0.name.prefix { $0 != "-" }) }),
            RecordFields.Field("partition", .partitionNumber { Int64($0.name.suffix(1)) ?? -1 }),
            RecordFields.Field("offset", .position),
            RecordFields.Field("timestamp", .timestamp),
            RecordFields.Field("kind", .tag { $0 == 1 ? "one" : "other" }),
            RecordFields.Field("key", .key(.unmet)),
            RecordFields.Field("value", .body(body)),
            RecordFields.Field("headers", .attributes),
        ])
    }

    static func filter(_ patterns: [String], _ body: RecordFields.Mismatch = .ignored) throws -> EventFilter {
        var findings: [Finding] = []
        let read = try patterns.map { try #require(ReadPattern($0).pattern) }
        let plan = EventFilterPlan(read, fields: self.fields(body), source: "test", findings: &findings)
        return try #require(plan, "\(findings)").make()
    }

    /// The conditions that a record does not meet, as `filter condition`.
    static func misses(_ patterns: [String], _ record: SampleRecord) throws -> [String] {
        var findings: [Finding] = []
        let read = try patterns.map { try #require(ReadPattern($0).pattern) }
        let plan = EventFilterPlan(read, fields: self.fields(), source: "test", findings: &findings)
        return try #require(plan, "\(findings)").misses(of: self.block([SampleRecord(), record]), at: 1).map {
            "\($0.filter) \($0.condition)\($0.isJoint ? " joint" : "")"
        }
    }

    static func block(_ records: [SampleRecord]) -> RecordBlock {
        var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: records.count)
        for number in 0..<3 {
            _ = builder.add(Partition(id: PartitionID(UInt32(number + 1)), name: "orders-\(number)"))
        }
        for record in records {
            unsafe withBytes(record.key) { key in
                unsafe withBytes(record.body) { body in
                    unsafe builder.append(
                        position: Position(record.offset),
                        timestamp: Timestamp(milliseconds: 1000),
                        tag: record.tag,
                        partitionIndex: UInt32(record.partition),
                        payload: RecordPayload(key: key, body: body)
                    )
                }
            }
            for header in record.headers {
                unsafe withBytes(Array(header.name.utf8)) { name in
                    unsafe withBytes(header.value) { value in
                        if let name = unsafe name { unsafe builder.appendAttribute(name: name, value: value) }
                    }
                }
            }
        }
        return builder.finish()
    }

    private static func withBytes(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Void) {
        guard let bytes else {
            body(nil)
            return
        }
        unsafe bytes.withUnsafeBytes { unsafe body($0) }
    }

    /// Whether one record passes.
    static func passes(
        _ patterns: [String],
        _ record: SampleRecord,
        _ body: RecordFields.Mismatch = .ignored
    ) throws
        -> Bool
    {
        try self.filter(patterns, body).select(self.block([record])) == [0..<1]
    }
}

@Suite struct EventFilterTests {
    @Test(
        "An attribute can be JSON to look into, or one text",
        arguments: [
            (#"{"system":{"group":["a"]}}"#, true), (#"{"system":{"group":["b"]}}"#, false),
            (#"{"own":{"origin":{"type":["String"]}}}"#, true), (#"{"own":["text"]}"#, false),
            (#"{"own":{"none":[{"exists":false}]}}"#, true),
            (#"{"id":["7"]}"#, true), (#"{"id":[7]}"#, false),
            (#"{"id":["7"],"system":{"group":["a"]},"body":{"x":[1]}}"#, true),
            (#"{"id":["7"],"system":{"group":["a"]},"body":{"x":[2]}}"#, false),
            (#"{"absent":[{"exists":false}]}"#, true), (#"{"absent":["7"]}"#, false),
        ]
    )
    func attributes(pattern: String, passes: Bool) throws {
        let fields = RecordFields([
            RecordFields.Field("id", .text("id")), RecordFields.Field("body", .body(.unmet)),
            RecordFields.Field("system", .document("system")), RecordFields.Field("own", .document("own")),
            RecordFields.Field("absent", .text("absent")),
        ])
        var record = SampleRecord.text(#"{"x":1}"#)
        record.headers = [
            ("own", Array(#"{"origin":{"type":"String","value":"till-4"}}"#.utf8)),
            ("system", Array(#"{"group":"a"}"#.utf8)), ("id", Array("7".utf8)), ("id", Array("8".utf8)),
        ]
        var findings: [Finding] = []
        let read = try #require(ReadPattern(pattern).pattern)
        let plan = EventFilterPlan([read], fields: fields, source: "test", findings: &findings)
        let filter = try #require(plan, "\(findings)").make()
        #expect(filter.select(FilterFixture.block([record])) == (passes ? [0..<1] : []))
        let key = try RecordPath("own.origin.value").key(in: fields)
        let expected = unsafe Array("till-4".utf8).withUnsafeBytes { unsafe RecordKey.hash($0) }
        #expect(key.hash(of: FilterFixture.block([record]), at: 0) == expected)
    }

    @Test("Records that pass come as ranges, in order, over the partitions of a block")
    func ranges() throws {
        let filter = try FilterFixture.filter([#"{"value":{"s":["a"]}}"#])
        let bodies = ["a", "a", "b", "a", "b", "b", "a"].map { SampleRecord.text("{\"s\":\"\($0)\"}") }
        #expect(filter.select(FilterFixture.block(bodies)) == [0..<2, 3..<4, 6..<7])
        #expect(filter.select(FilterFixture.block([bodies[2], bodies[4]])) == [])
        #expect(filter.select(FilterFixture.block([])) == [])
        #expect(filter.select(FilterFixture.block([bodies[0]])) == [0..<1])
    }

    static let json = #"{"value":{"s":["a"]}}"#
    static let text = #"{"value":["ping",{"prefix":"p"}]}"#
    static let metadata = #"{"topic":["orders"],"partition":[1]}"#

    @Test("Data and conditions that do not fit each other are told apart as the source says (esm-spec 5.3)")
    func mismatches() throws {
        typealias Row = (pattern: String, body: String?, ignored: Bool, unmet: Bool)
        let rows: [Row] = [
            (Self.text, "ping", true, true), (Self.text, "pong", true, true), (Self.text, "no", false, false),
            (Self.json, "ping", true, false), (Self.json, "", true, false),
            (Self.json, "{\"s\":\"b\"", true, false),
            (Self.json, "{\"s\":\"a\"", true, false), (Self.json, "{\"s\":\"b\",\"t\":01}", true, false),
            (Self.json, "{\"s\":\"a\",\"t\":01}", true, false), (Self.json, "\"a\"", true, false),
            (Self.json, "5", true, false), (Self.json, "{\"s\":\"a\"} x", true, false),
            (Self.text, "{\"s\":\"a\"}", true, false), (Self.text, "[1]", true, false),
            (Self.json, "{\"s\":\"a\"}", true, true), (Self.json, "{\"s\":\"b\"}", false, false),
            (Self.json, " [{\"s\":\"b\"},{\"s\":\"a\"}]", true, true), (Self.json, "{}", false, false),
            (Self.json, nil, false, false), (Self.text, nil, false, false),
            (#"{"value":{"t":[{"exists":false}]}}"#, "{}", true, true),
            (#"{"value":{"t":[{"exists":false}]}}"#, "text", true, false),
            (#"{"value":{"t":[{"exists":false}]}}"#, nil, true, true),
            (#"{"value":[{"exists":false}]}"#, nil, true, true),
            (#"{"value":[{"exists":false}]}"#, "x", false, false),
            (#"{"value":[{"exists":false}]}"#, "{}", false, false),
            (#"{"value":[{"exists":true}]}"#, "x", true, true),
            (#"{"value":[{"exists":true}]}"#, nil, false, false),
        ]
        for row in rows {
            let record = SampleRecord.text(row.body)
            let name = "\(row.pattern) on \(row.body ?? "nothing")"
            #expect(try FilterFixture.passes([row.pattern], record) == row.ignored, "\(name), ignored")
            #expect(try FilterFixture.passes([row.pattern], record, .unmet) == row.unmet, "\(name), unmet")
        }
    }

    @Test("Conditions on metadata decide alone when those on the data do not fit")
    func metadataDecides() throws {
        let pattern = #"{"value":{"s":["a"]},"partition":[1]}"#
        var record = SampleRecord.text("no JSON")
        #expect(try !FilterFixture.passes([pattern], record))
        record.partition = 1
        #expect(try FilterFixture.passes([pattern], record))
        #expect(try !FilterFixture.passes([pattern], record, .unmet))
    }

    @Test("Bytes that are not UTF-8 fit no condition")
    func notUTF8() throws {
        for bytes: [UInt8] in [
            [0xFF, 0xFE], Array("{\"s\":\"".utf8) + [0xFF] + Array("\"}".utf8), Array("p".utf8) + [0xC0],
        ] {
            for pattern in [Self.json, Self.text] {
                #expect(try FilterFixture.passes([pattern], SampleRecord(body: bytes)))
                #expect(try !FilterFixture.passes([pattern], SampleRecord(body: bytes), .unmet))
            }
        }
    }

    @Test("Conditions on text and on fields may stand side by side, each for its data")
    func mixed() throws {
        let both = [#"{"value":{"s":["a"]},"topic":["none"]}"#, #"{"value":["ping"]}"#]
        #expect(try FilterFixture.passes(both, .text("ping")))
        #expect(try !FilterFixture.passes(both, .text("pong")))
        // JSON fits no condition on text: that filter is decided by its other conditions, of which it has none.
        #expect(try FilterFixture.passes(both, .text("{\"s\":\"b\"}")))
        #expect(try !FilterFixture.passes(both, .text("{\"s\":\"b\"}"), .unmet))
    }

    @Test("Metadata is compared as the numbers and texts that events have")
    func metadata() throws {
        var record = SampleRecord.text("x")
        record.partition = 1
        record.key = Array("k1".utf8)
        let yes = [
            Self.metadata, #"{"offset":[{"numeric":[">",6,"<",8]}]}"#, #"{"timestamp":[1e3]}"#,
            #"{"kind":["one"]}"#,
            #"{"key":[{"prefix":"k"}]}"#, #"{"topic":[{"anything-but":"x"}],"offset":[7]}"#,
        ]
        let no = [
            #"{"topic":["order"]}"#, #"{"partition":["1"]}"#, #"{"offset":[8]}"#, #"{"kind":["other"]}"#,
            #"{"key":["k"]}"#, #"{"key":[{"exists":false}]}"#, #"{"key":{"id":[1]}}"#,
            #"{"partition":[1],"offset":[1]}"#,
        ]
        for pattern in yes { #expect(try FilterFixture.passes([pattern], record), "\(pattern)") }
        for pattern in no { #expect(try !FilterFixture.passes([pattern], record), "\(pattern)") }
        record.tag = 9
        #expect(try FilterFixture.passes([#"{"kind":["other"]}"#], record))
        record.key = Array("{\"id\":1}".utf8)
        #expect(try FilterFixture.passes([#"{"key":{"id":[1]}}"#], record))
        record.key = nil
        #expect(try FilterFixture.passes([#"{"key":[{"exists":false}]}"#], record))
        record.offset = .max
        #expect(try FilterFixture.passes([#"{"offset":[{"exists":false}]}"#], record))
    }

    @Test("Headers are texts by name; of several of one name any one is enough")
    func headers() throws {
        var record = SampleRecord.text("x")
        record.headers = [
            ("type", Array("a".utf8)), ("type", Array("b".utf8)), ("trace.id", Array("1".utf8)),
            ("none", nil),
            ("raw", [0xFF]),
        ]
        let yes = [
            #"{"headers":{"type":["b"]}}"#, #"{"headers":{"type":["a"]}}"#,
            #"{"headers":{"trace":{"id":["1"]}}}"#,
            #"{"headers":{"trace.id":["1"]}}"#, #"{"headers":{"none":[null]}}"#,
            #"{"headers":{"raw":[{"exists":true}]}}"#,
            #"{"headers":{"other":[{"exists":false}],"type":["a"]}}"#,
            #"{"headers":{"raw":[{"anything-but":"x"}]}}"#,
        ]
        let no = [
            #"{"headers":{"type":["c"]}}"#, #"{"headers":{"Type":["a"]}}"#,
            #"{"headers":{"type":[{"exists":false}]}}"#,
            #"{"headers":{"raw":[{"prefix":""}]}}"#, #"{"headers":["a"]}"#, #"{"headers":{"none":["null"]}}"#,
        ]
        for pattern in yes { #expect(try FilterFixture.passes([pattern], record), "\(pattern)") }
        for pattern in no { #expect(try !FilterFixture.passes([pattern], record), "\(pattern)") }
    }

    @Test("A pattern on something that the records do not have is refused, with a suggestion")
    func unknownField() throws {
        var findings: [Finding] = []
        let patterns = try [#"{"vlaue":[1]}"#, #"{"partition":{"a":[1]},"body":["x"]}"#].map {
            try #require(ReadPattern($0).pattern)
        }
        #expect(
            EventFilterPlan(patterns, fields: FilterFixture.fields(), source: "kafka", findings: &findings)
                == nil
        )
        #expect(
            findings.map(\.description) == [
                "pattern.json:1:2: error: records of kafka have no field \"vlaue\"; did you mean \"value\"? [bad-pattern]",
                "pattern.json:1:15: error: \"partition\" is a single value and has no fields; write \"partition\": "
                    + "[value] [bad-pattern]",
                "pattern.json:1:24: error: records of kafka have no field \"body\"; their fields are topic, partition, "
                    + "offset, timestamp, kind, key, value, headers [bad-pattern]",
            ]
        )
    }

    @Test(
        "Bodies cut short at every byte, next to others in one block, neither crash nor reach into the next one"
    )
    func truncated() throws {
        let body = Array(#"{"s":"a","t":[1.5e3,{"x":"\u00e9"}],"u":"end"}"#.utf8)
        let records = (0...body.count).map { SampleRecord(body: Array(body[..<$0])) }
        let filter = try FilterFixture.filter([#"{"value":{"s":["b"]}}"#], .ignored)
        // All but the whole one are no JSON, and pass; the whole one does not match.
        #expect(filter.select(FilterFixture.block(records)) == [0..<body.count])
        let strict = try FilterFixture.filter([#"{"value":{"s":["a"],"u":["end"]}}"#], .unmet)
        #expect(strict.select(FilterFixture.block(records)) == [body.count..<body.count + 1])
    }
}
