// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration

extension JSONValue {
    /// Reads a JSON text (RFC 8259), keys in their order; nil when it is anything else, or nested deeper than 64.
    ///
    /// The last of several equal keys does not win: the first does, as ``subscript(_:)`` finds it.
    package init?(parsing bytes: [UInt8]) {
        var parser = JSONParser(bytes: bytes)
        guard let value = parser.document() else { return nil }
        self = value
    }

    /// The text, when this is one.
    package var stringValue: String? {
        if case .string(let text) = self { return text }
        return nil
    }

    /// The whole number, when this is one.
    package var integerValue: Int? {
        if case .integer(let number) = self { return number }
        return nil
    }

    /// The number, when this is one.
    package var numberValue: Double? {
        switch self {
        case .integer(let number): Double(number)
        case .number(let number): number
        case .null, .boolean, .string, .array, .object: nil
        }
    }

    /// The elements, when this is a list.
    package var arrayValue: [JSONValue]? {
        if case .array(let values) = self { return values }
        return nil
    }

    /// The members, when this is an object.
    package var members: [Member]? {
        if case .object(let members) = self { return members }
        return nil
    }
}

private struct JSONParser {
    let bytes: [UInt8]
    var index = 0

    private static let depthMax = 64

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    mutating func document() -> JSONValue? {
        guard let value = self.value(depth: 0) else { return nil }
        self.skipBlanks()
        return self.index == self.bytes.count ? value : nil
    }

    private var next: UInt8? { self.index < self.bytes.count ? self.bytes[self.index] : nil }

    private mutating func skipBlanks() {
        while let byte = self.next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            self.index += 1
        }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        self.skipBlanks()
        guard self.next == UInt8(ascii: character) else { return false }
        self.index += 1
        return true
    }

    private mutating func word(_ text: String, _ value: JSONValue) -> JSONValue? {
        let end = self.index + text.utf8.count
        guard end <= self.bytes.count, self.bytes[self.index..<end].elementsEqual(text.utf8) else {
            return nil
        }
        self.index = end
        return value
    }

    private mutating func value(depth: Int) -> JSONValue? {
        guard depth <= Self.depthMax else { return nil }
        self.skipBlanks()
        switch self.next {
        case UInt8(ascii: "{"): return self.object(depth: depth)
        case UInt8(ascii: "["): return self.array(depth: depth)
        case UInt8(ascii: "\""): return self.string().map { .string($0) }
        case UInt8(ascii: "t"): return self.word("true", .boolean(true))
        case UInt8(ascii: "f"): return self.word("false", .boolean(false))
        case UInt8(ascii: "n"): return self.word("null", .null)
        default: return self.number()
        }
    }

    private mutating func object(depth: Int) -> JSONValue? {
        guard self.take("{") else { return nil }
        var members: [JSONValue.Member] = []
        if self.take("}") { return .object([]) }
        repeat {
            self.skipBlanks()
            guard let key = self.string(), self.take(":"), let value = self.value(depth: depth + 1) else {
                return nil
            }
            members.append(JSONValue.Member(key, value))
        } while self.take(",")
        return self.take("}") ? .object(members) : nil
    }

    private mutating func array(depth: Int) -> JSONValue? {
        guard self.take("[") else { return nil }
        var values: [JSONValue] = []
        if self.take("]") { return .array([]) }
        repeat {
            guard let value = self.value(depth: depth + 1) else { return nil }
            values.append(value)
        } while self.take(",")
        return self.take("]") ? .array(values) : nil
    }

    private mutating func number() -> JSONValue? {
        let start = self.index
        while let byte = self.next, Self.isNumberByte(byte) { self.index += 1 }
        let text = String(decoding: self.bytes[start..<self.index], as: UTF8.self)
        guard let first = text.utf8.first, first == UInt8(ascii: "-") || (0x30...0x39).contains(first) else {
            return nil
        }
        if let integer = Int(text) { return .integer(integer) }
        guard text.utf8.last.map({ (0x30...0x39).contains($0) }) == true else { return nil }
        return Double(text).map { .number($0) }
    }

    private static func isNumberByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "e"),
            UInt8(ascii: "E"):
            true
        default: false
        }
    }

    private mutating func string() -> String? {
        guard self.next == UInt8(ascii: "\"") else { return nil }
        self.index += 1
        var text: [UInt8] = []
        while let byte = self.next {
            self.index += 1
            switch byte {
            case UInt8(ascii: "\""): return String(validating: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard self.escape(into: &text) else { return nil }
            case 0..<0x20: return nil
            default: text.append(byte)
            }
        }
        return nil
    }

    private mutating func escape(into text: inout [UInt8]) -> Bool {
        guard let byte = self.next else { return false }
        self.index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): return self.unicode(into: &text)
        default: return false
        }
        return true
    }

    private mutating func unicode(into text: inout [UInt8]) -> Bool {
        guard var code = self.hexadecimal() else { return false }
        if (0xD800..<0xDC00).contains(code) {
            guard self.next == UInt8(ascii: "\\") else { return false }
            self.index += 1
            guard self.next == UInt8(ascii: "u") else { return false }
            self.index += 1
            guard let low = self.hexadecimal(), (0xDC00..<0xE000).contains(low) else { return false }
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(code) else { return false }
        text += Array(String(Character(scalar)).utf8)
        return true
    }

    private mutating func hexadecimal() -> UInt32? {
        let end = self.index + 4
        guard end <= self.bytes.count else { return nil }
        let digits = String(decoding: self.bytes[self.index..<end], as: UTF8.self)
        guard digits.utf8.count == 4, digits.allSatisfy(\.isHexDigit) else { return nil }
        self.index = end
        return UInt32(digits, radix: 16)
    }
}
