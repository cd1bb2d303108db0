// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Testing

/// What pipelines that run really count, as the admin API tells it.
@Suite(.timeLimit(.minutes(5)))
struct RunningPlanTests {
    private let world = ScriptedWorld()

    private var plan: String {
        """
        functions: { f: { scripted: { world: \(self.world.name) } } }
        triggers:
          orders:
            source: { scripted: { world: \(self.world.name) } }
            function: f
            batch: { size: 1, window: 0s }
            failure: { retries: unlimited, backoff: { initial: 1ms, max: 1ms }, blocked_after: 1s }
        """
    }

    /// Serves the API before a supervisor that runs the plan.
    private func run(_ body: (AdminFixture) async throws -> Void) async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).db")
        defer { try? FileManager.default.removeItem(at: file) }
        let reactor = try Reactor()
        defer { reactor.stop() }
        let store = try SQLiteStore.open(path: file.path)
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let supervisor = try await Supervisor(
            plan: try ScriptedPlan.read(self.plan),
            store: store,
            context: RuntimeContext(reactor: reactor, logger: logger)
        )
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await supervisor.run() }
            await self.world.wait(for: "source started")
            try await AdminFixture.serve(operations: RunningPlan(supervisor), body)
            tasks.cancelAll()
            // A supervisor that is cancelled has nothing more to say.
            try? await tasks.waitForAll()
        }
        await store.close()
    }

    /// Scrapes until a metric of the trigger has a value.
    private func wait(_ admin: AdminFixture, for metric: String, _ value: Double) async throws {
        var last: Double?
        repeat {
            try Task.checkCancellation()
            let scrape = try MetricsTests.Scrape(try await admin.get("/metrics").text)
            last = scrape.value("penstock_\(metric)", ["trigger": "orders"])
        } while last != value
    }

    @Test("A change of ownership, a gap and a retry are counted as the source and the function tell them")
    func figures() async throws {
        let (world, once) = (self.world, Latch())
        world.answer { _, _ in
            defer { once.open() }
            return once.isOpen ? .responded([]) : .failed(Failure(type: "Busy", message: "not now"))
        }
        try await self.run { admin in
            world.deliver("p", 0..<2)
            await world.wait(for: "committed p@1")
            try await self.wait(admin, for: "retries_total", 1)
            try await self.wait(admin, for: "rebalances_total", 1)
            try await self.wait(admin, for: "gap_detected_total", 0)
            world.tell(.gap(SourceGap(partition: "p", detail: "offset 2 is gone; going on at 9")))
            try await self.wait(admin, for: "gap_detected_total", 1)
            let trigger = try await admin.get("/api/v1/triggers/orders").json()
            let detail = "records are missing upstream: p: offset 2 is gone; going on at 9"
            #expect(trigger["detail"]?.stringValue == detail)
            for number in 3..<33 { world.tell(.gap(SourceGap(partition: "p", detail: "\(number) is gone"))) }
            try await self.wait(admin, for: "gap_detected_total", 31)
            let shown = try await admin.get("/api/v1/triggers/orders").json()
            #expect(shown["gaps"]?.integerValue == 31)
            let latest = try #require(shown["latest_gaps"]?.arrayValue)
            #expect(latest.map { $0["detail"]?.stringValue } == (13..<33).reversed().map { "\($0) is gone" })
            #expect(latest.allSatisfy { $0["partition"]?.stringValue == "p" })
            #expect(latest.allSatisfy { $0["at"]?.stringValue?.hasPrefix("20") == true })
            world.deliver("q", 0..<1)
            let ids = [PartitionID(1), PartitionID(2)]
            world.tell(.revoking(Revocation(id: RevocationID(7), partitions: [ids[0]], within: .seconds(5))))
            await world.wait(for: "revoked")
            world.tell(.lost([ids[1]]))
            try await self.wait(admin, for: "rebalances_total", 4)
            try await self.wait(admin, for: "partitions_owned", 0)
        }
    }

    @Test("A partition that stands still for blocked_after is overdue for readiness, metrics and people")
    func overdue() async throws {
        let (world, mended) = (self.world, Latch())
        world.answer { _, _ in
            mended.isOpen ? .responded([]) : .failed(Failure(type: "Broken", message: "not ever"))
        }
        try await self.run { admin in
            world.deliver("p", 0..<1)
            try await self.wait(admin, for: "blocked_partitions", 1)
            try await self.wait(admin, for: "overdue_partitions", 1)
            let ready = try await admin.get("/readyz")
            #expect(ready.status == 503)
            #expect(ready.text.contains("p has not advanced since "), "\(ready.text)")
            #expect(ready.text.contains("attempts at its first record failed"), "\(ready.text)")
            let trigger = try await admin.get("/api/v1/triggers/orders").json()
            #expect(trigger["state"]?.stringValue == "running")
            #expect(trigger["detail"]?.stringValue?.hasPrefix("p has not advanced since ") == true)
            let blocked = try #require(trigger["blocked_partitions"]?.arrayValue?.first)
            #expect(blocked["overdue"] == .boolean(true) && blocked["refused"] == .boolean(false))
            mended.open()
            await world.wait(for: "committed p@0")
            try await self.wait(admin, for: "overdue_partitions", 0)
            #expect(try await admin.get("/readyz").status == 200)
        }
    }
}
