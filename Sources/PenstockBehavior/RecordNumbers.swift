// SPDX-License-Identifier: Apache-2.0

/// A set of records of a case by their numbers, or of invocations by theirs: both count from 1.
///
/// Its text is ranges and numbers between blanks, ascending: `1-5 7`.
package struct RecordNumbers: Hashable, Sendable, CustomStringConvertible {
    /// The numbers.
    package var numbers: RangeSet<Int>

    /// The largest number.
    static let limit = 100_000

    /// None.
    package init() {
        self.numbers = RangeSet()
    }

    /// These.
    package init(_ numbers: some Sequence<Int>) {
        self.init()
        for number in numbers { self.insert(number) }
    }

    /// Reads `7`, `1-5` or `1-5 7, 9`.
    ///
    /// - Throws: ``MalformedNumbers``, which ends a sentence.
    package init(_ text: some StringProtocol) throws(MalformedNumbers) {
        self.init()
        let parts = text.split { $0 == " " || $0 == "," }
        guard !parts.isEmpty else { throw MalformedNumbers(description: "it names none") }
        for part in parts {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil else {
                throw MalformedNumbers(description: "\"\(part.prefix(40))\" is no number and no range")
            }
            guard first >= 1, last <= Self.limit else {
                throw MalformedNumbers(description: "numbers go from 1 to \(Self.limit)")
            }
            guard first <= last else {
                throw MalformedNumbers(
                    description: "the range \(part) runs backwards; write \(last)-\(first)"
                )
            }
            self.numbers.insert(contentsOf: first..<last + 1)
        }
    }

    /// Whether there is none.
    package var isEmpty: Bool { self.numbers.isEmpty }

    /// The largest; 0 when there is none.
    package var last: Int { (self.numbers.ranges.last?.upperBound ?? 1) - 1 }

    /// One by one, ascending.
    package var elements: [Int] { self.numbers.ranges.flatMap(\.self) }

    /// Adds one.
    package mutating func insert(_ number: Int) {
        self.numbers.insert(contentsOf: number..<number + 1)
    }

    package var description: String {
        guard !self.isEmpty else { return "none" }
        return self.numbers.ranges.map { range in
            range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound - 1)"
        }.joined(separator: " ")
    }
}

/// Why a text could not be read; the end of a sentence.
package struct MalformedNumbers: Error, CustomStringConvertible {
    package let description: String
}
