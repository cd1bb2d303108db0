// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockRuntime
package import PenstockStore
import Synchronization

/// The function of a ``SimulatedWorld``.
package final class SimulatedFunction: Function {
    private let world: SimulatedWorld
    private let process: Int

    /// The function as one process reaches it.
    package init(world: SimulatedWorld, process: Int) {
        self.world = world
        self.process = process
    }

    package var name: String { "simulated" }
    package var concurrency: Int { 8 }
    package var timeout: Duration { .seconds(30) }

    package func format(for source: any EventFormat, trigger: String) -> any EventFormat { source }

    package func invoke(_ invocation: Invocation) async -> InvocationResult {
        guard self.world.isAlive(self.process) else { return .unavailable(Self.failure("dead")) }
        let records = LineFormat.records(in: invocation.body)
        if self.world.happens(\.throttle) { return .throttled(retryAfter: nil, Self.failure("throttled")) }
        if self.world.happens(\.unavailable) { return .unavailable(Self.failure("unavailable")) }
        self.world.invoked(records, process: self.process)
        let keys = self.world.keys(of: records)
        await self.world.dawdle(self.world.happens(\.slow) ? .seconds(60) : .milliseconds(30))
        return self.answer(records, keys)
    }

    private func answer(
        _ records: [(partition: String, offset: UInt64)],
        _ keys: Set<String>
    ) -> InvocationResult {
        let isPartial = self.world.happens(\.partial)
        if isPartial {
            let failed = records.filter {
                self.world.isBad($0.partition, $0.offset) || self.world.random(in: 0...9) == 0
            }
            let names = Set(failed.map { "\($0.partition)@\($0.offset)" })
            self.world.answered(records, key: keys) { !names.contains("\($0)@\($1)") }
            return .responded(Self.itemFailures(failed))
        }
        let isBad = records.contains { self.world.isBad($0.partition, $0.offset) }
        if isBad || self.world.happens(\.failure) {
            self.world.answered(records, key: keys) { _, _ in false }
            return .failed(Self.failure("simulated"))
        }
        self.world.answered(records, key: keys) { _, _ in true }
        if self.world.happens(\.lostAnswer) { return .failed(Self.failure("lost answer")) }
        return .responded(Array("{}".utf8))
    }

    private static func itemFailures(_ records: [(partition: String, offset: UInt64)]) -> [UInt8] {
        let items = records.map {
            #"{"itemIdentifier":{"partition":"\#($0.partition)","offset":\#($0.offset)}}"#
        }
        return Array(#"{"batchItemFailures":[\#(items.joined(separator: ","))]}"#.utf8)
    }

    private static func failure(_ message: String) -> Failure { Failure(type: "Simulated", message: message) }

    package func shutdown() async {}
}

/// The dead-letter destination of a ``SimulatedWorld``.
package final class SimulatedDestination: Destination {
    private let world: SimulatedWorld
    private let process: Int

    /// The destination as one process reaches it.
    package init(world: SimulatedWorld, process: Int) {
        self.world = world
        self.process = process
    }

    package var name: String { "simulated" }

    package func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        await self.world.dawdle(.milliseconds(30))
        guard self.world.isAlive(self.process), !self.world.happens(\.sinkDown) else {
            throw DestinationError("the simulated destination is down")
        }
        self.world.state.withLock { state in
            for letter in letters {
                guard let offset = letter.position.offset else { continue }
                state.deadLetters[letter.partition, default: []].insert(offset)
            }
        }
    }

    package func close() async {}
}

/// The store of a ``SimulatedWorld``: checkpoints only, which is all a pipeline uses.
package final class SimulatedStore: StateStore {
    private let world: SimulatedWorld
    private let process: Int

    /// The store as one process opened it.
    package init(world: SimulatedWorld, process: Int) {
        self.world = world
        self.process = process
    }

    package func checkpoints(of trigger: String) async throws(StoreError) -> [String: Position] {
        self.world.state.withLock { $0.checkpoints }
    }

    package func save(_ checkpoints: [Checkpoint]) async throws(StoreError) {
        await self.world.dawdle(.milliseconds(10))
        guard self.world.isAlive(self.process), !self.world.happens(\.storeFull) else {
            throw StoreError(.diskFull, "the simulated disk is full")
        }
        self.world.state.withLock { state in
            for checkpoint in checkpoints { state.checkpoints[checkpoint.partition] = checkpoint.position }
        }
    }

    package func append(_ letters: [DeadLetter]) async throws(StoreError) {}
    package func deadLetters(
        matching query: DeadLetterQuery
    ) async throws(StoreError) -> [StoredDeadLetter.Summary] { [] }
    package func deadLetter(_ id: DeadLetterID) async throws(StoreError) -> StoredDeadLetter? { nil }
    package func countDeadLetters(matching query: DeadLetterQuery) async throws(StoreError) -> DeadLetterCount
    {
        DeadLetterCount(count: 0, oldest: nil)
    }
    package func removeDeadLetters(_ ids: [DeadLetterID]) async throws(StoreError) -> Int { 0 }
    package func recordRedrive(_ ids: [DeadLetterID], attempt: Attempt) async throws(StoreError) {}
    package func pausedTriggers() async throws(StoreError) -> Set<String> { [] }
    package func setPaused(_ paused: Bool, trigger: String) async throws(StoreError) {}
    package func close() async {}
}
