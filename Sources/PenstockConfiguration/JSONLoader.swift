// SPDX-License-Identifier: Apache-2.0

import PenstockCore

extension ConfigurationLoader {
    /// Reads a JSON text (RFC 8259) into nodes with their places, as patterns come from AWS.
    ///
    /// Unlike YAML it knows no placeholders, keeps each of several equal keys, and numbers as they are written.
    package static func parseJSON(_ bytes: [UInt8], file: String) -> ConfigurationDocument {
        var parser = JSONNodeParser(bytes: bytes, file: file)
        do throws(JSONNodeParser.Problem) {
            return ConfigurationDocument(root: try parser.document(), findings: [])
        } catch {
            let place = parser.place(at: error.offset)
            let finding = Finding(error.code, at: place, path: .root, error.message, suggestion: nil)
            return ConfigurationDocument(root: ConfigurationNode(.invalid, at: place), findings: [finding])
        }
    }
}

/// A strict parser for short JSON texts that says where it stopped.
private struct JSONNodeParser {
    struct Problem: Error {
        var code: Finding.Code
        var message: String
        var offset: Int
    }

    private let bytes: [UInt8]
    private let file: String
    private var offset = 0

    // Places are asked for in growing order: the line that the last one was in.
    private var line = 1
    private var lineStart = 0
    private var scanned = 0

    init(bytes: [UInt8], file: String) {
        self.bytes = bytes
        self.file = file
    }

    mutating func document() throws(Problem) -> ConfigurationNode {
        guard String(validating: self.bytes, as: UTF8.self) != nil else {
            throw Problem(code: .badEncoding, message: "the text is not UTF-8", offset: 0)
        }
        let value = try self.value(depth: 0)
        self.skipBlanks()
        guard self.offset == self.bytes.count else { throw self.problem("the text goes on behind its value") }
        return value
    }

    mutating func place(at offset: Int) -> Place {
        if offset < self.scanned { (self.line, self.lineStart, self.scanned) = (1, 0, 0) }
        while self.scanned < min(offset, self.bytes.count) {
            if self.bytes[self.scanned] == 0x0A {
                self.line += 1
                self.lineStart = self.scanned + 1
            }
            self.scanned += 1
        }
        // Bytes that go on a character are no column of their own.
        let before = self.bytes[self.lineStart..<min(offset, self.bytes.count)]
        let column = before.count { $0 & 0xC0 != 0x80 } + 1
        return Place(file: self.file, line: self.line, column: column)
    }

    private var next: UInt8? { self.offset < self.bytes.count ? self.bytes[self.offset] : nil }

    private func problem(_ message: String) -> Problem {
        let end = self.offset == self.bytes.count ? "the text ends too early" : message
        return Problem(code: .badSyntax, message: "not JSON: \(end)", offset: self.offset)
    }

    private mutating func skipBlanks() {
        while let byte = self.next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            self.offset += 1
        }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        self.skipBlanks()
        guard self.next == UInt8(ascii: character) else { return false }
        self.offset += 1
        return true
    }

    private mutating func value(depth: Int) throws(Problem) -> ConfigurationNode {
        self.skipBlanks()
        let place = self.place(at: self.offset)
        guard depth <= ConfigurationLoader.depthMax else {
            let message = "lists and objects are nested more than \(ConfigurationLoader.depthMax) deep"
            throw Problem(code: .tooDeep, message: message, offset: self.offset)
        }
        switch self.next {
        case UInt8(ascii: "{"):
            return ConfigurationNode(.mapping(try self.object(depth: depth)), at: place)
        case UInt8(ascii: "["):
            return ConfigurationNode(.sequence(try self.array(depth: depth)), at: place)
        case UInt8(ascii: "\""):
            let text = try self.string()
            return self.scalar(text, isPlain: false, place)
        default:
            return self.scalar(try self.bareScalar(), isPlain: true, place)
        }
    }

    private func scalar(_ text: String, isPlain: Bool, _ place: Place) -> ConfigurationNode {
        let scalar = ConfigurationNode.Scalar(
            text: text,
            source: text,
            isPlain: isPlain,
            isSubstituted: false
        )
        return ConfigurationNode(.scalar(scalar), at: place)
    }

    private mutating func object(depth: Int) throws(Problem) -> [ConfigurationNode.Entry] {
        self.offset += 1
        var entries: [ConfigurationNode.Entry] = []
        if self.take("}") { return [] }
        repeat {
            self.skipBlanks()
            let place = self.place(at: self.offset)
            guard self.next == UInt8(ascii: "\"") else {
                throw self.problem("a key in quotes is expected here")
            }
            let key = try self.string()
            guard self.take(":") else { throw self.problem("a colon is expected here") }
            let value = try self.value(depth: depth + 1)
            entries.append(ConfigurationNode.Entry(key: key, place: place, value: value))
        } while self.take(",")
        guard self.take("}") else { throw self.problem("a comma or } is expected here") }
        return entries
    }

    private mutating func array(depth: Int) throws(Problem) -> [ConfigurationNode] {
        self.offset += 1
        var elements: [ConfigurationNode] = []
        if self.take("]") { return [] }
        repeat {
            elements.append(try self.value(depth: depth + 1))
        } while self.take(",")
        guard self.take("]") else { throw self.problem("a comma or ] is expected here") }
        return elements
    }

    /// A number, true, false or null.
    private mutating func bareScalar() throws(Problem) -> String {
        let start = self.offset
        while let byte = self.next, Self.isBare(byte) { self.offset += 1 }
        let text = String(decoding: self.bytes[start..<self.offset], as: UTF8.self)
        if ["true", "false", "null"].contains(text) || Self.isNumber(text) { return text }
        self.offset = start
        throw self.problem(
            text.isEmpty
                ? "a value is expected here" : "\"\(text.prefix(40))\" is neither a value nor in quotes"
        )
    }

    private static func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: byte >= 0x80
        }
    }

    /// Whether it is a number (RFC 8259 section 6); a regular expression would be compiled each time.
    private static func isNumber(_ text: String) -> Bool {
        guard let first = text.utf8.first, first == UInt8(ascii: "-") || 0x30...0x39 ~= first else {
            return false
        }
        var text = text
        return text.withUTF8 { unsafe JSONScanner.isValid(UnsafeRawBufferPointer($0)) }
    }

    private mutating func string() throws(Problem) -> String {
        self.offset += 1
        var text: [UInt8] = []
        while let byte = self.next {
            switch byte {
            case UInt8(ascii: "\""):
                self.offset += 1
                return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                text += try self.escape()
            case 0..<0x20:
                throw self.problem("a control character in a string must be escaped")
            default:
                text.append(byte)
                self.offset += 1
            }
        }
        throw self.problem("the string does not end")
    }

    private mutating func escape() throws(Problem) -> [UInt8] {
        let problem = self.problem("this escape is unknown")
        self.offset += 1
        guard let byte = self.next else { throw self.problem("the string does not end") }
        self.offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"): break
        default: throw problem
        }
        guard var code = self.hexadecimal() else { throw problem }
        if (0xD800..<0xDC00).contains(code) {
            let isPair = self.bytes[self.offset...].starts(with: [UInt8(ascii: "\\"), UInt8(ascii: "u")])
            self.offset += isPair ? 2 : 0
            guard isPair, let low = self.hexadecimal(), (0xDC00..<0xE000).contains(low) else { throw problem }
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw problem }
        return Array(String(Character(scalar)).utf8)
    }

    private mutating func hexadecimal() -> UInt32? {
        let digits = self.bytes[self.offset...].prefix(4)
        let isHexadecimal = digits.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
        }
        guard digits.count == 4, isHexadecimal else { return nil }
        self.offset += 4
        return UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    }
}
