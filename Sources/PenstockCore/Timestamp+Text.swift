// SPDX-License-Identifier: Apache-2.0

extension Timestamp {
    /// Reads a point in time with its offset, such as `2026-11-23T08:00:00.250+01:00` (RFC 3339).
    ///
    /// Nil for anything else, a date that the calendar does not have, and a time without an offset. A leap
    /// second counts as the second after it; what is finer than a millisecond is cut off.
    package init?(configurationText text: String) {
        var scanner = TimestampScanner(text: Array(text.utf8))
        guard let milliseconds = scanner.milliseconds() else { return nil }
        self.init(milliseconds: milliseconds)
    }

    /// The point in time in UTC, such as `2026-11-23T07:00:00.250Z` (RFC 3339).
    package var configurationText: String {
        let day = 86_400_000 as Int64
        var (days, rest) = self.milliseconds.quotientAndRemainder(dividingBy: day)
        if rest < 0 { (days, rest) = (days - 1, rest + day) }
        let date = CivilDate(daysSinceEpoch: Int(days))
        var text: [UInt8] = []
        text.reserveCapacity(24)
        let parts = [
            ("", Int64(date.year), 4), ("-", Int64(date.month), 2), ("-", Int64(date.day), 2),
            ("T", rest / 3_600_000, 2), (":", rest / 60_000 % 60, 2), (":", rest / 1000 % 60, 2),
        ]
        for (mark, number, width) in parts {
            text += mark.utf8
            Self.append(number, width, to: &text)
        }
        if rest % 1000 != 0 {
            text.append(UInt8(ascii: "."))
            Self.append(rest % 1000, 3, to: &text)
        }
        text.append(UInt8(ascii: "Z"))
        return String(decoding: text, as: UTF8.self)
    }

    /// The point in time in UTC, always with milliseconds, such as `2026-11-23T07:00:00.000Z`: as AWS's documents have it,
    /// and such that texts sort as times do.
    package var sortableText: String {
        let text = self.configurationText
        return text.utf8.count == 20 ? text.dropLast() + ".000Z" : text
    }

    private static func append(_ number: Int64, _ width: Int, to text: inout [UInt8]) {
        let digits = "\(number)".utf8
        for _ in 0..<max(0, width - digits.count) { text.append(UInt8(ascii: "0")) }
        text += digits
    }
}

/// Reads RFC 3339 from left to right; each step is nil when the text does not have what it asks for.
private struct TimestampScanner {
    let text: [UInt8]
    var index = 0

    mutating func milliseconds() -> Int64? {
        guard let day = self.day(), self.skip("Tt ") != nil, let time = self.time() else { return nil }
        guard let fraction = self.fraction(), let offset = self.offset() else { return nil }
        guard self.index == self.text.count else { return nil }
        return day * 86_400_000 + time * 1000 + fraction - offset * 60_000
    }

    private mutating func day() -> Int64? {
        guard let year = self.number(4, 0...9999), self.skip("-") != nil else { return nil }
        guard let month = self.number(2, 1...12), self.skip("-") != nil else { return nil }
        let days = Int64(CivilDate.days(inMonth: Int(month), of: Int(year)))
        guard let day = self.number(2, 1...days) else { return nil }
        return Int64(CivilDate(year: Int(year), month: Int(month), day: Int(day)).daysSinceEpoch)
    }

    private mutating func time() -> Int64? {
        guard let hour = self.number(2, 0...23), self.skip(":") != nil else { return nil }
        guard let minute = self.number(2, 0...59), self.skip(":") != nil else { return nil }
        guard let second = self.number(2, 0...60) else { return nil }
        return hour * 3600 + minute * 60 + second
    }

    private mutating func fraction() -> Int64? {
        guard self.skip(".") != nil else { return 0 }
        let digits = self.text[self.index...].prefix { (0x30...0x39).contains($0) }
        self.index += digits.count
        guard !digits.isEmpty else { return nil }
        return (0..<3).reduce(0) { sum, place in
            sum * 10 + (place < digits.count ? Int64(digits[digits.startIndex + place] - 0x30) : 0)
        }
    }

    private mutating func offset() -> Int64? {
        if self.skip("Zz") != nil { return 0 }
        guard let sign = self.skip("+-"), let hours = self.number(2, 0...23) else { return nil }
        guard self.skip(":") != nil, let minutes = self.number(2, 0...59) else { return nil }
        return (hours * 60 + minutes) * (sign == UInt8(ascii: "-") ? -1 : 1)
    }

    private mutating func number(_ width: Int, _ range: ClosedRange<Int64>) -> Int64? {
        let digits = self.text[self.index...].prefix(width).prefix { (0x30...0x39).contains($0) }
        guard digits.count == width else { return nil }
        self.index += width
        let value = digits.reduce(Int64(0)) { $0 * 10 + Int64($1 - 0x30) }
        return range.contains(value) ? value : nil
    }

    private mutating func skip(_ characters: StaticString) -> UInt8? {
        guard self.index < self.text.count else { return nil }
        let byte = self.text[self.index]
        guard characters.description.utf8.contains(byte) else { return nil }
        self.index += 1
        return byte
    }
}
