// SPDX-License-Identifier: Apache-2.0

/// Times at which a schedule does not fire.
///
/// Spans of Unix seconds, in order and apart from each other; a look takes as many steps as their number has bits.
package struct Exclusions: Sendable, Equatable {
    private var spans: [Range<Int>] = []

    /// None.
    package init() {}

    /// These spans, in any order; they may overlap.
    package init(_ spans: some Sequence<Range<Int>>) {
        for span in spans.sorted(by: { $0.lowerBound < $1.lowerBound }) where !span.isEmpty {
            if let last = self.spans.last, span.lowerBound <= last.upperBound {
                let end = max(last.upperBound, span.upperBound)
                self.spans[self.spans.count - 1] = last.lowerBound..<end
            } else {
                self.spans.append(span)
            }
        }
    }

    /// Until when a time is excluded; nil when it is not.
    package func end(at time: Int) -> Int? {
        var (low, high) = (0, self.spans.count)
        while low < high {
            let middle = (low + high) / 2
            if self.spans[middle].upperBound <= time { low = middle + 1 } else { high = middle }
        }
        guard low < self.spans.count, self.spans[low].contains(time) else { return nil }
        return self.spans[low].upperBound
    }
}

extension ZoneRules {
    /// Local days, the first by its number since 1970-01-01; empty for a day that the zone left out.
    package func span(ofLocalDay day: Int, count: Int = 1) -> Range<Int> {
        let start = self.time(ofLocal: day * 86_400)
        return start..<max(start, self.time(ofLocal: (day + count) * 86_400))
    }
}
