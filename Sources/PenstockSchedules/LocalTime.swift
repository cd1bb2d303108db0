// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// Texts of local times: `2026-11-20T13:00:00`.
package enum LocalTime {
    /// Reads a date and a time, to the minute or the second, or a date alone.
    ///
    /// Seconds since 1970-01-01T00:00:00 as if there were no time zones; nil for anything else, and for dates that the
    /// calendar does not have. With `needsSeconds`, only the form with seconds is a time.
    package static func seconds(_ text: some Collection<UInt8>, needsSeconds: Bool = false) -> Int? {
        let bytes = Array(text)
        let form = Array("dddd-dd-ddTdd:dd:dd".utf8)
        guard bytes.count == form.count || (!needsSeconds && (bytes.count == 10 || bytes.count == 16)) else {
            return nil
        }
        for (byte, pattern) in zip(bytes, form) {
            let isFine = pattern == UInt8(ascii: "d") ? (0x30...0x39).contains(byte) : byte == pattern
            guard isFine else { return nil }
        }
        func number(_ range: Range<Int>) -> Int {
            guard range.upperBound <= bytes.count else { return 0 }
            return bytes[range].reduce(0) { $0 * 10 + Int($1 - 0x30) }
        }
        let date = CivilDate(year: number(0..<4), month: number(5..<7), day: number(8..<10))
        let (hour, minute, second) = (number(11..<13), number(14..<16), number(17..<19))
        guard (1...12).contains(date.month), date.day >= 1,
            date.day <= CivilDate.days(inMonth: date.month, of: date.year), hour < 24, minute < 60,
            second < 60
        else { return nil }
        return date.daysSinceEpoch * 86_400 + hour * 3600 + minute * 60 + second
    }

    /// A local time with its offset, `2026-11-20T13:00:00+01:00`; an offset with seconds has them, too.
    package static func text(local: Int, offset: Int) -> String {
        let day = local >= 0 ? local / 86_400 : (local - 86_399) / 86_400
        let time = local - day * 86_400
        let date = CivilDate(daysSinceEpoch: day)
        let year = "\(date.year)"
        var text = String(repeating: "0", count: max(0, 4 - year.count)) + year
        text += "-\(Self.two(date.month))-\(Self.two(date.day))T"
        text += "\(Self.two(time / 3600)):\(Self.two(time / 60 % 60)):\(Self.two(time % 60))"
        let size = abs(offset)
        text += "\(offset < 0 ? "-" : "+")\(Self.two(size / 3600)):\(Self.two(size / 60 % 60))"
        return size.isMultiple(of: 60) ? text : text + ":\(Self.two(size % 60))"
    }

    static func two(_ number: Int) -> String {
        number < 10 ? "0\(number)" : "\(number)"
    }
}
