// SPDX-License-Identifier: Apache-2.0

/// The offsets of one time zone from 1970 to 2199, as spans between changes.
///
/// Read from the system's compiled time zone data, never from the zone of this machine.
package final class ZoneRules: Sendable {
    /// What becomes of a local time.
    enum Meaning: Equatable {
        /// It is at this time, or for the first time then when clocks show it twice.
        case at(Int)
        /// Clocks jump over it at this time.
        case gap(Int)
    }

    /// From `start` on, local time is `offset` seconds ahead of UTC.
    struct Span: Hashable, Sendable {
        var start: Int
        var offset: Int
    }

    /// The IANA name.
    package let name: String

    /// In order; the first one begins long before everything.
    let spans: [Span]

    /// Takes the spans in order, and those that change nothing out.
    init(name: String, spans: [Span]) {
        self.name = name
        var result: [Span] = []
        for span in spans {
            // Two changes at the same time: the later one holds.
            if result.last?.start == span.start { result.removeLast() }
            if result.last?.offset != span.offset { result.append(span) }
        }
        self.spans = result
    }

    /// UTC.
    package static let utc = ZoneRules(name: "UTC", spans: [Span(start: .min / 2, offset: 0)])

    /// Seconds that local time is ahead of UTC at a time.
    package func offset(at time: Int) -> Int {
        self.spans[self.index(at: time)].offset
    }

    /// The span that a time is in.
    func index(at time: Int) -> Int {
        var (low, high) = (0, self.spans.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if self.spans[middle].start <= time { low = middle } else { high = middle }
        }
        return low
    }

    /// When a span ends; nil for the last one.
    func end(of index: Int) -> Int? {
        index + 1 < self.spans.count ? self.spans[index + 1].start : nil
    }

    /// What a local time means.
    func meaning(ofLocal local: Int) -> Meaning {
        // No offset is as large as two days, so that nothing before can have this local time.
        var index = self.index(at: local - 2 * 86_400)
        while let end = self.end(of: index), end + self.spans[index].offset <= local { index += 1 }
        let span = self.spans[index]
        return local - span.offset < span.start ? .gap(span.start) : .at(local - span.offset)
    }

    /// The first time at which clocks show a local time; the end of the gap when they jump over it.
    package func time(ofLocal local: Int) -> Int {
        switch self.meaning(ofLocal: local) {
        case .at(let time), .gap(let time): time
        }
    }
}

extension ZoneRules {
    /// A time as this zone's clocks show it, with the offset: `2026-11-20T13:00:00+01:00`.
    package func text(_ time: Int) -> String {
        let offset = self.offset(at: time)
        return LocalTime.text(local: time + offset, offset: offset)
    }
}
