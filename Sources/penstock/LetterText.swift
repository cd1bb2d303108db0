// SPDX-License-Identifier: Apache-2.0

import PenstockAdmin
import PenstockConfiguration

/// A dead letter for people: what it is, what was tried, and the record's body.
struct LetterText {
    let text: String

    /// - Parameter letter: As the admin API tells of it.
    init(_ letter: JSONValue) {
        let id = letter["id"]?.text ?? ""
        var lines = ["dead letter \(id) of trigger \(letter["trigger"]?.stringValue ?? "")", ""]
        let count = letter["attempt_count"]?.integerValue ?? 0
        let tries = count == 1 ? "1 attempt" : "\(count) attempts"
        let facts = [
            ("function", letter["function"]?.stringValue),
            ("partition", letter["partition"]?.stringValue),
            ("position", letter["position"]?.stringValue),
            ("time", letter["timestamp"]?.stringValue),
            ("key", letter["key"].map(Self.inline)),
            ("given up", letter["at"]?.stringValue),
            ("because", letter["reason"]?.stringValue.map { "\($0), after \(tries)" }),
            ("request id", letter["request_id"]?.stringValue),
        ]
        lines.append(Terminal.table(facts.map { ["  \($0.0)", $0.1 ?? ""] }))
        let headers = letter["headers"]?.arrayValue ?? []
        if !headers.isEmpty {
            lines += ["", "headers"]
            let rows = headers.map {
                ["  \($0["name"]?.stringValue ?? "")", $0["value"].map(Self.inline) ?? ""]
            }
            lines.append(Terminal.table(rows))
        }
        let attempts = letter["attempts"]?.arrayValue ?? []
        if !attempts.isEmpty {
            lines += ["", attempts.count < count ? "last \(attempts.count) of \(tries)" : "attempts"]
            lines.append(Terminal.table([["  AT", "TOOK", "ERROR"]] + attempts.map(Self.row)))
        }
        lines += ["", Self.body(letter["body"])]
        self.text = lines.joined(separator: "\n")
    }

    /// An attempt as a row of a table.
    static func row(_ attempt: JSONValue) -> [String] {
        let error = attempt["error"]
        let words = [error?["type"]?.stringValue, error?["message"]?.stringValue].compactMap(\.self)
        let message = words.joined(separator: ": ").replacing(
            "\n",
            with: "\n" + String(repeating: " ", count: 4)
        )
        let took = attempt["duration_ms"]?.numberValue.map(Milliseconds.text) ?? ""
        return ["  \(attempt["at"]?.stringValue ?? "")", took, message]
    }

    /// A key or a header: as it is, or what it is.
    static func inline(_ value: JSONValue) -> String {
        guard let bytes = value.bytesValue else { return "null" }
        if bytes.isEmpty { return "(empty)" }
        guard let text = String(validating: bytes, as: UTF8.self), !text.contains("\n") else {
            return "0x" + bytes.prefix(64).map(Self.hex).joined() + (bytes.count > 64 ? "…" : "")
        }
        return text
    }

    private static func body(_ value: JSONValue?) -> String {
        guard let bytes = value?.bytesValue else { return "body: null" }
        if let json = JSONIndent.text(of: bytes) {
            return "body (\(bytes.count) bytes of JSON)\n" + json
        }
        if let text = String(validating: bytes, as: UTF8.self) {
            return "body (\(bytes.count) bytes of text)\n" + Terminal.visible(text)
        }
        let shown = 256
        let lines = stride(from: 0, to: min(shown, bytes.count), by: 16).map { start in
            bytes[start..<min(start + 16, bytes.count)].map(Self.hex).joined(separator: " ")
        }
        let rest = bytes.count > shown ? ["… --raw writes all of it"] : []
        return (["body (\(bytes.count) bytes, not text)"] + lines + rest).joined(separator: "\n")
    }

    private static func hex(_ byte: UInt8) -> String {
        (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
}

/// Milliseconds for people.
enum Milliseconds {
    /// `0.4 ms`, `12 ms`, `3.2 s`.
    static func text(_ value: Double) -> String {
        if value >= 1000 { return "\((value / 100).rounded() / 10) s" }
        return value < 10 ? "\((value * 10).rounded() / 10) ms" : "\(Int(value.rounded())) ms"
    }
}

/// JSON with line breaks and indents, its words and numbers as they were written.
enum JSONIndent {
    /// Nil when the bytes are not JSON.
    static func text(of bytes: [UInt8]) -> String? {
        guard JSONValue(parsing: bytes) != nil else { return nil }
        var writer = Writer()
        for byte in bytes { writer.add(byte) }
        return Terminal.visible(String(decoding: writer.output, as: UTF8.self))
    }

    private struct Writer {
        var output: [UInt8] = []
        private var depth = 0
        private var isInString = false
        private var isEscaped = false
        private var isFresh = false

        mutating func add(_ byte: UInt8) {
            if self.isInString {
                self.output.append(byte)
                if self.isEscaped {
                    self.isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    self.isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    self.isInString = false
                }
                return
            }
            switch byte {
            case 0x20, 0x09, 0x0A, 0x0D: return
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                self.begin()
                self.output.append(byte)
                self.depth += 1
                self.isFresh = true
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                self.depth -= 1
                if !self.isFresh { self.breakLine() }
                self.isFresh = false
                self.output.append(byte)
            case UInt8(ascii: ","):
                self.output.append(byte)
                self.breakLine()
            case UInt8(ascii: ":"): self.output += [byte, 0x20]
            default:
                self.begin()
                self.isInString = byte == UInt8(ascii: "\"")
                self.output.append(byte)
            }
        }

        /// The first value of a container stands on a line of its own.
        private mutating func begin() {
            if self.isFresh { self.breakLine() }
            self.isFresh = false
        }

        private mutating func breakLine() {
            self.output.append(0x0A)
            self.output += [UInt8](repeating: 0x20, count: 2 * self.depth)
        }
    }
}
