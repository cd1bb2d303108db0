// SPDX-License-Identifier: Apache-2.0

import Foundation
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
        let window = LineFormat.window(in: invocation.body)
        if self.world.happens(\.throttle) { return .throttled(retryAfter: nil, Self.failure("throttled")) }
        if self.world.happens(\.unavailable) { return .unavailable(Self.failure("unavailable")) }
        let holds = self.world.invoked(records, process: self.process)
        await self.world.dawdle(self.world.happens(\.slow) ? .seconds(60) : .milliseconds(30))
        return self.answer(records, holds, window.map { SimulatedWindow($0) })
    }

    private func answer(
        _ records: [(partition: String, offset: UInt64)],
        _ holds: Set<SimulatedWorld.Hold>,
        _ window: SimulatedWindow?
    ) -> InvocationResult {
        if let window, window.isFinal {
            if self.world.happens(\.failure) { return .failed(Self.failure("simulated")) }
            self.world.ended(window)
            return self.world.happens(\.lostAnswer)
                ? .failed(Self.failure("lost answer")) : .responded(Array("null".utf8))
        }
        let isPartial = self.world.happens(\.partial)
        if isPartial {
            let failed = records.filter {
                self.world.isBad($0.partition, $0.offset) || self.world.random(in: 0...9) == 0
            }
            let names = Set(failed.map { "\($0.partition)@\($0.offset)" })
            self.world.answered(records, holds: holds) { !names.contains("\($0)@\($1)") }
            let dealtWith = records.prefix { !names.contains("\($0.partition)@\($0.offset)") }
            return .responded(
                Self.json([Self.itemFailures(failed), self.world.state(window, with: dealtWith)])
            )
        }
        if self.world.happens(\.results) {
            let words = records.map { record -> String in
                if self.world.isBad(record.partition, record.offset) { return "drop" }
                return self.world.random(in: 0...9) == 0 ? "retry" : "success"
            }
            let names = Set(
                zip(records, words).filter { $0.1 == "success" }.map { "\($0.0.partition)@\($0.0.offset)" }
            )
            self.world.answered(records, holds: holds) { names.contains("\($0)@\($1)") }
            let results = #""recordResults":["\#(words.joined(separator: #"",""#))"]"#
            let dealtWith = records.prefix { names.contains("\($0.partition)@\($0.offset)") }
            return .responded(Self.json([results, self.world.state(window, with: dealtWith)]))
        }
        let isBad = records.contains { self.world.isBad($0.partition, $0.offset) }
        if isBad || self.world.happens(\.failure) {
            self.world.answered(records, holds: holds) { _, _ in false }
            return .failed(Self.failure("simulated"))
        }
        self.world.answered(records, holds: holds) { _, _ in true }
        if self.world.happens(\.lostAnswer) { return .failed(Self.failure("lost answer")) }
        return .responded(Self.json([self.world.state(window, with: records[...])]))
    }

    private static func json(_ members: [String?]) -> [UInt8] {
        Array("{\(members.compactMap(\.self).joined(separator: ","))}".utf8)
    }

    private static func itemFailures(_ records: [(partition: String, offset: UInt64)]) -> String {
        let items = records.map {
            #"{"itemIdentifier":{"partition":"\#($0.partition)","offset":\#($0.offset)}}"#
        }
        return #""batchItemFailures":[\#(items.joined(separator: ","))]"#
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

/// The destination of results of a ``SimulatedWorld``.
package final class SimulatedResults: ResultDestination {
    private let world: SimulatedWorld
    private let process: Int

    /// The destination as one process reaches it.
    package init(world: SimulatedWorld, process: Int) {
        self.world = world
        self.process = process
    }

    package var name: String { "simulated" }

    package func deliver(_ record: InvocationRecord) async throws(DestinationError) {
        await self.world.dawdle(.milliseconds(30))
        guard self.world.isAlive(self.process), !self.world.happens(\.resultsDown) else {
            throw DestinationError("the simulated destination of results is down")
        }
        self.world.state.withLock { state in
            for (partition, offset) in Self.records(in: record.json) {
                state.reported[partition, default: []].insert(offset)
            }
        }
    }

    /// The records that a document names.
    private static func records(in document: [UInt8]) -> [(String, UInt64)] {
        let object = try? JSONSerialization.jsonObject(with: Data(document)) as? [String: Any]
        return (object?["batch"] as? [[String: Any]] ?? []).flatMap { part -> [(String, UInt64)] in
            guard let name = part["partition"] as? String else { return [] }
            return (part["positions"] as? [String] ?? []).compactMap { UInt64($0) }.map { (name, $0) }
        }
    }

    package func close() async {}
}

/// The checkpoints of a ``SimulatedWorld``.
package final class SimulatedStore: CheckpointStore {
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

    package func windows(of trigger: String) async throws(StoreError) -> [String: KeptWindow] {
        self.world.state.withLock { $0.windows }
    }

    package func removeCheckpoints(of trigger: String, partitions: [String]) async throws(StoreError) {
        self.world.state.withLock { state in
            for partition in partitions {
                state.checkpoints[partition] = nil
                state.windows[partition] = nil
            }
        }
    }

    package func replaceCheckpoints(
        of trigger: String,
        with checkpoints: [Checkpoint],
        removing partitions: [String]
    ) async throws(StoreError) {
        self.world.state.withLock { state in
            for partition in partitions {
                state.checkpoints[partition] = nil
                state.windows[partition] = nil
            }
            for checkpoint in checkpoints {
                state.checkpoints[checkpoint.partition] = checkpoint.position
                state.windows[checkpoint.partition] = checkpoint.window
            }
        }
    }

    package func save(_ checkpoints: [Checkpoint]) async throws(StoreError) {
        await self.world.dawdle(.milliseconds(10))
        guard self.world.isAlive(self.process), !self.world.happens(\.storeFull) else {
            throw StoreError(.diskFull, "the simulated disk is full")
        }
        // Writes that are asked for at the same time are carried out in any order.
        self.world.state.withLock { state in
            for checkpoint in checkpoints {
                state.checkpoints[checkpoint.partition] = checkpoint.position
                state.windows[checkpoint.partition] = checkpoint.window
                if let committed = state.committed[checkpoint.partition],
                    checkpoint.position < Position(committed)
                {
                    let place = "\(checkpoint.partition)@\(checkpoint.position)"
                    state.violations.append("a checkpoint stepped back to \(place), behind \(committed)")
                }
            }
        }
    }
}
