// SPDX-License-Identifier: Apache-2.0

import DequeModule
import PostgresClient

/// Decides which writes share a transaction, and which of them are to be tried again when it was refused.
///
/// Pure: no I/O. `Waiter` is whoever waits for the write.
struct WriteQueue<Waiter: Sendable> {
    /// A write and who waits for it.
    struct Entry: Sendable {
        var write: PostgresWrite
        var waiter: Waiter
    }

    /// Writes that share a transaction.
    struct Group: Sendable {
        var entries: [Entry]
        /// How often the server has given it up for another transaction's sake.
        var failures = 0

        /// The leases that it is made under, each once, in order.
        var fences: [Fence] {
            Set(self.entries.flatMap(\.write.fences)).sorted { ($0.lease, $0.epoch) < ($1.lease, $1.epoch) }
        }
    }

    /// Whom to tell what of a transaction that was refused.
    typealias Answer = (waiter: Waiter, error: StoreError)

    private var waiting = Deque<Entry>()
    /// Parts of groups that were refused; they come before all that waits.
    private var repeated = Deque<Group>()

    /// A group that is given up for another's sake is tried so often.
    static var failuresMax: Int { 4 }

    /// A queue without writes.
    init() {}

    /// Whether nothing waits.
    var isEmpty: Bool { self.waiting.isEmpty && self.repeated.isEmpty }

    /// A write waits for its turn.
    mutating func add(_ write: PostgresWrite, _ waiter: Waiter) {
        self.waiting.append(Entry(write: write, waiter: waiter))
    }

    /// The writes of the next transaction, which are the caller's until they are answered or given back; nil for none.
    mutating func next() -> Group? {
        if let group = self.repeated.popFirst() { return group }
        let count = CommitGroup.count(self.waiting.lazy.map(\.write.bytes))
        guard count > 0 else { return nil }
        defer { self.waiting.removeFirst(count) }
        return Group(entries: Array(self.waiting.prefix(count)))
    }

    /// The transaction was refused as this says, and nothing of it happened; returns who is to be told.
    mutating func refused(_ group: Group, _ verdict: PostgresError.Verdict, _ error: StoreError) -> [Answer] {
        switch verdict {
        case .again where group.failures + 1 < Self.failuresMax:
            self.repeated.prepend(Group(entries: group.entries, failures: group.failures + 1))
            return []
        case .again, .one, .fenced:
            guard group.entries.count > 1 else { break }
            // Which one it is shows in a few steps, also among thousands.
            let middle = group.entries.count / 2
            self.repeated.prepend(Group(entries: Array(group.entries[middle...])))
            self.repeated.prepend(Group(entries: Array(group.entries[..<middle])))
            return []
        case .all, .lost: break
        }
        return group.entries.map { ($0.waiter, error) }
    }

    /// The transaction was refused because of leases, of which those in `held` are still as they were; returns who is to be
    /// told.
    mutating func fenced(_ group: Group, held: Set<Fence>, _ error: StoreError) -> [Answer] {
        var answers: [Answer] = []
        var rest: [Entry] = []
        for entry in group.entries {
            if let lost = entry.write.fences.first(where: { !held.contains($0) }) {
                answers.append((entry.waiter, .fenced(lost.lease)))
            } else {
                rest.append(entry)
            }
        }
        guard !answers.isEmpty else { return self.refused(group, .again, error) }
        if !rest.isEmpty { self.repeated.prepend(Group(entries: rest, failures: group.failures)) }
        return answers
    }
}
