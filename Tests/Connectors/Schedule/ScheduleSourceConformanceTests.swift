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

    /// As many schedules as records, all of which were missed at one time.
    @Test(
        "Many schedules keep the contract of sources",
        arguments: SourceConformance.checks.filter { !$0.needsRebalance },
        ["skip", "allow"]
    )
    func manyConform(check: SourceConformance.Check, overlap: String) async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).db")
        defer { try? FileManager.default.removeItem(at: file) }
        let store = try SQLiteStore.open(path: file.path)
        let reactor = try Reactor()
        defer { reactor.stop() }
        let start = Timestamp(milliseconds: (reactor.wallNow.milliseconds / 1000 - 600) * 1000)
        let end = Timestamp(milliseconds: start.milliseconds + 30_000)
        let entries = (0..<check.records).map { "  - { name: n\($0), expression: \"@every 1h\" }" }
        let result = ConfigurationLoader.process.parse(
            """
            catch_up: all
            overlap: \(overlap)
            start: \(start.configurationText)
            end: \(end.configurationText)
            schedules:
            \(entries.joined(separator: "\n"))
            """,
            file: "t.yaml"
        ).read(ScheduleConfiguration.self)
        let configuration = try #require(result.value, "\(result.findings)")
        let set = try #require(configuration.set)
        // As a run has left it that ended before the first time.
        let past = ScheduleSetFeed(set, configuration, trigger: Self.trigger)
        let before = Timestamp(milliseconds: start.milliseconds - 5000)
        past.begin(JournalPast(mark: nil), now: before)
        let first = try #require(past.due(now: before, waiting: 0))
        try await store.append(first.write, to: Self.trigger)
        let partition = Partition(id: PartitionID(1), name: ScheduleConnector.partitionName)
        let upstream = SourceConformance.Upstream(loop: reactor, partitions: [partition.name]) {
            JournalSource(
                journal: Self.trigger,
                partition: partition,
                format: ScheduleEventFormat(),
                store: store,
                feed: ScheduleSetFeed(set, configuration, trigger: Self.trigger),
                loop: reactor
            )
        }
        try await check.run(upstream)
        await store.close()
    }
}
