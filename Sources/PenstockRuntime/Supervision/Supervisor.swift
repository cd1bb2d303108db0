// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockConfiguration
import PenstockCore
import PenstockFilters
package import PenstockStore
import Reactor
import ServiceLifecycle

/// Runs all triggers of a plan side by side, until a graceful stop, and changes to another plan meanwhile.
///
/// Owns the functions and destinations it made; the store and the reactor are its caller's, and outlive it.
package actor Supervisor: Service {
    nonisolated let loop: any EventLoop
    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.loop.asUnownedSerialExecutor()
    }

    let store: any StateStore
    private let leases: LeaseKeeper?
    private let context: RuntimeContext
    private let starts = Mailbox<TriggerRunner>()
    private(set) var plan: Plan
    private(set) var functions: [String: any Function]
    private(set) var triggers: [RunningTrigger] = []
    var paused: Set<String>
    /// How often an operator switched a trigger here.
    var switches = 0
    private var isStopping = false

    /// Keeps the store's dead letters within the limits of the first plan.
    package nonisolated let letters: LetterKeeper

    /// How often another plan was applied, from 1 for the first one.
    package private(set) var generation = 1

    /// A trigger of the plan that is carried out.
    struct RunningTrigger {
        let runner: TriggerRunner
        let destinations: TriggerDestinations
        let claim: (any SourceClaim)?
        let partitions: PartitionLeases?

        /// Closes what is the trigger's own, once its runner has ended.
        func close() async {
            self.claim?.release()
            self.partitions?.close()
            await self.destinations.close()
        }

        var name: String { self.runner.name }
    }

    /// Makes functions, destinations and runners; connects and starts nothing yet.
    ///
    /// With `leases` it is one of several that share the store; it runs the keeper.
    ///
    /// - Throws: what a function or destination says when its configuration cannot work.
    package init(
        plan: Plan,
        store: any StateStore,
        leases: LeaseKeeper? = nil,
        context: RuntimeContext
    ) async throws {
        self.plan = plan
        self.leases = leases
        self.store = store
        self.loop = context.reactor
        self.context = context
        self.letters = LetterKeeper(
            store,
            plan.deadLetters,
            loop: context.reactor,
            logger: context.logger
        )
        self.paused = try await store.pausedTriggers()
        self.functions = try await plan.makeFunctions(plan.functions.map(\.name), context)
        let names = plan.triggers.map(\.name)
        do {
            let made = try await self.make(names, of: plan, self.functions)
            self.triggers = names.compactMap { made[$0] }
        } catch {
            for function in self.functions.values { await function.shutdown() }
            throw error
        }
        for trigger in self.triggers { self.starts.put(trigger.runner) }
    }

    /// Runs all triggers; returns after a graceful stop, when everything is drained and closed.
    package func run() async throws {
        let loop = self.loop
        await withDiscardingTaskGroup { group in
            group.addTask {
                try? await gracefulShutdown()
                await self.stop()
            }
            group.addTask(executorPreference: loop) { await self.letters.run() }
            if let leases = self.leases {
                await leases.afterBeat { [weak self] in await self?.readPauses() }
                group.addTask(executorPreference: loop) { await leases.run() }
            }
            while true {
                let runners = await self.starts.takeAll()
                for runner in runners {
                    group.addTask(executorPreference: loop) { await runner.run() }
                }
                if runners.isEmpty, self.isStopping { break }
                if runners.isEmpty { self.beginStop() }
            }
        }
        for trigger in self.triggers { await trigger.close() }
        for function in self.functions.values { await function.shutdown() }
    }

    /// Nothing is started from here on, but for what waits to be.
    private func beginStop() {
        self.isStopping = true
        self.starts.close()
    }

    /// Drains all triggers side by side.
    ///
    /// Their functions begin nothing first: what waits for room is not invoked, and its records are given back.
    private func stop() async {
        self.beginStop()
        for function in self.functions.values { await function.stopAdmitting() }
        await self.letters.stop()
        await Self.stop(self.triggers, within: self.plan.drainTimeout)
        await self.leases?.stop()
    }

    private static func stop(_ triggers: [RunningTrigger], within limit: Duration) async {
        await withDiscardingTaskGroup { group in
            for trigger in triggers {
                group.addTask { await trigger.runner.stop(within: limit) }
            }
        }
    }

    // MARK: - Another plan

    /// Ends the triggers that are gone or changed, drained, begins those that are new or changed, and leaves the others
    /// alone.
    ///
    /// State, admin API, the limits of dead letters and drain timeout stay as they are until a restart.
    /// All that is new is made before anything ends. One call at a time.
    ///
    /// - Returns: What changed; nil when Penstock is stopping.
    /// - Throws: What the store, a function or a destination says; nothing has changed then.
    package func apply(_ new: Plan) async throws -> PlanChanges? {
        let changes = PlanChanges(from: self.plan, to: new)
        let made = try await new.makeFunctions(changes.functions.starting, self.context)
        let functions = self.functions.filter { !changes.functions.removed.contains($0.key) }
            .merging(made) { $1 }
        var started: [String: RunningTrigger] = [:]
        do {
            started = try await self.make(changes.triggers.starting, of: new, functions)
            let ending = self.triggers.filter { changes.triggers.ending.contains($0.name) }
            await Self.stop(ending, within: self.plan.drainTimeout)
            for trigger in ending { await started[trigger.name]?.runner.inherit(from: trigger.runner) }
            // They may have been switched since their runners were made, and again while these are told.
            var told: Set<String>?
            while told != self.paused {
                let paused = self.paused
                for trigger in started.values {
                    await trigger.runner.setPaused(paused.contains(trigger.name))
                }
                told = paused
            }
            guard !self.isStopping else { throw CancellationError() }
        } catch {
            for trigger in started.values { await trigger.close() }
            for function in made.values { await function.shutdown() }
            if error is CancellationError { return nil }
            throw error
        }
        let (oldFunctions, oldTriggers) = (self.functions, self.triggers)
        self.change(to: new, functions, started)
        for trigger in oldTriggers where changes.triggers.ending.contains(trigger.name) {
            await trigger.close()
        }
        for name in changes.functions.ending { await oldFunctions[name]?.shutdown() }
        return changes
    }

    /// Holds the new plan, and begins what is new in it.
    ///
    /// It waits for nothing, so that no stop comes between: that would wait for ever for a runner which is there and was never
    /// begun.
    private func change(
        to new: Plan,
        _ functions: [String: any Function],
        _ started: [String: RunningTrigger]
    ) {
        let (oldPlan, oldTriggers) = (self.plan, self.triggers)
        self.plan = new
        self.plan.drainTimeout = oldPlan.drainTimeout
        self.plan.text.settings = oldPlan.text.settings
        self.functions = functions
        self.triggers = new.triggers.compactMap { trigger in
            started[trigger.name] ?? oldTriggers.first { $0.name == trigger.name }
        }
        self.generation += 1
        for trigger in started.values { self.starts.put(trigger.runner) }
    }

    /// Triggers of a plan, ready to run.
    private func make(
        _ names: [String],
        of plan: Plan,
        _ functions: [String: any Function]
    ) async throws -> [String: RunningTrigger] {
        var made: [String: RunningTrigger] = [:]
        do {
            for trigger in plan.triggers where names.contains(trigger.name) {
                let name = trigger.value.function.name
                guard let function = functions[name], let functionPlan = plan.function(name) else { continue }
                let isPaused = self.paused.contains(trigger.name)
                let policy = trigger.value.policy(function: functionPlan)
                made[trigger.name] = try await self.make(trigger, function, policy, isPaused: isPaused)
            }
        } catch {
            for trigger in made.values { await trigger.close() }
            throw error
        }
        return made
    }

    private func make(
        _ trigger: Named<TriggerPlan>,
        _ function: any Function,
        _ policy: TriggerPolicy,
        isPaused: Bool
    ) async throws -> RunningTrigger {
        let (lease, partitions) = self.leases(of: trigger)
        let store = self.store(under: lease, partitions)
        var context = self.context.with("trigger", trigger.name, journal: store)
        context.checkpoints = store
        context.partitionLeases = partitions
        if let lease { context.holdsLease = { lease.held != nil } }
        context.cluster = self.leases?.store.identity
        let destinations = try await TriggerDestinations(trigger.value, store, context)
        let seed = UInt64.random(in: .min ... .max)
        let runner = TriggerRunner(
            name: trigger.name,
            sourceKind: trigger.value.source.kind,
            function: function.name,
            isPaused: isPaused,
            loop: context.reactor,
            logger: context.logger,
            lease: lease
        ) { [context] in
            var parts = PipelineParts(
                name: trigger.name,
                plan: trigger.value,
                policy: policy,
                source: try trigger.value.source.make(trigger.name, context),
                function: function,
                destination: destinations.letters,
                results: destinations.results,
                store: store,
                seed: seed
            )
            if let lease { parts.mayInvoke = { lease.isHeld } }
            return parts
        }
        let claim = trigger.value.source.claim?(trigger.name, context)
        return RunningTrigger(
            runner: runner,
            destinations: destinations,
            claim: claim,
            partitions: partitions
        )
    }

    // MARK: - Several Penstocks

    /// What a trigger must hold to run, and what it must hold for each partition.
    private func leases(of trigger: Named<TriggerPlan>) -> (TriggerLease?, PartitionLeases?) {
        guard let table = self.leases?.table else { return (nil, nil) }
        let source = trigger.value.source
        switch source.capabilities.sharing {
        case .upstream: return (nil, nil)
        case .partitions:
            return (nil, PartitionLeases(of: trigger.name, table, drainTimeout: self.plan.drainTimeout))
        case .trigger:
            let name = source.sharedLease ?? "trigger/\(trigger.name)"
            return (TriggerLease(name, of: table, drainTimeout: self.plan.drainTimeout), nil)
        }
    }

    private func store(under lease: TriggerLease?, _ partitions: PartitionLeases?) -> any StateStore {
        guard let shared = self.leases?.store else { return self.store }
        if let partitions { return partitions.store(shared) }
        if let lease { return LeasedStore(shared, lease.group) { _ in lease.name } }
        return self.store
    }

    /// What this process knows of its life among those that share the store; nil when the store is not shared.
    package var membership: MembershipFigures? {
        get async { await self.leases?.membership }
    }

    /// All members and leases, read now; nil when the store is not shared.
    ///
    /// - Throws: What the store says.
    package func cluster() async throws -> ClusterStatus? { try await self.leases?.status() }

    /// Follows what operators switched at other members.
    private func readPauses() async {
        let before = self.switches
        guard let paused = try? await self.store.pausedTriggers(), self.switches == before else { return }
        let changed = paused.symmetricDifference(self.paused)
        self.paused = paused
        for trigger in self.triggers where changed.contains(trigger.name) {
            await trigger.runner.setPaused(paused.contains(trigger.name))
        }
    }
}

extension Plan {
    /// The functions of these names; when one cannot be made, those made before it are shut down again.
    package func makeFunctions(
        _ names: [String],
        _ context: RuntimeContext
    ) async throws -> [String: any Function] {
        var made: [String: any Function] = [:]
        do {
            for function in self.functions where names.contains(function.name) {
                made[function.name] = try function.value.make(
                    function.name,
                    context.with("function", function.name)
                )
            }
        } catch {
            for function in made.values { await function.shutdown() }
            throw error
        }
        return made
    }

    /// The ways of dead letters to `functions`: each trigger's own, or the one named.
    ///
    /// Letters of a trigger that is not configured any more go the way of the trigger `model`, if one is named: its source
    /// says how their events look.
    package func routes(
        _ functions: [String: any Function],
        to name: String?,
        like model: String? = nil
    ) -> @Sendable (_ trigger: String) -> Redriver.Route? {
        { trigger in
            let own = self.triggers.first { $0.name == trigger }
            guard let plan = (own ?? self.triggers.first { $0.name == model })?.value else { return nil }
            guard let function = functions[name ?? plan.function.name] else { return nil }
            return Redriver.Route(
                source: plan.source,
                function: function,
                itemReports: plan.failure.itemReports,
                ordering: plan.order,
                tumblingWindow: plan.tumblingWindow
            )
        }
    }
}

extension RuntimeContext {
    /// The same with one more fact in its logger, and with a journal where one is needed.
    fileprivate func with(
        _ key: String,
        _ value: String,
        journal: (any JournalStore)? = nil
    ) -> RuntimeContext {
        var context = self
        context.logger[metadataKey: key] = "\(value)"
        context.journal = journal
        return context
    }
}
