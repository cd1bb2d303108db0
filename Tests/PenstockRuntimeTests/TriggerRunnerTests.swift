// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Synchronization
import Testing

/// A trigger's restarts, on a virtual clock.
@Suite(.timeLimit(.minutes(5)))
struct TriggerRunnerTests {
    private let loop = VirtualLoop()
    private let world = ScriptedWorld()

    private func makeRunner(under lease: TriggerLease? = nil) -> TriggerRunner {
        let simulated = SimulatedWorld(loop: self.loop, seed: 1, plan: FaultPlan(), recordCounts: [:])
        let process = simulated.startProcess()
        return TriggerRunner(
            name: "orders",
            sourceKind: "scripted",
            function: "f",
            isPaused: false,
            loop: self.loop,
            logger: SupervisorFixture.quiet,
            lease: lease
        ) {
            guard let source = try ScriptedPlan.read(self.text).triggers.first?.value.source else {
                throw SourceError(.closed, "no trigger")
            }
            return PipelineParts(
                name: "orders",
                source: try source.make(
                    "orders",
                    RuntimeContext(reactor: try TestReactor.shared(), logger: SupervisorFixture.quiet)
                ),
                function: ScriptedFunction("f", self.world),
                destination: SimulatedDestination(world: simulated, process: process),
                store: SimulatedStore(world: simulated, process: process),
                policy: TriggerPolicy()
            )
        }
    }

    private var text: String {
        """
        functions: { f: { scripted: { world: \(self.world.name) } } }
        triggers: { orders: { source: { scripted: { world: \(self.world.name) } }, function: f } }
        """
    }

    @Test("The waits between restarts grow to at most a minute")
    func backsOff() {
        self.world.refuseStart(SourceError(.unreachable, "down"))
        let runner = self.makeRunner()
        let ended = Latch()
        Task(executorPreference: self.loop) {
            await runner.run()
            ended.open()
        }
        #expect(self.loop.run(for: .seconds(60)) { self.world.count("source refused") >= 4 })
        let early = self.world.count("source refused")
        let before = self.loop.now
        #expect(self.loop.run(for: .seconds(3600)) { self.world.count("source refused") >= early + 30 })
        #expect(self.loop.now - before > .seconds(120), "thirty full waits of up to a minute")
        self.world.refuseStart(nil)
        #expect(self.loop.run(for: .seconds(61)) { self.world.count("source started") == 1 })
        Task(executorPreference: self.loop) { await runner.stop(within: .seconds(1)) }
        #expect(self.loop.run(for: .seconds(2)) { ended.isOpen })
    }

    @Test("A stop does not wait for a restart that is due in a minute")
    func stopsWhileWaiting() {
        self.world.refuseStart(SourceError(.unreachable, "down"))
        let runner = self.makeRunner()
        let (ended, stopped) = (Latch(), Latch())
        Task(executorPreference: self.loop) {
            await runner.run()
            ended.open()
        }
        #expect(self.loop.run(for: .seconds(3600)) { self.world.count("source refused") >= 10 })
        let before = self.loop.now
        Task(executorPreference: self.loop) {
            await runner.stop(within: .seconds(30))
            stopped.open()
        }
        #expect(self.loop.run(for: .seconds(3600)) { ended.isOpen && stopped.isOpen })
        #expect(self.loop.now == before, "no time has passed")
        #expect(self.world.count("source refused") == 10)
    }

    @Test("Under a lease it runs while it is held, goes away when asked or lost, and comes back")
    func underLease() async {
        let loop = self.loop
        let leases = SimulatedLeases { loop.now }
        let member = SimulatedMember("a", loop, leases)
        let other = SimulatedMember("b", loop, leases)
        let theirs = other.keeper.table.group(pool: TriggerLease.pool)
        theirs.want(["orders"])
        #expect(loop.run(for: .seconds(5)) { !theirs.held().isEmpty })
        let lease = TriggerLease("orders", of: member.keeper.table, drainTimeout: .seconds(1))
        let runner = self.makeRunner(under: lease)
        let ended = Latch()
        Task(executorPreference: loop) {
            await runner.run()
            ended.open()
        }
        #expect(!loop.run(for: .seconds(20)) { self.world.count("source started") > 0 })
        #expect(self.snapshot(runner)?.state == .standby)
        #expect(self.snapshot(runner)?.detail == "runs on b")
        let words = "ask that one (`penstock members` tells where its admin API is)"
        let refusal = SeekError(.standby, "trigger \"orders\" runs on b; \(words)")
        #expect(self.seek(SeekOrder(.earliest), runner) == refusal)
        // The other one dies.
        other.store.cut(StoreError(.inputOutput, "down"))
        #expect(loop.run(for: .seconds(15)) { self.world.count("source started") == 1 })
        // It is lost: this process may not believe in it any longer.
        member.store.cut(StoreError(.inputOutput, "down"))
        #expect(loop.run(for: .seconds(11)) { self.snapshot(runner)?.state == .standby })
        member.store.cut(nil)
        #expect(loop.run(for: .seconds(15)) { self.world.count("source started") == 2 })
        // An asker gets it.
        let third = SimulatedLeaseStore(leases)
        let asked = Latch()
        Task(executorPreference: loop) {
            let started = Timestamp(milliseconds: 0)
            let me = ClusterMember(id: MemberID("c"), name: "c", version: "1", started: started)
            try await third.join(me, for: .seconds(60))
            try await third.ask(for: ["orders"], by: me.id)
            asked.open()
        }
        #expect(loop.run(for: .seconds(10)) { asked.isOpen && self.snapshot(runner)?.state == .standby })
        #expect(loop.run(for: .seconds(5)) { leases.view().leases.first?.owner == nil })
        let before = loop.now
        Task(executorPreference: loop) { await runner.stop(within: .seconds(30)) }
        #expect(loop.run(for: .seconds(60)) { ended.isOpen })
        #expect(loop.now == before, "a stop does not wait for a lease")
    }

    @Test("A lease that is lost while its trigger drains ends the drain, and what is in flight is released")
    func lostWhileDraining() {
        let loop = self.loop
        let leases = SimulatedLeases { loop.now }
        let member = SimulatedMember("a", loop, leases)
        let lease = TriggerLease("orders", of: member.keeper.table, drainTimeout: .seconds(3600))
        let runner = self.makeRunner(under: lease)
        let (ended, release, asked) = (Latch(), Latch(), Latch())
        self.world.answer { _, _ in
            await release.wait()
            return .responded(Array("{}".utf8))
        }
        Task(executorPreference: loop) {
            await runner.run()
            ended.open()
        }
        #expect(loop.run(for: .seconds(20)) { self.world.count("source started") == 1 })
        self.world.deliver("p", 0..<1)
        #expect(loop.run(for: .seconds(5)) { self.world.count("invoked") == 1 })
        let other = SimulatedLeaseStore(leases)
        Task(executorPreference: loop) {
            let started = Timestamp(milliseconds: 0)
            let me = ClusterMember(id: MemberID("b"), name: "b", version: "1", started: started)
            try await other.join(me, for: .seconds(3600))
            try await other.ask(for: ["orders"], by: me.id)
            asked.open()
        }
        _ = loop.run(for: .seconds(10)) { false }
        // It drains: what comes now is given back at once.
        self.world.deliver("p", 1..<3)
        #expect(asked.isOpen && loop.run(for: .seconds(1)) { self.snapshot(runner)?.counters.released == 2 })
        #expect(!loop.run(for: .seconds(60)) { self.world.count("source stopped") > 0 })
        member.store.cut(StoreError(.inputOutput, "down"))
        #expect(loop.run(for: .seconds(15)) { self.world.count("source stopped") == 1 })
        #expect(self.snapshot(runner)?.counters.released == 3)
        #expect(self.world.count("committed") == 0)
        Task(executorPreference: loop) { await runner.stop(within: .seconds(1)) }
        release.open()
        #expect(loop.run(for: .seconds(60)) { ended.isOpen })
    }

    @Test("A lease that is asked for while its trigger waits for a restart goes to who asks")
    func askedWhileFailing() {
        let loop = self.loop
        let leases = SimulatedLeases { loop.now }
        let member = SimulatedMember("a", loop, leases)
        self.world.refuseStart(SourceError(.unreachable, "down"))
        let lease = TriggerLease("orders", of: member.keeper.table, drainTimeout: .seconds(1))
        let runner = self.makeRunner(under: lease)
        let ended = Latch()
        Task(executorPreference: loop) {
            await runner.run()
            ended.open()
        }
        #expect(loop.run(for: .seconds(3600)) { self.world.count("source refused") >= 10 })
        let other = SimulatedMember("b", loop, leases)
        let theirs = other.keeper.table.group(pool: TriggerLease.pool)
        theirs.want(["orders"])
        #expect(loop.run(for: .seconds(150)) { !theirs.held().isEmpty })
        Task(executorPreference: loop) { await runner.stop(within: .seconds(1)) }
        #expect(loop.run(for: .seconds(5)) { ended.isOpen })
    }

    /// Why a seek is refused.
    private func seek(_ order: SeekOrder, _ runner: TriggerRunner) -> SeekError? {
        let box = Mutex<SeekError?>(nil)
        let done = Latch()
        Task(executorPreference: self.loop) {
            do throws(SeekError) {
                _ = try await runner.seek(order, isTrial: false, within: .seconds(1))
            } catch {
                box.withLock { $0 = error }
            }
            done.open()
        }
        _ = self.loop.run(for: .seconds(1)) { done.isOpen }
        return box.withLock { $0 }
    }

    private func snapshot(_ runner: TriggerRunner) -> TriggerSnapshot? {
        let box = Mutex<TriggerSnapshot?>(nil)
        let done = Latch()
        Task(executorPreference: self.loop) {
            let snapshot = await runner.snapshot()
            box.withLock { $0 = snapshot }
            done.open()
        }
        _ = self.loop.run(for: .seconds(1)) { done.isOpen }
        return box.withLock { $0 }
    }
}
