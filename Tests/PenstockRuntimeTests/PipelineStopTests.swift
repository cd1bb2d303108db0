// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

/// What a pipeline that stops owes to what was asked of it before, on a virtual clock.
@Suite(.timeLimit(.minutes(1)))
struct PipelineStopTests {
    private let loop = VirtualLoop()
    private let world = ScriptedWorld()
    private let ended = Latch()

    private func makePipeline(_ policy: TriggerPolicy) throws -> Pipeline {
        let text = """
            functions: { f: { scripted: { world: \(self.world.name) } } }
            triggers: { orders: { source: { scripted: { world: \(self.world.name) } }, function: f } }
            """
        let plan = try #require(try ScriptedPlan.read(text).triggers.first?.value.source)
        let context = RuntimeContext(reactor: try TestReactor.shared(), logger: SupervisorFixture.quiet)
        let simulated = SimulatedWorld(loop: self.loop, seed: 1, plan: FaultPlan(), recordCounts: [:])
        let process = simulated.startProcess()
        return Pipeline(
            PipelineParts(
                name: "orders",
                source: try plan.make("orders", context),
                function: ScriptedFunction("f", self.world),
                destination: SimulatedDestination(world: simulated, process: process),
                store: SimulatedStore(world: simulated, process: process),
                policy: policy
            ),
            loop: self.loop,
            logger: SupervisorFixture.quiet
        )
    }

    /// Begins to run it, until its source is connected.
    private func run(_ pipeline: Pipeline) -> Task<Void, any Error> {
        let ended = self.ended
        let run = Task(executorPreference: self.loop) {
            defer { ended.open() }
            try await pipeline.run()
        }
        #expect(self.loop.run(for: .seconds(1)) { self.world.count("source started") == 1 })
        return run
    }

    private func invoke(_ partition: String, _ offsets: Range<UInt64>) {
        self.world.deliver(partition, offsets)
        #expect(self.loop.run(for: .seconds(1)) { self.world.count("invoked f \(partition)@") == 1 })
        // What follows from it without a wait.
        _ = self.loop.run(for: .zero) { false }
    }

    @Test(
        "A commit that was asked for just before a stop reaches the source before that is stopped",
        arguments: 0..<12
    )
    func commitBeforeStop(turns: Int) throws {
        let policy = TriggerPolicy(batchSize: 1, batchWindow: .zero)
        let pipeline = try self.makePipeline(policy)
        _ = self.run(pipeline)
        let (loop, world) = (self.loop, self.world)
        let begun = loop.now
        // When the commit becomes due, what asks for it and the stop stand in line, so many turns of the loop apart.
        _ = loop.schedule(at: begun + policy.commitInterval) {
            Task(executorPreference: loop) {
                world.note("due")
                await pipeline.setPaused(false)
            }
            Task(executorPreference: loop) {
                for _ in 0..<turns { await Task.yield() }
                world.note("stop")
                await pipeline.stop(within: .seconds(1))
            }
        }
        self.invoke("p", 0..<1)
        #expect(loop.now == begun, "or the commit is due later")
        #expect(loop.run(for: .seconds(10)) { self.ended.isOpen })
        let events = self.world.events.filter { $0 != "due" && $0 != "stop" }
        #expect(events.suffix(2) == ["committed p@0", "source stopped"])
    }

    @Test("A pipeline that is cancelled ends, and commits, although partitions were asked back just before")
    func cancelledWhileRevoking() throws {
        let release = Latch()
        self.world.answer { _, records in
            if records == ["r@0"] { await release.wait() }
            return .responded(Array("{}".utf8))
        }
        let pipeline = try self.makePipeline(TriggerPolicy(batchSize: 1, batchWindow: .zero))
        let run = self.run(pipeline)
        self.invoke("p", 0..<1)
        self.invoke("q", 0..<1)
        // No task is left that waits for work.
        self.invoke("r", 0..<1)
        let revocation = Revocation(id: RevocationID(1), partitions: [PartitionID(1)], within: .seconds(10))
        self.world.tell(.revoking(revocation))
        run.cancel()
        #expect(self.loop.run(for: .seconds(60)) { self.world.count("source stopped") == 1 })
        #expect(self.world.count("revoked") == 1)
        #expect(self.world.count("committed q@0") == 1)
        release.open()
        #expect(self.loop.run(for: .seconds(60)) { self.ended.isOpen })
    }
}
