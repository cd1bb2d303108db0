// SPDX-License-Identifier: Apache-2.0

import PostgresClient
import Testing

@testable import PenstockCore
@testable import PostgresConnector

/// What the output plugin writes, from its bytes.
@Suite struct PgoutputTests {
    /// Writes messages as a server does.
    struct Message {
        var bytes: [UInt8]

        init(_ kind: Character) { self.bytes = Array(String(kind).utf8) }

        func byte(_ value: UInt8) -> Message { self.adding([value]) }
        func half(_ value: Int) -> Message { self.number(UInt64(value), 2) }
        func word(_ value: Int) -> Message { self.number(UInt64(value), 4) }
        func quad(_ value: Int) -> Message { self.number(UInt64(value), 8) }
        func text(_ value: String) -> Message { self.adding(Array(value.utf8) + [0]) }

        func row(_ kind: Character, _ values: [String?]) -> Message {
            var message = self.byte(kind.asciiValue ?? 0).half(values.count)
            for value in values {
                switch value {
                case nil: message = message.byte(UInt8(ascii: "n"))
                case "<unchanged>"?: message = message.byte(UInt8(ascii: "u"))
                case let value?:
                    message = message.byte(UInt8(ascii: "t")).word(value.utf8.count)
                        .adding(Array(value.utf8))
                }
            }
            return message
        }

        private func number(_ value: UInt64, _ count: Int) -> Message {
            self.adding((0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - $0))) })
        }

        private func adding(_ bytes: [UInt8]) -> Message {
            var message = self
            message.bytes += bytes
            return message
        }
    }

    static let relation = Message("R").word(7).text("app").text("orders").byte(UInt8(ascii: "d")).half(3)
        .byte(1).text("id").word(23).word(0).byte(0).text("v \"x\"").word(25).word(0)
        .byte(0).text("n").word(1700).word(0)

    private static func table(_ message: Message = Self.relation) throws -> ReplicatedTable {
        try unsafe message.bytes.withUnsafeBytes { bytes in
            guard case .relation(let relation) = try unsafe PgoutputMessage(bytes) else {
                throw PgoutputError("no table")
            }
            return ReplicatedTable(relation, TableFacts())
        }
    }

    /// The record of a change.
    private static func block(_ message: Message, _ table: ReplicatedTable) throws -> RecordBlock {
        let place = ChangePlace(
            position: ChangePosition.change(LogSequenceNumber(0x16B_3748), 3),
            lsn: LogSequenceNumber(0x16B_3700),
            time: Timestamp(milliseconds: 1_773_478_840_512),
            transaction: 771
        )
        var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: 1)
        let index = builder.add(
            ChangesEventFormat.partition(PartitionID(1), slot: "s", database: "appdb")
        )
        var writer = ChangeWriter()
        try unsafe message.bytes.withUnsafeBytes { bytes in
            let change = try unsafe PgoutputMessage(bytes).change(of: table, at: place)
            if let change { writer.append(change, to: &builder, partitionIndex: index) }
        }
        return builder.finish()
    }

    private static func event(_ block: RecordBlock) -> (text: String, batch: Batch) {
        let format = ChangesEventFormat()
        let sizes = format.sizes(of: block).sums
        let admitted = AdmittedBlock(block: block, firstDelivery: 0, receivedAt: .start, sizes: sizes)
        let batch = Batch(id: BatchID(0), runs: [Run(admitted: admitted, range: 0..<block.count)], attempt: 1)
        let buffer = EventBuffer()
        buffer.write(upTo: format.size(of: batch)) { format.encode(batch, into: &$0) }
        let bytes = unsafe [UInt8](buffer.bytes)
        #expect(bytes.count <= format.envelope + sizes[block.count] + block.count - 1)
        return (String(decoding: bytes, as: UTF8.self), batch)
    }

    private static func events(_ name: String, _ middle: String) -> String {
        #"{"Records":[{"eventID":"0/16B3748-3","eventName":"\#(name)","eventVersion":"1.0","#
            + #""eventSource":"postgres:logical","#
            + #""eventSourceARN":"arn:aws:postgres:local:000000000000:appdb/slot/s","awsRegion":"local","#
            + #""postgres":{"database":"appdb","schema":"app","table":"orders",\#(middle),"lsn":"0/16B3700","#
            + #""commitLsn":"0/16B3748","commitTime":1773478840.512,"transactionId":771,"index":3}}]}"#
    }

    @Test("Each kind of change becomes its event, byte by byte")
    func events() throws {
        let table = try Self.table()
        func event(_ message: Message) throws -> String { Self.event(try Self.block(message, table)).text }
        let insert = Message("I").word(7).row("N", ["1", "a\"b", "1.50"])
        let middle = #""key":{"id":1},"old":null,"new":{"id":1,"v \"x\"":"a\"b","n":1.50}"#
        #expect(try event(insert) == Self.events("INSERT", middle))
        let update = Message("U").word(7).row("N", ["1", "<unchanged>", nil])
        let unchanged = #""key":{"id":1},"old":null,"new":{"id":1,"n":null},"unchanged":["v \"x\""]"#
        #expect(try event(update) == Self.events("UPDATE", unchanged))
        let moved = Message("U").word(7).row("K", ["1", nil, nil]).row("N", ["2", "x", "NaN"])
        let keys = #""key":{"id":2},"old":{"id":1},"new":{"id":2,"v \"x\"":"x","n":"NaN"}"#
        #expect(try event(moved) == Self.events("UPDATE", keys))
        let whole = Message("U").word(7).row("O", ["1", "large", "0"])
            .row("N", ["1", "<unchanged>", "1"])
        let images =
            #""key":{"id":1},"old":{"id":1,"v \"x\"":"large","n":0},"new":{"id":1,"v \"x\"":"large","n":1}"#
        #expect(try event(whole) == Self.events("UPDATE", images))
        let delete = Message("D").word(7).row("K", ["1", nil, nil])
        #expect(try event(delete) == Self.events("DELETE", #""key":{"id":1},"old":{"id":1},"new":null"#))
        let truncate = Message("T").word(1).byte(0).word(7)
        #expect(try event(truncate) == Self.events("TRUNCATE", #""key":null,"old":null,"new":null"#))
        let (_, batch) = Self.event(try Self.block(insert, table))
        #expect(ChangesEventFormat().index(of: .text("0/16B3748-3"), in: batch) == 0)
        #expect(ChangesEventFormat().index(of: .text("0/16B3748-4"), in: batch) == nil)
    }

    @Test("Values are written as to_jsonb writes them")
    func values() {
        func json(_ type: UInt32, _ text: String) -> String {
            var buffer = JSONBuffer()
            let shape = ValueShape.builtIn(type) ?? .text
            unsafe Array(text.utf8).withUnsafeBytes { unsafe shape.write($0, into: &buffer) }
            return unsafe String(decoding: buffer.bytes, as: UTF8.self)
        }
        #expect(json(16, "t") == "true" && json(16, "f") == "false")
        #expect(json(20, "-9223372036854775808") == "-9223372036854775808")
        #expect(json(701, "1e-07") == "1e-07" && json(701, "NaN") == "\"NaN\"")
        #expect(json(700, "-Infinity") == "\"-Infinity\"")
        #expect(json(1700, "123456789012345678901234567890.10") == "123456789012345678901234567890.10")
        #expect(json(3802, #"{"a": [1, null]}"#) == #"{"a": [1, null]}"#)
        #expect(json(1184, "2026-11-30 02:45:05.25+00") == "\"2026-11-30T02:45:05.25+00:00\"")
        #expect(json(1114, "2026-11-30 02:45:05") == "\"2026-11-30T02:45:05\"")
        #expect(json(1184, "infinity") == "\"infinity\"")
        #expect(json(1114, "0044-03-15 12:00:00 BC") == "\"0044-03-15T12:00:00 BC\"")
        #expect(json(1184, "12345-03-15 12:00:00+00") == "\"12345-03-15T12:00:00+00:00\"")
        #expect(json(17, "\\x00ff") == #""\\x00ff""#)
        #expect(json(1007, "{1,NULL,-3}") == "[1,null,-3]")
        #expect(json(1007, "{{1,2},{3,4}}") == "[[1,2],[3,4]]")
        #expect(json(1007, "[0:1]={5,6}") == "[5,6]" && json(1007, "{}") == "[]")
        #expect(json(1009, #"{"a \"q\" \\",NULL,"NULL",b}"#) == #"["a \"q\" \\",null,"NULL","b"]"#)
        #expect(json(1115, #"{"2026-11-30 02:45:05"}"#) == #"["2026-11-30T02:45:05"]"#)
        #expect(json(3807, #"{"{\"a\": 1}"}"#) == #"[{"a": 1}]"#)
        // What is no array is a text.
        for text in ["{", "{1,2", "1,2}", "{1}}", "", "{\"a", "[0:1]"] {
            #expect(json(1007, text).hasPrefix("\""), "\(text)")
        }
    }

    @Test("Whatever is cut or changed in a message is refused or read, and never ends the process")
    func fuzz() throws {
        var random = SplitMix64(seed: .random(in: .min ... .max))
        let messages = [
            Self.relation, Message("B").quad(77).quad(1).word(9),
            Message("C").byte(0).quad(1).quad(2).quad(3),
            Message("I").word(7).row("N", ["1", "text", "12"]),
            Message("U").word(7).row("O", ["1", nil, "3"]).row("N", ["2", "<unchanged>", nil]),
            Message("D").word(7).row("K", ["1", nil, nil]), Message("T").word(2).byte(3).word(7).word(8),
            Message("Y").word(1).text("s").text("t"), Message("O").quad(1).text("n"),
        ]
        let table = try Self.table()
        func read(_ bytes: [UInt8]) -> Bool {
            unsafe bytes.withUnsafeBytes { bytes in
                guard let message = try? unsafe PgoutputMessage(bytes) else { return false }
                let place = ChangePlace(position: Position(1), lsn: .none, time: Timestamp(milliseconds: 0))
                var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: 1)
                let index = builder.add(Partition(id: PartitionID(1), name: "s"))
                var writer = ChangeWriter()
                if let change = message.change(of: table, at: place) {
                    writer.append(change, to: &builder, partitionIndex: index)
                }
                return true
            }
        }
        for message in messages {
            #expect(read(message.bytes))
            for count in 0..<message.bytes.count where !"YO".utf8.contains(message.bytes[0]) {
                #expect(!read(Array(message.bytes.prefix(count))), "\(message.bytes.prefix(count))")
            }
            for _ in 0..<5000 {
                var bytes = message.bytes
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let place = Int.random(in: 0..<bytes.count, using: &random)
                    bytes[place] = UInt8.random(in: .min ... .max, using: &random)
                }
                _ = read(bytes)
            }
        }
    }

    @Test("Positions grow with the log and tell their place; rows of a snapshot stand right before theirs")
    func positions() {
        let change = ChangePosition.change(LogSequenceNumber(0x1_0000_0000), 12)
        #expect(ChangePosition.text(change) == "1/0-12" && change.description == "42949672960000000012")
        #expect(ChangePosition.read("1/0-12") == change)
        #expect(ChangePosition.read(change.description) == change)
        #expect(ChangePosition.read("1/0") == ChangePosition.change(LogSequenceNumber(0x1_0000_0000), 0))
        let row = ChangePosition.row(LogSequenceNumber(0x1_0000_0000), 17)
        #expect(
            ChangePosition.text(row) == "snapshot-1/0-17" && ChangePosition.read("snapshot-1/0-17") == row
        )
        #expect(ChangePosition.read(row.description) == row)
        // Behind all that was committed before, and before all since.
        #expect(ChangePosition.change(LogSequenceNumber(0xFFFF_FFF8), 9_999_999_999) < row)
        #expect(row < ChangePosition.change(LogSequenceNumber(0x1_0000_0000), 0))
        for text in ["snapshot-5", "snapshot-1/1-1", "snapshot-0/0-1", "snapshot-", "snapshot-1/0-x"] {
            #expect(ChangePosition.read(text) == nil, "\(text)")
        }
        #expect(ChangePosition.change(LogSequenceNumber(.max), 9_999_999_999) > change)
        for text in ["", "x", "1/0-", "1/0-x", "1/0-99999999999", "-5", "1/", "/1", "1/2/3"] {
            #expect(ChangePosition.read(text) == nil, "\(text)")
        }
    }

    @Test("A message of the server is read, and a status written, as the protocol has them")
    func replication() throws {
        let data = Message("w").quad(5).quad(6).quad(7).byte(9)
        unsafe data.bytes.withUnsafeBytes { bytes in
            guard case .data(let lsn, let rest)? = unsafe ReplicationMessage(bytes) else {
                Issue.record("no data")
                return
            }
            #expect(lsn.rawValue == 5)
            #expect(unsafe Array(rest) == [9])
        }
        let alive = Message("k").quad(0x16B_3748).quad(0).byte(1)
        unsafe alive.bytes.withUnsafeBytes { bytes in
            guard case .keepalive(let end, let isReplyRequested)? = unsafe ReplicationMessage(bytes) else {
                Issue.record("no keepalive")
                return
            }
            #expect("\(end)" == "0/16B3748" && isReplyRequested)
        }
        for message in [data, alive] {
            for count in 0..<min(message.bytes.count, 18) {
                unsafe Array(message.bytes.prefix(count)).withUnsafeBytes {
                    #expect(unsafe ReplicationMessage($0) == nil)
                }
            }
        }
        let status = StandbyStatus(
            received: LogSequenceNumber(3),
            flushed: LogSequenceNumber(2),
            clock: 1,
            wantsReply: true
        )
        #expect(status.bytes == Message("r").quad(3).quad(2).quad(2).quad(1).byte(1).bytes)
    }
}
