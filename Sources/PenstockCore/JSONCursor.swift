// SPDX-License-Identifier: Apache-2.0

public import CJSON

/// Walks over a JSON text (RFC 8259) without building anything of it: the answers of services.
///
/// Pure. Strings are given as places in the text; ``append(_:to:)`` takes their escapes out.
@usableFromInline
package struct JSONCursor: Sendable {
    /// Why a text could not be read.
    @usableFromInline
    package struct Malformed: Error {
        /// The byte at which it stopped being JSON of the expected form.
        package var offset: Int

        /// Malformed at a byte.
        package init(offset: Int) {
            self.offset = offset
        }
    }

    /// A string between its quotes.
    @usableFromInline
    package struct Text: Sendable {
        /// Where it is.
        @usableFromInline package var range: Range<Int>
        /// Whether it has to be read before it is what it means.
        @usableFromInline package var hasEscapes: Bool

        @inlinable
        init(range: Range<Int>, hasEscapes: Bool) {
            self.range = range
            self.hasEscapes = hasEscapes
        }
    }

    /// The text.
    @usableFromInline package let bytes: [UInt8]
    @usableFromInline var place: Int

    /// The next byte.
    @inlinable package var index: Int { self.place }

    /// A cursor before the first byte, or before another one.
    package init(_ bytes: [UInt8], at index: Int = 0) {
        self.bytes = bytes
        self.place = index
    }

    @usableFromInline var malformed: Malformed { Malformed(offset: self.place) }

    /// The byte at a place before the end.
    @inlinable
    @inline(__always)
    func byte(at place: Int) -> UInt8 {
        unsafe self.bytes.withUnsafeBufferPointer { unsafe $0[place] }
    }

    /// Passes over blanks, and gives the next byte, which it stays before; 0, which JSON has nowhere, at the end.
    @inlinable
    @inline(__always)
    mutating func next() -> UInt8 {
        guard self.place < self.bytes.count else { return 0 }
        let next = self.byte(at: self.place)
        guard next <= 0x20 else { return next }
        self.place = self.behindBlanks()
        return self.place < self.bytes.count ? self.byte(at: self.place) : 0
    }

    /// Passes over blanks; whether the next byte is this one.
    @inlinable
    @inline(__always)
    package mutating func isNext(_ byte: UInt8) -> Bool { self.next() == byte }

    // What is called for some bytes only takes no `inout`: so the cursor of a loop around it stays in registers.

    @usableFromInline
    func behindBlanks() -> Int {
        var place = self.place
        while place < self.bytes.count, Self.isBlank(self.bytes[place]) { place += 1 }
        return place
    }

    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    @inlinable
    @inline(__always)
    mutating func take(_ byte: UInt8) throws(Malformed) {
        guard self.next() == byte else { throw self.malformed }
        self.place &+= 1
    }

    /// Passes over a bracket; whether it is closed at once, which is passed over, too.
    @inlinable
    @inline(__always)
    mutating func isEmpty(_ open: UInt8, _ close: UInt8) throws(Malformed) -> Bool {
        try self.take(open)
        guard self.next() == close else { return false }
        self.place &+= 1
        return true
    }

    /// Passes over what follows a member or an element; whether it was the last one.
    @inlinable
    @inline(__always)
    mutating func isLast(before close: UInt8) throws(Malformed) -> Bool {
        let next = self.next()
        guard next == close || next == UInt8(ascii: ",") else { throw self.malformed }
        self.place &+= 1
        return next == close
    }

    /// Visits the members of an object, with the cursor before each value, which the visitor passes over.
    @inlinable
    @inline(__always)
    package mutating func members(
        _ visit: (inout JSONCursor, _ name: Text) throws(Malformed) -> Void
    ) throws(Malformed) {
        if try self.isEmpty(UInt8(ascii: "{"), UInt8(ascii: "}")) { return }
        repeat {
            let name = try self.name()
            try visit(&self, name)
        } while try !self.isLast(before: UInt8(ascii: "}"))
    }

    /// Visits the elements of an array, in the same way.
    @inlinable
    @inline(__always)
    package mutating func elements(_ visit: (inout JSONCursor) throws(Malformed) -> Void) throws(Malformed) {
        if try self.isEmpty(UInt8(ascii: "["), UInt8(ascii: "]")) { return }
        repeat { try visit(&self) } while try !self.isLast(before: UInt8(ascii: "]"))
    }

    /// Passes over the name of a member, and its colon.
    @inlinable
    @inline(__always)
    mutating func name() throws(Malformed) -> Text {
        let name = try self.string()
        try self.take(UInt8(ascii: ":"))
        return name
    }

    /// Passes over a string.
    @inlinable
    @inline(__always)
    package mutating func string() throws(Malformed) -> Text {
        try self.take(UInt8(ascii: "\""))
        let start = self.place
        var end = self.mark(from: start)
        var hasEscapes = false
        if end < self.bytes.count, self.byte(at: end) == UInt8(ascii: "\\") {
            end = self.behindEscapes(end)
            hasEscapes = true
        }
        guard end < self.bytes.count else {
            self.place = end
            throw self.malformed
        }
        self.place = end &+ 1
        return Text(range: unsafe Range(uncheckedBounds: (start, end)), hasEscapes: hasEscapes)
    }

    /// Where the quote is that ends a string, from a backslash in it on; the end of the text when there is none.
    @usableFromInline
    func behindEscapes(_ backslash: Int) -> Int {
        var place = backslash
        while place < self.bytes.count, self.bytes[place] == UInt8(ascii: "\\") {
            place = self.mark(from: min(place + 2, self.bytes.count))
        }
        return place
    }

    /// Where the next quote or backslash is, or the end.
    @inlinable
    @inline(__always)
    func mark(from index: Int) -> Int {
        unsafe self.bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return 0 }
            return unsafe penstock_json_mark(base, index, bytes.count)
        }
    }

    /// Passes over any value, and gives the place of its text.
    @inlinable
    @inline(__always)
    package mutating func value() throws(Malformed) -> Range<Int> {
        _ = self.next()
        let start = self.place
        try self.skip()
        return unsafe Range(uncheckedBounds: (start, self.place))
    }

    /// Passes over any value; only its strings and brackets are looked at.
    @inlinable
    @inline(__always)
    package mutating func skip() throws(Malformed) {
        if self.next() == UInt8(ascii: "\"") {
            _ = try self.string()
        } else {
            self.place = try self.behindValue()
        }
    }

    /// Behind a value that is no string and has no blanks before it.
    @usableFromInline
    func behindValue() throws(Malformed) -> Int {
        guard self.place < self.bytes.count else { throw self.malformed }
        var place = self.place
        switch self.bytes[place] {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            let end = unsafe self.bytes.withUnsafeBufferPointer { bytes in
                guard let base = bytes.baseAddress else { return 0 }
                return unsafe penstock_json_container_end(base, place, bytes.count)
            }
            guard end > 0 else { throw Malformed(offset: self.bytes.count) }
            return end
        case let byte where Self.isScalar(byte):
            repeat { place += 1 } while place < self.bytes.count && Self.isScalar(self.bytes[place])
            return place
        default: throw self.malformed
        }
    }

    private static func isScalar(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "."), UInt8(ascii: "+"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    /// Whether a place in the text has a comma, a blank or another byte below it.
    package func hasBlankOrComma(in range: Range<Int>) -> Bool {
        unsafe self.bytes.withUnsafeBufferPointer { bytes in
            precondition(range.upperBound <= bytes.count, "a place of another text")
            guard let base = bytes.baseAddress else { return false }
            return unsafe penstock_json_has_blank_or_comma(
                base,
                range.lowerBound,
                range.upperBound,
                bytes.count
            )
        }
    }

    /// Lends the bytes of a place in the text.
    @inlinable
    @inline(__always)
    package func withBytes<Result>(
        of range: Range<Int>,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        unsafe self.bytes.withUnsafeBytes { bytes in
            precondition(range.upperBound <= bytes.count, "a place of another text")
            return unsafe body(UnsafeRawBufferPointer(rebasing: bytes[range]))
        }
    }

    // MARK: - Strings

    /// Whether a string is this one, which has no escapes.
    @inlinable
    @inline(__always)
    package func isEqual(_ text: Text, _ other: StaticString) -> Bool {
        let count = other.utf8CodeUnitCount
        guard text.range.count == count else { return false }
        return unsafe self.bytes.withUnsafeBytes { bytes in
            // Eight bytes together: their number and their values are known when this is compiled.
            var offset = 0
            while offset + 8 <= count {
                let word = unsafe bytes.loadUnaligned(
                    fromByteOffset: text.range.lowerBound + offset,
                    as: UInt64.self
                )
                let wanted = unsafe UnsafeRawPointer(other.utf8Start).loadUnaligned(
                    fromByteOffset: offset,
                    as: UInt64.self
                )
                guard word == wanted else { return false }
                offset += 8
            }
            while offset < count {
                guard unsafe bytes[text.range.lowerBound + offset] == other.utf8Start[offset] else {
                    return false
                }
                offset += 1
            }
            return true
        }
    }

    /// A string as Swift has it.
    package func value(_ text: Text) throws(Malformed) -> String {
        var value: [UInt8] = []
        try self.append(text, to: &value)
        return String(decoding: value, as: UTF8.self)
    }

    /// Appends what a string means.
    package func append(_ text: Text, to target: inout [UInt8]) throws(Malformed) {
        guard text.hasEscapes else { return target.append(contentsOf: self.bytes[text.range]) }
        var index = text.range.lowerBound
        var start = index
        while true {
            index = self.mark(from: index)
            guard index < text.range.upperBound else { break }
            target.append(contentsOf: self.bytes[start..<index])
            try self.unescape(&index, to: &target)
            start = index
        }
        target.append(contentsOf: self.bytes[start..<text.range.upperBound])
    }

    private func unescape(_ index: inout Int, to target: inout [UInt8]) throws(Malformed) {
        guard index + 1 < self.bytes.count else { throw Malformed(offset: index) }
        let byte = self.bytes[index + 1]
        index += 2
        switch byte {
        case UInt8(ascii: "n"): target.append(0x0A)
        case UInt8(ascii: "t"): target.append(0x09)
        case UInt8(ascii: "r"): target.append(0x0D)
        case UInt8(ascii: "b"): target.append(0x08)
        case UInt8(ascii: "f"): target.append(0x0C)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): target.append(byte)
        case UInt8(ascii: "u"): try self.appendScalar(&index, to: &target)
        default: throw Malformed(offset: index - 1)
        }
    }

    /// Behind `\u`; half a surrogate pair becomes U+FFFD.
    private func appendScalar(_ index: inout Int, to target: inout [UInt8]) throws(Malformed) {
        var scalar = try self.codeUnit(&index)
        if (0xD800..<0xDC00).contains(scalar), index + 1 < self.bytes.count,
            self.bytes[index] == UInt8(ascii: "\\"), self.bytes[index + 1] == UInt8(ascii: "u")
        {
            var next = index + 2
            let low = try self.codeUnit(&next)
            if (0xDC00..<0xE000).contains(low) {
                scalar = 0x10000 + (scalar - 0xD800) << 10 + (low - 0xDC00)
                index = next
            }
        }
        let replacement: Unicode.Scalar = "\u{FFFD}"
        target.append(contentsOf: String(Unicode.Scalar(scalar) ?? replacement).utf8)
    }

    private func codeUnit(_ index: inout Int) throws(Malformed) -> UInt32 {
        guard index + 4 <= self.bytes.count else { throw Malformed(offset: index) }
        var value: UInt32 = 0
        for place in index..<index + 4 {
            guard let digit = Self.hexDigit(self.bytes[place]) else { throw Malformed(offset: place) }
            value = value << 4 | digit
        }
        index += 4
        return value
    }

    private static func hexDigit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A") + 10)
        default: nil
        }
    }
}
