// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// Finds `errorType` and `errorMessage` at the top of what a runtime posts, and AWS Lambda answers, as an error (AWS
/// Lambda Developer Guide, "Using the Lambda runtime API").
///
/// Pure.
///
/// A scanner and no decoder: it reads the strings it wants and steps over everything else, and what is no
/// JSON object has neither.
package struct FunctionErrorBody {
    /// The text of `errorType`.
    package private(set) var type: String?

    /// The text of `errorMessage`.
    package private(set) var message: String?

    private let bytes: [UInt8]
    private var index = 0

    /// Reads a body.
    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
        self.scan()
    }

    /// The failure that the body describes.
    ///
    /// `header` is what a header says of the type; it counts when the body has none and it is one plain word.
    /// `unknown` is the type when nobody says one.
    package func failure(header: String?, unknown: String) -> Failure {
        let type = self.type.flatMap { $0.isEmpty ? nil : $0 } ?? header.flatMap(Self.wellFormed) ?? unknown
        let message = self.message ?? String(decoding: self.bytes.prefix(Failure.messageMax), as: UTF8.self)
        return Failure(type: String(type.prefix(256)), message: message)
    }

    /// `text` when it has the form `(Runtime|Function).[A-Z][a-zA-Z]+`, or is one plain word as runtimes send
    /// it.
    private static func wellFormed(_ text: String) -> String? {
        guard !text.isEmpty, text.utf8.count <= 256 else { return nil }
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"): true
            default: false
            }
        }
        return isPlain ? text : nil
    }

    // MARK: - Scanning

    private var current: UInt8? { self.index < self.bytes.count ? self.bytes[self.index] : nil }

    private mutating func skipSpace() {
        while let byte = self.current, byte == 0x20 || (0x09...0x0D).contains(byte) { self.index += 1 }
    }

    private mutating func scan() {
        self.skipSpace()
        guard self.current == UInt8(ascii: "{") else { return }
        self.index += 1
        while true {
            self.skipSpace()
            if self.current == UInt8(ascii: ",") {
                self.index += 1
                continue
            }
            guard let name = self.string() else { return }
            self.skipSpace()
            guard self.current == UInt8(ascii: ":") else { return }
            self.index += 1
            self.skipSpace()
            if self.current == UInt8(ascii: "\"") {
                guard let value = self.string() else { return }
                if name == "errorType" { self.type = value }
                if name == "errorMessage" { self.message = value }
            } else if !self.skipValue() {
                return
            }
        }
    }

    /// Steps over a value that is no string: to the next comma or brace of the same depth.
    private mutating func skipValue() -> Bool {
        var depth = 0
        while let byte = self.current {
            switch byte {
            case UInt8(ascii: "\""):
                guard self.string() != nil else { return false }
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return false }
                depth -= 1
            case UInt8(ascii: ","):
                if depth == 0 { return true }
            default: break
            }
            self.index += 1
        }
        return false
    }

    private mutating func string() -> String? {
        guard self.current == UInt8(ascii: "\"") else { return nil }
        self.index += 1
        var text: [UInt8] = []
        while let byte = self.current {
            self.index += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let escaped = self.escape() else { return nil }
                text.append(contentsOf: escaped)
            default: text.append(byte)
            }
        }
        return nil
    }

    private mutating func escape() -> [UInt8]? {
        guard let byte = self.current else { return nil }
        self.index += 1
        switch byte {
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "u"): return self.unicode()
        default: return [byte]
        }
    }

    private mutating func unicode() -> [UInt8]? {
        guard let first = self.codeUnit() else { return nil }
        var units = [first]
        if (0xD800..<0xDC00).contains(first), self.bytes[self.index...].starts(with: [0x5C, 0x75]) {
            self.index += 2
            guard let second = self.codeUnit() else { return nil }
            units.append(second)
        }
        return Array(String(decoding: units, as: UTF16.self).utf8)
    }

    private mutating func codeUnit() -> UInt16? {
        guard self.index + 4 <= self.bytes.count else { return nil }
        defer { self.index += 4 }
        return UInt16(String(decoding: self.bytes[self.index..<self.index + 4], as: UTF8.self), radix: 16)
    }
}
