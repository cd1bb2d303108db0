// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import ServiceLifecycle
import Testing

@Suite(.timeLimit(.minutes(5)))
struct SupervisorTests {
    private let good = ScriptedWorld()
    private let bad = ScriptedWorld()

    private func plan(drain: String = "5s", batch: String = "{ size: 2, window: 0s }") -> String {
        """
        drain_timeout: \(drain)
        functions:
          f: { scripted: { world: \(self.good.name) } }
        triggers:
          bad: { source: { scripted: { world: \(self.bad.name) } }, function: f, batch: \(batch) }
          good: { source: { scripted: { world: \(self.good.name) } }, function: f, batch: \(batch) }
        """
    }

    @Test("Checkpoints that a source needs no more are removed, and all others stay")
    func forgotten() async throws {
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.good.wait(for: "source started")
            self.good.deliver("p", 0..<2)
            self.good.deliver("q", 0..<2)
            await self.good.wait(for: "committed p@1")
            await self.good.wait(for: "committed q@1")
            fixture.store.refuse(StoreError(.diskFull, "the disk is full"))
            self.good.tell(.forgotten(["q"]))
            self.good.tell(.gap(SourceGap(partition: "q", detail: "seen behind it")))
            while await fixture.supervisor.snapshot(of: "good")?.figures.gaps != 1 { await Task.yield() }
            fixture.store.refuse(nil)
            self.good.tell(.ended([PartitionID(1)]))
            self.good.tell(.forgotten(["p"]))
            while try await fixture.store.checkpoints(of: "good")["p"] != nil { await Task.yield() }
            #expect(try await fixture.store.checkpoints(of: "good") == ["q": Position(1)])
        }
    }

    @Test("Gaps are kept over a trigger's restart, the newest first")
    func gaps() async throws {
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.good.wait(for: "source started")
            let tell = { (detail: String) in
                self.good.tell(.gap(SourceGap(partition: "p", detail: detail)))
            }
            let wait = { (count: UInt64) -> TriggerSnapshot? in
                while true {
                    let snapshot = await fixture.supervisor.snapshot(of: "good")
                    if snapshot?.figures.gaps == count { return snapshot }
                    await Task.yield()
                }
            }
            tell("one")
            _ = await wait(1)
            self.good.endSource()
            await self.good.wait(for: "source started", count: 2)
            tell("two")
            let gaps = try #require(await wait(2)).gaps
            #expect(gaps.map(\.detail) == ["two", "one"] && gaps.allSatisfy { $0.partition == "p" })
        }
    }

    @Test("A trigger that fails is started again, says why, and leaves its neighbour alone")
    func restarts() async throws {
        self.bad.refuseStart(SourceError(.notFound, "the topic \"t\" does not exist; create it"))
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.bad.wait(for: "source refused", count: 2)
            self.good.deliver("p", 0..<2)
            await self.good.wait(for: "committed p@1")
            let failed = try #require(await fixture.supervisor.snapshot(of: "bad"))
            #expect(failed.state == .failed)
            #expect(failed.detail == "the topic \"t\" does not exist; create it")
            #expect(failed.restarts >= 1)
            self.bad.refuseStart(nil)
            await self.bad.wait(for: "source started")
            self.bad.deliver("q", 0..<1)
            await self.bad.wait(for: "committed q@0")
            #expect(await fixture.state("bad") == .running)
            #expect(self.good.count("source stopped") == 0)
        }
        #expect(self.good.events.last == "f shut down")
        #expect(self.good.count("source stopped") == 1 && self.bad.events.last == "source stopped")
    }

    @Test("A stop takes nothing new, lets invocations finish, commits them, and closes functions last")
    func twoPhases() async throws {
        let (invoked, release) = (Latch(), Latch())
        self.good.answer { _, _ in
            invoked.open()
            await release.wait()
            return .responded(Array("{}".utf8))
        }
        try await SupervisorFixture.run(self.plan(batch: "{ size: 1, window: 0s }")) { fixture in
            await self.good.wait(for: "source started")
            self.good.deliver("p", 0..<3)
            await invoked.wait()
            await fixture.group.triggerGracefulShutdown()
            await self.bad.wait(for: "source stopped")
            #expect(await fixture.state("good") == .stopping)
            #expect(self.good.count("source stopped") == 0)
            release.open()
            await self.good.wait(for: "source stopped")
            let last = try #require(await fixture.supervisor.snapshot(of: "good"))
            #expect(
                last.counters.succeeded == 1 && last.counters.released == 2 && last.counters.inFlight == 0
            )
            #expect(last.counters.isConserved)
        }
        let tail = self.good.events.suffix(5)
        #expect(
            tail == ["invoked f p@0", "f admits nothing", "committed p@0", "source stopped", "f shut down"]
        )
    }

    @Test("A stop does not begin what waits for room in its function, and gives its records back at once")
    func waitsForRoom() async throws {
        let (world, waits) = (self.good, Latch())
        world.answer { _, _ in
            waits.open()
            // There is never any.
            await world.wait(for: "f admits nothing")
            return .stopping
        }
        try await SupervisorFixture.run(self.plan(drain: "1h", batch: "{ size: 1, window: 0s }")) { fixture in
            await world.wait(for: "source started")
            world.deliver("p", 0..<3)
            await waits.wait()
            await fixture.group.triggerGracefulShutdown()
            await world.wait(for: "source stopped")
            let last = try #require(await fixture.supervisor.snapshot(of: "good"))
            #expect(last.counters.released == 3 && last.counters.failures == 0 && last.counters.isConserved)
        }
        #expect(world.count("committed") == 0)
    }

    @Test(
        "Invocations that do not end within drain_timeout are given up, and their records are not committed"
    )
    func drainLimit() async throws {
        let (invoked, release) = (Latch(), Latch())
        self.good.answer { _, _ in
            invoked.open()
            await release.wait()
            return .responded(Array("{}".utf8))
        }
        try await SupervisorFixture.run(self.plan(drain: "0s")) { fixture in
            await self.good.wait(for: "source started")
            self.good.deliver("p", 0..<2)
            await invoked.wait()
            await fixture.group.triggerGracefulShutdown()
            await self.good.wait(for: "source stopped")
            let last = try #require(await fixture.supervisor.snapshot(of: "good"))
            #expect(last.counters.released == 2 && last.counters.isConserved)
            release.open()
        }
        #expect(self.good.count("committed") == 0)
    }

    @Test(
        "While the store refuses, the trigger is blocked and says so, and nothing is committed; then it goes on"
    )
    func storeFailure() async throws {
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.good.wait(for: "source started")
            fixture.store.refuse(StoreError(.diskFull, "the disk is full; free some space"))
            self.good.deliver("p", 0..<2)
            await self.good.wait(for: "invoked f p@0 p@1")
            while await fixture.state("good") != .blocked { await Task.yield() }
            #expect(
                await fixture.supervisor.snapshot(of: "good")?.detail == "the disk is full; free some space"
            )
            #expect(self.good.count("committed") == 0)
            self.good.deliver("p", 2..<4)
            fixture.store.refuse(nil)
            await self.good.wait(for: "committed p@3")
            #expect(await fixture.state("good") == .running)
        }
    }

    @Test("A pause is remembered, holds invocations back, and ends")
    func pauses() async throws {
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.good.wait(for: "source started")
            let isKnown = try await fixture.supervisor.setPaused(true, trigger: "good")
            let isUnknown = try await !fixture.supervisor.setPaused(true, trigger: "nobody")
            #expect(isKnown && isUnknown)
            self.good.deliver("p", 0..<2)
            #expect(await fixture.state("good") == .paused)
            #expect(try await fixture.store.pausedTriggers() == ["good"])
            #expect(self.good.count("invoked") == 0)
            #expect(try await fixture.supervisor.setPaused(false, trigger: "good"))
            await self.good.wait(for: "committed p@1")
            #expect(try await fixture.store.pausedTriggers().isEmpty)
        }
    }

    @Test("A store that cannot be read lets nothing start")
    func unreadableStore() async throws {
        let store = try SQLiteStore.open(path: "/tmp/penstock-\(UInt64.random(in: 0...UInt64.max)).db")
        await store.close()
        let reactor = try TestReactor()
        await #expect(throws: StoreError.self) {
            _ = try await Supervisor(
                plan: try ScriptedPlan.read(self.plan()),
                store: store,
                context: RuntimeContext(reactor: reactor.reactor, logger: SupervisorFixture.quiet)
            )
        }
        #expect(self.good.count("source started") == 0)
    }
}
