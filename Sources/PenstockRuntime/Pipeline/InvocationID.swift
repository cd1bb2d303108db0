// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// Request ids that are the same whenever the same records are invoked again (contract rule 12).
package enum InvocationID {
    /// The id of a batch: a name-based UUID (RFC 9562 version 8) of the trigger and of each record's partition
    /// and position; in a tumbling window of that, too.
    package static func make(trigger: String, batch: Batch) -> String {
        Self.text(RecordsHash(trigger: trigger, batch: batch))
    }

    /// The id of what has this name: the same whenever it is asked for.
    package static func make(name: String) -> String {
        Self.text(RecordsHash(name: name))
    }

    /// A fresh id for an invocation by hand.
    package static func random() -> String {
        var generator = SystemRandomNumberGenerator()
        let first = (generator.next() & ~0xF000) | 0x4000
        let second = (generator.next() & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000
        return Self.text(first, second)
    }

    private static func text(_ hash: RecordsHash) -> String {
        let first = (hash.high.value & ~0xF000) | 0x8000
        let second = (hash.low.value & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000
        return Self.text(first, second)
    }

    private static func text(_ first: UInt64, _ second: UInt64) -> String {
        Hexadecimal.uuid(UInt128(first) << 64 | UInt128(second))
    }
}

/// What tells the records of one batch from those of another.
private struct RecordsHash {
    var high = StableHash(seed: 0x5045_4E53_544F_434B)
    var low = StableHash(seed: 0xD1B5_4A32_D192_ED03)

    init(name: String) {
        self.add(name)
    }

    init(trigger: String, batch: Batch) {
        self.add(trigger)
        var name: String?
        for run in batch.runs {
            if run.partition.name != name {
                name = run.partition.name
                self.add(run.partition.name)
            }
            let entries = run.admitted.block.entries
            for index in run.indices {
                let position = entries[index].position
                if let offset = position.offset {
                    self.high.add(offset)
                    self.low.add(offset)
                } else if let wide = position.wide {
                    self.add(wide)
                } else {
                    self.add(position.description)
                }
            }
        }
        if let window = batch.window { self.add(window) }
    }

    private mutating func add(_ window: BatchWindow) {
        self.add("\(window.open.span.start.milliseconds)-\(window.open.span.end.milliseconds)")
        guard window.isFinal else { return }
        self.add("final of \(window.partition.name) behind \(window.settled?.description ?? "nothing")")
    }

    private mutating func add(_ number: UInt128) {
        let (low, high) = (UInt64(truncatingIfNeeded: number), UInt64(truncatingIfNeeded: number >> 64))
        self.high.add(low)
        self.low.add(low)
        self.high.add(high)
        self.low.add(high)
    }

    private mutating func add(_ text: String) {
        self.high.add(text)
        self.low.add(text)
    }
}

/// FNV-1a with a final mix: the same in every process, unlike `Hasher`.
private struct StableHash {
    private var state: UInt64

    init(seed: UInt64) {
        self.state = 0xCBF2_9CE4_8422_2325 ^ seed
    }

    mutating func add(_ text: String) {
        for byte in text.utf8 { self.add(byte) }
        self.add(0xFF as UInt8)
    }

    mutating func add(_ number: UInt64) {
        // At once: it is done for each record.
        self.state = (self.state ^ number) &* 0x9E37_79B9_7F4A_7C15
        self.state ^= self.state >> 32
    }

    private mutating func add(_ byte: UInt8) {
        self.state = (self.state ^ UInt64(byte)) &* 0x100_0000_01B3
    }

    var value: UInt64 {
        var generator = SplitMix64(seed: self.state)
        return generator.next()
    }
}
