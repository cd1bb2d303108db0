// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// Request ids that are the same whenever the same records are invoked again (contract rule 12).
package enum InvocationID {
    /// The id of a batch: a name-based UUID (RFC 9562 version 8) of the trigger, the first record's partition and
    /// position, and the number of records.
    package static func make(trigger: String, batch: Batch) -> String {
        let (partition, position) = batch.first
        var high = StableHash(seed: 0x5045_4E53_544F_434B)
        var low = StableHash(seed: 0xD1B5_4A32_D192_ED03)
        for text in [trigger, partition.name, position.description] {
            high.add(text)
            low.add(text)
        }
        high.add(UInt64(batch.count))
        low.add(UInt64(batch.count))
        let first = (high.value & ~0xF000) | 0x8000
        let second = (low.value & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000
        return Self.text(first, second)
    }

    /// A fresh id for an invocation by hand.
    package static func random() -> String {
        var generator = SystemRandomNumberGenerator()
        let first = (generator.next() & ~0xF000) | 0x4000
        let second = (generator.next() & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000
        return Self.text(first, second)
    }

    private static func text(_ first: UInt64, _ second: UInt64) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(36)
        for index in 0..<32 {
            if index == 8 || index == 12 || index == 16 || index == 20 { bytes.append(UInt8(ascii: "-")) }
            let word = index < 16 ? first : second
            bytes.append(digits[Int(word >> (60 - 4 * UInt64(index % 16)) & 15)])
        }
        return String(decoding: bytes, as: UTF8.self)
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
        for shift in stride(from: 0, to: 64, by: 8) {
            self.add(UInt8(truncatingIfNeeded: number >> UInt64(shift)))
        }
    }

    private mutating func add(_ byte: UInt8) {
        self.state = (self.state ^ UInt64(byte)) &* 0x100_0000_01B3
    }

    var value: UInt64 {
        var generator = SplitMix64(seed: self.state)
        return generator.next()
    }
}
