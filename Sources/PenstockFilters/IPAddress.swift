// SPDX-License-Identifier: Apache-2.0

/// An IPv4 or IPv6 address; for v6 without a zone.
struct IPAddress: Hashable, Sendable {
    var value: UInt128
    var isV6: Bool

    /// Bits of an address of this kind.
    var width: Int { self.isV6 ? 128 : 32 }

    /// Reads an address as text; nil when it is none.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= 2, bytes.count <= 45 else { return nil }
        if unsafe bytes.contains(UInt8(ascii: ":")) {
            guard let value = unsafe Self.v6(bytes) else { return nil }
            self.value = value
            self.isV6 = true
        } else {
            guard let value = unsafe Self.v4(bytes[...]) else { return nil }
            self.value = UInt128(value)
            self.isV6 = false
        }
    }

    /// The address of a text.
    init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        guard let address = unsafe bytes.withUnsafeBytes({ unsafe IPAddress($0) }) else { return nil }
        self = address
    }

    private static func v4(_ bytes: Slice<UnsafeRawBufferPointer>) -> UInt32? {
        var value: UInt32 = 0
        var part: UInt32 = 0
        var digits = 0
        var parts = 0
        for index in unsafe bytes.indices {
            let byte = unsafe bytes[index]
            switch byte {
            case 0x30...0x39:
                // A leading zero is octal to some and decimal to others: to us it is a mistake.
                guard digits < 3, digits == 0 || part > 0 else { return nil }
                part = part * 10 + UInt32(byte - 0x30)
                digits += 1
            case UInt8(ascii: "."):
                guard digits > 0, part < 256, parts < 3 else { return nil }
                value = value << 8 | part
                (part, digits, parts) = (0, 0, parts + 1)
            default: return nil
            }
        }
        guard digits > 0, part < 256, parts == 3 else { return nil }
        return value << 8 | part
    }

    /// RFC 4291, section 2.2: groups of hexadecimal digits, `::` once for zeros, a v4 address at the end.
    private static func v6(_ bytes: UnsafeRawBufferPointer) -> UInt128? {
        var value: UInt128 = 0
        var groups = 0
        var gapAfter: Int?
        var index = 0
        if unsafe bytes[0] == UInt8(ascii: ":") {
            guard unsafe bytes[1] == UInt8(ascii: ":") else { return nil }
            gapAfter = 0
            index = 2
        }
        while index < bytes.count {
            var group: UInt128 = 0
            var end = index
            while end < bytes.count, let digit = unsafe Self.hexadecimal(bytes[end]) {
                group = group << 4 | UInt128(digit)
                end += 1
            }
            if end < bytes.count, unsafe bytes[end] == UInt8(ascii: ".") {
                guard groups <= 6, let tail = unsafe Self.v4(bytes[index...]) else { return nil }
                value = value << 32 | UInt128(tail)
                groups += 2
                index = bytes.count
                break
            }
            guard end > index, end - index <= 4, groups < 8 else { return nil }
            value = value << 16 | group
            groups += 1
            index = end
            guard index < bytes.count else { break }
            guard unsafe bytes[index] == UInt8(ascii: ":"), index + 1 < bytes.count else { return nil }
            index += 1
            if unsafe bytes[index] == UInt8(ascii: ":") {
                guard gapAfter == nil else { return nil }
                gapAfter = groups
                index += 1
            }
        }
        guard let gapAfter else { return groups == 8 ? value : nil }
        guard groups < 8 else { return nil }
        let after = (groups - gapAfter) * 16
        let low = after == 0 ? 0 : value & (UInt128.max >> UInt128(128 - after))
        let high = gapAfter == 0 ? 0 : (value >> UInt128(after)) << UInt128(128 - gapAfter * 16)
        return high | low
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}

/// A range of addresses, such as 10.0.0.0/24.
struct IPRange: BitwiseCopyable, Hashable, Sendable {
    private var prefix: UInt128
    private var shift: Int
    private var isV6: Bool

    /// Why a text is not a range.
    enum Problem: Error {
        case noSlash
        case notAnAddress
        case badLength(max: Int)
    }

    /// Reads `ADDRESS/LENGTH`; bits behind the length are ignored.
    init(_ text: String) throws(Problem) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw .noSlash }
        guard let address = IPAddress(parts[0]) else { throw .notAnAddress }
        let isNumber = !parts[1].isEmpty && parts[1].utf8.allSatisfy { (0x30...0x39).contains($0) }
        guard isNumber, let length = Int(parts[1]), length <= address.width else {
            throw .badLength(max: address.width)
        }
        self.shift = address.width - length
        self.prefix = self.shift == 128 ? 0 : address.value >> UInt128(self.shift)
        self.isV6 = address.isV6
    }

    /// Whether the address lies in the range; a v4 address lies in no v6 range.
    func contains(_ address: IPAddress) -> Bool {
        guard address.isV6 == self.isV6 else { return false }
        return self.shift == 128 || address.value >> UInt128(self.shift) == self.prefix
    }
}
