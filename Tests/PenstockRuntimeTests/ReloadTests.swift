// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockTesting
import ServiceLifecycle
import Testing

/// Changing to another plan while the first one runs.
@Suite(.timeLimit(.minutes(5)))
struct ReloadTests {
    private let kept = ScriptedWorld()
    private let moved = ScriptedWorld()

    private func plan(
        functionLabel: String = "one",
        size: Int = 2,
        more: String = "",
        settings: String = ""
    ) throws -> Plan {
        try ScriptedPlan.read(self.text(functionLabel, size, more, settings))
    }

    private func text(
        _ functionLabel: String = "one",
        _ size: Int = 2,
        _ more: String = "",
        _ settings: String = ""
    ) -> String {
        """
        \(settings)
        functions:
          f: { scripted: { world: \(self.kept.name) } }
          g: { scripted: { world: \(self.moved.name), label: \(functionLabel) } }
        triggers:
          kept:
            source: { scripted: { world: \(self.kept.name) } }
            function: f
            batch: { size: 2, window: 0s }
          moved:
            source: { scripted: { world: \(self.moved.name) } }
            function: g
            batch: { size: \(size), window: 0s }
            on_failure: { scripted: { world: \(self.moved.name) } }
        \(more)
        """
    }

    @Test("The same plan again changes nothing, however it is laid out")
    func same() async throws {
        try await SupervisorFixture.run(self.text()) { fixture in
            await self.kept.wait(for: "source started")
            await self.moved.wait(for: "source started")
            let changes = try #require(try await fixture.supervisor.apply(self.plan(more: "# a comment")))
            #expect(changes.isEmpty && "\(changes)" == "nothing")
            #expect(self.kept.count("source stopped") == 0 && self.moved.count("source stopped") == 0)
        }
    }

    @Test("A value that only looks like the same number is another one")
    func numbers() throws {
        let changes = PlanChanges(
            from: try self.plan(functionLabel: "1.10"),
            to: try self.plan(functionLabel: "1.1")
        )
        #expect("\(changes)" == "changed triggers moved; changed functions g")
    }

    @Test("A changed trigger is drained and started anew; the others go on with the source they have")
    func changedTrigger() async throws {
        try await SupervisorFixture.run(self.text()) { fixture in
            await self.kept.wait(for: "source started")
            await self.moved.wait(for: "source started")
            self.moved.deliver("p", 0..<2)
            await self.moved.wait(for: "committed p@1")
            let changes = try #require(try await fixture.supervisor.apply(self.plan(size: 1)))
            #expect("\(changes)" == "changed triggers moved")
            await self.moved.wait(for: "source started", count: 2)
            self.moved.deliver("p", 2..<4)
            await self.moved.wait(for: "committed p@3")
            #expect(self.moved.count("invoked g p@2") == 1 && self.moved.count("invoked g p@2 p@3") == 0)
            #expect(self.moved.count("destination closed") == 1)
            #expect(self.kept.count("source st") == 1, "started once, never stopped")
            let snapshot = try #require(await fixture.supervisor.snapshot(of: "moved"))
            #expect(snapshot.counters.succeeded == 4, "it goes on counting")
            #expect(await fixture.supervisor.generation == 2)
        }
        #expect(self.moved.events.suffix(3) == ["source stopped", "destination closed", "g shut down"])
    }

    @Test(
        "A changed function ends after the triggers that use it have drained, and they go on with the new one"
    )
    func changedFunction() async throws {
        try await SupervisorFixture.run(self.text()) { fixture in
            await self.moved.wait(for: "source started")
            let changes = try #require(try await fixture.supervisor.apply(self.plan(functionLabel: "two")))
            #expect("\(changes)" == "changed triggers moved; changed functions g")
            await self.moved.wait(for: "source started", count: 2)
            #expect(
                self.moved.events
                    == [
                        "g made", "source started", "g made", "source stopped", "destination closed",
                        "g shut down", "source started",
                    ]
                    || self.moved.events.sorted()
                        == [
                            "destination closed", "g made", "g made", "g shut down", "source started",
                            "source started", "source stopped",
                        ]
            )
        }
    }

    @Test("What is new begins, and what is gone ends, with its function")
    func addedAndRemoved() async throws {
        let added = ScriptedWorld()
        let only = """
            functions: { h: { scripted: { world: \(added.name) } } }
            triggers: { new: { source: { scripted: { world: \(added.name) } }, function: h } }
            """
        try await SupervisorFixture.run(self.text()) { fixture in
            await self.kept.wait(for: "source started")
            await self.moved.wait(for: "source started")
            let changes = try #require(try await fixture.supervisor.apply(try ScriptedPlan.read(only)))
            #expect(
                "\(changes)"
                    == "new triggers new; removed triggers kept, moved; new functions h; removed functions f, g"
            )
            await added.wait(for: "source started")
            #expect(await fixture.supervisor.snapshots().map(\.name) == ["new"])
            #expect(self.kept.events.suffix(2) == ["source stopped", "f shut down"])
            #expect(self.moved.events.last == "g shut down")
        }
        #expect(added.events.last == "h shut down")
    }

    @Test("A plan that cannot be made changes nothing")
    func refused() async throws {
        try await SupervisorFixture.run(self.text()) { fixture in
            await self.moved.wait(for: "source started")
            await #expect(throws: SourceError.self) {
                _ = try await fixture.supervisor.apply(try self.plan(functionLabel: "broken"))
            }
            #expect(await fixture.supervisor.generation == 1)
            self.moved.deliver("p", 0..<2)
            await self.moved.wait(for: "committed p@1")
            #expect(self.moved.count("source stopped") == 0)
            let again = try #require(try await fixture.supervisor.apply(try self.plan(functionLabel: "two")))
            #expect(again.functions.changed == ["g"], "the refused plan is not what is compared with")
        }
    }

    @Test("Of a plan that cannot be made, the functions made before the one that failed are shut down again")
    func madeForNothing() async throws {
        let broken = """
            functions:
              f: { scripted: { world: \(self.kept.name) } }
              first: { scripted: { world: \(self.moved.name) } }
              second: { scripted: { world: \(self.moved.name), label: broken } }
            """
        try await SupervisorFixture.run(self.text()) { fixture in
            await self.moved.wait(for: "source started")
            await #expect(throws: SourceError.self) {
                _ = try await fixture.supervisor.apply(try ScriptedPlan.read(broken))
            }
            #expect(self.moved.count("first made") == 1 && self.moved.count("first shut down") == 1)
            #expect(self.kept.count("f shut down") == 0)
        }
        let reactor = try TestReactor.shared()
        let context = RuntimeContext(reactor: reactor, logger: SupervisorFixture.quiet)
        await #expect(throws: SourceError.self) {
            _ = try await Supervisor(
                plan: try ScriptedPlan.read(broken),
                store: LetterShelf([]),
                context: context
            )
        }
        #expect(self.moved.count("first made") == 2 && self.moved.count("first shut down") == 2)
    }

    @Test("A pause that comes while another plan is applied reaches the trigger's new runner")
    func pausedMeanwhile() async throws {
        try await SupervisorFixture.run(self.text()) { fixture in
            await self.moved.wait(for: "source started")
            let (asked, release) = (Latch(), Latch())
            fixture.store.beforePause {
                asked.open()
                await release.wait()
            }
            async let isKnown = fixture.supervisor.setPaused(true, trigger: "moved")
            await asked.wait()
            _ = try await fixture.supervisor.apply(try self.plan(size: 1))
            await self.moved.wait(for: "source started", count: 2)
            release.open()
            #expect(try await isKnown)
            #expect(await fixture.state("moved") == .paused)
        }
    }

    @Test("A paused trigger stays paused through a change")
    func paused() async throws {
        try await SupervisorFixture.run(self.text()) { fixture in
            await self.moved.wait(for: "source started")
            _ = try await fixture.supervisor.setPaused(true, trigger: "moved")
            _ = try await fixture.supervisor.apply(try self.plan(size: 1))
            await self.moved.wait(for: "source started", count: 2)
            #expect(await fixture.state("moved") == .paused)
        }
    }

    @Test("State, admin API, limits of dead letters and drain timeout are said to take a restart, each time")
    func settings() async throws {
        let settings = """
            state: sqlite:other.db
            admin: { listen: 127.0.0.1:9 }
            dead_letters: { max_age: 14d }
            drain_timeout: 1s
            """
        try await SupervisorFixture.run(self.text()) { fixture in
            for _ in 0..<2 {
                let changes = try #require(try await fixture.supervisor.apply(self.plan(settings: settings)))
                #expect(changes.needingRestart == ["state", "admin", "dead_letters", "drain_timeout"])
                #expect(changes.triggers.isEmpty && changes.functions.isEmpty)
            }
            let back = try await fixture.supervisor.apply(self.plan())
            #expect(back?.isEmpty == true)
        }
    }

    @Test("A stop that comes at any moment of a change ends all there is", arguments: 0..<24)
    func stopAtAnyMoment(step: Int) async throws {
        try await SupervisorFixture.run(self.text()) { fixture in
            await self.kept.wait(for: "source started")
            await self.moved.wait(for: "source started")
            async let changes = fixture.supervisor.apply(try self.plan(functionLabel: "two", size: 1))
            for _ in 0..<step { await Task.yield() }
            await fixture.group.triggerGracefulShutdown()
            let isApplied = try await changes != nil
            await self.moved.wait(for: "g shut down", count: self.moved.count("g made"))
            let generation = await fixture.supervisor.generation
            #expect(isApplied == (generation == 2))
        }
        // Whatever was made is closed, and whatever began has ended.
        #expect(self.moved.count("source started") <= self.moved.count("source stopped"))
        #expect(self.moved.count("g made") == self.moved.count("g shut down"))
        #expect(self.kept.count("source stopped") == 1 && self.kept.count("f shut down") == 1)
    }

    @Test("A stop in the middle of a change ends all of it, and begins nothing new")
    func stopWhileChanging() async throws {
        let (invoked, release) = (Latch(), Latch())
        self.moved.answer { _, _ in
            invoked.open()
            await release.wait()
            return .responded(Array("{}".utf8))
        }
        try await SupervisorFixture.run(self.text()) { fixture in
            await self.moved.wait(for: "source started")
            self.moved.deliver("p", 0..<2)
            await invoked.wait()
            async let changes = fixture.supervisor.apply(try self.plan(size: 1))
            while await fixture.state("moved") != .stopping { await Task.yield() }
            await fixture.group.triggerGracefulShutdown()
            await self.kept.wait(for: "source stopped")
            release.open()
            #expect(try await changes == nil)
        }
        #expect(self.moved.count("committed p@1") == 1)
        #expect(self.moved.count("source started") == 1)
        #expect(self.moved.count("destination closed") >= 2, "the old one and the one made for nothing")
        #expect(self.moved.events.last == "g shut down" || self.moved.count("g shut down") == 1)
    }
}
