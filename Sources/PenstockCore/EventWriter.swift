// SPDX-License-Identifier: Apache-2.0

/// Writes JSON into memory that is known to be large enough: it does not grow, and it ends the process rather than write beyond.
///
/// The caller computes the exact size first (``EventFormat``). Pointer writes were measured 24 to 124 times faster than
/// `JSONEncoder` (perf.md section 3), and 4 times faster than appending to an array.
@safe
@usableFromInline
package struct EventWriter: ~Copyable {
    @usableFromInline var cursor: UnsafeMutableRawPointer
    @usableFromInline let start: UnsafeMutableRawPointer
    @usableFromInline let limit: Int

    init(start: UnsafeMutableRawPointer, limit: Int) {
        unsafe self.cursor = unsafe start
        unsafe self.start = unsafe start
        self.limit = limit
    }

    /// Bytes behind the limit that may be written and overwritten again: whole words are stored for short texts.
    static let overhang = 8

    /// Bytes written so far.
    @inlinable package var count: Int { unsafe self.cursor - self.start }

    @inlinable
    @inline(__always)
    mutating func reserve(_ count: Int) {
        // What is written comes from strangers: a format that miscounted must not become a hole.
        precondition(self.count + count <= self.limit, "the format announced fewer bytes than it writes")
    }

    /// Writes these bytes as they are.
    @inlinable
    @inline(__always)
    package mutating func raw(_ bytes: UnsafeRawBufferPointer) {
        self.reserve(bytes.count)
        guard let source = bytes.baseAddress else { return }
        unsafe self.cursor.copyMemory(from: source, byteCount: bytes.count)
        unsafe self.cursor += bytes.count
    }

    /// Writes these bytes as they are.
    @inlinable
    @inline(__always)
    package mutating func raw(_ bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { unsafe self.raw($0) }
    }

    /// Writes a text as it is, unescaped.
    @inlinable
    @inline(__always)
    package mutating func utf8(_ text: String) {
        var text = text
        text.withUTF8 { unsafe self.raw(UnsafeRawBufferPointer($0)) }
    }

    /// Writes a literal as it is.
    @inlinable
    @inline(__always)
    package mutating func literal(_ text: StaticString) {
        let count = text.utf8CodeUnitCount
        self.reserve(count)
        unsafe self.cursor.copyMemory(from: text.utf8Start, byteCount: count)
        unsafe self.cursor += count
    }

    /// Writes one byte.
    @inlinable
    @inline(__always)
    package mutating func byte(_ byte: UInt8) {
        self.reserve(1)
        unsafe self.cursor.storeBytes(of: byte, as: UInt8.self)
        unsafe self.cursor += 1
    }

    /// Takes back the last byte, such as a comma after the last element.
    @inlinable
    package mutating func removeLast() {
        precondition(self.count > 0, "nothing was written")
        unsafe self.cursor -= 1
    }

    /// Writes a decimal number.
    @inlinable
    @inline(__always)
    package mutating func decimal(_ value: Int64) {
        if value < 0 { self.byte(UInt8(ascii: "-")) }
        self.decimal(value.magnitude)
    }

    /// Writes a decimal number.
    @inlinable
    @inline(__always)
    package mutating func decimal(_ value: UInt64) {
        let digits = Self.digits(of: value)
        self.reserve(digits)
        var rest = value
        var place = digits
        while rest >= 100 {
            let (quotient, pair) = rest.quotientAndRemainder(dividingBy: 100)
            rest = quotient
            place -= 2
            let characters = unsafe Self.digitPairs[Int(pair)]
            unsafe self.cursor.storeBytes(of: characters, toByteOffset: place, as: UInt16.self)
        }
        if rest >= 10 {
            unsafe self.cursor.storeBytes(of: Self.digitPairs[Int(rest)], as: UInt16.self)
        } else {
            unsafe self.cursor.storeBytes(
                of: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest),
                as: UInt8.self
            )
        }
        unsafe self.cursor += digits
    }

    /// Writes base64 with padding (RFC 4648 section 4), without quotes.
    @inlinable
    @inline(__always)
    package mutating func base64(_ bytes: UnsafeRawBufferPointer) {
        self.reserve(Self.base64Size(of: bytes.count))
        guard let source = bytes.baseAddress else { return }
        unsafe self.cursor = unsafe Base64.encode(source, count: bytes.count, to: self.cursor)
    }

    /// Writes bytes as numbers from -128 to 127 with commas: how AWS shows Kafka header values (esm-spec 3.3).
    @inlinable
    package mutating func signedBytes(_ bytes: UnsafeRawBufferPointer) {
        for index in 0..<bytes.count {
            if index > 0 { self.byte(UInt8(ascii: ",")) }
            let entry = unsafe Self.signedByteTexts[Int(bytes[index])]
            self.reserve(4)
            unsafe self.cursor.storeBytes(of: entry.text, as: UInt32.self)
            unsafe self.cursor += Int(entry.length)
        }
    }

    /// Writes UTF-8 as a JSON string with quotes (RFC 8259 section 7); invalid UTF-8 becomes U+FFFD.
    package mutating func string(_ bytes: UnsafeRawBufferPointer) {
        let start = unsafe self.cursor
        self.byte(UInt8(ascii: "\""))
        var written = 0
        var index = unsafe JSONText.special(in: bytes, from: 0)
        while index < bytes.count {
            let byte = unsafe bytes[index]
            if byte < 0x80 {
                unsafe self.raw(UnsafeRawBufferPointer(rebasing: bytes[written..<index]))
                self.escape(byte)
                index += 1
                written = index
            } else {
                let length = unsafe JSONText.scalarLength(bytes, index)
                guard length > 0 else {
                    unsafe self.cursor = unsafe start
                    return self.raw(unsafe JSONText.escaped(bytes))
                }
                index += length
            }
            index = unsafe JSONText.special(in: bytes, from: index)
        }
        unsafe self.raw(UnsafeRawBufferPointer(rebasing: bytes[written...]))
        self.byte(UInt8(ascii: "\""))
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
            self.byte(UInt8(ascii: byte < 0x10 ? "0" : "1"))
            self.byte(byte & 15 < 10 ? UInt8(ascii: "0") + byte & 15 : UInt8(ascii: "a") + byte & 15 - 10)
        }
    }

    // MARK: - Sizes

    /// How many digits `value` has.
    @inlinable
    @inline(__always)
    package static func digits(of value: UInt64) -> Int {
        // log10 from log2: 1233 / 4096 is just above log10(2).
        let guess = ((64 - (value | 1).leadingZeroBitCount) * 1233) >> 12
        return guess + (unsafe value >= Self.powersOfTen[guess] ? 1 : 0)
    }

    /// Bytes of ``decimal(_:)-(Int64)``.
    @inlinable
    @inline(__always)
    package static func decimalSize(of value: Int64) -> Int {
        Self.digits(of: value.magnitude) + (value < 0 ? 1 : 0)
    }

    /// Bytes of ``base64(_:)``.
    @inlinable
    @inline(__always)
    package static func base64Size(of count: Int) -> Int {
        (count + 2) / 3 * 4
    }

    /// Bytes of ``string(_:)``.
    package static func stringSize(of bytes: UnsafeRawBufferPointer) -> Int {
        switch unsafe JSONText.plainness(of: bytes) {
        case .plain: bytes.count + 2
        case .escaped(let more): bytes.count + more + 2
        case .invalid: unsafe JSONText.escaped(bytes).count
        }
    }

    /// Bytes of ``signedBytes(_:)``.
    @inlinable
    package static func signedBytesSize(of bytes: UnsafeRawBufferPointer) -> Int {
        var size = max(0, bytes.count - 1)
        for index in 0..<bytes.count {
            size += unsafe Int(Self.signedByteTexts[Int(bytes[index])].length)
        }
        return size
    }

    // MARK: - Tables, made once and never freed

    @usableFromInline
    struct ByteText {
        @usableFromInline var text: UInt32
        @usableFromInline var length: UInt8
    }

    @usableFromInline nonisolated(unsafe) static let digitPairs: UnsafePointer<UInt16> = unsafe Self.table(
        100
    ) {
        value in
        let tens = UInt16(UInt8(ascii: "0")) + UInt16(value / 10)
        let ones = UInt16(UInt8(ascii: "0")) + UInt16(value % 10)
        return (tens | ones << 8).littleEndian
    }

    /// 0, 10, 100, …: the smallest number with one digit more than the index, but 0 for index 0.
    @usableFromInline nonisolated(unsafe) static let powersOfTen: UnsafePointer<UInt64> = unsafe Self.table(
        20
    ) {
        exponent in
        exponent == 0 ? 0 : (0..<exponent).reduce(UInt64(1)) { power, _ in power * 10 }
    }

    @usableFromInline nonisolated(unsafe) static let signedByteTexts: UnsafePointer<ByteText> =
        unsafe Self.table(256) {
            value in
            let text = Array(String(Int8(truncatingIfNeeded: value)).utf8)
            var packed: UInt32 = 0
            for (index, byte) in text.enumerated() {
                packed |= UInt32(byte) << (8 * UInt32(index))
            }
            return ByteText(text: packed.littleEndian, length: UInt8(text.count))
        }

    private static func table<Element>(_ count: Int, _ make: (Int) -> Element) -> UnsafePointer<Element> {
        let pointer = UnsafeMutablePointer<Element>.allocate(capacity: count)
        for index in 0..<count {
            unsafe (pointer + index).initialize(to: make(index))
        }
        return unsafe UnsafePointer(pointer)
    }
}
