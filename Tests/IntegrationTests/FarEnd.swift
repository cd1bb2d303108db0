// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What has arrived at a function, read from the file that it writes; independent of the product's own counters.
final class FarEnd {
    private let file: URL
    private var consumed: UInt64 = 0
    private var partial: [UInt8] = []
    private var seen: [[Bool]]

    /// The offset behind the last first arrival of each partition.
    private(set) var next: [Int]
    /// Records that arrived, each counted once.
    private(set) var distinct = 0
    /// Arrivals beyond the first.
    private(set) var duplicates = 0
    /// Arrivals by the number of the Penstock whose function wrote them.
    private(set) var byMember: [Int: Int] = [:]
    /// First arrivals that came before an earlier record of their partition, and lines that cannot be.
    private(set) var violations: [String] = []

    init(_ file: URL, partitions: Int, recordsPerPartition: Int) {
        self.file = file
        self.next = Array(repeating: 0, count: partitions)
        self.seen = Array(repeating: Array(repeating: false, count: recordsPerPartition), count: partitions)
    }

    /// Reads what was written since the last call; all arrivals so far.
    @discardableResult
    func read() -> Int {
        guard let handle = try? FileHandle(forReadingFrom: self.file) else { return 0 }
        defer { try? handle.close() }
        try? handle.seek(toOffset: self.consumed)
        guard let data = try? handle.readToEnd() else { return self.distinct + self.duplicates }
        self.consumed += UInt64(data.count)
        self.partial.append(contentsOf: data)
        var start = 0
        var fields: [Int] = []
        var number = 0
        for (index, byte) in self.partial.enumerated() {
            switch byte {
            case UInt8(ascii: " "):
                fields.append(number)
                number = 0
            case UInt8(ascii: "\n"):
                fields.append(number)
                self.arrived(fields)
                fields.removeAll(keepingCapacity: true)
                number = 0
                start = index + 1
            default: number = number * 10 + Int(byte) - Int(UInt8(ascii: "0"))
            }
        }
        self.partial.removeFirst(start)
        return self.distinct + self.duplicates
    }

    /// How many first arrivals are behind these offsets of the partitions: sent again if reading begins there.
    func arrivals(behind offsets: [Int]) -> Int {
        self.read()
        return zip(self.next, offsets).reduce(0) { $0 + max(0, $1.0 - $1.1) }
    }

    private func arrived(_ fields: [Int]) {
        guard fields.count == 4, self.seen.indices.contains(fields[0]),
            self.seen[fields[0]].indices.contains(fields[1]),
            fields[2] == fields[1] * self.seen.count + fields[0]
        else {
            self.violations.append("not a record of this test: \(fields)")
            return
        }
        let (partition, offset) = (fields[0], fields[1])
        self.byMember[fields[3], default: 0] += 1
        guard !self.seen[partition][offset] else {
            self.duplicates += 1
            return
        }
        self.seen[partition][offset] = true
        self.distinct += 1
        if offset != self.next[partition] {
            self.violations.append(
                "partition \(partition): \(offset) came first, \(self.next[partition]) was due"
            )
        }
        self.next[partition] = offset + 1
    }
}
