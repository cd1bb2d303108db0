// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockRuntime
package import Reactor

/// How probes of conformance suites receive: never without an end.
extension Source {
    /// One receive, which is cancelled at the deadline.
    package func receive(until deadline: Instant, on loop: any EventLoop) async throws -> [SourceEvent] {
        try await withThrowingTaskGroup(of: [SourceEvent].self) { group in
            group.addTask { try await self.receive() }
            group.addTask {
                await loop.pause(until: deadline)
                return []
            }
            var events = try await group.next() ?? []
            group.cancelAll()
            while let more = try await group.next() { events += more }
            return events
        }
    }

    /// One receive, which is cancelled as soon as it has begun and `act` has happened.
    func receiveCancelled(_ act: () -> Void) async throws -> [SourceEvent] {
        try await withThrowingTaskGroup(of: [SourceEvent].self) { group in
            group.addTask { try await self.receive() }
            act()
            group.cancelAll()
            return try await group.next() ?? []
        }
    }

    /// Stops it while a receive waits, and once more; nothing but news of before may come out, and then nothing.
    func stopWhileReceiving() async throws {
        let events = try await withThrowingTaskGroup(of: [SourceEvent].self) { group in
            group.addTask { try await self.receive() }
            await self.stop()
            return try await group.next() ?? []
        }
        await self.stop()
        var rest = events
        for _ in 0..<100 where !rest.isEmpty {
            for case .records in rest {
                throw SourceConformance.Violation(description: "no records come out of a stop")
            }
            rest = try await self.receive()
        }
        let isSilent = try await self.receive().isEmpty
        try SourceConformance.isTrue(isSilent, "a source that was stopped tells nothing")
    }

    /// Stops a source that was never started.
    func stopBeforeStart() async throws {
        self.grant(.none)
        await self.stop()
        await self.stop()
        let isSilent = try await self.receive().isEmpty
        try SourceConformance.isTrue(isSilent, "a source that was stopped tells nothing")
    }
}
