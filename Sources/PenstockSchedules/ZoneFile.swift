// SPDX-License-Identifier: Apache-2.0

/// Reads a compiled time zone (TZif, RFC 9636).
struct ZoneFile {
    private let bytes: [UInt8]
    private var index = 0

    private struct Counts {
        var leaps: Int
        var times: Int
        var types: Int
        var characters: Int
        var standards: Int
        var universals: Int

        /// How many bytes follow the header when a time has `width` bytes.
        func size(width: Int) -> Int {
            self.times * (width + 1) + self.types * 6 + self.characters + self.leaps * (width + 4)
                + self.standards
                + self.universals
        }
    }

    /// The offsets that the file tells, with its rule for the years behind its table.
    ///
    /// - Throws: What is wrong with the bytes, in half a sentence.
    static func rules(_ name: String, _ bytes: [UInt8]) throws(ZoneFileProblem) -> ZoneRules {
        var file = ZoneFile(bytes: bytes)
        return ZoneRules(name: name, spans: try file.spans())
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    private mutating func spans() throws(ZoneFileProblem) -> [ZoneRules.Span] {
        let (first, version) = try self.header()
        guard version >= UInt8(ascii: "2") else {
            throw ZoneFileProblem("is of version 1, without 64-bit times")
        }
        self.index += first.size(width: 4)
        let (counts, _) = try self.header()
        guard counts.leaps == 0 else {
            throw ZoneFileProblem("counts leap seconds, which no clock here does")
        }
        guard counts.types > 0, self.bytes.count - self.index >= counts.size(width: 8) else {
            throw ZoneFileProblem("is cut short")
        }
        let times = (0..<counts.times).map { _ in Int(truncatingIfNeeded: self.number(8)) }
        let kinds = (0..<counts.times).map { _ in Int(self.number(1)) }
        let offsets = (0..<counts.types).map { _ in
            let offset = Int(Int32(truncatingIfNeeded: self.number(4)))
            self.index += 2
            return offset
        }
        guard kinds.allSatisfy({ $0 < offsets.count }), offsets.allSatisfy({ abs($0) < 26 * 3600 }),
            zip(times, times.dropFirst()).allSatisfy({ $0 < $1 })
        else { throw ZoneFileProblem("has a broken table") }
        self.index += counts.characters + counts.standards + counts.universals

        var spans = [ZoneRules.Span(start: .min / 2, offset: offsets[0])]
        for (time, kind) in zip(times, kinds) where time > .min / 2 {
            spans.append(ZoneRules.Span(start: time, offset: offsets[kind]))
        }
        return try self.withFooter(spans)
    }

    /// Adds the changes that the rule behind the table makes in each year until 2200.
    private func withFooter(_ spans: [ZoneRules.Span]) throws(ZoneFileProblem) -> [ZoneRules.Span] {
        let footer = self.bytes[min(self.index, self.bytes.count)...]
        guard footer.first == 0x0A, let end = footer.dropFirst().firstIndex(of: 0x0A) else {
            throw ZoneFileProblem("has no line behind its table")
        }
        let text = footer[footer.startIndex + 1..<end]
        guard !text.isEmpty else { return spans }
        guard let rule = ZoneFooter(Array(text)) else {
            throw ZoneFileProblem("has a rule that cannot be read: \(String(decoding: text, as: UTF8.self))")
        }
        let last = spans.count > 1 ? spans[spans.count - 1].start : .min / 2
        return spans + rule.spans(after: last)
    }

    private mutating func header() throws(ZoneFileProblem) -> (Counts, version: UInt8) {
        guard self.bytes.count - self.index >= 44 else { throw ZoneFileProblem("is cut short") }
        guard self.bytes[self.index..<self.index + 4].elementsEqual("TZif".utf8) else {
            throw ZoneFileProblem("is not a compiled time zone")
        }
        let version = self.bytes[self.index + 4]
        self.index += 20
        let numbers = (0..<6).map { _ in Int(self.number(4)) }
        let counts = Counts(
            leaps: numbers[2],
            times: numbers[3],
            types: numbers[4],
            characters: numbers[5],
            standards: numbers[1],
            universals: numbers[0]
        )
        guard counts.size(width: 8) <= 1 << 20 else { throw ZoneFileProblem("has a broken header") }
        return (counts, version)
    }

    /// A number in network order; the caller has checked that it is there.
    private mutating func number(_ width: Int) -> UInt64 {
        defer { self.index += width }
        return self.bytes[self.index..<self.index + width].reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// What is wrong with a time zone file.
struct ZoneFileProblem: Error {
    var detail: String

    init(_ detail: String) {
        self.detail = detail
    }
}
