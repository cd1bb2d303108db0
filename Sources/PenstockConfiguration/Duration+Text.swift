// SPDX-License-Identifier: Apache-2.0

extension Duration {
    /// Reads `500ms`, `5s`, `10m`, `24h`, `7d` and combinations from large to small such as `1h30m`.
    ///
    /// Nil for anything else: a number without a unit, a fraction, a sign, more than 36500 days.
    package init?(configurationText text: String) {
        var rest = text[...]
        var milliseconds: Int64 = 0
        var unitMax = Int64.max
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(digits.count)
            let letters = rest.prefix { $0.isASCII && $0.isLetter }
            rest = rest.dropFirst(letters.count)
            guard let count = Int64(digits), let unit = Self.units[String(letters)], unit < unitMax else {
                return nil
            }
            let (part, overflow) = count.multipliedReportingOverflow(by: unit)
            guard !overflow, part <= Self.longest - milliseconds else { return nil }
            milliseconds += part
            unitMax = unit
        }
        self = .milliseconds(milliseconds)
    }

    /// The shortest text that reads back as this duration: `500ms`, `1h30m`, `0s`.
    ///
    /// Exact to the millisecond, which is the finest that a configuration has; what is finer is cut off.
    package var configurationText: String {
        let (seconds, attoseconds) = self.components
        guard seconds >= 0, attoseconds >= 0 else { return "-" + (.zero - self).configurationText }
        let parts: [(Int64, String)] = [
            (seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"),
            (attoseconds / 1_000_000_000_000_000, "ms"),
        ]
        let text = parts.filter { $0.0 > 0 }.map { "\($0.0)\($0.1)" }.joined()
        return text.isEmpty ? "0s" : text
    }

    /// The durations that ``init(configurationText:)`` reads, as a regular expression of ECMA-262.
    static let configurationPattern = "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"

    private static let units: [String: Int64] = [
        "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000,
    ]
    private static let longest: Int64 = 36_500 * 86_400_000
}

/// Sizes in bytes, as configurations write them.
package enum ByteSize {
    /// Reads `256KiB`, `6MB`, `512MiB`, or a bare number of bytes; nil for anything else, and beyond
    /// `Int.max`.
    package static func parse(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = String(text.dropFirst(digits.count))
        guard let count = Int(digits), let factor = Self.factor(of: unit) else { return nil }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: factor)
        return overflow ? nil : bytes
    }

    /// The shortest text that reads back as this many bytes: `256KiB`, `6MB`, `1500B`.
    package static func text(_ bytes: Int) -> String {
        guard bytes != 0 else { return "0B" }
        let fitting =
            Self.units.filter { bytes.isMultiple(of: $0.factor) }.max { $0.factor < $1.factor } ?? ("B", 1)
        return "\(bytes / fitting.factor)\(fitting.name)"
    }

    static let configurationPattern = "^[0-9]+(B|kB|KB|KiB|MB|MiB|GB|GiB|TB|TiB)?$"

    private static let units: [(name: String, factor: Int)] = [
        ("B", 1), ("kB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
    ]

    private static func factor(of unit: String) -> Int? {
        switch unit {
        case "": 1
        case "KB": 1000
        default: Self.units.first { $0.name == unit }?.factor
        }
    }
}
