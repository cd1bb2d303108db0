// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
package import PenstockRuntime

/// What the admin API can ask of a running Penstock.
///
/// ``RunningPlan`` is the real one.
package protocol Operations: Sendable {
    /// What each trigger is doing, in the order of the configuration.
    func snapshots() async -> [TriggerSnapshot]

    /// What one trigger is doing; nil when there is none of that name.
    func snapshot(of name: String) async -> TriggerSnapshot?

    /// Stops or goes on invoking a trigger's function; false when there is no such trigger. Throws when the store
    /// cannot remember it.
    func setPaused(_ isPaused: Bool, trigger: String) async throws -> Bool

    /// Reads a trigger's source from other positions on, durable when it returns, or tells what that would do as a trial; nil
    /// when there is no such trigger.
    func seek(
        _ order: SeekOrder,
        trigger: String,
        isTrial: Bool
    ) async throws(SeekError) -> SeekReport?

    /// Sends dead letters again: to the triggers' own functions, or to the one named, those of triggers that are not
    /// configured any more like those of the trigger named; nil when no function has that name.
    func redriver(to function: String?, like trigger: String?) async -> Redriver?

    /// How long one invocation of a function may take; nil when there is no such function.
    func timeout(of function: String) async -> Duration?

    /// The functions' names, in the order of the configuration.
    func functionNames() async -> [String]

    /// What is known of one record of a trigger; nil when there is no such trigger. Throws ``RecordTraceError``, or what
    /// the store says.
    func trace(_ address: RecordAddress, of trigger: String) async throws -> RecordTrace?

    /// Whether a trigger has filters; nil when there is no such trigger.
    func hasFilters(_ trigger: String) async -> Bool?

    /// Listens to the records of a trigger, for as long as `body` takes; nothing happens when there is no such trigger.
    func tap(
        _ trigger: String,
        _ kind: Tap.Kind,
        _ body: @Sendable (Tap) async throws -> Void
    ) async throws

    /// All schedules, in the order of the configuration. Throws what the store says.
    func schedules() async throws -> [ScheduleStatus]

    /// The schedules' names, in the order of the configuration.
    func scheduleNames() async -> [String]

    /// Whether there is such a schedule; a trigger that is a set of them is none by itself.
    func hasSchedule(_ address: ScheduleAddress) async -> Bool

    /// The schedules of the set that a trigger is, from the one of that name on, at most so many, and whether more follow;
    /// nil for a trigger that is no set.
    func scheduleMembers(
        of trigger: String,
        from first: String,
        limit: Int
    ) async -> (members: [ScheduleMember], hasMore: Bool)?

    /// Carries an order out, durable when it returns; nil when the schedule's trigger is not running now. Throws what the
    /// store says.
    func fire(_ order: FireOrder, schedule: ScheduleAddress) async throws -> FireReceipt?

    /// What this process knows of its life among those that share the store; nil when the store is not shared.
    func membership() async -> MembershipFigures?

    /// All members and leases, read now; nil when the store is not shared. Throws what the store says.
    func cluster() async throws -> ClusterStatus?

    /// When dead letters of the store are dropped, and what was.
    func retention() async -> RetentionStatus

    /// How many configurations have been applied since the start, the first one included.
    func generation() async -> Int
}

extension Operations {
    func requireRedriver(
        to function: String?,
        like trigger: String? = nil
    ) async throws(AdminError) -> Redriver {
        if let trigger, await self.snapshot(of: trigger) == nil {
            throw .unknown("trigger", trigger, among: await self.snapshots().map(\.name))
        }
        guard let redriver = await self.redriver(to: function, like: trigger) else {
            throw .unknown("function", function ?? "", among: await self.functionNames())
        }
        return redriver
    }
}

/// When dead letters are dropped, and what was.
package struct RetentionStatus: Sendable {
    /// The limits.
    package var retention: LetterRetention
    /// Letters dropped since the start, by trigger.
    package var dropped: [String: UInt64]
    /// What is near a limit; nil when nothing is.
    package var warning: String?

    /// A status.
    package init(retention: LetterRetention, dropped: [String: UInt64] = [:], warning: String? = nil) {
        self.retention = retention
        self.dropped = dropped
        self.warning = warning
    }
}

/// A running plan, as the admin API sees it.
package struct RunningPlan: Operations {
    private let supervisor: Supervisor

    /// The operations of a supervisor.
    package init(_ supervisor: Supervisor) {
        self.supervisor = supervisor
    }

    package func snapshots() async -> [TriggerSnapshot] {
        await self.supervisor.snapshots()
    }

    package func snapshot(of name: String) async -> TriggerSnapshot? {
        await self.supervisor.snapshot(of: name)
    }

    package func setPaused(_ isPaused: Bool, trigger: String) async throws -> Bool {
        try await self.supervisor.setPaused(isPaused, trigger: trigger)
    }

    package func seek(
        _ order: SeekOrder,
        trigger: String,
        isTrial: Bool
    ) async throws(SeekError) -> SeekReport? {
        try await self.supervisor.seek(order, trigger: trigger, isTrial: isTrial)
    }

    package func redriver(to function: String?, like trigger: String?) async -> Redriver? {
        if let function, await self.supervisor.function(function) == nil { return nil }
        return await self.supervisor.redriver(to: function, like: trigger)
    }

    package func timeout(of function: String) async -> Duration? {
        await self.supervisor.function(function)?.timeout
    }

    package func functionNames() async -> [String] {
        await self.supervisor.functionNames
    }

    package func trace(_ address: RecordAddress, of trigger: String) async throws -> RecordTrace? {
        try await self.supervisor.trace(address, of: trigger)
    }

    package func hasFilters(_ trigger: String) async -> Bool? {
        await self.supervisor.hasFilters(trigger)
    }

    package func tap(
        _ trigger: String,
        _ kind: Tap.Kind,
        _ body: @Sendable (Tap) async throws -> Void
    ) async throws {
        _ = try await self.supervisor.withTap(on: trigger, kind, body)
    }

    package func schedules() async throws -> [ScheduleStatus] {
        try await self.supervisor.schedules()
    }

    package func scheduleNames() async -> [String] {
        await self.supervisor.scheduleNames
    }

    package func hasSchedule(_ address: ScheduleAddress) async -> Bool {
        await self.supervisor.hasSchedule(address)
    }

    package func scheduleMembers(
        of trigger: String,
        from first: String,
        limit: Int
    ) async -> (members: [ScheduleMember], hasMore: Bool)? {
        await self.supervisor.scheduleMembers(of: trigger, from: first, limit: limit)
    }

    package func fire(_ order: FireOrder, schedule: ScheduleAddress) async throws -> FireReceipt? {
        try await self.supervisor.fire(order, schedule: schedule)
    }

    package func membership() async -> MembershipFigures? { await self.supervisor.membership }

    package func cluster() async throws -> ClusterStatus? { try await self.supervisor.cluster() }

    package func retention() async -> RetentionStatus {
        let keeper = self.supervisor.letters
        return RetentionStatus(
            retention: keeper.retention,
            dropped: await keeper.dropped,
            warning: await keeper.warning
        )
    }

    package func generation() async -> Int {
        await self.supervisor.generation
    }
}
