// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// What a message is made of as a record: its body, and these attributes, in this order.
enum SQSAttribute {
    /// The message's id.
    static let messageID: StaticString = "messageId"
    /// What names this delivery of it.
    static let receiptHandle: StaticString = "receiptHandle"
    /// The system's attributes as a JSON object, as the event has it.
    static let attributes: StaticString = "attributes"
    /// The sender's attributes as a JSON object, as the event has it.
    static let messageAttributes: StaticString = "messageAttributes"
    /// The digest of the sender's attributes; only where there are any.
    static let attributesDigest: StaticString = "md5OfMessageAttributes"
    /// The digest of the body.
    static let bodyDigest: StaticString = "md5OfBody"
}

/// Reads the answer of `ReceiveMessage` (AWS JSON 1.0) into a block of records.
///
/// Pure. What the event says of a message, but for its body, is made here once, in the event's own words.
struct SQSMessageReader {
    /// The system's attributes in the order of AWS's events; unknown ones follow them.
    private static let order: [StaticString] = [
        "ApproximateReceiveCount", "AWSTraceHeader", "SentTimestamp", "SequenceNumber", "MessageGroupId",
        "SenderId", "MessageDeduplicationId", "ApproximateFirstReceiveTimestamp", "DeadLetterQueueSourceArn",
    ]
    private static let sentTimestamp = 2
    private static let messageGroup = 4

    /// AWS passes this one not on to functions.
    private static let hidden: StaticString = "SqsManagedSseEnabled"

    /// What was found of one message.
    private struct Message {
        var id: JSONCursor.Text?
        var receipt: JSONCursor.Text?
        var body: JSONCursor.Text?
        var bodyDigest: JSONCursor.Text?
        var attributesDigest: JSONCursor.Text?
        /// By their places in ``order``.
        var system = [JSONCursor.Text?](repeating: nil, count: SQSMessageReader.order.count)
        var unknown: [(name: JSONCursor.Text, value: JSONCursor.Text)] = []
        var own: [OwnAttribute] = []

        mutating func clear() {
            (self.id, self.receipt, self.body) = (nil, nil, nil)
            (self.bodyDigest, self.attributesDigest) = (nil, nil)
            for index in self.system.indices { self.system[index] = nil }
            self.unknown.removeAll(keepingCapacity: true)
            self.own.removeAll(keepingCapacity: true)
        }
    }

    private struct OwnAttribute {
        var name: JSONCursor.Text
        var type: JSONCursor.Text?
        var text: JSONCursor.Text?
        var binary: JSONCursor.Text?
    }

    /// The queue.
    let partition: Partition
    /// Whether message groups are keys: those of standard queues say nothing about order.
    private let hasGroups: Bool

    private var message = Message()
    private var scratch: [UInt8] = []

    init(partition: Partition, hasGroups: Bool) {
        self.partition = partition
        self.hasGroups = hasGroups
    }

    /// The messages of an answer as a block; nil when there is none.
    mutating func read(_ answer: [UInt8], lease: BlockLease) throws(JSONCursor.Malformed) -> RecordBlock? {
        var builder = RecordBlockBuilder(byteCapacity: answer.count + 1024, recordCapacity: 10)
        let partitionIndex = builder.add(self.partition)
        var cursor = JSONCursor(answer)
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            guard cursor.isEqual(name, "Messages"), cursor.isNext(UInt8(ascii: "[")) else {
                return try cursor.skip()
            }
            try cursor.elements { (cursor) throws(JSONCursor.Malformed) in
                try self.readMessage(&cursor)
                try self.append(cursor, to: &builder, partitionIndex)
            }
        }
        return builder.count > 0 ? builder.finish(lease: lease) : nil
    }

    // MARK: - Reading

    private mutating func readMessage(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) {
        self.message.clear()
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            if cursor.isEqual(name, "Attributes"), cursor.isNext(UInt8(ascii: "{")) {
                try self.readSystemAttributes(&cursor)
            } else if cursor.isEqual(name, "MessageAttributes"), cursor.isNext(UInt8(ascii: "{")) {
                try self.readOwnAttributes(&cursor)
            } else if cursor.isNext(UInt8(ascii: "\"")) {
                let value = try cursor.string()
                if cursor.isEqual(name, "MessageId") { self.message.id = value }
                if cursor.isEqual(name, "ReceiptHandle") { self.message.receipt = value }
                if cursor.isEqual(name, "Body") { self.message.body = value }
                if cursor.isEqual(name, "MD5OfBody") { self.message.bodyDigest = value }
                if cursor.isEqual(name, "MD5OfMessageAttributes") { self.message.attributesDigest = value }
            } else {
                try cursor.skip()
            }
        }
    }

    private mutating func readSystemAttributes(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) {
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            guard cursor.isNext(UInt8(ascii: "\"")) else { return try cursor.skip() }
            let value = try cursor.string()
            var place = 0
            while place < Self.order.count, !cursor.isEqual(name, Self.order[place]) { place += 1 }
            if place < Self.order.count {
                self.message.system[place] = value
            } else if !cursor.isEqual(name, Self.hidden) {
                self.message.unknown.append((name, value))
            }
        }
    }

    private mutating func readOwnAttributes(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) {
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            var attribute = OwnAttribute(name: name)
            guard cursor.isNext(UInt8(ascii: "{")) else { return try cursor.skip() }
            try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
                guard cursor.isNext(UInt8(ascii: "\"")) else { return try cursor.skip() }
                let value = try cursor.string()
                if cursor.isEqual(name, "DataType") { attribute.type = value }
                if cursor.isEqual(name, "StringValue") { attribute.text = value }
                if cursor.isEqual(name, "BinaryValue") { attribute.binary = value }
            }
            self.message.own.append(attribute)
        }
    }

    // MARK: - Appending

    private mutating func append(
        _ cursor: JSONCursor,
        to builder: inout RecordBlockBuilder,
        _ partitionIndex: UInt32
    ) throws(JSONCursor.Malformed) {
        guard let id = self.message.id, let receipt = self.message.receipt else {
            throw JSONCursor.Malformed(offset: cursor.index)
        }
        let group = self.hasGroups ? self.message.system[Self.messageGroup] : nil
        let position = SQSMessageID.position(of: cursor.bytes[id.range])
        let timestamp = self.message.system[Self.sentTimestamp].map { Self.timestamp(cursor.bytes[$0.range]) }
        self.scratch.removeAll(keepingCapacity: true)
        if let group { try cursor.append(group, to: &self.scratch) }
        let keyEnd = self.scratch.count
        if let body = self.message.body { try cursor.append(body, to: &self.scratch) }
        unsafe self.scratch.withUnsafeBytes { bytes in
            let key = unsafe UnsafeRawBufferPointer(rebasing: bytes[..<keyEnd])
            let body = unsafe UnsafeRawBufferPointer(rebasing: bytes[keyEnd...])
            unsafe builder.append(
                position: position,
                timestamp: timestamp ?? Timestamp(milliseconds: 0),
                tag: 0,
                partitionIndex: partitionIndex,
                payload: RecordPayload(key: group == nil ? nil : key, body: body)
            )
        }
        try self.append(id, as: SQSAttribute.messageID, cursor, to: &builder)
        try self.append(receipt, as: SQSAttribute.receiptHandle, cursor, to: &builder)
        self.writeSystemAttributes(cursor)
        Self.append(self.scratch, as: SQSAttribute.attributes, to: &builder)
        self.writeOwnAttributes(cursor)
        Self.append(self.scratch, as: SQSAttribute.messageAttributes, to: &builder)
        if let digest = self.message.attributesDigest, !self.message.own.isEmpty {
            try self.append(digest, as: SQSAttribute.attributesDigest, cursor, to: &builder)
        }
        if let digest = self.message.bodyDigest {
            try self.append(digest, as: SQSAttribute.bodyDigest, cursor, to: &builder)
        }
    }

    private static func timestamp(_ digits: ArraySlice<UInt8>) -> Timestamp {
        Timestamp(milliseconds: Int64(String(decoding: digits, as: UTF8.self)) ?? 0)
    }

    private mutating func append(
        _ text: JSONCursor.Text,
        as name: StaticString,
        _ cursor: JSONCursor,
        to builder: inout RecordBlockBuilder
    ) throws(JSONCursor.Malformed) {
        guard text.hasEscapes else {
            return unsafe cursor.withBytes(of: text.range) { unsafe Self.append($0, as: name, to: &builder) }
        }
        self.scratch.removeAll(keepingCapacity: true)
        try cursor.append(text, to: &self.scratch)
        Self.append(self.scratch, as: name, to: &builder)
    }

    private static func append(
        _ value: [UInt8],
        as name: StaticString,
        to builder: inout RecordBlockBuilder
    ) {
        unsafe value.withUnsafeBytes { unsafe Self.append($0, as: name, to: &builder) }
    }

    private static func append(
        _ value: UnsafeRawBufferPointer,
        as name: StaticString,
        to builder: inout RecordBlockBuilder
    ) {
        let name = unsafe UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        unsafe builder.appendAttribute(name: name, value: value)
    }

    // MARK: - The event's words

    private mutating func writeSystemAttributes(_ cursor: JSONCursor) {
        self.scratch.removeAll(keepingCapacity: true)
        self.scratch.append(UInt8(ascii: "{"))
        for (name, value) in zip(Self.order, self.message.system) {
            guard let value else { continue }
            self.write(name)
            self.write(value, of: cursor)
            self.scratch.append(UInt8(ascii: ","))
        }
        for (name, value) in self.message.unknown {
            self.write(name, of: cursor)
            self.scratch.append(UInt8(ascii: ":"))
            self.write(value, of: cursor)
            self.scratch.append(UInt8(ascii: ","))
        }
        self.closeObject()
    }

    private mutating func writeOwnAttributes(_ cursor: JSONCursor) {
        self.scratch.removeAll(keepingCapacity: true)
        self.scratch.append(UInt8(ascii: "{"))
        for attribute in self.message.own {
            self.write(attribute.name, of: cursor)
            self.scratch.append(contentsOf: ":{".utf8)
            if let text = attribute.text {
                self.write("stringValue")
                self.write(text, of: cursor)
                self.scratch.append(UInt8(ascii: ","))
            }
            if let binary = attribute.binary {
                self.write("binaryValue")
                self.write(binary, of: cursor)
                self.scratch.append(UInt8(ascii: ","))
            }
            self.scratch.append(contentsOf: #""stringListValues":[],"binaryListValues":[],"#.utf8)
            if let type = attribute.type {
                self.write("dataType")
                self.write(type, of: cursor)
                self.scratch.append(UInt8(ascii: ","))
            }
            self.closeObject()
            self.scratch.append(UInt8(ascii: ","))
        }
        self.closeObject()
    }

    /// In place of a comma behind the last member, if there is one.
    private mutating func closeObject() {
        if self.scratch.last == UInt8(ascii: ",") { self.scratch.removeLast() }
        self.scratch.append(UInt8(ascii: "}"))
    }

    /// A member's name and a colon.
    private mutating func write(_ name: StaticString) {
        self.scratch.append(UInt8(ascii: "\""))
        unsafe self.scratch.append(
            contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        )
        self.scratch.append(contentsOf: "\":".utf8)
    }

    /// A string as it stands in the answer; one with escapes in our own spelling.
    private mutating func write(_ text: JSONCursor.Text, of cursor: JSONCursor) {
        if text.hasEscapes, let value = try? cursor.value(text) {
            self.scratch.append(contentsOf: JSONText.escaped(value))
        } else {
            self.scratch.append(UInt8(ascii: "\""))
            self.scratch.append(contentsOf: cursor.bytes[text.range])
            self.scratch.append(UInt8(ascii: "\""))
        }
    }
}
