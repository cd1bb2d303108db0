// SPDX-License-Identifier: Apache-2.0

/// A line of an iCalendar file, `NAME;PARAMETER=VALUE:value`, put together where it was folded.
struct ContentLine {
    /// Where it begins, from 1.
    var number: Int
    /// In capitals.
    var name: String
    /// By name, in capitals.
    var parameters: [String: String]
    var value: String

    func problem(_ message: String) -> CalendarFile.Problem {
        CalendarFile.Problem(line: self.number, message: message)
    }

    /// All lines of a file.
    ///
    /// Lines end with CR LF, LF or CR, and are folded byte by byte (RFC 5545 section 3.1): also within a character. Other
    /// characters that some programs take for the end of a line are part of it.
    static func all(of bytes: [UInt8]) throws(CalendarFile.Problem) -> [ContentLine] {
        var whole: [(number: Int, bytes: [UInt8])] = []
        var (number, start) = (1, bytes.startIndex)
        while start < bytes.endIndex {
            let end = bytes[start...].firstIndex { $0 == 0x0A || $0 == 0x0D } ?? bytes.endIndex
            let line = bytes[start..<end]
            if let first = line.first, first == 0x20 || first == 0x09, !whole.isEmpty {
                whole[whole.count - 1].bytes += line.dropFirst()
            } else if !line.isEmpty {
                whole.append((number, Array(line)))
            }
            number += 1
            start = bytes[end...].starts(with: [0x0D, 0x0A]) ? end + 2 : end + 1
        }
        var lines: [ContentLine] = []
        for (number, bytes) in whole {
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw CalendarFile.Problem(
                    line: number,
                    message: "the line is not UTF-8; save the calendar as UTF-8"
                )
            }
            lines.append(try ContentLine(text, number))
        }
        return lines
    }

    private init(_ text: String, _ number: Int) throws(CalendarFile.Problem) {
        var parts = [""]
        var isQuoted = false
        var value: Substring?
        for index in text.indices {
            let character = text[index]
            if character == "\"" {
                isQuoted.toggle()
            } else if character == ":", !isQuoted {
                value = text[text.index(after: index)...]
                break
            } else if character == ";", !isQuoted {
                parts.append("")
            } else {
                parts[parts.count - 1].append(character)
            }
        }
        guard let value, !parts[0].isEmpty else {
            throw CalendarFile.Problem(
                line: number,
                message: "this is no line NAME:value of an iCalendar file"
            )
        }
        self.number = number
        self.name = parts[0].uppercased()
        self.value = String(value)
        self.parameters = [:]
        for part in parts.dropFirst() {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2 else { throw self.problem("\"\(part)\" is no parameter NAME=value") }
            self.parameters[sides[0].uppercased()] = String(sides[1])
        }
    }

    /// A date or a time, in the zone that the line names.
    func moment(
        _ text: some StringProtocol,
        _ zones: ZoneDatabase
    ) throws(CalendarFile.Problem) -> CalendarMoment {
        var zone: ZoneRules?
        if let name = self.parameters["TZID"] {
            do throws(ZoneDatabase.Problem) {
                zone = try zones.zone(name.hasPrefix("/") ? String(name.dropFirst()) : name)
            } catch {
                throw self.problem("TZID cannot be used: \(error.description)")
            }
        }
        guard let moment = CalendarMoment(text, zone: zone) else {
            throw self.problem(
                "\"\(text.prefix(40))\" is no date such as 20261224 or time such as 20261224T180000"
            )
        }
        let kind = self.parameters["VALUE"]?.uppercased() ?? (moment.isDay ? "DATE" : "DATE-TIME")
        guard kind == (moment.isDay ? "DATE" : "DATE-TIME") else {
            throw self.problem("VALUE=\(kind) does not fit \"\(text)\", or is not supported")
        }
        return moment
    }

    /// `P1D`, `PT1H30M`, `P2W`; in seconds.
    func duration() throws(CalendarFile.Problem) -> Int {
        let units: [Character: Int] = ["W": 604_800, "D": 86_400, "H": 3600, "M": 60, "S": 1]
        var text = Substring(self.value)
        if text.hasPrefix("+") { text.removeFirst() }
        var (seconds, digits, isTime, isFine) = (0, "", false, text.hasPrefix("P") && text.count > 2)
        for character in text.dropFirst() {
            if character == "T" {
                isTime = true
            } else if character.isASCII, character.isNumber {
                digits.append(character)
            } else if let unit = units[character], let number = Int(digits), digits.count < 8,
                isTime == (unit < 86_400)
            {
                seconds += number * unit
                digits = ""
            } else {
                isFine = false
            }
        }
        guard isFine, digits.isEmpty else {
            throw self.problem("\"\(self.value)\" is no duration such as P1D or PT1H30M")
        }
        return seconds
    }
}
