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
    fileprivate static let order: [StaticString] = [
        "ApproximateReceiveCount", "AWSTraceHeader", "SentTimestamp", "SequenceNumber", "MessageGroupId",
        "SenderId", "MessageDeduplicationId", "ApproximateFirstReceiveTimestamp", "DeadLetterQueueSourceArn",
    ]
    private static let sentTimestamp = 2
    private static let messageGroup = 4

    /// AWS passes this one not on to functions.
    private static let hidden: StaticString = "SqsManagedSseEnabled"

    /// What was found of one message.
    fileprivate struct Message {
        var id: JSONCursor.Text?
        var receipt: JSONCursor.Text?
        var body: JSONCursor.Text?
        var bodyDigest: JSONCursor.Text?
        var attributesDigest: JSONCursor.Text?
        /// By their places in ``order``.
        var system = InlineArray<9, JSONCursor.Text?>(repeating: nil)
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

    fileprivate struct OwnAttribute {
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
        let timestamp = self.message.system[Self.sentTimestamp].map { Self.timestamp(cursor, $0) }
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
        unsafe builder.appendAttribute(name: SQSAttribute.attributes.bytes, upTo: self.message.systemSizeMax)
        {
            self.message.writeSystemAttributes(of: cursor, into: &$0)
        }
        unsafe builder.appendAttribute(
            name: SQSAttribute.messageAttributes.bytes,
            upTo: self.message.ownSizeMax
        ) {
            self.message.writeOwnAttributes(of: cursor, into: &$0)
        }
        if let digest = self.message.attributesDigest, !self.message.own.isEmpty {
            try self.append(digest, as: SQSAttribute.attributesDigest, cursor, to: &builder)
        }
        if let digest = self.message.bodyDigest {
            try self.append(digest, as: SQSAttribute.bodyDigest, cursor, to: &builder)
        }
    }

    private static func timestamp(_ cursor: JSONCursor, _ text: JSONCursor.Text) -> Timestamp {
        unsafe cursor.withBytes(of: text.range) { digits in
            var milliseconds: Int64 = 0
            for index in 0..<digits.count {
                let digit = unsafe digits[index]
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit), milliseconds < .max / 100
                else {
                    return Timestamp(milliseconds: 0)
                }
                milliseconds = 10 * milliseconds + Int64(digit - UInt8(ascii: "0"))
            }
            return Timestamp(milliseconds: milliseconds)
        }
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
        unsafe self.scratch.withUnsafeBytes { unsafe Self.append($0, as: name, to: &builder) }
    }

    private static func append(
        _ value: UnsafeRawBufferPointer,
        as name: StaticString,
        to builder: inout RecordBlockBuilder
    ) {
        unsafe builder.appendAttribute(name: name.bytes, value: value)
    }
}

// MARK: - The event's words

extension SQSMessageReader.Message {
    /// Bytes that ``writeSystemAttributes(of:into:)`` writes at most.
    fileprivate var systemSizeMax: Int {
        var size = 2
        for place in self.system.indices {
            guard let value = self.system[place] else { continue }
            size += SQSMessageReader.order[place].utf8CodeUnitCount + value.sizeMax + 4
        }
        return self.unknown.reduce(size) { $0 + $1.name.sizeMax + $1.value.sizeMax + 2 }
    }

    fileprivate func writeSystemAttributes(of cursor: JSONCursor, into writer: inout EventWriter) {
        writer.byte(UInt8(ascii: "{"))
        for place in self.system.indices {
            guard let value = self.system[place] else { continue }
            writer.byte(UInt8(ascii: "\""))
            writer.literal(SQSMessageReader.order[place])
            writer.literal("\":")
            value.write(of: cursor, into: &writer)
            writer.byte(UInt8(ascii: ","))
        }
        for (name, value) in self.unknown {
            name.write(of: cursor, into: &writer)
            writer.byte(UInt8(ascii: ":"))
            value.write(of: cursor, into: &writer)
            writer.byte(UInt8(ascii: ","))
        }
        if writer.count > 1 { writer.removeLast() }
        writer.byte(UInt8(ascii: "}"))
    }

    /// The names of an attribute's members.
    private static let ownNamesSize = 100

    /// Bytes that ``writeOwnAttributes(of:into:)`` writes at most.
    fileprivate var ownSizeMax: Int {
        self.own.reduce(2) { size, attribute in
            let values = [attribute.text, attribute.binary, attribute.type].compactMap(\.self)
            return values.reduce(size + Self.ownNamesSize + attribute.name.sizeMax) { $0 + $1.sizeMax }
        }
    }

    fileprivate func writeOwnAttributes(of cursor: JSONCursor, into writer: inout EventWriter) {
        writer.byte(UInt8(ascii: "{"))
        for attribute in self.own {
            attribute.name.write(of: cursor, into: &writer)
            writer.literal(":{")
            if let text = attribute.text {
                writer.literal("\"stringValue\":")
                text.write(of: cursor, into: &writer)
                writer.byte(UInt8(ascii: ","))
            }
            if let binary = attribute.binary {
                writer.literal("\"binaryValue\":")
                binary.write(of: cursor, into: &writer)
                writer.byte(UInt8(ascii: ","))
            }
            writer.literal("\"stringListValues\":[],\"binaryListValues\":[]")
            if let type = attribute.type {
                writer.literal(",\"dataType\":")
                type.write(of: cursor, into: &writer)
            }
            writer.literal("},")
        }
        if writer.count > 1 { writer.removeLast() }
        writer.byte(UInt8(ascii: "}"))
    }
}

extension JSONCursor.Text {
    /// Bytes that ``write(of:into:)`` writes at most: a byte becomes an escape of six.
    fileprivate var sizeMax: Int { (self.hasEscapes ? 6 : 1) * self.range.count + 2 }

    /// Writes a string as it stands in the answer; one with escapes in our own spelling.
    fileprivate func write(of cursor: JSONCursor, into writer: inout EventWriter) {
        if self.hasEscapes, let value = try? cursor.value(self) {
            writer.raw(JSONText.escaped(value))
        } else {
            writer.byte(UInt8(ascii: "\""))
            unsafe cursor.withBytes(of: self.range) { unsafe writer.raw($0) }
            writer.byte(UInt8(ascii: "\""))
        }
    }
}

extension StaticString {
    /// Its bytes, which are always there.
    fileprivate var bytes: UnsafeRawBufferPointer {
        @unsafe get { unsafe UnsafeRawBufferPointer(start: self.utf8Start, count: self.utf8CodeUnitCount) }
    }
}
