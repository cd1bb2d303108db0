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

    /// Sends dead letters again: to the triggers' own functions, or to the one named; nil when no function has that
    /// name.
    func redriver(to function: String?) async -> Redriver?

    /// How long one invocation of a function may take; nil when there is no such function.
    func timeout(of function: String) async -> Duration?
}

extension Operations {
    func requireRedriver(to function: String?) async throws(AdminError) -> Redriver {
        guard let redriver = await self.redriver(to: function) else {
            throw AdminError(.badRequest, "no-such-function", "there is no function \"\(function ?? "")\"")
        }
        return redriver
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

    package func redriver(to function: String?) async -> Redriver? {
        if let function, await self.supervisor.function(function) == nil { return nil }
        return await self.supervisor.redriver(to: function)
    }

    package func timeout(of function: String) async -> Duration? {
        await self.supervisor.function(function)?.timeout
    }
}
