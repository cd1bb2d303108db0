// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockConfiguration
import PenstockCore
package import PenstockRuntime
import Reactor

extension BehaviorSuite {
    /// The most invocations of a case.
    static let invocationsMax = 10_000

    /// How long a case without `until` may go on, on its clock.
    static let longest = Duration.seconds(86_400)

    /// Runs all cases, one after the other; `context` makes the functions, which are never invoked.
    ///
    /// - Throws: what a function throws that cannot be made.
    package func run(_ context: RuntimeContext) async throws -> BehaviorReport {
        var outcomes: [BehaviorOutcome] = []
        for example in self.cases {
            let function = try example.function.make(example.trigger.value.function.name, context)
            let outcome = await Self.run(example, function)
            await function.shutdown()
            outcomes.append(outcome)
        }
        return BehaviorReport(file: self.file, outcomes: outcomes)
    }

    private static func run(_ example: Case, _ function: any Function) async -> BehaviorOutcome {
        let plan = example.trigger.value
        let world = BehaviorWorld(example.test, sample: plan.source.sample)
        let pipeline = Self.pipeline(example, function, world)
        let limit = example.test.until ?? Self.longest
        let (observation, unsettled) = await withTaskGroup { group in
            group.addTask(executorPreference: world.loop) {
                // The ends of a test refuse nothing, so nothing is thrown.
                try? await pipeline.run()
                world.noteEnd()
            }
            let observation = Self.observe(world, pipeline, for: limit)
            group.addTask(executorPreference: world.loop) { await pipeline.stop(within: .zero) }
            // Calls that are under way end in time: none takes longer than its function's timeout.
            _ = world.loop.run(for: .seconds(100 * 365 * 86_400)) { world.hasEnded }
            await group.waitForAll()
            return (observation, observation.unsettled(of: example.test.count))
        }
        var problems: [BehaviorFailure] = []
        if observation.calls.count >= Self.invocationsMax {
            problems.append(.endless(example.test, "\(Self.invocationsMax) invocations"))
        } else if example.test.until == nil, !unsettled.isEmpty {
            problems.append(.endless(example.test, Self.longest.configurationText))
        }
        return BehaviorOutcome(
            test: example.test,
            trigger: example.trigger.name,
            observation: observation,
            unsettled: unsettled,
            failures: problems + example.test.expect.failures(observation, unsettled: unsettled)
        )
    }

    /// Runs the loop until nothing is left to do, or the time is up.
    private static func observe(
        _ world: BehaviorWorld,
        _ pipeline: Pipeline,
        for limit: Duration
    ) -> Observation {
        _ = world.loop.run(for: limit) {
            world.note(pipeline.assumeIsolated { $0.counters })
            return world.callCount >= Self.invocationsMax
        }
        return world.observation
    }

    private static func pipeline(
        _ example: Case,
        _ function: any Function,
        _ world: BehaviorWorld
    ) -> Pipeline {
        let plan = example.trigger.value
        var policy = plan.policy(function: example.function)
        // Each wait is the longest that it can be, so that times can be expected.
        policy.retry.backoff.jitter = .none
        policy.patience.jitter = .none
        return Pipeline(
            PipelineParts(
                name: example.trigger.name,
                plan: plan,
                policy: policy,
                source: BehaviorSource(
                    world,
                    plan: plan.source,
                    filter: plan.filtered == .acknowledge ? plan.filter : nil
                ),
                function: BehaviorFunction(
                    world,
                    real: function,
                    plan: plan,
                    policy: policy,
                    trigger: example.trigger.name
                ),
                destination: BehaviorDestination(world: world),
                store: BehaviorStore(world: world),
                seed: 0
            ),
            loop: world.loop,
            logger: Logger(label: "penstock.test", factory: { _ in SwiftLogNoOpLogHandler() })
        )
    }
}
