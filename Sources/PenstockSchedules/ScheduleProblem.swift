// SPDX-License-Identifier: Apache-2.0

/// Why a text is no schedule: what is wrong, where, and the way out.
package struct ScheduleProblem: Error, Hashable, Sendable {
    /// The whole text.
    package var text: String

    /// The part that is wrong, as offsets into the text's UTF-8; the whole text when it is no single part.
    package var range: Range<Int>

    /// One sentence without a full stop, with the way out.
    package var message: String

    /// A problem with a part of `text`.
    package init(_ text: String, _ range: Range<Int>, _ message: String) {
        self.text = text
        self.range = range
        self.message = message
    }

    /// The text, and below it the mark of the part that is wrong, each on a line of its own.
    package var marked: String {
        let bytes = Array(self.text.utf8)
        func count(_ bytes: ArraySlice<UInt8>) -> Int { String(decoding: bytes, as: UTF8.self).count }
        let before = count(bytes[..<min(self.range.lowerBound, bytes.count)])
        let within = count(
            bytes[min(self.range.lowerBound, bytes.count)..<min(self.range.upperBound, bytes.count)]
        )
        return self.text + "\n" + String(repeating: " ", count: before)
            + String(repeating: "^", count: max(1, within))
    }
}

extension ScheduleProblem: CustomStringConvertible {
    package var description: String { "schedule \"\(self.text)\": \(self.message)" }
}
