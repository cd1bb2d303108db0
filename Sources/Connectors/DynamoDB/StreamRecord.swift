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

/// A change as it stands in an answer.
struct StreamRecord {
    private var eventID: JSONCursor.Text?
    private var change = StreamChange.modify
    /// The `dynamodb` object.
    private var body = 0..<0
    /// The object of the item's keys in it.
    private var keys: Range<Int>?
    private var position = Position(0)
    private var created = Timestamp(milliseconds: 0)
    private var identityType: JSONCursor.Text?
    private var identityPrincipal: JSONCursor.Text?

    // MARK: - Reading

    /// Reads the record at a cursor, which passes over it.
    init(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) {
        let start = cursor.index
        var isKnown = false
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            if cursor.isEqual(name, "dynamodb"), cursor.isNext(UInt8(ascii: "{")) {
                try self.readChange(&cursor)
            } else if cursor.isEqual(name, "userIdentity"), cursor.isNext(UInt8(ascii: "{")) {
                try self.readIdentity(&cursor)
            } else if cursor.isNext(UInt8(ascii: "\"")) {
                let value = try cursor.string()
                if cursor.isEqual(name, "eventID") { self.eventID = value }
                if cursor.isEqual(name, "eventName"), let change = StreamChange(value, of: cursor) {
                    self.change = change
                    isKnown = true
                }
            } else {
                try cursor.skip()
            }
        }
        guard isKnown, !self.body.isEmpty else { throw JSONCursor.Malformed(offset: start) }
    }

    private mutating func readChange(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) {
        let start = cursor.index
        var position: Position?
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            if cursor.isEqual(name, "Keys"), cursor.isNext(UInt8(ascii: "{")) {
                self.keys = try cursor.value()
            } else if cursor.isEqual(name, "SequenceNumber"), cursor.isNext(UInt8(ascii: "\"")) {
                position = unsafe cursor.withBytes(of: try cursor.string().range) {
                    unsafe StreamPosition.read($0)
                }
            } else if cursor.isEqual(name, "ApproximateCreationDateTime") {
                self.created = unsafe cursor.withBytes(of: try cursor.value()) { unsafe Self.time($0) }
            } else {
                try cursor.skip()
            }
        }
        guard let position else { throw JSONCursor.Malformed(offset: start) }
        self.position = position
        self.body = start..<cursor.index
    }

    private mutating func readIdentity(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) {
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            guard cursor.isNext(UInt8(ascii: "\"")) else { return try cursor.skip() }
            let value = try cursor.string()
            // The API begins them with a capital, the event does not.
            if cursor.isEqual(name, "Type") || cursor.isEqual(name, "type") { self.identityType = value }
            if cursor.isEqual(name, "PrincipalId") || cursor.isEqual(name, "principalId") {
                self.identityPrincipal = value
            }
        }
    }

    /// Seconds since 1970 as a number of JSON, which may have a fraction and an exponent.
    static func time(_ number: UnsafeRawBufferPointer) -> Timestamp {
        // Milliseconds are an integer times a power of ten: 1.773478811E9 is 1773478811 times 10 to the 3. Of digits beyond
        // those that fit only the number counts.
        var (digits, power): (Int64, Int) = (0, 3)
        var index = 0
        while index < number.count, let digit = unsafe Self.digit(number[index]) {
            if digits < Self.digitsMax { digits = digits &* 10 &+ Int64(digit) } else { power += 1 }
            index += 1
        }
        if index < number.count, unsafe number[index] == UInt8(ascii: ".") {
            index += 1
            while index < number.count, let digit = unsafe Self.digit(number[index]) {
                if digits < Self.digitsMax { (digits, power) = (digits &* 10 &+ Int64(digit), power - 1) }
                index += 1
            }
        }
        if index < number.count, unsafe number[index] | 0x20 == UInt8(ascii: "e") {
            var (exponent, isNegative) = (0, false)
            index += 1
            if index < number.count,
                unsafe number[index] == UInt8(ascii: "-") || number[index] == UInt8(ascii: "+")
            {
                isNegative = unsafe number[index] == UInt8(ascii: "-")
                index += 1
            }
            while index < number.count, exponent < 100, let digit = unsafe Self.digit(number[index]) {
                exponent = exponent * 10 + digit
                index += 1
            }
            power += isNegative ? -exponent : exponent
        }
        while power < -1 { (digits, power) = (digits / 10, power + 1) }
        if power == -1 { digits = (digits + 5) / 10 }
        while power > 0, digits < Self.digitsMax { (digits, power) = (digits * 10, power - 1) }
        // What is no such number, or too large for a time.
        guard index == number.count, power <= 0 else { return Timestamp(milliseconds: 0) }
        return Timestamp(milliseconds: digits)
    }

    /// Ten times as much is a number, too.
    private static let digitsMax: Int64 = 1 << 55

    @inline(__always)
    private static func digit(_ byte: UInt8) -> Int? {
        let digit = byte &- UInt8(ascii: "0")
        return digit < 10 ? Int(digit) : nil
    }

    // MARK: - Appending

    /// Copies it from the answer; scratch is memory that is used again.
    func append(
        from cursor: JSONCursor,
        to builder: inout RecordBlockBuilder,
        _ scratch: inout [UInt8]
    ) throws(JSONCursor.Malformed) {
        let hasKeys = try self.readKeys(cursor, &scratch)
        unsafe cursor.bytes.withUnsafeBytes { bytes in
            unsafe scratch.withUnsafeBytes { scratch in
                var key: UnsafeRawBufferPointer?
                if hasKeys { unsafe key = unsafe scratch }
                if !hasKeys, let keys = self.keys {
                    unsafe key = unsafe UnsafeRawBufferPointer(rebasing: bytes[keys])
                }
                unsafe builder.append(
                    position: self.position,
                    timestamp: self.created,
                    tag: self.change.rawValue,
                    partitionIndex: 0,
                    payload: RecordPayload(key: key, body: UnsafeRawBufferPointer(rebasing: bytes[self.body]))
                )
            }
            if let id = self.eventID, !id.hasEscapes {
                let value = unsafe UnsafeRawBufferPointer(rebasing: bytes[id.range])
                unsafe Self.append(value, as: StreamAttribute.eventID, to: &builder)
            }
        }
        if let id = self.eventID, id.hasEscapes {
            Self.append(Array(try cursor.value(id).utf8), as: StreamAttribute.eventID, to: &builder)
        }
        if let type = self.identityType, let principal = self.identityPrincipal {
            var identity = Array("{".utf8) + JSONText.member("type", try cursor.value(type)) + Array(",".utf8)
            identity += JSONText.member("principalId", try cursor.value(principal)) + Array("}".utf8)
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

    /// Writes the item's keys as the same text for each change of the item, by name and without blanks; false when they are so
    /// in the answer, as those of one member are, or when there are none.
    private func readKeys(_ cursor: JSONCursor, _ scratch: inout [UInt8]) throws(JSONCursor.Malformed) -> Bool
    {
        guard let keys = self.keys, cursor.hasBlankOrComma(in: keys) else { return false }
        scratch.removeAll(keepingCapacity: true)
        var members: [(name: Range<Int>, value: Range<Int>)] = []
        var cursor = JSONCursor(cursor.bytes, at: keys.lowerBound)
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            members.append((name.range, try cursor.value()))
        }
        if members.count > 1 {
            members.sort { cursor.bytes[$0.name].lexicographicallyPrecedes(cursor.bytes[$1.name]) }
        }
        scratch.append(UInt8(ascii: "{"))
        for (place, member) in members.enumerated() {
            scratch.append(contentsOf: place > 0 ? ",\"".utf8 : "\"".utf8)
            scratch.append(contentsOf: cursor.bytes[member.name])
            scratch.append(contentsOf: "\":".utf8)
            Self.appendCompact(cursor.bytes[member.value], to: &scratch)
        }
        scratch.append(UInt8(ascii: "}"))
        return true
    }

    private static func appendCompact(_ json: ArraySlice<UInt8>, to scratch: inout [UInt8]) {
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
            scratch.append(byte)
        }
    }
}
