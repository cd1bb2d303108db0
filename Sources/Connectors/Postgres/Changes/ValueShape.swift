// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// How the values of a type are written as JSON: as Postgres' own `to_jsonb` does it.
struct ValueShape: Sendable, Hashable {
    /// What a value, or each element of an array, becomes.
    enum Scalar: Sendable, Hashable {
        /// `true` or `false`.
        case boolean
        /// A number as it stands; what JSON has no number for, such as NaN, as a string.
        case number
        /// JSON as it stands.
        case json
        /// A string, with a `T` between date and time.
        case timestamp
        /// A string.
        case text
    }

    var scalar: Scalar
    var isArray = false
    /// What stands between the elements of an array.
    var delimiter = UInt8(ascii: ",")

    static let text = ValueShape(scalar: .text)

    /// Types that every server has, by their numbers (Postgres: pg_type.dat); nil for all others, of which the server must
    /// be asked.
    static func builtIn(_ type: UInt32) -> ValueShape? {
        if let scalar = Self.scalars[type] { return ValueShape(scalar: scalar) }
        if let scalar = Self.arrays[type] { return ValueShape(scalar: scalar, isArray: true) }
        // Numbers below are those of built-in types, of which the others are texts.
        return type < 16_384 && !Self.isArray(type) ? .text : nil
    }

    private static let scalars: [UInt32: Scalar] = [
        16: .boolean, 20: .number, 21: .number, 23: .number, 700: .number, 701: .number, 1700: .number,
        114: .json, 3802: .json, 1114: .timestamp, 1184: .timestamp,
    ]

    /// By the number of the array's type.
    private static let arrays: [UInt32: Scalar] = [
        1000: .boolean, 1016: .number, 1005: .number, 1007: .number, 1021: .number, 1022: .number,
        1231: .number,
        1028: .text, 1011: .text, 271: .text, 199: .json, 3807: .json, 1115: .timestamp, 1185: .timestamp,
        1002: .text, 1009: .text, 1014: .text, 1015: .text, 1003: .text, 2951: .text, 1001: .text,
        1182: .text,
        1183: .text, 1270: .text, 1187: .text, 1041: .text, 651: .text, 1040: .text, 791: .text, 1561: .text,
        1563: .text, 143: .text, 3905: .text, 3907: .text, 3909: .text, 3911: .text, 3913: .text, 3927: .text,
        3643: .text, 3645: .text, 775: .text, 1017: .text, 1018: .text, 1019: .text, 1027: .text, 719: .text,
        629: .text, 3221: .text, 2949: .text, 1013: .text, 1006: .text, 1012: .text, 1010: .text,
    ]

    /// Other arrays of built-in types, such as those of multiranges, and of `box`, which have another delimiter.
    private static func isArray(_ type: UInt32) -> Bool {
        type == 1020 || (6150...6157).contains(type) || (2207...2211).contains(type)
    }

    // MARK: - Writing

    /// Writes a value from its text.
    @inline(__always)
    func write(_ text: UnsafeRawBufferPointer, into buffer: inout JSONBuffer) {
        if self.isArray {
            let start = buffer.count
            var reader = unsafe ArrayText(text, self)
            guard !reader.write(into: &buffer) else { return }
            buffer.truncate(to: start)
            unsafe buffer.string(text)
        } else {
            unsafe self.writeScalar(text, into: &buffer)
        }
    }

    @inline(__always)
    func writeScalar(_ text: UnsafeRawBufferPointer, into buffer: inout JSONBuffer) {
        switch self.scalar {
        case .text: unsafe buffer.string(text)
        case .number:
            if unsafe Self.isNumber(text) { unsafe buffer.raw(text) } else { unsafe buffer.string(text) }
        case .boolean:
            if unsafe Self.isLetter(text, UInt8(ascii: "t")) {
                buffer.literal("true")
            } else if unsafe Self.isLetter(text, UInt8(ascii: "f")) {
                buffer.literal("false")
            } else {
                unsafe buffer.string(text)
            }
        case .json:
            if unsafe text.isEmpty { buffer.literal("null") } else { unsafe buffer.raw(text) }
        case .timestamp: unsafe Self.writeTimestamp(text, into: &buffer)
        }
    }

    private static func isLetter(_ text: UnsafeRawBufferPointer, _ letter: UInt8) -> Bool {
        unsafe text.count == 1 && text[0] == letter
    }

    /// NaN, Infinity and -Infinity are none.
    @inline(__always)
    private static func isNumber(_ text: UnsafeRawBufferPointer) -> Bool {
        guard let first = unsafe text.first, let last = unsafe text.last else { return false }
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(last) else { return false }
        return (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) || first == UInt8(ascii: "-")
    }

    /// `2026-11-30 02:45:05.25+00` becomes `2026-11-30T02:45:05.25+00:00`; `infinity` stays as it is.
    private static func writeTimestamp(_ text: UnsafeRawBufferPointer, into buffer: inout JSONBuffer) {
        guard let space = unsafe text.firstIndex(of: UInt8(ascii: " ")), space >= 10, space + 9 <= text.count
        else { return unsafe buffer.string(text) }
        // The text may end with " BC".
        let end = unsafe text[(space + 1)...].firstIndex(of: UInt8(ascii: " ")) ?? text.count
        buffer.byte(UInt8(ascii: "\""))
        unsafe buffer.raw(UnsafeRawBufferPointer(rebasing: text[..<space]))
        buffer.byte(UInt8(ascii: "T"))
        unsafe buffer.raw(UnsafeRawBufferPointer(rebasing: text[(space + 1)..<end]))
        let sign = unsafe end >= space + 12 ? text[end - 3] : 0
        if sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { buffer.literal(":00") }
        unsafe buffer.raw(UnsafeRawBufferPointer(rebasing: text[end...]))
        buffer.byte(UInt8(ascii: "\""))
    }
}

/// Writes the text of an array as JSON (Postgres: "Array Input and Output Syntax").
@safe
private struct ArrayText {
    private let text: UnsafeRawBufferPointer
    private let shape: ValueShape
    private var index = 0
    private var element: [UInt8] = []

    /// No array of a server is deeper.
    private static let depthMax = 8

    init(_ text: UnsafeRawBufferPointer, _ shape: ValueShape) {
        unsafe self.text = unsafe text
        self.shape = shape
    }

    private var count: Int { unsafe self.text.count }

    private var byte: UInt8 { unsafe self.index < self.count ? self.text[self.index] : 0 }

    /// False when it is not understood; something may have been written then.
    mutating func write(into buffer: inout JSONBuffer) -> Bool {
        // Bounds that do not begin at 1: [0:2]={…}.
        if self.byte == UInt8(ascii: "[") {
            while self.byte != UInt8(ascii: "="), self.index < self.count { self.index += 1 }
            self.index += 1
        }
        return self.list(1, into: &buffer) && self.index == self.count
    }

    private mutating func list(_ depth: Int, into buffer: inout JSONBuffer) -> Bool {
        guard self.byte == UInt8(ascii: "{"), depth <= Self.depthMax else { return false }
        self.index += 1
        buffer.byte(UInt8(ascii: "["))
        if self.byte == UInt8(ascii: "}") {
            self.index += 1
            buffer.byte(UInt8(ascii: "]"))
            return true
        }
        while true {
            let isRead =
                self.byte == UInt8(ascii: "{")
                ? self.list(depth + 1, into: &buffer) : self.value(into: &buffer)
            guard isRead else { return false }
            let next = self.byte
            self.index += 1
            switch next {
            case self.shape.delimiter: buffer.byte(UInt8(ascii: ","))
            case UInt8(ascii: "}"):
                buffer.byte(UInt8(ascii: "]"))
                return true
            default: return false
            }
        }
    }

    private mutating func value(into buffer: inout JSONBuffer) -> Bool {
        if self.byte == UInt8(ascii: "\"") { return self.quoted(into: &buffer) }
        let start = self.index
        while self.index < self.count, self.byte != self.shape.delimiter, self.byte != UInt8(ascii: "}") {
            self.index += 1
        }
        let value = unsafe UnsafeRawBufferPointer(rebasing: self.text[start..<self.index])
        guard unsafe !value.isEmpty else { return false }
        if unsafe value.elementsEqual("NULL".utf8) {
            buffer.literal("null")
        } else {
            unsafe self.shape.writeScalar(value, into: &buffer)
        }
        return true
    }

    private mutating func quoted(into buffer: inout JSONBuffer) -> Bool {
        self.index += 1
        self.element.removeAll(keepingCapacity: true)
        while self.index < self.count {
            var byte = self.byte
            self.index += 1
            if byte == UInt8(ascii: "\"") {
                let shape = self.shape
                unsafe self.element.withUnsafeBytes { unsafe shape.writeScalar($0, into: &buffer) }
                return true
            }
            if byte == UInt8(ascii: "\\") {
                byte = self.byte
                self.index += 1
            }
            self.element.append(byte)
        }
        return false
    }
}
