// SPDX-License-Identifier: Apache-2.0

/// Says whether a text is JSON to the last byte (RFC 8259), nested at most ``IndexedJSON/depthMax`` deep.
///
/// The matcher walks only where patterns lead it. This walks everywhere, and is asked when the difference between "no
/// match" and "not JSON" decides what becomes of a record.
struct JSONValidator {
    private let text: IndexedJSON
    private var index = 0
    private var depth = 0
    /// Whether each open bracket is a brace, innermost lowest, 64 to a word.
    private var braces = InlineArray<8, UInt64>(repeating: 0)

    static func isValid(_ text: IndexedJSON) -> Bool {
        var validator = JSONValidator(text: text)
        return validator.run()
    }

    private init(text: IndexedJSON) {
        self.text = text
    }

    private mutating func run() -> Bool {
        while true {
            // A value is expected.
            switch self.text.byte(self.index) {
            case UInt8(ascii: "{"):
                guard self.open(isBrace: true) else { return false }
                if self.text.byte(self.index) != UInt8(ascii: "}") {
                    guard self.key() else { return false }
                    continue
                }
            case UInt8(ascii: "["):
                guard self.open(isBrace: false) else { return false }
                if self.text.byte(self.index) != UInt8(ascii: "]") { continue }
            case UInt8(ascii: "\""):
                guard self.string() else { return false }
            default:
                guard self.scalar() else { return false }
            }
            // A value has ended, or an empty bracket is open.
            guard let isExpectingValue = self.afterValue() else { return false }
            if !isExpectingValue { return self.index == self.text.count }
        }
    }

    /// Closes brackets until a comma; false when the outermost value has ended, nil when the text is malformed.
    private mutating func afterValue() -> Bool? {
        while self.depth > 0 {
            let byte = self.text.byte(self.index)
            self.index += 1
            if byte == UInt8(ascii: ",") {
                if self.isInBrace { return self.key() ? true : nil }
                return true
            }
            guard byte == (self.isInBrace ? UInt8(ascii: "}") : UInt8(ascii: "]")) else { return nil }
            self.depth -= 1
        }
        return false
    }

    private var isInBrace: Bool {
        self.braces[(self.depth - 1) >> 6] >> UInt64((self.depth - 1) & 63) & 1 == 1
    }

    private mutating func open(isBrace: Bool) -> Bool {
        guard self.depth < IndexedJSON.depthMax else { return false }
        let bit = UInt64(1) << UInt64(self.depth & 63)
        if isBrace {
            self.braces[self.depth >> 6] |= bit
        } else {
            self.braces[self.depth >> 6] &= ~bit
        }
        self.depth += 1
        self.index += 1
        return true
    }

    private mutating func key() -> Bool {
        guard self.text.byte(self.index) == UInt8(ascii: "\""), self.string(),
            self.text.byte(self.index) == UInt8(ascii: ":")
        else { return false }
        self.index += 1
        return true
    }

    private mutating func string() -> Bool {
        guard let raw = self.text.string(self.index) else { return false }
        self.index += 1
        return !self.text.hasEscapes || JSONEscapes.areValid(raw)
    }

    private mutating func scalar() -> Bool {
        guard self.index < self.text.count else { return false }
        let scalar = self.text.scalar(self.index)
        self.index += 1
        let byte = scalar[0]
        if byte == UInt8(ascii: "-") || byte &- 0x30 < 10 {
            return unsafe JSONNumberForm(scalar.buffer) != nil
        }
        return IndexedJSON.word(scalar) != nil
    }
}
