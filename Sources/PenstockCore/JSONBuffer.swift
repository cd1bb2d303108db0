// SPDX-License-Identifier: Apache-2.0

/// Writes JSON into memory that grows as needed and is used again: for sources that make their records' texts.
///
/// Used by one thread.
@safe
package struct JSONBuffer: ~Copyable {
    private var base: UnsafeMutableRawPointer
    private var capacity: Int

    /// Bytes written.
    package private(set) var count = 0

    /// A buffer with room for so many bytes at first.
    package init(capacity: Int = 1024) {
        self.capacity = max(64, capacity)
        unsafe self.base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    deinit {
        unsafe self.base.deallocate()
    }

    /// The bytes written.
    ///
    /// Valid until the next write.
    package var bytes: UnsafeRawBufferPointer {
        @unsafe get { unsafe UnsafeRawBufferPointer(start: self.base, count: self.count) }
    }

    /// Forgets what was written behind the first so many bytes.
    package mutating func truncate(to count: Int = 0) {
        self.count = min(self.count, count)
    }

    @inline(__always)
    private mutating func reserve(_ more: Int) {
        if self.count + more > self.capacity { self.grow(to: self.count + more) }
    }

    @inline(never)
    private mutating func grow(to needed: Int) {
        let capacity = max(needed, self.capacity * 2)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        unsafe larger.copyMemory(from: self.base, byteCount: self.count)
        unsafe self.base.deallocate()
        unsafe self.base = unsafe larger
        self.capacity = capacity
    }

    /// Writes these bytes as they are.
    package mutating func raw(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress, bytes.count > 0 else { return }
        self.reserve(bytes.count)
        unsafe (self.base + self.count).copyMemory(from: start, byteCount: bytes.count)
        self.count += bytes.count
    }

    /// Writes these bytes as they are.
    package mutating func raw(_ bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { unsafe self.raw($0) }
    }

    /// Writes a literal as it is.
    package mutating func literal(_ text: StaticString) {
        unsafe self.raw(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Writes one byte.
    package mutating func byte(_ byte: UInt8) {
        self.reserve(1)
        unsafe self.base.storeBytes(of: byte, toByteOffset: self.count, as: UInt8.self)
        self.count += 1
    }

    /// Writes a decimal number.
    package mutating func decimal(_ value: UInt64) {
        var rest = value
        var place = EventWriter.digits(of: value)
        self.reserve(place)
        let end = self.count + place
        while place > 0 {
            place -= 1
            let digit = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            unsafe self.base.storeBytes(of: digit, toByteOffset: self.count + place, as: UInt8.self)
            rest /= 10
        }
        self.count = end
    }

    /// Writes a hexadecimal number in capitals, without leading zeros.
    package mutating func hexadecimal(_ value: UInt64) {
        let digits = max(1, (64 - value.leadingZeroBitCount + 3) / 4)
        for place in stride(from: digits - 1, through: 0, by: -1) {
            let digit = UInt8(truncatingIfNeeded: value >> UInt64(4 * place)) & 15
            self.byte(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "A") + digit - 10)
        }
    }

    /// Writes UTF-8 as a JSON string with quotes (RFC 8259 section 7); invalid UTF-8 becomes U+FFFD.
    package mutating func string(_ bytes: UnsafeRawBufferPointer) {
        let plainness = unsafe JSONText.plainness(of: bytes)
        guard plainness != .invalid else {
            self.raw(unsafe JSONText.escaped(bytes))
            return
        }
        self.byte(UInt8(ascii: "\""))
        if plainness == .plain {
            unsafe self.raw(bytes)
        } else {
            unsafe self.escaped(bytes)
        }
        self.byte(UInt8(ascii: "\""))
    }

    private mutating func escaped(_ bytes: UnsafeRawBufferPointer) {
        var start = 0
        for index in 0..<bytes.count {
            let byte = unsafe bytes[index]
            guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { continue }
            unsafe self.raw(UnsafeRawBufferPointer(rebasing: bytes[start..<index]))
            self.escape(byte)
            start = index + 1
        }
        unsafe self.raw(UnsafeRawBufferPointer(rebasing: bytes[start...]))
    }

    private mutating func escape(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): self.literal(#"\""#)
        case UInt8(ascii: "\\"): self.literal(#"\\"#)
        case 0x0A: self.literal(#"\n"#)
        case 0x0D: self.literal(#"\r"#)
        case 0x09: self.literal(#"\t"#)
        default:
            self.literal(#"\u00"#)
            self.byte(Hexadecimal.digit(byte >> 4))
            self.byte(Hexadecimal.digit(byte))
        }
    }
}
