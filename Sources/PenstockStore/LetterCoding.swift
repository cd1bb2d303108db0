// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// The stored form of attempts and attributes: a version byte, a count, and the elements.
///
/// Numbers are LEB128 (zigzag when signed), texts and bytes are preceded by their length; a null value has
/// length 0 and any other its length plus one. Both forms are read back exactly, NUL characters included.
enum LetterCoding {
    private static let version: UInt8 = 1

    /// The stored form of attempts.
    static func encode(_ attempts: [Attempt]) -> [UInt8] {
        var output = Output()
        output.bytes.append(Self.version)
        output.append(UInt64(attempts.count))
        for attempt in attempts {
            output.append(signed: attempt.at.milliseconds)
            output.append(signed: attempt.duration.components.seconds)
            output.append(signed: attempt.duration.components.attoseconds)
            output.append(Array(attempt.failure.type.utf8))
            output.append(Array(attempt.failure.message.utf8))
        }
        return output.bytes
    }

    /// The stored form of attributes.
    static func encode(_ attributes: [DeadLetter.Attribute]) -> [UInt8] {
        var output = Output()
        output.bytes.append(Self.version)
        output.append(UInt64(attributes.count))
        for attribute in attributes {
            output.append(Array(attribute.name.utf8))
            output.append(attribute.value)
        }
        return output.bytes
    }

    /// The stored form of a history with one attempt more, from the stored form of what it was before.
    ///
    /// A history at its limit loses one of its middle: the first half stays, and the latest ones follow it.
    ///
    /// - Throws: `corrupt` when the bytes are not such a form.
    static func adding(_ attempt: Attempt, to history: [UInt8]) throws(StoreError) -> [UInt8] {
        var attempts = try Self.attempts(history)
        if attempts.count >= DeadLetter.attemptsMax {
            let first = DeadLetter.attemptsMax / 2
            attempts.removeSubrange(first..<(attempts.count - (DeadLetter.attemptsMax - first - 1)))
        }
        attempts.append(attempt)
        return Self.encode(attempts)
    }

    /// Attempts from their stored form.
    ///
    /// - Throws: `corrupt` when the bytes are not such a form.
    static func attempts(_ bytes: [UInt8]) throws(StoreError) -> [Attempt] {
        var input = Input(bytes: bytes, what: "the attempts of a dead letter")
        return try input.elements { (input) throws(StoreError) in
            let at = Timestamp(milliseconds: try input.signed())
            let seconds = try input.signed()
            let duration = Duration(secondsComponent: seconds, attosecondsComponent: try input.signed())
            var failure = Failure(type: try input.text(), message: "")
            failure.message = try input.text()
            return Attempt(at: at, duration: duration, failure: failure)
        }
    }

    /// Attributes from their stored form.
    ///
    /// - Throws: `corrupt` when the bytes are not such a form.
    static func attributes(_ bytes: [UInt8]) throws(StoreError) -> [DeadLetter.Attribute] {
        var input = Input(bytes: bytes, what: "the attributes of a dead letter")
        return try input.elements { (input) throws(StoreError) in
            DeadLetter.Attribute(name: try input.text(), value: try input.value())
        }
    }

    private struct Output {
        var bytes: [UInt8] = []

        mutating func append(_ number: UInt64) {
            var rest = number
            while rest >= 0x80 {
                self.bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
                rest >>= 7
            }
            self.bytes.append(UInt8(rest))
        }

        mutating func append(signed number: Int64) {
            self.append(UInt64(bitPattern: (number << 1) ^ (number >> 63)))
        }

        mutating func append(_ value: [UInt8]?) {
            self.append(value.map { UInt64($0.count) + 1 } ?? 0)
            self.bytes.append(contentsOf: value ?? [])
        }
    }

    private struct Input {
        let bytes: [UInt8]
        let what: String
        var index = 0

        mutating func elements<Element>(
            _ element: (inout Input) throws(StoreError) -> Element
        ) throws(StoreError) -> [Element] {
            guard self.bytes.first == LetterCoding.version else { throw .unreadable(self.what) }
            self.index = 1
            let count = try self.number()
            guard count <= UInt64(self.bytes.count) else { throw .unreadable(self.what) }
            var elements: [Element] = []
            for _ in 0..<count {
                elements.append(try element(&self))
            }
            guard self.index == self.bytes.count else { throw .unreadable(self.what) }
            return elements
        }

        mutating func number() throws(StoreError) -> UInt64 {
            var number: UInt64 = 0
            for shift in stride(from: UInt64(0), through: 63, by: 7) {
                guard self.index < self.bytes.count else { throw .unreadable(self.what) }
                let byte = self.bytes[self.index]
                self.index += 1
                number |= UInt64(byte & 0x7F) << shift
                guard byte & 0x80 != 0 else { return number }
            }
            throw .unreadable(self.what)
        }

        mutating func signed() throws(StoreError) -> Int64 {
            let number = try self.number()
            return Int64(bitPattern: number >> 1) ^ -Int64(bitPattern: number & 1)
        }

        mutating func value() throws(StoreError) -> [UInt8]? {
            let length = try self.number()
            guard length > 0 else { return nil }
            guard length - 1 <= UInt64(self.bytes.count - self.index) else { throw .unreadable(self.what) }
            let end = self.index + Int(length - 1)
            defer { self.index = end }
            return Array(self.bytes[self.index..<end])
        }

        mutating func text() throws(StoreError) -> String {
            guard let value = try self.value() else { throw .unreadable(self.what) }
            return String(decoding: value, as: UTF8.self)
        }
    }
}
