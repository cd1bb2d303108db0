// SPDX-License-Identifier: Apache-2.0

/// Numbers by when they come due, the earliest first, and of one moment the lowest first: a binary heap.
///
/// Putting the first one back with a later time takes as many steps as their number has bits. Sixteen bytes each.
struct DueHeap: Sendable {
    struct Item: Equatable, Sendable {
        /// Milliseconds since 1970-01-01T00:00:00Z.
        var due: Int64
        var number: UInt32

        fileprivate func isBefore(_ other: Item) -> Bool {
            self.due != other.due ? self.due < other.due : self.number < other.number
        }
    }

    private var items: [Item]

    /// All of these, in as many steps as there are.
    init(_ items: [Item]) {
        self.items = items
        for index in stride(from: items.count / 2 - 1, through: 0, by: -1) { self.sink(from: index) }
    }

    var first: Item? { self.items.first }

    /// Gives the first one another time, or takes it out.
    ///
    /// There must be one.
    mutating func replaceFirst(due: Int64?) {
        if let due {
            self.items[0].due = due
        } else {
            self.items.swapAt(0, self.items.count - 1)
            self.items.removeLast()
        }
        self.sink(from: 0)
    }

    private mutating func sink(from start: Int) {
        guard start < self.items.count else { return }
        let item = self.items[start]
        var index = start
        while true {
            var child = 2 * index + 1
            guard child < self.items.count else { break }
            if child + 1 < self.items.count, self.items[child + 1].isBefore(self.items[child]) { child += 1 }
            guard self.items[child].isBefore(item) else { break }
            self.items[index] = self.items[child]
            index = child
        }
        self.items[index] = item
    }
}
