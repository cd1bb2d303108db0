// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockStore
import Reactor

// MARK: - For operators

extension Supervisor {
    /// What each trigger is doing, in the order of the configuration.
    package func snapshots() async -> [TriggerSnapshot] {
        var snapshots: [TriggerSnapshot] = []
        for trigger in self.triggers { snapshots.append(await trigger.runner.snapshot()) }
        return snapshots
    }

    /// What one trigger is doing; nil when there is none of that name.
    package func snapshot(of name: String) async -> TriggerSnapshot? {
        await self.triggers.first { $0.name == name }?.runner.snapshot()
    }

    /// Stops or goes on invoking a trigger's function, also after a restart of Penstock; false when there is no such
    /// trigger.
    package func setPaused(_ isPaused: Bool, trigger: String) async throws -> Bool {
        guard self.triggers.contains(where: { $0.name == trigger }) else { return false }
        self.switches += 1
        defer { self.switches += 1 }
        try await self.store.setPaused(isPaused, trigger: trigger)
        if isPaused { self.paused.insert(trigger) } else { self.paused.remove(trigger) }
        // Only now: another plan may have been applied meanwhile, with another runner.
        await self.triggers.first { $0.name == trigger }?.runner.setPaused(isPaused)
        return true
    }

    /// Reads a trigger's source from other positions on, durable when it returns; nil when there is no such trigger.
    ///
    /// As a trial, it tells what would be done.
    package func seek(
        _ order: SeekOrder,
        trigger name: String,
        isTrial: Bool
    ) async throws(SeekError) -> SeekReport? {
        guard let plan = self.plan.triggers.first(where: { $0.name == name })?.value,
            let runner = self.triggers.first(where: { $0.name == name })?.runner
        else { return nil }
        guard plan.source.capabilities.canSeek else { throw .cannotSeek(name, plan.source) }
        return try await runner.seek(order, isTrial: isTrial, within: self.plan.drainTimeout)
    }

    /// Listens to the records of a trigger, for as long as `body` takes; nil when there is no such trigger.
    package func withTap<Value: Sendable>(
        on trigger: String,
        _ kind: Tap.Kind,
        _ body: @Sendable (Tap) async throws -> Value
    ) async rethrows -> Value? {
        guard let runner = self.triggers.first(where: { $0.name == trigger })?.runner,
            let plan = self.plan.triggers.first(where: { $0.name == trigger })?.value
        else { return nil }
        let tap = Tap(kind, loop: self.loop) { plan.misses(of: $0) ?? [] }
        runner.taps.add(tap)
        defer { runner.taps.remove(tap) }
        return try await body(tap)
    }

    /// What is known of one record of a trigger; nil when there is no such trigger.
    ///
    /// - Throws: ``RecordTraceError``, or what the store says.
    package func trace(_ address: RecordAddress, of trigger: String) async throws -> RecordTrace? {
        guard let runner = self.triggers.first(where: { $0.name == trigger })?.runner,
            let plan = self.plan.triggers.first(where: { $0.name == trigger })
        else { return nil }
        let position = try plan.value.source.position(of: address)
        let live = await runner.trace(address.partition, position)
        return try await RecordTrace(address, of: plan, in: self.store, live: live)
    }

    /// All schedules, in the order of the configuration.
    ///
    /// - Throws: What the store says.
    package func schedules() async throws -> [ScheduleStatus] {
        var schedules: [ScheduleStatus] = []
        for trigger in self.plan.triggers {
            guard let facts = trigger.value.source.schedule else { continue }
            let runner = self.triggers.first { $0.name == trigger.name }?.runner
            let count = try await self.store.countFires(of: trigger.name)
            var status = ScheduleStatus(name: trigger.name, facts: facts, next: nil, count: count)
            if let firing = await runner?.firing {
                status.next = firing.next
            } else {
                status.next = try await self.restingFeed(of: trigger)?.next()
            }
            status.members = trigger.value.source.scheduleMembers?.count
            schedules.append(status)
        }
        return schedules
    }

    /// The feed of a schedule whose trigger does not run here, as what the store has of it leaves it; nil for large sets, of
    /// which all would have to be read.
    ///
    /// - Throws: What the store says.
    private func restingFeed(of trigger: Named<TriggerPlan>) async throws -> (any JournalFeed)? {
        let source = trigger.value.source
        guard let feed = source.feed?(trigger.name),
            source.scheduleMembers.map({ $0.count <= Self.restingMembersMax }) ?? true
        else { return nil }
        var past = JournalPast(mark: try await self.store.mark(of: trigger.name))
        if feed.needs.contains(.members) { past.members = try await self.store.members(of: trigger.name) }
        await Self.begin(feed, past, now: self.loop.wallNow)
        return feed
    }

    /// Schedules of a set that does not run here, at most, whose next times are looked up.
    private static let restingMembersMax = 10_000

    /// Not on the loop: of a set it may take some milliseconds.
    @concurrent
    private static func begin(_ feed: any JournalFeed, _ past: JournalPast, now: Timestamp) async {
        feed.begin(past, now: now)
    }

    /// The schedules' names, in the order of the configuration.
    package var scheduleNames: [String] {
        self.plan.triggers.filter { $0.value.source.schedule != nil }.map(\.name)
    }

    /// The schedules of the set that a trigger is, from the one of that name on, at most so many, and whether more follow;
    /// nil for a trigger that is no set.
    package func scheduleMembers(
        of name: String,
        from first: String,
        limit: Int
    ) async -> (members: [ScheduleMember], hasMore: Bool)? {
        guard let plan = self.plan.triggers.first(where: { $0.name == name }),
            let members = plan.value.source.scheduleMembers
        else { return nil }
        let source = await self.triggers.first { $0.name == name }?.runner.firing
        // What the store does not tell is left out; it says so itself elsewhere.
        var resting: (any JournalFeed)?
        if source == nil { resting = try? await self.restingFeed(of: plan) }
        let start = members.lowerBound(first)
        let end = min(members.count, start + max(0, limit))
        let page = (start..<end).map { number in
            let name = members.name(number)
            return ScheduleMember(
                name: name,
                facts: members.facts(number),
                next: source?.next(of: name) ?? resting?.next(of: name)
            )
        }
        return (page, end < members.count)
    }

    /// Whether there is such a schedule.
    ///
    /// A trigger that is a set is none by itself, but its schedules are.
    package func hasSchedule(_ address: ScheduleAddress) -> Bool {
        guard let source = self.plan.triggers.first(where: { $0.name == address.trigger })?.value.source,
            source.schedule != nil
        else { return false }
        guard let members = source.scheduleMembers else { return address.member == nil }
        return address.member.map { members.contains($0) } ?? false
    }

    /// Carries an order out, durable in the store when it returns; nil when the schedule's trigger is not running now.
    ///
    /// - Throws: What the store says.
    package func fire(_ order: FireOrder, schedule: ScheduleAddress) async throws -> FireReceipt? {
        let runner = self.triggers.first { $0.name == schedule.trigger }?.runner
        return try await runner?.firing?.fire(order, of: schedule.member)
    }

    /// Whether a trigger has filters; nil when there is no such trigger.
    package func hasFilters(_ trigger: String) -> Bool? {
        self.plan.triggers.first { $0.name == trigger }.map { $0.value.filter != nil }
    }

    /// The function of that name.
    package func function(_ name: String) -> (any Function)? { self.functions[name] }

    /// The functions' names, in the order of the configuration.
    package var functionNames: [String] { self.plan.functions.map(\.name) }

    /// Sends dead letters again through the running functions; see ``Plan/routes(_:to:like:)``.
    package func redriver(to function: String? = nil, like trigger: String? = nil) -> Redriver {
        let route = self.plan.routes(self.functions, to: function, like: trigger)
        return Redriver(store: self.store, loop: self.loop, route: route)
    }
}
