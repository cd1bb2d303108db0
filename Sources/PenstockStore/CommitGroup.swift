// SPDX-License-Identifier: Apache-2.0

/// How many writes of those that wait go into one transaction.
enum CommitGroup {
    /// Most writes in one transaction.
    static let writesMax = 4096

    /// A transaction takes no further write once it holds this many bytes; a single larger write still goes
    /// alone.
    static let bytesMax = 16 << 20

    /// How many of the first writes, whose sizes are these.
    static func count(_ sizes: some Sequence<Int>) -> Int {
        var (count, bytes) = (0, 0)
        for size in sizes {
            guard count < Self.writesMax, bytes < Self.bytesMax else { break }
            bytes += size
            count += 1
        }
        return count
    }
}
