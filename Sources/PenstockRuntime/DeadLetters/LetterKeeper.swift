// SPDX-License-Identifier: Apache-2.0

package import Logging
import PenstockCore
package import PenstockStore
package import Reactor

/// Keeps the dead letters of a store within their ``LetterRetention``: looks once a minute, warns, and drops the oldest
/// in small transactions.
///
/// Nothing is dropped that an earlier look has not warned of: so nothing in the first minute after a start.
package actor LetterKeeper {
    private nonisolated let loop: any EventLoop
    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.loop.asUnownedSerialExecutor()
    }

    /// The limits.
    package nonisolated let retention: LetterRetention

    private let store: any StateStore
    private let logger: Logger
    private var hasWarned = false
    private var hasFailed = false
    private var isStopping = false
    private var pause: LoopPause?

    /// Letters dropped so far, by trigger.
    package private(set) var dropped: [String: UInt64] = [:]

    /// What the last look warned of; nil for nothing.
    package private(set) var warning: String?

    /// Letters in one transaction at most.
    package static let droppedTogether = 256

    private static let interval = Duration.seconds(60)

    /// A keeper of the letters of `store`.
    package init(_ store: any StateStore, _ retention: LetterRetention, loop: any EventLoop, logger: Logger) {
        self.store = store
        self.retention = retention
        self.loop = loop
        self.logger = logger
    }

    /// Looks now and once a minute, until ``stop()`` or until the task is cancelled.
    package func run() async {
        guard self.retention.isLimited else { return }
        while !self.isStopping, !Task.isCancelled {
            await self.look()
            guard !self.isStopping else { return }
            let pause = LoopPause()
            self.pause = pause
            await pause.wait(until: self.loop.now + Self.interval, on: self.loop)
            self.pause = nil
        }
    }

    /// Ends ``run()`` soon.
    package func stop() {
        self.isStopping = true
        self.pause?.end()
    }

    /// Looks at the letters once: warns, and drops what an earlier look has warned of.
    package func look() async {
        do throws(StoreError) {
            var letters = try await self.store.countDeadLetters(matching: DeadLetterQuery())
            if self.hasWarned {
                let count = try await self.dropOldest(bytes: letters.bytes)
                if count > 0 {
                    letters = try await self.store.countDeadLetters(matching: DeadLetterQuery())
                    self.logger.warning(
                        "dead letters dropped, the oldest first",
                        metadata: [
                            "count": "\(count)", "left": "\(letters.count)", "bytes": "\(letters.bytes)",
                        ]
                    )
                }
            }
            self.warning = self.retention.warning(letters, now: self.loop.wallNow)
            if let warning = self.warning, !self.hasWarned {
                self.logger.warning("dead letters will be dropped", metadata: ["detail": "\(warning)"])
            }
            self.hasWarned = self.warning != nil
            self.hasFailed = false
        } catch {
            if !self.hasFailed {
                self.logger.error("dead letters cannot be looked at", metadata: ["error": "\(error)"])
            }
            self.hasFailed = true
        }
    }

    /// Drops what is beyond the limits; returns how many letters that were.
    private func dropOldest(bytes: Int) async throws(StoreError) -> Int {
        var (bytes, count) = (bytes, 0)
        while !self.isStopping {
            let oldest = try await self.store.oldestDeadLetters(limit: Self.droppedTogether)
            let excess = oldest.prefix(
                self.retention.excess(of: oldest, bytes: bytes, now: self.loop.wallNow)
            )
            for (trigger, letters) in Dictionary(grouping: excess, by: \.trigger) {
                let removed = try await self.store.removeDeadLetters(letters.map(\.id))
                self.dropped[trigger, default: 0] += UInt64(removed)
                count += removed
            }
            bytes -= excess.reduce(0) { $0 + $1.bytes }
            guard excess.count == Self.droppedTogether else { break }
        }
        return count
    }
}
