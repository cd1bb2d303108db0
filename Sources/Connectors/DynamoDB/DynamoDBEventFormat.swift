// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
import PenstockRuntime

/// The Lambda event of changes of a table (esm-spec 3.2; AWS: "Using AWS Lambda with Amazon DynamoDB").
///
/// The `dynamodb` object is what the stream gave, byte by byte. A record that did not come from a stream (a test of the
/// configuration) gets what it lacks: an id from its position, and an empty object, or its body as a text, where the body is
/// no JSON.
package struct DynamoDBEventFormat: EventFormat {
    package init() {}

    package var contentType: String { "application/json" }

    private static let head: StaticString = #"{"Records":["#

    package var envelope: Int { Self.head.utf8CodeUnitCount + 2 }

    // MARK: - What the records of a partition have in common

    private static let eventSource = "aws:dynamodb"

    /// The partition of a shard by its name.
    ///
    /// Its prefix has what stands before the `dynamodb` object, and what closes a record; two bytes say how long the first
    /// part is.
    static func partition(_ id: PartitionID, name: String, kept: KeptWindow? = nil) -> Partition {
        let stream = ShardName(name).stream
        let middle =
            Array(#","eventVersion":"1.1","eventSource":"\#(Self.eventSource)","#.utf8)
            + JSONText.member("awsRegion", Self.region(of: name)) + Array(#","dynamodb":"#.utf8)
        let end = Array(",".utf8) + JSONText.member("eventSourceARN", stream) + Array("}".utf8)
        let count = UInt16(truncatingIfNeeded: middle.count)
        let length = [UInt8(truncatingIfNeeded: count), UInt8(truncatingIfNeeded: count >> 8)]
        return Partition(id: id, name: name, eventPrefix: length + middle + end, kept: kept)
    }

    private static func region(of partition: String) -> String {
        StreamName(ShardName(partition).stream)?.region ?? ""
    }

    /// The two parts of a partition's prefix.
    private static func parts(_ prefix: [UInt8]) -> (middle: Range<Int>, end: Range<Int>) {
        guard prefix.count >= 2 else { return (0..<0, 0..<0) }
        let split = min(prefix.count, 2 + Int(prefix[0]) + Int(prefix[1]) << 8)
        return (2..<split, split..<prefix.count)
    }

    // MARK: - A record's parts

    /// Where the parts of a record are, valid while its block is alive.
    @unsafe
    private struct Parts {
        var eventID: UnsafeRawBufferPointer?
        var userIdentity: UnsafeRawBufferPointer?

        init(_ block: RecordBlock, _ index: Int) {
            unsafe block.forEachAttribute(at: index) { name, value in
                if unsafe Self.isEqual(name, StreamAttribute.eventID) {
                    unsafe self.eventID = unsafe value
                } else if unsafe Self.isEqual(name, StreamAttribute.userIdentity) {
                    unsafe self.userIdentity = unsafe value
                }
            }
        }

        private static func isEqual(_ text: UnsafeRawBufferPointer, _ other: StaticString) -> Bool {
            guard text.count == other.utf8CodeUnitCount else { return false }
            for index in 0..<text.count {
                guard unsafe text[index] == other.utf8Start[index] else { return false }
            }
            return true
        }
    }

    private static let eventID: StaticString = #"{"eventID":"#
    private static let eventName: StaticString = #","eventName":"#
    private static let userIdentity: StaticString = #","userIdentity":"#

    /// Of an id that is made of a position: 32 digits and two quotes.
    private static let madeIDSize = 34

    // MARK: - Sizes

    package func sizes(of block: RecordBlock) -> RecordSizes {
        RecordSizes(count: block.count) { index in
            let entry = block.entries[index]
            let parts = unsafe Parts(block, index)
            var size = Self.eventID.utf8CodeUnitCount + Self.eventName.utf8CodeUnitCount
            size += Self.changeName(entry.tag).utf8CodeUnitCount
            // But for the two bytes that say how it is divided.
            size += max(0, block.partitions[Int(entry.partitionIndex)].eventPrefix.count - 2)
            if let id = unsafe parts.eventID {
                size += unsafe EventWriter.stringSize(of: id) + Int(max(0, entry.bodyLength))
            } else {
                size += Self.madeIDSize + Self.foreignBody(block, index).count
            }
            if let identity = unsafe parts.userIdentity {
                size += Self.userIdentity.utf8CodeUnitCount + identity.count
            }
            return size
        }
    }

    // MARK: - Windows

    package var takesWindows: Bool { true }

    package func overhead(of window: BatchWindow) -> Int {
        let (before, after) = Self.members(of: window)
        return before.count + window.open.state.count + after.count
    }

    /// What a window adds to the event.
    private static func members(of window: BatchWindow) -> (before: [UInt8], after: [UInt8]) {
        let name = ShardName(window.partition.name)
        return window.members(shard: JSONText.escaped(name.shard), source: JSONText.escaped(name.stream))
    }

    // MARK: - Writing

    package func encode(_ batch: Batch, into writer: inout EventWriter) {
        writer.literal(Self.head)
        for run in batch.runs {
            for index in run.indices {
                self.encode(run.admitted.block, index, into: &writer)
                writer.byte(UInt8(ascii: ","))
            }
        }
        if !batch.runs.isEmpty { writer.removeLast() }
        writer.byte(UInt8(ascii: "]"))
        if let window = batch.window {
            let (before, after) = Self.members(of: window)
            writer.raw(before)
            writer.raw(window.open.state)
            writer.raw(after)
        }
        writer.byte(UInt8(ascii: "}"))
    }

    private func encode(_ block: RecordBlock, _ index: Int, into writer: inout EventWriter) {
        let entry = block.entries[index]
        let prefix = block.partitions[Int(entry.partitionIndex)].eventPrefix
        let (middle, end) = Self.parts(prefix)
        let parts = unsafe Parts(block, index)
        writer.literal(Self.eventID)
        if let id = unsafe parts.eventID {
            unsafe writer.string(id)
        } else {
            writer.byte(UInt8(ascii: "\""))
            writer.raw(Self.madeID(entry.position))
            writer.byte(UInt8(ascii: "\""))
        }
        writer.literal(Self.eventName)
        writer.literal(Self.changeName(entry.tag))
        unsafe prefix.withUnsafeBytes { unsafe writer.raw(UnsafeRawBufferPointer(rebasing: $0[middle])) }
        if unsafe parts.eventID != nil {
            if let body = unsafe block.body(at: index) { unsafe writer.raw(body) }
        } else {
            writer.raw(Self.foreignBody(block, index))
        }
        if let identity = unsafe parts.userIdentity {
            writer.literal(Self.userIdentity)
            unsafe writer.raw(identity)
        }
        unsafe prefix.withUnsafeBytes { unsafe writer.raw(UnsafeRawBufferPointer(rebasing: $0[end])) }
    }

    private static func foreignBody(_ block: RecordBlock, _ index: Int) -> [UInt8] {
        guard let body = unsafe block.body(at: index) else { return Array("{}".utf8) }
        return unsafe JSONScanner.isValid(body) ? [UInt8](body) : JSONText.escaped(body)
    }

    /// Thirty-two hexadecimal digits, as ids have.
    private static func madeID(_ position: Position) -> [UInt8] {
        let digits = Array(String(position.wide ?? 0, radix: 16).utf8)
        return Array(repeating: UInt8(ascii: "0"), count: 32 - digits.count) + digits
    }

    private static func changeName(_ tag: UInt8) -> StaticString {
        (StreamChange(rawValue: tag) ?? .insert).quoted
    }

    // MARK: - Item failures

    package func index(of item: ItemIdentifier, in batch: Batch) -> Int? {
        guard case .text(let number) = item, let position = StreamPosition.read(number)
        else { return nil }
        var before = 0
        for run in batch.runs {
            if run.count > 0, let place = run.offset(of: position) { return before + place }
            before += run.count
        }
        return nil
    }

    // MARK: - Failure documents

    /// `DDBStreamBatchInfo` of a document about one record.
    static func batchInfo(of letter: DeadLetter) -> [UInt8] {
        let name = ShardName(letter.partition)
        let number = JSONText.escaped(StreamPosition.text(letter.position))
        // AWS gives whole seconds here.
        let seconds = Timestamp(
            milliseconds: letter.timestamp.milliseconds - letter.timestamp.milliseconds % 1000
        )
        let arrival = JSONText.escaped(seconds.configurationText)
        var info = Array("{".utf8) + JSONText.member("shardId", name.shard)
        info += Array(#","startSequenceNumber":"#.utf8) + number
        info += Array(#","endSequenceNumber":"#.utf8) + number
        info += Array(#","approximateArrivalOfFirstRecord":"#.utf8) + arrival
        info += Array(#","approximateArrivalOfLastRecord":"#.utf8) + arrival
        info += Array(#","batchSize":1,"#.utf8) + JSONText.member("streamArn", name.stream)
        return info + Array("}".utf8)
    }
}

extension DynamoDBEventFormat {
    /// What filters can look at (esm-spec 5.3): the members of a record in the event.
    static let fields = RecordFields([
        RecordFields.Field("eventID", .text("eventID")),
        RecordFields.Field("eventName", .tag { "\((StreamChange(rawValue: $0) ?? .insert).name)" }),
        RecordFields.Field("eventVersion", .partitionText { _ in "1.1" }),
        RecordFields.Field("eventSource", .partitionText { _ in Self.eventSource }),
        RecordFields.Field("awsRegion", .partitionText { Self.region(of: $0.name) }),
        RecordFields.Field("dynamodb", .body(.unmet)),
        RecordFields.Field("userIdentity", .document("userIdentity")),
        RecordFields.Field("eventSourceARN", .partitionText { ShardName($0.name).stream }),
    ])
}
