// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import Testing

@Suite struct EventWriterTests {
    private static func text(_ limit: Int, _ body: (inout EventWriter) -> Void) -> String {
        let buffer = EventBuffer()
        buffer.write(upTo: limit, body)
        return unsafe String(decoding: buffer.bytes, as: UTF8.self)
    }

    @Test("Numbers have the digits and the size that were announced")
    func decimals() {
        var values: [UInt64] = [0, 1, 9, 10, 99, 100, .max]
        var power: UInt64 = 1
        for _ in 0..<19 {
            power *= 10
            values += [power - 1, power, power + 1]
        }
        for value in values {
            #expect(Self.text(20) { $0.decimal(value) } == String(value))
            #expect(EventWriter.digits(of: value) == String(value).count)
        }
        for value in [Int64.min, -1, 0, 1, .max] {
            #expect(Self.text(20) { $0.decimal(value) } == String(value))
            #expect(EventWriter.decimalSize(of: value) == String(value).count)
        }
    }

    @Test("Base64 equals Foundation's for every length and any bytes")
    func base64() {
        var random = SplitMix64(seed: 3)
        for count in 0..<200 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            let text = unsafe bytes.withUnsafeBytes { pointer in
                Self.text(EventWriter.base64Size(of: count)) { writer in unsafe writer.base64(pointer) }
            }
            #expect(text == Data(bytes).base64EncodedString())
            #expect(text.utf8.count == EventWriter.base64Size(of: count))
        }
    }

    @Test("Header bytes are signed numbers with commas")
    func signedBytes() {
        let bytes = [UInt8](0...255)
        let expected = bytes.map { String(Int8(bitPattern: $0)) }.joined(separator: ",")
        let text = unsafe bytes.withUnsafeBytes { pointer in
            Self.text(unsafe EventWriter.signedBytesSize(of: pointer)) { writer in
                unsafe writer.signedBytes(pointer)
            }
        }
        #expect(text == expected)
        #expect(
            unsafe bytes.withUnsafeBytes { unsafe EventWriter.signedBytesSize(of: $0) } == expected.utf8.count
        )
    }

    @Test(
        "Strings come back from a JSON parser as they were",
        arguments: ["", "a\"b\\c", "\u{0}\u{1F}\n\r\t", "€ 😀"]
    )
    func strings(text: String) throws {
        let escaped = JSONText.escaped(text)
        let parsed =
            try JSONSerialization.jsonObject(with: Data(escaped), options: .fragmentsAllowed) as? String
        #expect(parsed == text)
    }

    @Test(
        "A string is written as it is escaped, with the size that was announced, whatever is at which place"
    )
    func stringsAtAnyPlace() throws {
        // What needs an escape, what is next to it in ASCII, and what has several bytes.
        let special: [Character] = [
            "\"", "!", "#", "\\", "[", "]", "\u{0}", "\u{1F}", " ", "\n", "\u{7F}", "\u{80}", "é", "€", "😀",
        ]
        for length in 0..<20 {
            for place in 0..<max(1, length) {
                for character in special where length > 0 || character == special[0] {
                    var text = String(repeating: "a", count: length)
                    if length > 0 {
                        let index = text.index(text.startIndex, offsetBy: place)
                        text.replaceSubrange(index...index, with: String(character))
                    }
                    let (written, size) = unsafe Array(text.utf8).withUnsafeBytes { bytes in
                        let size = unsafe EventWriter.stringSize(of: bytes)
                        return (Self.text(size) { unsafe $0.string(bytes) }, size)
                    }
                    #expect(written.utf8.count == size)
                    #expect(Array(written.utf8) == JSONText.escaped(text), "\(written)")
                }
            }
        }
    }

    @Test("Bytes that are no UTF-8 become replacements, whatever was written before them")
    func invalidStrings() {
        for bytes in [
            [0xFF], [0x61, 0xC3], Array("é\"€\n".utf8) + [0xE2, 0x82], [0x22, 0xED, 0xA0, 0x80, 0x22],
        ] {
            let (written, size) = unsafe bytes.withUnsafeBytes { bytes in
                let size = unsafe EventWriter.stringSize(of: bytes)
                return (Self.text(size) { unsafe $0.string(bytes) }, size)
            }
            #expect(written.utf8.count == size)
            #expect(Array(written.utf8) == JSONText.escaped(String(decoding: bytes, as: UTF8.self)))
        }
    }
}
