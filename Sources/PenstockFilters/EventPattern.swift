// SPDX-License-Identifier: Apache-2.0

internal import PenstockConfiguration

/// A pattern of the EventBridge language, read and checked (docs/FILTERS.md).
///
/// `$or` is multiplied out: the pattern matches when one of its clauses does, and a clause when each of its fields does.
package struct EventPattern: Sendable {
    /// Conditions that must all hold.
    struct Clause: Sendable {
        var fields: [Condition] = []

        /// Adds a condition; a later one at the same path replaces the earlier one.
        mutating func set(_ condition: Condition) {
            self.fields.removeAll { $0.path == condition.path }
            self.fields.append(condition)
        }
    }

    /// A path and what may stand there: one of the rules must hold.
    struct Condition: Sendable {
        var path: [String]
        var rules: [Rule]
        var place: Place
        var location: ConfigurationPath
    }

    var clauses: [Clause]

    /// Matches everything.
    package static let all = EventPattern(clauses: [Clause()])

    /// The most filters of a trigger; AWS takes 5.
    package static let filtersMax = 100

    /// Whether a condition is about this place in a record, or about something in it.
    package func looksAt(_ path: [String]) -> Bool {
        self.clauses.contains { clause in clause.fields.contains { $0.path.starts(with: path) } }
    }

    /// The names that the pattern's paths begin with, with their places.
    var roots: [(name: String, isNested: Bool, place: Place, location: ConfigurationPath)] {
        self.clauses.flatMap { clause in
            clause.fields.map { ($0.path[0], $0.path.count > 1, $0.place, $0.location) }
        }
    }
}

/// One test of one value.
indirect enum Rule: Hashable, Sendable {
    case string([UInt8])
    case number(JSONNumber)
    case word(Word)
    case exists
    case absent
    case prefix([UInt8])
    case suffix([UInt8])
    case equalsIgnoringCase(CaseFolded)
    case prefixIgnoringCase(CaseFolded)
    case suffixIgnoringCase(CaseFolded)
    case wildcard(Wildcard)
    case range(NumberRange)
    case addresses(IPRange)
    /// Holds for any value for which none of these does.
    case anythingBut([Rule])

    /// JSON's words.
    enum Word: UInt8, Sendable {
        case null, yes, no
    }
}

/// Numbers between two bounds.
struct NumberRange: BitwiseCopyable, Hashable, Sendable {
    /// A bound, and whether it belongs to the range.
    struct Bound: BitwiseCopyable, Hashable, Sendable {
        var number: JSONNumber
        var isIncluded: Bool
    }

    var lower: Bound?
    var upper: Bound?

    func contains(_ number: JSONNumber) -> Bool {
        if let lower = self.lower {
            guard lower.number < number || (lower.isIncluded && lower.number == number) else { return false }
        }
        if let upper = self.upper {
            guard number < upper.number || (upper.isIncluded && upper.number == number) else { return false }
        }
        return true
    }
}

/// A text of which each letter may stand in either case, letter by letter (Unicode's simple and full mappings of single
/// letters, as AWS does it): the two spellings of each letter, one after the other, each with its length before it.
struct CaseFolded: Hashable, Sendable {
    let bytes: [UInt8]
    /// Letters.
    let count: Int

    init(_ text: String) {
        self.init(text.unicodeScalars)
    }

    /// The last letter first, for texts that are compared from their ends.
    init(reversing text: String) {
        self.init(text.unicodeScalars.reversed())
    }

    private init(_ scalars: some Collection<Unicode.Scalar>) {
        var bytes: [UInt8] = []
        for scalar in scalars {
            for spelling in [scalar.properties.lowercaseMapping, scalar.properties.uppercaseMapping] {
                bytes.append(UInt8(truncatingIfNeeded: spelling.utf8.count))
                bytes += Array(spelling.utf8)
            }
        }
        self.bytes = bytes
        self.count = scalars.count
    }
}

/// A text in which `*` stands for any run of bytes: the pieces between the stars; the first and the last are anchored.
struct Wildcard: Hashable, Sendable {
    let pieces: [[UInt8]]

    /// Why a text is not a wildcard.
    enum Problem: Error {
        case twoStars(at: Int)
        case badEscape(at: Int)
    }

    /// Reads a text with `*`, `\*` and `\\`.
    init(_ text: String) throws(Problem) {
        var pieces: [[UInt8]] = [[]]
        var isEscaped = false
        var isAfterStar = false
        for (index, byte) in text.utf8.enumerated() {
            if isEscaped {
                guard byte == UInt8(ascii: "*") || byte == UInt8(ascii: "\\") else {
                    throw .badEscape(at: index - 1)
                }
                pieces[pieces.count - 1].append(byte)
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
                isAfterStar = false
            } else if byte == UInt8(ascii: "*") {
                guard !isAfterStar else { throw .twoStars(at: index - 1) }
                isAfterStar = true
                pieces.append([])
            } else {
                pieces[pieces.count - 1].append(byte)
                isAfterStar = false
            }
        }
        if isEscaped { throw .badEscape(at: text.utf8.count - 1) }
        self.pieces = pieces
    }
}
