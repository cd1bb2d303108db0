// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Testing

/// A journal in a real store, as a source.
@Suite(.timeLimit(.minutes(5)))
struct JournalSourceConformanceTests {
    @Test(
        "The journal source keeps the contract",
        arguments: SourceConformance.checks.filter { !$0.needsRebalance }
    )
    func conforms(check: SourceConformance.Check) async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).db")
        defer { try? FileManager.default.removeItem(at: file) }
        let store = try SQLiteStore.open(path: file.path)
        let reactor = try TestReactor()
        let upstream = SourceConformance.Upstream(loop: reactor.reactor, partitions: ["journal"]) {
            JournalSource(
                journal: "orders",
                partition: Partition(id: PartitionID(1), name: "journal"),
                format: LineFormat(),
                store: store,
                feed: ScriptedFeed(count: check.records),
                loop: reactor.reactor
            )
        }
        try await check.run(upstream)
        await store.close()
    }
}
