// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Testing

/// Seeks of a trigger: drained, moved in the store and upstream, and started again.
@Suite(.timeLimit(.minutes(5)))
struct SeekTests {
    private let world = ScriptedWorld()

    private func plan(label: String = "seekable", failure: String = "{}") -> String {
        """
        functions: { f: { scripted: { world: \(self.world.name) } } }
        triggers:
          orders:
            source: { scripted: { world: \(self.world.name), label: \(label) } }
            function: f
            batch: { size: 2, window: 0s }
            failure: \(failure)
        """
    }

    private func refusal(_ fixture: SupervisorFixture, _ order: SeekOrder) async -> SeekError? {
        do throws(SeekError) {
            _ = try await fixture.supervisor.seek(order, trigger: "orders", isTrial: false)
            return nil
        } catch {
            return error
        }
    }

    @Test(
        "What can be said of a position is read, and nothing else",
        arguments: [
            ("earliest", SeekOrder.Target.earliest), ("latest", .latest),
            ("2h", .time(Timestamp(milliseconds: 1_000_000))),
            ("0s", .time(Timestamp(milliseconds: 8_200_000))),
            ("100d", .time(Timestamp(milliseconds: 0))),
            ("1970-01-01T01:00:01+01:00", .time(Timestamp(milliseconds: 1000))),
            ("position:42", .position("42")), ("position:0/1A", .position("0/1A")),
        ] as [(String, SeekOrder.Target)]
    )
    func targets(text: String, target: SeekOrder.Target) {
        #expect(SeekOrder.Target(text, now: Timestamp(milliseconds: 8_200_000)) == target)
    }

    @Test(
        "Anything else is no position",
        arguments: [
            "", "Earliest", "end", "position:", "position", "2", "-2h", "2 h", "2026-11-20", "42",
            "2026-11-20T13:00:00",
        ]
    )
    func noTargets(text: String) {
        #expect(SeekOrder.Target(text, now: Timestamp(milliseconds: 8_200_000)) == nil)
    }

    @Test(
        "What is in flight ends and is committed, then the checkpoints are replaced, and reading goes on there"
    )
    func drains() async throws {
        let (invoked, release) = (Latch(), Latch())
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<2)
            self.world.deliver("q", 0..<2)
            await self.world.wait(for: "committed p@1")
            await self.world.wait(for: "committed q@1")
            self.world.answer { _, _ in
                invoked.open()
                await release.wait()
                return .responded([])
            }
            self.world.deliver("p", 2..<6)
            await invoked.wait()
            async let seek = fixture.supervisor.seek(
                SeekOrder(.position("1"), partitions: ["p"]),
                trigger: "orders",
                isTrial: false
            )
            while await fixture.state("orders") != .stopping { await Task.yield() }
            #expect(self.world.count("follows") == 0)
            release.open()
            let report = try #require(try await seek)
            let move = SeekMove(partition: "p", from: nil, to: "1", checkpoint: Position(0))
            #expect(report == SeekReport(moves: [move]))
            #expect(
                try await fixture.store.checkpoints(of: "orders") == ["p": Position(0), "q": Position(1)]
            )
            await self.world.wait(for: "source started", count: 2)
            #expect(self.world.starts.last == ["p": Position(0), "q": Position(1)])
            let order = [
                "committed p@3", "asked for moves", "follows to p@1", "source stopped", "source started",
            ]
            #expect(self.world.events.suffix(5) == order[...])
            self.world.deliver("p", 1..<3)
            await self.world.wait(for: "committed p@2")
            let snapshot = try #require(await fixture.supervisor.snapshot(of: "orders"))
            #expect(snapshot.state == .running && snapshot.restarts == 0 && snapshot.detail == nil)
            #expect(snapshot.counters.isConserved && snapshot.counters.released == 2)
            #expect(try await fixture.store.checkpoints(of: "orders")["p"] == Position(2))
        }
    }

    @Test("At the very beginning there is no checkpoint, and its window is gone, too")
    func beginning() async throws {
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<2)
            await self.world.wait(for: "committed p@1")
            _ = try await fixture.supervisor.seek(SeekOrder(.earliest), trigger: "orders", isTrial: false)
            #expect(try await fixture.store.checkpoints(of: "orders") == [:])
            await self.world.wait(for: "source started", count: 2)
            #expect(self.world.starts.last == [:])
        }
    }

    @Test("A trial tells the moves and changes nothing; the trigger is not even drained")
    func trial() async throws {
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<2)
            await self.world.wait(for: "committed p@1")
            let seek = SeekOrder(.latest)
            let report = try await fixture.supervisor.seek(seek, trigger: "orders", isTrial: true)
            #expect(report?.moves.map(\.to) == ["100"])
            let nobody = try await fixture.supervisor.seek(seek, trigger: "nobody", isTrial: true)
            #expect(nobody == nil)
            #expect(try await fixture.store.checkpoints(of: "orders") == ["p": Position(1)])
            #expect(self.world.count("source stopped") == 0 && self.world.count("follows") == 0)
        }
    }

    @Test("A paused trigger stays paused")
    func paused() async throws {
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<2)
            await self.world.wait(for: "committed p@1")
            _ = try await fixture.supervisor.setPaused(true, trigger: "orders")
            _ = try await fixture.supervisor.seek(SeekOrder(.latest), trigger: "orders", isTrial: false)
            await self.world.wait(for: "source started", count: 2)
            self.world.deliver("p", 100..<102)
            #expect(await fixture.state("orders") == .paused)
            #expect(self.world.count("invoked") == 1)
            _ = try await fixture.supervisor.setPaused(false, trigger: "orders")
            await self.world.wait(for: "committed p@101")
        }
    }

    @Test("A record that blocks its partition is left behind, with its attempts")
    func blocked() async throws {
        self.world.answer { _, records in
            records.contains("p@0") ? .failed(Failure(type: "Poison", message: "not ever")) : .responded([])
        }
        let failure = "{ retries: unlimited, backoff: { initial: 1ms, max: 1ms } }"
        try await SupervisorFixture.run(self.plan(failure: failure)) { fixture in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<1)
            await self.world.wait(for: "invoked f p@0", count: 5)
            _ = try await fixture.supervisor.seek(SeekOrder(.latest), trigger: "orders", isTrial: false)
            await self.world.wait(for: "source started", count: 2)
            let count = self.world.count("invoked f p@0")
            self.world.deliver("p", 100..<101)
            await self.world.wait(for: "committed p@100")
            #expect(self.world.count("invoked f p@0") == count)
            let snapshot = try #require(await fixture.supervisor.snapshot(of: "orders"))
            #expect(snapshot.blocked.isEmpty && snapshot.counters.isConserved)
        }
    }

    @Test("When upstream does not follow, the store is as it was, and the trigger goes on where it was")
    func upstreamRefuses() async throws {
        var refusals = ScriptedWorld.SeekRefusals()
        refusals.follow = SourceError(.rejected, "no broker took it")
        self.world.refuseSeeks(refusals)
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<2)
            await self.world.wait(for: "committed p@1")
            // Of an open window, which is put back, too.
            var window = KeptWindow(position: Position(8), closed: Position(5))
            let span = WindowSpan(holding: Timestamp(milliseconds: 12_345), length: .seconds(10))
            window.open = OpenWindow(span)
            let kept = Checkpoint(trigger: "orders", partition: "w", position: Position(5), window: window)
            try await fixture.store.save([kept])
            let order = SeekOrder(.latest, partitions: ["p", "new", "w"])
            let error = await self.refusal(fixture, order)
            #expect(error == SeekError(.upstream, "nothing has moved: no broker took it"))
            await self.world.wait(for: "source started", count: 2)
            let before = ["p": Position(1), "w": Position(5)]
            #expect(self.world.starts.last == before)
            #expect(try await fixture.store.checkpoints(of: "orders") == before)
            #expect(try await fixture.store.windows(of: "orders") == ["w": window])
            refusals.follow = SourceError(.unreachable, "no broker answered")
            self.world.refuseSeeks(refusals)
            let unknown = await self.refusal(fixture, order)
            #expect(unknown?.code == .upstream)
            let words = "it is not known whether upstream has moved: no broker answered; look at "
            #expect(unknown?.detail.hasPrefix(words) == true)
            #expect(try await fixture.store.checkpoints(of: "orders") == before)
        }
    }

    @Test("A partition that is lost on the way is told, and its checkpoint is as it was")
    func lost() async throws {
        var refusals = ScriptedWorld.SeekRefusals()
        refusals.lost = ["q"]
        self.world.refuseSeeks(refusals)
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<2)
            self.world.deliver("q", 0..<2)
            await self.world.wait(for: "committed p@1")
            await self.world.wait(for: "committed q@1")
            let seek = SeekOrder(.latest)
            let report = try await fixture.supervisor.seek(seek, trigger: "orders", isTrial: false)
            #expect(report?.moves.map(\.partition) == ["p"] && report?.lost == ["q"])
            #expect(
                try await fixture.store.checkpoints(of: "orders") == ["p": Position(99), "q": Position(1)]
            )
        }
    }

    @Test("A store that refuses moves nothing, and upstream is not told")
    func storeRefuses() async throws {
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<2)
            await self.world.wait(for: "committed p@1")
            fixture.store.refuse(StoreError(.diskFull, "the disk is full; free some space"))
            let error = await self.refusal(fixture, SeekOrder(.latest))
            #expect(error == SeekError(.store, "nothing has moved: the disk is full; free some space"))
            #expect(self.world.count("follows") == 0)
            fixture.store.refuse(nil)
            await self.world.wait(for: "source started", count: 2)
            #expect(self.world.starts.last == ["p": Position(1)])
        }
    }

    @Test("What the source refuses is refused before anything is drained")
    func sourceRefuses() async throws {
        var refusals = ScriptedWorld.SeekRefusals()
        refusals.moves = SeekError(.badPosition, "there is no such offset")
        self.world.refuseSeeks(refusals)
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.world.wait(for: "source started")
            #expect(await self.refusal(fixture, SeekOrder(.latest)) == refusals.moves)
            #expect(self.world.count("source stopped") == 0)
        }
    }

    @Test("A second seek at once is refused")
    func busy() async throws {
        let (invoked, release) = (Latch(), Latch())
        self.world.answer { _, _ in
            invoked.open()
            await release.wait()
            return .responded([])
        }
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.world.wait(for: "source started")
            self.world.deliver("p", 0..<2)
            await invoked.wait()
            async let first = self.refusal(fixture, SeekOrder(.earliest))
            while await fixture.state("orders") != .stopping { await Task.yield() }
            let second = await self.refusal(fixture, SeekOrder(.earliest))
            release.open()
            let codes = await [first?.code, second?.code]
            #expect(codes == [nil, .busy])
        }
    }

    @Test("A source that cannot seek says why, and what to do")
    func cannot() async throws {
        try await SupervisorFixture.run(self.plan(label: "fixed")) { fixture in
            await self.world.wait(for: "source started")
            let error = await self.refusal(fixture, SeekOrder(.earliest))
            let text = "trigger \"orders\" cannot seek: its source has no way back to what was settled"
            #expect(error == SeekError(.cannotSeek, text))
        }
    }

    @Test("A trigger whose source does not start is not running, and says why")
    func notRunning() async throws {
        self.world.refuseStart(SourceError(.notFound, "the topic is not there"))
        try await SupervisorFixture.run(self.plan()) { fixture in
            await self.world.wait(for: "source refused")
            while await fixture.state("orders") != .failed { await Task.yield() }
            let error = await self.refusal(fixture, SeekOrder(.earliest))
            #expect(error?.code == .notRunning)
            #expect(
                error?.detail.contains("is failed (the topic is not there)") == true,
                "\(String(describing: error))"
            )
        }
    }
}
