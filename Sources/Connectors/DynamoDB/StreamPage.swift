// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// What a change is made of as a record: the `dynamodb` object of the event as its body, the item's key, and these.
enum StreamAttribute {
    /// The event's id.
    static let eventID: StaticString = "eventID"
    /// Who deleted an item that had grown too old, as the event has it; only there.
    static let userIdentity: StaticString = "userIdentity"
}

/// A kind of change; its number is the tag of a record.
enum StreamChange: UInt8, CaseIterable {
    /// The item is new.
    case insert = 1
    /// The item was there.
    case modify = 2
    /// The item is gone.
    case remove = 3

    /// As events name it, in quotes.
    var quoted: StaticString {
        switch self {
        case .insert: #""INSERT""#
        case .modify: #""MODIFY""#
        case .remove: #""REMOVE""#
        }
    }

    /// As events name it.
    var name: StaticString {
        switch self {
        case .insert: "INSERT"
        case .modify: "MODIFY"
        case .remove: "REMOVE"
        }
    }

    /// The kind of this name; nil for another text.
    @inline(__always)
    init?(_ text: JSONCursor.Text, of cursor: JSONCursor) {
        if cursor.isEqual(text, "INSERT") {
            self = .insert
        } else if cursor.isEqual(text, "MODIFY") {
            self = .modify
        } else if cursor.isEqual(text, "REMOVE") {
            self = .remove
        } else {
            return nil
        }
    }
}

/// A change as it stands in a page.
struct StreamRecord: Sendable {
    var eventID: JSONCursor.Text?
    var change: StreamChange
    /// The `dynamodb` object.
    var body: Range<Int>
    /// The object of the item's keys in it.
    var keys: Range<Int>?
    var position: Position
    var created: Timestamp
    var identityType: JSONCursor.Text?
    var identityPrincipal: JSONCursor.Text?
}

/// The answer of `GetRecords` (AWS JSON 1.0), read once.
///
/// Records are copied into blocks as they are handed out.
struct StreamPage: Sendable {
    /// The changes, in order.
    private(set) var records: [StreamRecord] = []

    /// Where the shard goes on; nil at its end.
    private(set) var next: String?

    /// How many changes the answer had.
    private var count = 0

    private let cursor: JSONCursor
    private var scratch: [UInt8] = []

    /// Reads an answer.
    init(_ answer: [UInt8]) throws(JSONCursor.Malformed) {
        self.cursor = JSONCursor(answer)
        self.records.reserveCapacity(min(answer.count / Self.recordBytes, Self.recordsMax))
        var cursor = self.cursor
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            if cursor.isEqual(name, "Records"), cursor.isNext(UInt8(ascii: "[")) {
                try cursor.elements { (cursor) throws(JSONCursor.Malformed) in
                    self.records.append(try Self.record(&cursor))
                }
            } else if cursor.isEqual(name, "NextShardIterator"), cursor.isNext(UInt8(ascii: "\"")) {
                self.next = try cursor.value(cursor.string())
            } else {
                try cursor.skip()
            }
        }
        self.count = self.records.count
    }

    /// Bytes of the answer.
    var byteCount: Int { self.cursor.bytes.count }

    /// Whether it says that there is more at once.
    var isFull: Bool { self.count >= Self.fullRecords || self.byteCount >= Self.fullBytes }
    private static let fullRecords = 100
    private static let fullBytes = 128 << 10
    /// A page has no more records, and most records have more bytes.
    private static let recordsMax = 1000
    private static let recordBytes = 256

    /// The first and the last sequence number; nil without records.
    var first: Position? { self.records.first?.position }
    var last: Position? { self.records.last?.position }

    /// Leaves out what stands before a record, and that record.
    mutating func remove(through position: Position) {
        self.records.removeAll { $0.position <= position }
    }

    /// Leaves out what was written before a time.
    mutating func remove(before time: Timestamp) {
        self.records.removeAll { $0.created < time }
    }

    // MARK: - Reading

    private static func record(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) -> StreamRecord {
        let start = cursor.index
        var record = StreamRecord(
            change: .modify,
            body: 0..<0,
            position: Position(0),
            created: Timestamp(milliseconds: 0)
        )
        var isKnown = false
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            if cursor.isEqual(name, "dynamodb"), cursor.isNext(UInt8(ascii: "{")) {
                try Self.change(&cursor, &record)
            } else if cursor.isEqual(name, "userIdentity"), cursor.isNext(UInt8(ascii: "{")) {
                try Self.identity(&cursor, &record)
            } else if cursor.isNext(UInt8(ascii: "\"")) {
                let value = try cursor.string()
                if cursor.isEqual(name, "eventID") { record.eventID = value }
                if cursor.isEqual(name, "eventName"), let change = StreamChange(value, of: cursor) {
                    record.change = change
                    isKnown = true
                }
            } else {
                try cursor.skip()
            }
        }
        guard isKnown, !record.body.isEmpty else { throw JSONCursor.Malformed(offset: start) }
        return record
    }

    private static func change(
        _ cursor: inout JSONCursor,
        _ record: inout StreamRecord
    ) throws(JSONCursor.Malformed) {
        let start = cursor.index
        var position: Position?
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            if cursor.isEqual(name, "Keys"), cursor.isNext(UInt8(ascii: "{")) {
                record.keys = try cursor.value()
            } else if cursor.isEqual(name, "SequenceNumber"), cursor.isNext(UInt8(ascii: "\"")) {
                position = unsafe cursor.withBytes(of: try cursor.string().range) {
                    unsafe StreamPosition.read($0)
                }
            } else if cursor.isEqual(name, "ApproximateCreationDateTime") {
                record.created = unsafe cursor.withBytes(of: try cursor.value()) { unsafe Self.time($0) }
            } else {
                try cursor.skip()
            }
        }
        guard let position else { throw JSONCursor.Malformed(offset: start) }
        record.position = position
        record.body = start..<cursor.index
    }

    private static func identity(
        _ cursor: inout JSONCursor,
        _ record: inout StreamRecord
    ) throws(JSONCursor.Malformed) {
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            guard cursor.isNext(UInt8(ascii: "\"")) else { return try cursor.skip() }
            let value = try cursor.string()
            // The API begins them with a capital, the event does not.
            if cursor.isEqual(name, "Type") || cursor.isEqual(name, "type") { record.identityType = value }
            if cursor.isEqual(name, "PrincipalId") || cursor.isEqual(name, "principalId") {
                record.identityPrincipal = value
            }
        }
    }

    /// Seconds since 1970 as a number of JSON, which may have a fraction and an exponent.
    private static func time(_ number: UnsafeRawBufferPointer) -> Timestamp {
        var seconds: Int64 = 0
        for index in 0..<number.count {
            let byte = unsafe number[index]
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9"), seconds < 1 << 40 else {
                let value = Double(unsafe String(decoding: number, as: UTF8.self)) ?? 0
                return Timestamp(milliseconds: Int64(exactly: (value * 1000).rounded()) ?? 0)
            }
            seconds = seconds * 10 + Int64(byte - UInt8(ascii: "0"))
        }
        return Timestamp(milliseconds: seconds * 1000)
    }

    // MARK: - Handing out

    /// Copies one of its records into a block.
    mutating func copy(_ index: Int, to builder: inout RecordBlockBuilder, _ partitionIndex: UInt32) {
        let record = self.records[index]
        let keys = self.readKeys(record)
        unsafe self.cursor.bytes.withUnsafeBytes { bytes in
            unsafe self.scratch.withUnsafeBytes { scratch in
                let key: UnsafeRawBufferPointer? =
                    switch keys {
                    case .none: nil
                    case .asWritten(let range): unsafe UnsafeRawBufferPointer(rebasing: bytes[range])
                    case .inScratch: unsafe scratch
                    }
                unsafe builder.append(
                    position: record.position,
                    timestamp: record.created,
                    tag: record.change.rawValue,
                    partitionIndex: partitionIndex,
                    payload: RecordPayload(
                        key: key,
                        body: UnsafeRawBufferPointer(rebasing: bytes[record.body])
                    )
                )
            }
            if let id = record.eventID, !id.hasEscapes {
                let value = unsafe UnsafeRawBufferPointer(rebasing: bytes[id.range])
                unsafe Self.append(value, as: StreamAttribute.eventID, to: &builder)
            }
        }
        if let id = record.eventID, id.hasEscapes, let id = try? self.cursor.value(id) {
            Self.append(Array(id.utf8), as: StreamAttribute.eventID, to: &builder)
        }
        if let type = record.identityType, let principal = record.identityPrincipal,
            let type = try? self.cursor.value(type), let principal = try? self.cursor.value(principal)
        {
            var identity = Array("{".utf8) + JSONText.member("type", type)
            identity += Array(",".utf8) + JSONText.member("principalId", principal) + Array("}".utf8)
            Self.append(identity, as: StreamAttribute.userIdentity, to: &builder)
        }
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

    /// Where the item's keys are, the same text for each change of the item: by name, without blanks.
    private enum Keys {
        case none
        /// In the answer.
        case asWritten(Range<Int>)
        /// In `scratch`.
        case inScratch
    }

    private mutating func readKeys(_ record: StreamRecord) -> Keys {
        guard let keys = record.keys else { return .none }
        if unsafe self.cursor.withBytes(of: keys, Self.isCompact) { return .asWritten(keys) }
        return self.sortKeys(keys) ? .inScratch : .none
    }

    /// Whether an object has no blanks and, as most keys do, no more than one member: no comma.
    private static func isCompact(_ object: UnsafeRawBufferPointer) -> Bool {
        // All of its bytes, without a look at each: that is done many at a time.
        var found = false
        for index in 0..<object.count {
            let byte = unsafe object[index]
            found = found || byte <= 0x20 || byte == UInt8(ascii: ",")
        }
        return !found
    }

    private mutating func sortKeys(_ keys: Range<Int>) -> Bool {
        self.scratch.removeAll(keepingCapacity: true)
        var members: [(name: Range<Int>, value: Range<Int>)] = []
        var cursor = JSONCursor(self.cursor.bytes, at: keys.lowerBound)
        let isRead: Void? = try? cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            members.append((name.range, try cursor.value()))
        }
        guard isRead != nil else { return false }
        if members.count > 1 {
            members.sort { cursor.bytes[$0.name].lexicographicallyPrecedes(cursor.bytes[$1.name]) }
        }
        self.scratch.append(UInt8(ascii: "{"))
        for (place, member) in members.enumerated() {
            self.scratch.append(contentsOf: place > 0 ? ",\"".utf8 : "\"".utf8)
            self.scratch.append(contentsOf: cursor.bytes[member.name])
            self.scratch.append(contentsOf: "\":".utf8)
            self.appendCompact(cursor.bytes[member.value])
        }
        self.scratch.append(UInt8(ascii: "}"))
        return true
    }

    private mutating func appendCompact(_ json: ArraySlice<UInt8>) {
        var (isText, isEscaped) = (false, false)
        for byte in json {
            if isText {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isText = false
                }
            } else if byte == UInt8(ascii: "\"") {
                isText = true
            } else if byte == 0x20 || (0x09...0x0D).contains(byte) {
                continue
            }
            self.scratch.append(byte)
        }
    }
}
