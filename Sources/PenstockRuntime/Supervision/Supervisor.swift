// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockConfiguration
import PenstockCore
package import PenstockStore
import Reactor
import ServiceLifecycle

/// Runs all triggers of a plan side by side, until a graceful stop.
///
/// Owns the functions and destinations it made; the store and the reactor are its caller's, and outlive it.
package actor Supervisor: Service {
    private nonisolated let loop: any EventLoop
    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.loop.asUnownedSerialExecutor()
    }

    /// What is run.
    package nonisolated let plan: Plan

    private let store: any StateStore
    private let logger: Logger
    private let functions: [String: any Function]
    private let destinations: [any Destination]
    private let runners: [TriggerRunner]

    /// Makes functions, destinations and runners; connects and starts nothing yet.
    ///
    /// - Throws: what a function or destination says when its configuration cannot work.
    package init(plan: Plan, store: any StateStore, context: RuntimeContext) async throws {
        self.plan = plan
        self.store = store
        self.loop = context.reactor
        self.logger = context.logger
        let paused = try await store.pausedTriggers()
        var functions: [String: any Function] = [:]
        for function in plan.functions {
            functions[function.name] = try function.value.make(
                function.name,
                context.with("function", function.name)
            )
        }
        var destinations: [any Destination] = []
        var runners: [TriggerRunner] = []
        for trigger in plan.triggers {
            let name = trigger.value.function.name
            guard let function = functions[name], let functionPlan = plan.function(name) else { continue }
            let context = context.with("trigger", trigger.name)
            let destination: any Destination =
                switch trigger.value.onFailure {
                case .deadLetters: StoreDestination(store: store)
                case .destination(let plan): try await plan.make(context)
                }
            destinations.append(destination)
            let policy = trigger.value.policy(function: functionPlan)
            let seed = UInt64.random(in: .min ... .max)
            runners.append(
                TriggerRunner(
                    name: trigger.name,
                    sourceKind: trigger.value.source.kind,
                    function: name,
                    isPaused: paused.contains(trigger.name),
                    loop: context.reactor,
                    logger: context.logger
                ) {
                    PipelineParts(
                        name: trigger.name,
                        source: try trigger.value.source.make(trigger.name, context),
                        function: function,
                        destination: destination,
                        store: store,
                        policy: policy,
                        reportsItemFailures: trigger.value.failure.reportItemFailures,
                        seed: seed
                    )
                }
            )
        }
        self.functions = functions
        self.destinations = destinations
        self.runners = runners
    }

    /// Runs all triggers; returns after a graceful stop, when everything is drained and closed.
    package func run() async throws {
        let loop = self.loop
        let drainTimeout = self.plan.drainTimeout
        await withDiscardingTaskGroup { group in
            for runner in self.runners {
                group.addTask(executorPreference: loop) { await runner.run() }
            }
            group.addTask {
                try? await gracefulShutdown()
                await self.stop(within: drainTimeout)
            }
        }
        for destination in self.destinations { await destination.close() }
        for function in self.functions.values { await function.shutdown() }
    }

    /// Drains all triggers side by side.
    private func stop(within limit: Duration) async {
        await withDiscardingTaskGroup { group in
            for runner in self.runners {
                group.addTask { await runner.stop(within: limit) }
            }
        }
    }

    // MARK: - For operators

    /// What each trigger is doing, in the order of the configuration.
    package func snapshots() async -> [TriggerSnapshot] {
        var snapshots: [TriggerSnapshot] = []
        for runner in self.runners { snapshots.append(await runner.snapshot()) }
        return snapshots
    }

    /// What one trigger is doing; nil when there is none of that name.
    package func snapshot(of name: String) async -> TriggerSnapshot? {
        await self.runners.first { $0.name == name }?.snapshot()
    }

    /// Stops or goes on invoking a trigger's function, also after a restart of Penstock; false when there is no such
    /// trigger.
    package func setPaused(_ isPaused: Bool, trigger: String) async throws -> Bool {
        guard let runner = self.runners.first(where: { $0.name == trigger }) else { return false }
        try await self.store.setPaused(isPaused, trigger: trigger)
        await runner.setPaused(isPaused)
        return true
    }

    /// The function of that name.
    package func function(_ name: String) -> (any Function)? { self.functions[name] }

    /// Sends dead letters again through the running functions; to another function than the trigger's own when one is
    /// named.
    package func redriver(to function: String? = nil) -> Redriver {
        Redriver(store: self.store, loop: self.loop, route: self.plan.routes(self.functions, to: function))
    }
}

extension Plan {
    /// The ways of dead letters to `functions`: each trigger's own, or the one named.
    package func routes(
        _ functions: [String: any Function],
        to name: String?
    ) -> @Sendable (_ trigger: String) -> Redriver.Route? {
        { trigger in
            guard let plan = self.triggers.first(where: { $0.name == trigger })?.value else { return nil }
            guard let function = functions[name ?? plan.function.name] else { return nil }
            return Redriver.Route(
                source: plan.source,
                function: function,
                reportsItemFailures: plan.failure.reportItemFailures
            )
        }
    }
}

extension RuntimeContext {
    /// The same with one more fact in its logger.
    fileprivate func with(_ key: String, _ value: String) -> RuntimeContext {
        var context = self
        context.logger[metadataKey: key] = "\(value)"
        return context
    }
}
