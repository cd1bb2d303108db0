// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore

/// How many checkpoints were acknowledged as durable, and with how many commits.
struct SettleFigures {
    var acknowledgements = 0
    var commits = 0
}

/// Saves one checkpoint after the other from each of `writers` tasks for a time, in a store at `path`.
///
/// The goal it measures is a ratio: acknowledgements a second over fdatasyncs a second of the same disk.
func settleBenchmark(path: String, writers: Int, duration: Duration) async throws -> SettleFigures {
    let store = try SQLiteStore.open(path: path)
    let before = store.commits
    let clock = ContinuousClock()
    let end = clock.now + duration
    var figures = SettleFigures()
    figures.acknowledgements = try await withThrowingTaskGroup { group in
        for writer in 0..<writers {
            group.addTask { @concurrent in
                var offset: UInt64 = 0
                while clock.now < end {
                    offset += 1
                    let position = Position(offset)
                    try await store.save([
                        Checkpoint(trigger: "bench", partition: "orders-\(writer)", position: position)
                    ])
                }
                return Int(offset)
            }
        }
        return try await group.reduce(0, +)
    }
    figures.commits = store.commits - before
    await store.close()
    return figures
}
