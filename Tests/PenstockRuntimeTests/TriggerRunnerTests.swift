// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

/// A trigger's restarts, on a virtual clock.
@Suite(.timeLimit(.minutes(5)))
struct TriggerRunnerTests {
    private let loop = VirtualLoop()
    private let world = ScriptedWorld()

    private func makeRunner() -> TriggerRunner {
        let simulated = SimulatedWorld(loop: self.loop, seed: 1, plan: FaultPlan(), recordCounts: [:])
        let process = simulated.startProcess()
        return TriggerRunner(
            name: "orders",
            sourceKind: "scripted",
            function: "f",
            isPaused: false,
            loop: self.loop,
            logger: SupervisorFixture.quiet
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
}
