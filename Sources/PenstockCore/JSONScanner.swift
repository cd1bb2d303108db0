// SPDX-License-Identifier: Apache-2.0

/// Tells whether bytes are one JSON value (RFC 8259), in valid UTF-8, nested at most ``depthMax`` deep.
///
/// Stricter than some readers and never laxer, because what it accepts is put into other JSON as it is.
@safe
package struct JSONScanner {
    /// How deep values may be nested: what common readers take.
    package static let depthMax = 128

    private let bytes: UnsafeRawBufferPointer
    private var cursor = 0

    /// Whether `bytes` are one JSON value.
    package static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var scanner = unsafe JSONScanner(bytes)
        guard scanner.value(depth: 0) else { return false }
        scanner.skipBlanks()
        // Text outside strings is ASCII by now, and a multibyte character cannot span a quote.
        guard scanner.cursor == bytes.count else { return false }
        return unsafe String(validating: bytes, as: UTF8.self) != nil
    }

    /// Where a member of an object is in its text, without blanks around it.
    ///
    /// Nil when `bytes` are no object, or it has no such member. Of several of that name it is the last one; a name that is written with escapes is not found.
    package static func member(_ name: StaticString, of bytes: UnsafeRawBufferPointer) -> Range<Int>? {
        guard unsafe Self.isValid(bytes) else { return nil }
        var scanner = unsafe JSONScanner(bytes)
        scanner.skipBlanks()
        guard scanner.take(UInt8(ascii: "{")) else { return nil }
        var found: Range<Int>?
        repeat {
            scanner.skipBlanks()
            let start = scanner.cursor
            guard scanner.string() else { break }
            let key = start + 1..<scanner.cursor - 1
            scanner.skipBlanks()
            guard scanner.take(UInt8(ascii: ":")) else { break }
            scanner.skipBlanks()
            let value = scanner.cursor
            guard scanner.value(depth: 1) else { break }
            if scanner.holds(name, in: key) { found = value..<scanner.cursor }
            scanner.skipBlanks()
        } while scanner.take(UInt8(ascii: ","))
        return found
    }

    private func holds(_ text: StaticString, in range: Range<Int>) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for offset in 0..<range.count {
            let byte = unsafe self.bytes[range.lowerBound + offset]
            guard byte == (unsafe text.utf8Start[offset]) else { return false }
        }
        return true
    }

    private init(_ bytes: UnsafeRawBufferPointer) {
        unsafe self.bytes = unsafe bytes
    }

    /// The next byte; 0, which JSON has nowhere, at the end.
    private var next: UInt8 {
        unsafe self.cursor < self.bytes.count ? self.bytes[self.cursor] : 0
    }

    private mutating func skipBlanks() {
        while [0x20, 0x09, 0x0A, 0x0D].contains(self.next) { self.cursor += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard self.next == byte else { return false }
        self.cursor += 1
        return true
    }

    private mutating func value(depth: Int) -> Bool {
        self.skipBlanks()
        switch self.next {
        case UInt8(ascii: "{"): return depth < Self.depthMax && self.object(depth: depth + 1)
        case UInt8(ascii: "["): return depth < Self.depthMax && self.array(depth: depth + 1)
        case UInt8(ascii: "\""): return self.string()
        case UInt8(ascii: "t"): return self.word("true")
        case UInt8(ascii: "f"): return self.word("false")
        case UInt8(ascii: "n"): return self.word("null")
        default: return self.number()
        }
    }

    private mutating func object(depth: Int) -> Bool {
        self.cursor += 1
        self.skipBlanks()
        if self.take(UInt8(ascii: "}")) { return true }
        while true {
            self.skipBlanks()
            guard self.string() else { return false }
            self.skipBlanks()
            guard self.take(UInt8(ascii: ":")), self.value(depth: depth) else { return false }
            self.skipBlanks()
            if self.take(UInt8(ascii: "}")) { return true }
            guard self.take(UInt8(ascii: ",")) else { return false }
        }
    }

    private mutating func array(depth: Int) -> Bool {
        self.cursor += 1
        self.skipBlanks()
        if self.take(UInt8(ascii: "]")) { return true }
        while true {
            guard self.value(depth: depth) else { return false }
            self.skipBlanks()
            if self.take(UInt8(ascii: "]")) { return true }
            guard self.take(UInt8(ascii: ",")) else { return false }
        }
    }

    private mutating func string() -> Bool {
        guard self.take(UInt8(ascii: "\"")) else { return false }
        while true {
            let byte = self.next
            guard byte >= 0x20 else { return false }
            self.cursor += 1
            if byte == UInt8(ascii: "\"") { return true }
            if byte == UInt8(ascii: "\\"), !self.escape() { return false }
        }
    }

    private mutating func escape() -> Bool {
        let byte = self.next
        self.cursor += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            return true
        case UInt8(ascii: "u"):
            for _ in 0..<4 {
                guard Character(Unicode.Scalar(self.next)).isHexDigit else { return false }
                self.cursor += 1
            }
            return true
        default: return false
        }
    }

    private mutating func word(_ word: StaticString) -> Bool {
        for offset in 0..<word.utf8CodeUnitCount {
            guard unsafe self.take(word.utf8Start[offset]) else { return false }
        }
        return true
    }

    private mutating func number() -> Bool {
        _ = self.take(UInt8(ascii: "-"))
        if !self.take(UInt8(ascii: "0")), !self.digits() { return false }
        if self.take(UInt8(ascii: ".")), !self.digits() { return false }
        if self.take(UInt8(ascii: "e")) || self.take(UInt8(ascii: "E")) {
            if !self.take(UInt8(ascii: "+")) { _ = self.take(UInt8(ascii: "-")) }
            return self.digits()
        }
        return true
    }

    private mutating func digits() -> Bool {
        let start = self.cursor
        while self.next >= UInt8(ascii: "0"), self.next <= UInt8(ascii: "9") { self.cursor += 1 }
        return self.cursor > start
    }
}
