// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
import PenstockRuntime

/// The Lambda event of Kafka records (esm-spec 3.3; AWS: "Process Apache Kafka messages with Lambda").
///
/// `key` and `value` are base64 and left out when null; `headers` is always there, an array of objects with one member
/// whose value is an array of signed bytes. A null header value, of which AWS says nothing, is `null`. A record without
/// a timestamp (message format 0) has type `NO_TIMESTAMP_TYPE` and timestamp -1.
package struct KafkaEventFormat: EventFormat {
    private let head: [UInt8]

    /// `eventSourceArn` and `bootstrapServers`, as events and failure documents have them.
    private let cluster: [UInt8]

    /// `eventSourceARN` of events of windows, quoted: the configured ARN, or the brokers as Pipes name them.
    private let windowSource: [UInt8]

    /// The format of a source's events: its name, ARN and brokers are written once here.
    package init(_ configuration: KafkaSourceConfiguration) {
        var cluster: [UInt8] = []
        if let arn = configuration.eventSourceARN {
            cluster += Array(",\"eventSourceArn\":".utf8) + Self.quoted(arn)
        }
        let servers = configuration.brokers.sorted().joined(separator: ",")
        cluster += Array(",\"bootstrapServers\":".utf8) + Self.quoted(servers)
        self.cluster = cluster
        self.windowSource = Self.quoted(configuration.eventSourceARN ?? "smk://\(servers)")
        self.head =
            Array("{\"eventSource\":".utf8) + Self.quoted(configuration.eventSource) + cluster
            + Array(",\"records\":{".utf8)
    }

    package var contentType: String { "application/json" }

    /// What each record of a partition begins with: the ``Partition/eventPrefix`` of our partitions.
    func prefix(for name: KafkaPartitionName) -> [UInt8] {
        Array("{\"topic\":".utf8) + Self.quoted(name.topic)
            + Array(",\"partition\":\(name.partition),\"offset\":".utf8)
    }

    /// `]}}` closes the last partition's records, the map and the event.
    private static let tail = 2

    // MARK: - Sizes

    package var envelope: Int { self.head.count + Self.tail }

    /// Its quoted name, a colon and two brackets.
    ///
    /// The commas between partitions stand for separators between records, of which there is one for each two neighbours.
    package func overhead(of partition: Partition) -> Int { partition.quotedName.count + 3 }

    package var takesWindows: Bool { true }

    package func overhead(of window: BatchWindow) -> Int {
        let (before, after) = self.members(of: window)
        return before.count + window.open.state.count + after.count
    }

    /// What a window adds to the event; `shardId` is the partition.
    private func members(of window: BatchWindow) -> (before: [UInt8], after: [UInt8]) {
        window.members(shard: window.partition.quotedName, source: self.windowSource)
    }

    package func sizes(of block: RecordBlock) -> RecordSizes {
        RecordSizes(count: block.count) { index in
            let entry = block.entries[index]
            var size = block.partitions[Int(entry.partitionIndex)].eventPrefix.count
            size += EventWriter.digits(of: entry.position.offset ?? 0)
            // {…,"timestamp":N,"timestampType":"…"
            size += 13 + EventWriter.decimalSize(of: entry.timestamp.milliseconds)
            size += 17 + Self.timestampType(entry.tag).utf8CodeUnitCount
            if entry.keyLength >= 0 { size += 9 + EventWriter.base64Size(of: Int(entry.keyLength)) }
            if entry.bodyLength >= 0 { size += 11 + EventWriter.base64Size(of: Int(entry.bodyLength)) }
            // ,"headers":[]}
            size += 14
            if entry.attributeCount > 0 { size += self.headersSize(of: block, at: index) }
            return size
        }
    }

    private func headersSize(of block: RecordBlock, at index: Int) -> Int {
        var size = -1
        unsafe block.forEachAttribute(at: index) { name, value in
            // {"name":[1,2]} and a comma
            size += unsafe Self.quotedSize(of: name) + 4
            size += unsafe value.map { unsafe EventWriter.signedBytesSize(of: $0) + 2 } ?? 4
        }
        return size
    }

    // MARK: - Writing

    package func encode(_ batch: Batch, into writer: inout EventWriter) {
        writer.raw(self.head)
        let first = batch.runs.first?.partition
        if let first, batch.runs.allSatisfy({ $0.partition.id == first.id }) {
            self.encode(batch.runs, of: first, into: &writer)
        } else {
            for (position, group) in Self.groups(of: batch).enumerated() {
                if position > 0 { writer.byte(UInt8(ascii: ",")) }
                self.encode(group.runs, of: group.partition, into: &writer)
            }
        }
        writer.byte(UInt8(ascii: "}"))
        if let window = batch.window {
            let (before, after) = self.members(of: window)
            writer.raw(before)
            writer.raw(window.open.state)
            writer.raw(after)
        }
        writer.byte(UInt8(ascii: "}"))
    }

    private func encode(_ runs: [Run], of partition: Partition, into writer: inout EventWriter) {
        writer.raw(partition.quotedName)
        writer.literal(":[")
        for run in runs {
            for index in run.indices {
                self.encode(run.admitted.block, index, into: &writer)
                writer.byte(UInt8(ascii: ","))
            }
        }
        writer.removeLast()
        writer.byte(UInt8(ascii: "]"))
    }

    @inline(__always)
    private func encode(_ block: RecordBlock, _ index: Int, into writer: inout EventWriter) {
        let entry = block.entries[index]
        writer.raw(block.partitions[Int(entry.partitionIndex)].eventPrefix)
        writer.decimal(entry.position.offset ?? 0)
        writer.literal(",\"timestamp\":")
        writer.decimal(entry.timestamp.milliseconds)
        writer.literal(",\"timestampType\":")
        writer.literal(Self.timestampType(entry.tag))
        if let key = unsafe block.key(at: index) {
            writer.literal(",\"key\":\"")
            unsafe writer.base64(key)
            writer.byte(UInt8(ascii: "\""))
        }
        if let body = unsafe block.body(at: index) {
            writer.literal(",\"value\":\"")
            unsafe writer.base64(body)
            writer.byte(UInt8(ascii: "\""))
        }
        guard entry.attributeCount > 0 else {
            writer.literal(",\"headers\":[]}")
            return
        }
        writer.literal(",\"headers\":[")
        Self.encodeHeaders(block, index, into: &writer)
        writer.literal("]}")
    }

    private static func encodeHeaders(_ block: RecordBlock, _ index: Int, into writer: inout EventWriter) {
        // The walk takes an escaping-free closure, which may not borrow an inout of a noncopyable type for longer.
        unsafe block.forEachAttribute(at: index) { name, value in
            writer.byte(UInt8(ascii: "{"))
            if unsafe Self.isPlain(name) {
                writer.byte(UInt8(ascii: "\""))
                unsafe writer.raw(name)
                writer.byte(UInt8(ascii: "\""))
            } else {
                unsafe writer.string(name)
            }
            if let value = unsafe value {
                writer.literal(":[")
                unsafe writer.signedBytes(value)
                writer.literal("]},")
            } else {
                writer.literal(":null},")
            }
        }
        writer.removeLast()
    }

    /// The batch's runs by partition, both in the order in which they first come.
    private static func groups(of batch: Batch) -> [(partition: Partition, runs: [Run])] {
        var groups: [(partition: Partition, runs: [Run])] = []
        var places: [PartitionID: Int] = [:]
        for run in batch.runs where run.count > 0 {
            let partition = run.partition
            if let last = groups.indices.last, groups[last].partition.id == partition.id {
                groups[last].runs.append(run)
            } else if let place = places[partition.id] {
                groups[place].runs.append(run)
            } else {
                places[partition.id] = groups.count
                groups.append((partition: partition, runs: [run]))
            }
        }
        return groups
    }

    // MARK: - Item failures

    package func index(of item: ItemIdentifier, in batch: Batch) -> Int? {
        guard case .offset(let name, let offset) = item else { return nil }
        let position = Position(offset)
        var before = 0
        for run in batch.runs {
            if run.count > 0, run.partition.name == name, let place = run.offset(of: position) {
                return before + place
            }
            before += run.count
        }
        return nil
    }

    // MARK: - Failure documents

    /// `KafkaBatchInfo` of a document about one record.
    ///
    /// AWS says where it stood by `recordInfo` in a topic, where there is one in each document, and elsewhere by
    /// `recordsInfo`, a member for each partition (esm-spec 3.3).
    func batchInfo(of letter: DeadLetter, payloadSize: Int, as form: FailureDocument.Form) -> [UInt8] {
        var info = Array("{\"batchSize\":1".utf8) + self.cluster
        info += Array(",\"payloadSize\":\(payloadSize)".utf8)
        let offset = Self.quoted("\(letter.position)")
        let timestamp = Self.quoted(letter.timestamp.sortableText)
        switch form {
        case .record:
            info += Array(",\"recordInfo\":{\"offset\":".utf8) + offset
            info += Array(",\"timestamp\":".utf8) + timestamp + Array("}}".utf8)
        case .message, .object:
            info += Array(",\"recordsInfo\":{".utf8) + Self.quoted(letter.partition)
            info += Array(":{\"firstRecordOffset\":".utf8) + offset
            info += Array(",\"lastRecordOffset\":".utf8) + offset
            info += Array(",\"firstRecordTimestamp\":".utf8) + timestamp
            info += Array(",\"lastRecordTimestamp\":".utf8) + timestamp + Array("}}}".utf8)
        }
        return info
    }

    // MARK: - Texts

    @inline(__always)
    private static func timestampType(_ tag: UInt8) -> StaticString {
        switch tag {
        case 1: "\"CREATE_TIME\""
        case 2: "\"LOG_APPEND_TIME\""
        default: "\"NO_TIMESTAMP_TYPE\""
        }
    }

    /// The same without quotes, for filters.
    static func timestampTypeName(_ tag: UInt8) -> String {
        String(describing: Self.timestampType(tag)).replacing("\"", with: "")
    }

    private static func quoted(_ text: String) -> [UInt8] {
        var text = text
        return text.withUTF8 { unsafe JSONText.escaped(UnsafeRawBufferPointer($0)) }
    }

    private static func quotedSize(of text: UnsafeRawBufferPointer) -> Int {
        unsafe Self.isPlain(text) ? text.count + 2 : JSONText.escaped(text).count
    }

    /// Whether a text is ASCII that JSON takes as it is: nearly all header names, and no array is made for them.
    private static func isPlain(_ text: UnsafeRawBufferPointer) -> Bool {
        for index in 0..<text.count {
            let byte = unsafe text[index]
            if byte < 0x20 || byte >= 0x7F || byte == 0x22 || byte == 0x5C { return false }
        }
        return true
    }
}
