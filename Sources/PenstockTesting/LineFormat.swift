// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// A format for tests: one `partition@position` a line, and before them the window, if there is one.
package struct LineFormat: EventFormat {
    /// The format.
    package init() {}

    package var contentType: String { "text/plain" }

    package func sizes(of block: RecordBlock) -> RecordSizes {
        RecordSizes(count: block.count) { Self.line(block, $0).utf8.count }
    }

    /// The last line ends, too.
    package var envelope: Int { 1 }

    package var takesWindows: Bool { true }

    package func overhead(of window: BatchWindow) -> Int { Self.line(window).utf8.count }

    private static func line(_ window: BatchWindow) -> String {
        "window \(window.partition.name) \(window.open.span.start.milliseconds) \(window.isFinal) "
            + String(decoding: window.open.state, as: UTF8.self) + "\n"
    }

    /// What a body tells of a window; nil for none.
    package static func window(in body: EventBuffer) -> (partition: String, isFinal: Bool, state: String)? {
        let text = unsafe String(decoding: body.bytes, as: UTF8.self)
        let words = text.prefix { $0 != "\n" }.split(separator: " ", maxSplits: 4).map(String.init)
        guard words.count == 5, words[0] == "window" else { return nil }
        return (words[1], words[3] == "true", words[4])
    }

    package func encode(_ batch: Batch, into writer: inout EventWriter) {
        if let window = batch.window { writer.raw(Array(Self.line(window).utf8)) }
        for run in batch.runs {
            for index in run.indices {
                writer.raw(Array(Self.line(run.admitted.block, index).utf8))
                writer.byte(0x0A)
            }
        }
    }

    package func index(of item: ItemIdentifier, in batch: Batch) -> Int? {
        guard case .offset(let partition, let offset) = item else { return nil }
        var base = 0
        for run in batch.runs {
            // Not by a search: leased records come in any order.
            let entries = run.admitted.block.entries
            let position = Position(offset)
            if run.partition.name == partition,
                let place = run.indices.firstIndex(where: { entries[$0].position == position })
            {
                return base + place - run.range.lowerBound
            }
            base += run.count
        }
        return nil
    }

    private static func line(_ block: RecordBlock, _ index: Int) -> String {
        "\(block.partition(at: index).name)@\(block.entries[index].position)"
    }

    /// The records of a body, in order.
    package static func records(in body: EventBuffer) -> [(partition: String, offset: UInt64)] {
        let text = unsafe String(decoding: body.bytes, as: UTF8.self)
        return text.split(separator: "\n").compactMap { line in
            let parts = line.split(separator: "@")
            guard parts.count == 2, let offset = UInt64(parts[1]) else { return nil }
            return (String(parts[0]), offset)
        }
    }
}
