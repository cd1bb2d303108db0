// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import Testing

@testable import DynamoDBConnector

/// A page is read as a parser of JSON reads it, however it is written.
@Suite struct StreamPageTests {
    /// Writes pages whose members are in an order of their own, with blanks and with members that nobody knows.
    private struct Writer {
        var random: SplitMix64
        /// Whether members always come in one order, as those of the service do.
        var isSteady = Bool.random()

        mutating func chance(_ part: Int) -> Bool { Int.random(in: 0..<part, using: &self.random) == 0 }

        mutating func blank() -> String {
            self.isSteady ? "" : ["", "", "", " ", "\n\t "].randomElement(using: &self.random) ?? ""
        }

        mutating func object(_ members: [(name: String, value: String)]) -> String {
            let members = self.isSteady ? members : members.shuffled(using: &self.random)
            var text = "{" + self.blank()
            for (place, member) in members.enumerated() {
                if place > 0 { text += "," + self.blank() }
                text += "\"\(member.name)\"" + self.blank() + ":" + self.blank() + member.value + self.blank()
            }
            return text + "}"
        }

        mutating func string() -> String {
            let parts = [
                "x", "order-7301", "\\\"", "\\\\", "\\\\\\\"", "{", "}", "]", "é", "\\u00e9", "😀",
                "Keys\\\":",
            ]
            let count = Int.random(in: 0...(self.chance(4) ? 60 : 6), using: &self.random)
            return "\"" + (0..<count).map { _ in parts.randomElement(using: &self.random) ?? "" }.joined()
                + "\""
        }

        mutating func image() -> String {
            var members: [(String, String)] = []
            for place in 0..<Int.random(in: 0...5, using: &self.random) {
                let value = self.object([("S", self.string())])
                members.append(
                    ("a\(place)", self.chance(3) ? self.object([("L", "[\(value), \(value)]")]) : value)
                )
            }
            return self.object(members)
        }

        mutating func number() -> String {
            let digits = Int.random(in: 1...40, using: &self.random)
            return (0..<digits).map { _ in "\(Int.random(in: 0...9, using: &self.random))" }.joined()
        }

        mutating func record() -> String {
            var change = [
                (
                    "ApproximateCreationDateTime",
                    ["1773478800", "1.7734788E9", "1773478800.25"]
                        .randomElement(using: &self.random) ?? ""
                ),
                ("Keys", self.object([("pk", self.object([("S", self.string())]))])),
            ]
            if !self.chance(3) { change.append(("NewImage", self.image())) }
            if !self.chance(3) { change.append(("OldImage", self.image())) }
            change += [("SequenceNumber", "\"\(self.number())\""), ("SizeBytes", "\(296)")]
            if self.chance(5) { change.append(("Unknown", self.image())) }
            change.append(("StreamViewType", "\"NEW_AND_OLD_IMAGES\""))
            var record = [
                ("awsRegion", "\"eu-west-1\""), ("dynamodb", self.object(change)), ("eventID", self.string()),
                (
                    "eventName",
                    ["\"INSERT\"", "\"MODIFY\"", "\"REMOVE\""].randomElement(using: &self.random) ?? ""
                ),
                ("eventSource", "\"aws:dynamodb\""), ("eventVersion", "\"1.1\""),
            ]
            if self.chance(5) {
                record.append(("aNameThatIsLongerThanAnyOneThatIsKnown", "[1, {\"x\":\"}\"}]"))
            }
            if self.chance(5) {
                record.append(
                    ("userIdentity", self.object([("Type", "\"Service\""), ("PrincipalId", self.string())]))
                )
            }
            return self.object(record)
        }

        mutating func page() -> String {
            let records = (0..<Int.random(in: 0...12, using: &self.random)).map { _ in self.record() }
            return self.object([
                ("NextShardIterator", "\"arn|1\""), ("Records", "[\(records.joined(separator: ", "))]"),
            ])
        }
    }

    private struct Answer: Decodable {
        var Records: [Record]
        struct Record: Decodable {
            var eventID: String
            var eventName: String
            var dynamodb: Change
            var userIdentity: Identity?
        }
        struct Change: Decodable, Equatable {
            var SequenceNumber: String
            var ApproximateCreationDateTime: Double
            var Keys: [String: [String: String]]
            var NewImage: [String: Image]?
            var OldImage: [String: Image]?
        }
        struct Image: Decodable, Equatable {
            var S: String?
            var L: [Image]?
        }
        struct Identity: Decodable, Equatable {
            var type: String?
            var principalId: String?
            enum CodingKeys: String, CodingKey {
                case type = "Type"
                case principalId = "PrincipalId"
            }
        }
    }

    private static let partition = Partition(id: PartitionID(1), name: "p", eventPrefix: [])

    private struct Read {
        var attributes: [String: [UInt8]] = [:]
        var key: [UInt8]
        var body: [UInt8]

        init(_ block: RecordBlock, _ index: Int) {
            self.key = unsafe block.key(at: index).map { unsafe [UInt8]($0) } ?? []
            self.body = unsafe block.body(at: index).map { unsafe [UInt8]($0) } ?? []
            unsafe block.forEachAttribute(at: index) { name, value in
                unsafe self.attributes[String(decoding: name, as: UTF8.self)] = unsafe value.map {
                    unsafe [UInt8]($0)
                }
            }
        }
    }

    @Test("A page says what Foundation reads in it, in any order of members and with any blanks")
    func reads() throws {
        for _ in 0..<400 {
            let seed = UInt64.random(in: 0 ... .max)
            var writer = Writer(random: SplitMix64(seed: seed))
            let text = writer.page()
            let page = try StreamPage(Array(text.utf8))
            let expected = try JSONDecoder().decode(Answer.self, from: Data(text.utf8)).Records
            let block = page.block(0..<page.records.count, of: Self.partition)
            try #require(page.next == "arn|1" && block.count == expected.count, "seed \(seed): \(text)")
            for (index, record) in expected.enumerated() {
                let read = Read(block, index)
                let body = try JSONDecoder().decode(Answer.Change.self, from: Data(read.body))
                let keys = try JSONDecoder().decode([String: [String: String]].self, from: Data(read.key))
                let milliseconds = Int64(record.dynamodb.ApproximateCreationDateTime * 1000)
                let identity = try read.attributes["userIdentity"]
                    .map { try JSONDecoder().decode([String: String].self, from: Data($0)) }
                #expect(
                    block.entries[index].position == Position(record.dynamodb.SequenceNumber)
                        && block.entries[index].timestamp == Timestamp(milliseconds: milliseconds)
                        && StreamChange(rawValue: block.entries[index].tag).map { "\($0.name)" }
                            == record.eventName
                        && read.attributes["eventID"] == Array(record.eventID.utf8)
                        && body == record.dynamodb && keys == record.dynamodb.Keys
                        && identity?["type"] == record.userIdentity?.type
                        && identity?["principalId"] == record.userIdentity?.principalId,
                    "record \(index), seed \(seed): \(text)"
                )
            }
        }
    }

    @Test("Blocks of a page have what is theirs, and keep it when the page is gone")
    func blocks() throws {
        var writer = Writer(random: SplitMix64(seed: .random(in: 0 ... .max)))
        let records = (0..<5).map { _ in writer.record() }.joined(separator: ",")
        var page: StreamPage? = try StreamPage(Array("{\"Records\":[\(records)]}".utf8))
        let whole = try #require(page?.block(0..<5, of: Self.partition))
        let parts = [0..<2, 2..<2, 2..<5].compactMap { page?.block($0, of: Self.partition) }
        #expect(parts.map(\.count) == [2, 0, 3])
        #expect(parts.map(\.byteCount).reduce(0, +) == whole.byteCount)
        let last = try #require(page?.records[3].position)
        page?.remove(before: Timestamp(milliseconds: 0))
        #expect(page?.records.count == 5)
        page = nil
        for (part, start) in zip(parts, [0, 2, 2]) {
            for index in 0..<part.count {
                let (read, expected) = (Read(part, index), Read(whole, start + index))
                #expect(read.key == expected.key && read.body == expected.body)
                #expect(read.attributes == expected.attributes && part.partition(at: index).name == "p")
            }
        }
        #expect(parts[2].entries[1].position == last)
    }

    @Test("A page that is cut off at any byte is malformed", arguments: [true, false])
    func cuts(isSteady: Bool) {
        for _ in 0..<4 {
            var writer = Writer(random: SplitMix64(seed: .random(in: 0 ... .max)), isSteady: isSteady)
            let bytes = Array(writer.page().utf8)
            for count in bytes.indices {
                #expect(throws: (any Error).self) { try StreamPage(Array(bytes[..<count])) }
            }
        }
    }

    @Test("Sequence numbers are read as positions, and nothing else is")
    func numbers() {
        func read(_ text: String) -> Position? {
            let bytes = Array(text.utf8)
            return unsafe bytes.withUnsafeBytes { unsafe StreamPosition.read($0) }
        }
        var writer = Writer(random: SplitMix64(seed: .random(in: 0 ... .max)))
        for _ in 0..<2000 {
            let number = writer.number()
            #expect(read(number) == Position(number))
            var bytes = Array(number.utf8)
            let other = UInt8.random(in: 0 ... .max, using: &writer.random)
            bytes[Int.random(in: bytes.indices, using: &writer.random)] = other
            let isNumber = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(other)
            #expect((unsafe bytes.withUnsafeBytes { unsafe StreamPosition.read($0) } != nil) == isNumber)
        }
        #expect(read("") == nil && read(String(repeating: "1", count: 41)) == nil)
    }

    @Test(
        "Times are read to the millisecond, however they are written",
        arguments: [
            ("1773478800", 1_773_478_800_000), ("1.773478811E9", 1_773_478_811_000),
            ("1773478800.25", 1_773_478_800_250),
            ("1.7734788112345678E+9", 1_773_478_811_235), ("17734788110000e-4", 1_773_478_811_000), ("0", 0),
            ("1.77347881100000000000000000000001e9", 1_773_478_811_000), ("1e400", 0), ("true", 0),
            ("1e", 1000),
            ("99999999999999999999999", 0), ("0.0005", 1), ("0.00049", 0),
        ]
    )
    func times(text: String, milliseconds: Int64) {
        let bytes = Array(text.utf8)
        #expect(
            unsafe bytes.withUnsafeBytes { unsafe StreamRecord.time($0) }
                == Timestamp(milliseconds: milliseconds)
        )
    }
}
