// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Testing

@testable import ScheduleConnector

/// A schedule whose fires were missed, as a source: all of them are due at once.
@Suite(.timeLimit(.minutes(5)))
struct ScheduleSourceConformanceTests {
    private static let trigger = "nightly"

    /// Fires each minute, so many times, beginning so long ago.
    private static func configuration(
        fires: Int,
        from start: Timestamp
    ) throws -> ScheduleConfiguration {
        let end = Timestamp(milliseconds: start.milliseconds + Int64(fires) * 60_000)
        let result = ConfigurationLoader.process.parse(
            """
            expression: "* * * * *"
            catch_up: all
            start: \(start.configurationText)
            end: \(end.configurationText)
            """,
            file: "t.yaml"
        ).read(ScheduleConfiguration.self)
        return try #require(result.value, "\(result.findings)")
    }

    @Test(
        "A schedule keeps the contract of sources",
        arguments: SourceConformance.checks.filter { !$0.needsRebalance }
    )
    func conforms(check: SourceConformance.Check) async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).db")
        defer { try? FileManager.default.removeItem(at: file) }
        let store = try SQLiteStore.open(path: file.path)
        let reactor = try Reactor()
        defer { reactor.stop() }
        // Half a minute past a full one, so that `end` is none of the times.
        let minute = reactor.wallNow.milliseconds / 60_000 - 600
        let start = Timestamp(milliseconds: minute * 60_000 + 30_000)
        let configuration = try Self.configuration(fires: check.records, from: start)
        // As a run has left it that ended before the first time.
        let planner = SchedulePlanner(
            configuration.expression,
            in: configuration.zone,
            gapRule: configuration.gapRule,
            policy: configuration.policy,
            mark: nil,
            now: start.milliseconds
        )
        try await store.append([], to: Self.trigger, mark: planner.mark)
        let partition = Partition(id: PartitionID(1), name: ScheduleConnector.partitionName)
        let upstream = SourceConformance.Upstream(loop: reactor, partitions: [partition.name]) {
            JournalSource(
                journal: Self.trigger,
                partition: partition,
                format: ScheduleEventFormat(),
                store: store,
                feed: ScheduleFeed(configuration, trigger: Self.trigger),
                loop: reactor
            )
        }
        try await check.run(upstream)
        await store.close()
    }
}
