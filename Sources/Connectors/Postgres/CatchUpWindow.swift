// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// Which numbers of a catch-up query were taken in: everything up to a base, and some behind it.
///
/// Pure. Numbers come from a sequence, and transactions commit in another order than they draw them: a row may become
/// visible after one with a greater number. So the base follows the greatest number only after the overlap, and what
/// stands between the two is looked at again until then.
struct CatchUpWindow: Sendable, Equatable {
    /// Up to here nothing is looked at again.
    private(set) var base: Int64

    /// The greatest number that was taken in; the base when there is none behind it.
    private(set) var highest: Int64

    /// What was taken in behind the base.
    private var seen = RangeSet<Int64>()

    /// When which greatest number had been reached, oldest first.
    private var reached: [(at: Timestamp, highest: Int64)] = []

    /// Nothing was taken in behind this number.
    init(start: Int64) {
        self.base = start
        self.highest = start
    }

    static func == (left: Self, right: Self) -> Bool {
        left.base == right.base && left.highest == right.highest && left.seen == right.seen
    }

    /// Whether there is something to look at again.
    var isOpen: Bool { self.base < self.highest }

    /// Takes a number in; false when it was before, or is not to be.
    mutating func admit(_ id: Int64, at now: Timestamp) -> Bool {
        guard id > self.base, id < .max, !self.seen.contains(id) else { return false }
        self.seen.insert(contentsOf: id..<id + 1)
        if id > self.highest {
            self.highest = id
            if self.reached.last?.at == now { self.reached.removeLast() }
            self.reached.append((now, id))
        }
        return true
    }

    /// Everything behind the base was looked at again from `began` on: the base follows what had been reached by the
    /// overlap before that.
    mutating func lookedAgain(began: Timestamp, overlap: Duration) {
        let limit = began.milliseconds - overlap.wholeMilliseconds
        var base = self.base
        while let first = self.reached.first, first.at.milliseconds <= limit {
            base = first.highest
            self.reached.removeFirst()
        }
        guard base > self.base else { return }
        self.base = base
        self.seen.remove(contentsOf: .min..<base + 1)
        self.highest = max(self.highest, base)
    }

    // MARK: - As text

    /// `12:15-17,20`: the base, and what was taken in behind it.
    var mark: String {
        let ranges = self.seen.ranges.map { range in
            range.upperBound - range.lowerBound == 1
                ? "\(range.lowerBound)" : "\(range.lowerBound)..\(range.upperBound - 1)"
        }
        return "\(self.base):\(ranges.joined(separator: ","))"
    }

    /// Goes on where a mark was left; what stands behind its base counts as reached now.
    init?(mark: String, now: Timestamp) {
        let parts = mark.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let base = Int64(parts[0]) else { return nil }
        self.init(start: base)
        for text in parts[1].split(separator: ",") {
            let bounds = text.split(separator: "..", omittingEmptySubsequences: false).map { Int64($0) }
            guard let first = bounds.first ?? nil, let last = bounds.last ?? nil, bounds.count <= 2,
                base < first, first <= last, last < .max
            else { return nil }
            self.seen.insert(contentsOf: first..<last + 1)
            self.highest = max(self.highest, last)
        }
        if self.isOpen { self.reached = [(now, self.highest)] }
    }
}
