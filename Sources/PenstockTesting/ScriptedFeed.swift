// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockRuntime
import PenstockStore
import Synchronization

/// A feed of a journal with so many events, all due at once, and once.
package final class ScriptedFeed: JournalFeed {
    private static let mark = "all"

    private let count: Int
    private let isDone = Mutex(false)

    /// A feed of events of one size.
    package init(count: Int) {
        self.count = count
    }

    package func begin(_ past: JournalPast, now: Timestamp) {
        self.isDone.withLock { $0 = past.mark == Self.mark }
    }

    package func due(now: Timestamp, waiting: Int) -> JournalIntake? {
        let isDone = self.isDone.withLock { isDone in
            defer { isDone = true }
            return isDone
        }
        guard !isDone else { return nil }
        let entries = (0..<self.count).map { number in
            JournalEntry(key: "event-\(10_000 + number)", timestamp: now, body: Array("{}".utf8))
        }
        return JournalIntake(entries: entries, mark: Self.mark)
    }

    package func next() -> Timestamp? { nil }
}
