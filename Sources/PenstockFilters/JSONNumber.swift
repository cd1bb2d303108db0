// SPDX-License-Identifier: Apache-2.0

internal import CSimdjson

/// A number as filters compare it.
///
/// 300, 300.0 and 3.0e2 are equal. Whole numbers that fit 64 bits are compared exactly, so that long identifiers do not
/// fall together; all others in double precision.
struct JSONNumber: BitwiseCopyable, Hashable, Sendable {
    private var double: Double
    private var integer: Int64
    private var isInteger: Bool

    /// A whole number.
    init(_ integer: Int64) {
        self.double = Double(integer)
        self.integer = integer
        self.isInteger = true
    }

    private init(double: Double) {
        self.double = double
        self.integer = Int64(exactly: double) ?? 0
        self.isInteger = Int64(exactly: double) != nil && abs(double) < 9_007_199_254_740_992
    }

    /// Whether a text with digits other than zero became infinity or zero: it is beyond the range of doubles.
    func isCut(from text: String) -> Bool {
        if self.double.isInfinite { return true }
        let digits = text.utf8.prefix { $0 | 0x20 != UInt8(ascii: "e") }
        return self.double == 0 && digits.contains { $0 > UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
    }

    static func == (lhs: Self, rhs: Self) -> Bool {
        lhs.isInteger && rhs.isInteger ? lhs.integer == rhs.integer : lhs.double == rhs.double
    }

    static func < (lhs: Self, rhs: Self) -> Bool {
        lhs.isInteger && rhs.isInteger ? lhs.integer < rhs.integer : lhs.double < rhs.double
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(self.double)
    }
}

extension JSONNumber {
    /// Reads a number by JSON's grammar; nil when the bytes are anything else.
    ///
    /// One that is too large for a double is infinite, one that is too small is zero.
    @inline(__always)
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard let form = unsafe JSONNumberForm(bytes) else { return nil }
        if form.isWhole, form.digits <= 18 {
            self.init(unsafe Self.whole(bytes))
        } else {
            unsafe self.init(slowly: bytes, form)
        }
    }

    /// Reads a number of a pattern.
    init?(_ text: String) {
        var text = text
        let number = text.withUTF8 { unsafe JSONNumber(UnsafeRawBufferPointer($0)) }
        guard let number else { return nil }
        self = number
    }

    @inline(__always)
    private static func whole(_ bytes: UnsafeRawBufferPointer) -> Int64 {
        let isNegative = unsafe bytes[0] == UInt8(ascii: "-")
        var value: Int64 = 0
        for index in (isNegative ? 1 : 0)..<bytes.count {
            value = unsafe value &* 10 &+ Int64(bytes[index] &- UInt8(ascii: "0"))
        }
        return isNegative ? -value : value
    }

    /// A decimal of at most 15 digits without an exponent; nil for all others.
    ///
    /// Both the digits and the power of ten are doubles, so that one division rounds as the number does (Clinger).
    private static func exact(_ bytes: UnsafeRawBufferPointer) -> Double? {
        guard bytes.count <= 17 else { return nil }
        var digits: Int64 = 0
        var count = 0
        var scale = 1.0
        var isFraction = false
        for index in (unsafe bytes[0] == UInt8(ascii: "-") ? 1 : 0)..<bytes.count {
            let byte = unsafe bytes[index]
            if byte == UInt8(ascii: ".") {
                isFraction = true
            } else if byte &- 0x30 < 10 {
                digits = digits &* 10 &+ Int64(byte &- 0x30)
                count += 1
                if isFraction { scale *= 10 }
            } else {
                return nil
            }
        }
        guard count <= 15 else { return nil }
        let double = Double(digits) / scale
        return unsafe bytes[0] == UInt8(ascii: "-") ? -double : double
    }

    @inline(never)
    private init(slowly bytes: UnsafeRawBufferPointer, _ form: JSONNumberForm) {
        if form.isWhole, form.digits <= 20 {
            let text = unsafe String(decoding: bytes, as: UTF8.self)
            if let integer = Int64(text) {
                self.init(integer)
                return
            }
        }
        if let double = unsafe Self.exact(bytes) {
            self.init(double: double)
            return
        }
        var double = 0.0
        let start = unsafe bytes.assumingMemoryBound(to: UInt8.self).baseAddress
        if unsafe csimdjson_double(start, bytes.count, &double) {
            self.init(double: double)
        } else {
            self.init(double: form.isSmall ? 0 : form.isNegative ? -.infinity : .infinity)
        }
    }
}

/// What a number's text looks like; nil when it is not a number (RFC 8259, section 6).
struct JSONNumberForm {
    var isNegative = false
    /// Without fraction and exponent.
    var isWhole = true
    /// Digits before the fraction.
    var digits = 0
    /// Out of a double's range it would be near zero: the exponent is negative, or the fraction begins at zero.
    var isSmall = false

    @inline(__always)
    init?(_ bytes: UnsafeRawBufferPointer) {
        var index = 0
        let count = bytes.count
        if count > 0, unsafe bytes[0] == UInt8(ascii: "-") {
            self.isNegative = true
            index = 1
        }
        let start = index
        unsafe Self.skipDigits(bytes, &index)
        self.digits = index - start
        guard self.digits > 0 else { return nil }
        let startsWithZero = unsafe bytes[start] == UInt8(ascii: "0")
        if startsWithZero, self.digits > 1 { return nil }
        if index == count { return }
        self.isWhole = false
        self.isSmall = startsWithZero
        if unsafe bytes[index] == UInt8(ascii: ".") {
            index += 1
            let fraction = index
            unsafe Self.skipDigits(bytes, &index)
            guard index > fraction else { return nil }
        }
        if index < count, unsafe bytes[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            self.isSmall = false
            if index < count, unsafe bytes[index] == UInt8(ascii: "+") {
                index += 1
            } else if index < count, unsafe bytes[index] == UInt8(ascii: "-") {
                self.isSmall = true
                index += 1
            }
            let exponent = index
            unsafe Self.skipDigits(bytes, &index)
            guard index > exponent else { return nil }
        }
        guard index == count else { return nil }
    }

    @inline(__always)
    private static func skipDigits(_ bytes: UnsafeRawBufferPointer, _ index: inout Int) {
        while index < bytes.count, unsafe bytes[index] &- UInt8(ascii: "0") < 10 { index += 1 }
    }
}
