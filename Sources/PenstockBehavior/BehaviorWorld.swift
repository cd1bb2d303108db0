// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
package import PenstockCore
import PenstockRuntime
import Reactor
import Synchronization

/// What has come of the records of a case.
package struct Observation: Sendable {
    /// An invocation.
    package struct Call: Sendable {
        /// Its records.
        package var records: RecordNumbers
        /// When it began, from the start of the case.
        package var begin: Duration
        /// When it ended; nil when it has not.
        package var end: Duration?
        /// What the function did, in a few words.
        package var answer: String
    }

    /// The invocations, in the order in which they began.
    package internal(set) var calls: [Call] = []
    /// The records given up, with their reasons.
    package internal(set) var deadLetters: [Int: DeadLetterReason] = [:]
    /// What is kept, by partition.
    package internal(set) var checkpoints: [String: Position] = [:]
    /// What the function dealt with.
    package internal(set) var succeeded = RecordNumbers()
    /// What no filter matched.
    package internal(set) var filtered = RecordNumbers()
    /// When the last record was settled; nil when none was.
    package internal(set) var lastSettled: Duration?

    /// What is still on its way, of so many.
    package func unsettled(of count: Int) -> RecordNumbers {
        var rest = RecordNumbers(1..<count + 1)
        rest.numbers.subtract(self.succeeded.numbers)
        rest.numbers.subtract(self.filtered.numbers)
        for number in self.deadLetters.keys { rest.numbers.remove(contentsOf: number..<number + 1) }
        return rest
    }
}

/// The outside of a trigger under test: its records, the function as the case scripts it, and all that happens.
///
/// Everything runs on one ``VirtualLoop``; the lock is there for the compiler.
final class BehaviorWorld: Sendable {
    /// A record of the case.
    struct Record: Sendable {
        var number: Int
        var partition: String
        var position: Position
        var like: BehaviorRecords
    }

    /// Names a record as the engine knows it.
    private struct Place: Hashable {
        var partition: String
        var position: Position
    }

    private struct State {
        var observation = Observation()
        var batches: [String: Batch] = [:]
        var applied: [Int]
        var settled: UInt64 = 0
        var hasEnded = false
    }

    let loop = VirtualLoop()
    /// All of them, by number.
    let records: [Record]
    let tag: UInt8
    private let numbers: [Place: Int]
    private let answers: [BehaviorAnswer]
    private let state: Mutex<State>

    init(_ test: BehaviorCase, sample: RecordSample) {
        var records: [Record] = []
        var last: [String: Position] = [:]
        for like in test.records {
            let partition = like.partition ?? sample.partition
            for place in 0..<like.count {
                let first = place == 0 ? like.position : nil
                let position = first ?? last[partition]?.next ?? Position(1)
                last[partition] = position
                records.append(
                    Record(number: records.count + 1, partition: partition, position: position, like: like)
                )
            }
        }
        self.records = records
        self.tag = sample.tag
        self.numbers = Dictionary(
            records.map { (Place(partition: $0.partition, position: $0.position), $0.number) },
            uniquingKeysWith: { first, _ in first }
        )
        self.answers = test.answers
        self.state = Mutex(State(applied: test.answers.map { _ in 0 }))
    }

    /// What has happened so far.
    var observation: Observation {
        var observation = self.state.withLock { $0.observation }
        // What the engine made of an answer counts: a record may fail with others of its key.
        for number in observation.deadLetters.keys {
            observation.succeeded.numbers.remove(contentsOf: number..<number + 1)
        }
        return observation
    }

    /// Whether the trigger has stopped.
    var hasEnded: Bool { self.state.withLock { $0.hasEnded } }

    /// The trigger has stopped.
    func noteEnd() {
        self.state.withLock { $0.hasEnded = true }
    }

    /// How many invocations there were.
    var callCount: Int { self.state.withLock { $0.observation.calls.count } }

    private var now: Duration { self.loop.now - .start }

    /// The number of a record.
    func number(_ partition: String, _ position: Position) -> Int? {
        self.numbers[Place(partition: partition, position: position)]
    }

    /// The numbers of a batch's records, in its order.
    private func numbers(of batch: Batch) -> [Int] {
        batch.runs.flatMap { run in
            run.indices.compactMap { index in
                self.number(run.partition.name, run.admitted.block.entries[index].position)
            }
        }
    }

    // MARK: - Invocations

    /// The event of a batch was written.
    func encoded(_ batch: Batch, trigger: String) {
        self.state.withLock { $0.batches[InvocationID.make(trigger: trigger, batch: batch)] = batch }
    }

    /// An invocation begins: its batch, its number, and what the function does; nil when no batch has that id.
    func begin(_ id: String) -> (batch: Batch, call: Int, answer: BehaviorAnswer?)? {
        self.state.withLock { state in
            guard let batch = state.batches.removeValue(forKey: id) else { return nil }
            let records = RecordNumbers(self.numbers(of: batch))
            let call = state.observation.calls.count
            let index = self.answers.indices.first {
                self.answers[$0].applies(to: records, invocation: call + 1, applied: state.applied[$0])
            }
            if let index { state.applied[index] += 1 }
            state.observation.calls.append(
                Observation.Call(records: records, begin: self.now, end: nil, answer: "under way")
            )
            return (batch, call, index.map { self.answers[$0] })
        }
    }

    /// An invocation ended: `verdicts` are those of the batch's records, nil when none was tried.
    func end(_ call: Int, _ batch: Batch, answer: String, verdict: BatchVerdict) {
        let numbers = self.numbers(of: batch)
        self.state.withLock { state in
            state.observation.calls[call].end = self.now
            state.observation.calls[call].answer = answer
            switch verdict {
            case .succeeded:
                for number in numbers { state.observation.succeeded.insert(number) }
            case .partial(let verdicts, _):
                for (number, verdict) in zip(numbers, verdicts) where verdict == .succeeded {
                    state.observation.succeeded.insert(number)
                }
            case .failed, .poison, .throttled, .cancelled:
                break
            }
        }
    }

    /// The member `batchItemFailures` with those of the records that the batch holds, in the identifiers of its format.
    func itemFailures(_ items: RecordNumbers, in batch: Batch, format: any EventFormat) -> [UInt8] {
        let failed = self.numbers(of: batch).enumerated().filter { items.numbers.contains($0.element) }
        let identifiers = failed.compactMap { index, number in
            Self.identifier(of: self.records[number - 1], at: index, in: batch, format)
        }
        guard identifiers.count == failed.count else {
            // The format has no names for its records: a word for each says the same.
            let words = self.numbers(of: batch).map {
                items.numbers.contains($0) ? #""retry""# : #""success""#
            }
            return Array("\"recordResults\":[\(words.joined(separator: ","))]".utf8)
        }
        let list = identifiers.map { "{\"itemIdentifier\":\($0)}" }.joined(separator: ",")
        return Array("\"batchItemFailures\":[\(list)]".utf8)
    }

    /// The identifier by which the format knows the record, in JSON.
    private static func identifier(
        of record: Record,
        at index: Int,
        in batch: Batch,
        _ format: any EventFormat
    ) -> String? {
        if let offset = record.position.offset,
            format.index(of: .offset(partition: record.partition, offset: offset), in: batch) == index
        {
            let name = JSONValue.string(record.partition).text
            return "{\"partition\":\(name),\"offset\":\(offset)}"
        }
        let texts = [record.position.description, "\(record.partition)/\(record.position)"]
        return texts.first { format.index(of: .text($0), in: batch) == index }.map {
            JSONValue.string($0).text
        }
    }

    // MARK: - Settlements

    func filtered(_ records: [Int]) {
        self.state.withLock { state in
            for number in records { state.observation.filtered.insert(number) }
        }
    }

    func gaveUp(_ letters: [DeadLetter]) {
        self.state.withLock { state in
            for letter in letters {
                guard let number = self.number(letter.partition, letter.position) else { continue }
                state.observation.deadLetters[number] = letter.reason
            }
        }
    }

    func kept(_ partition: String, _ position: Position) {
        self.state.withLock { $0.observation.checkpoints[partition] = position }
    }

    /// Notes when the counters say that more is settled.
    func note(_ counters: Counters) {
        let settled = counters.succeeded + counters.filtered + counters.deadLettered + counters.cancelled
        self.state.withLock { state in
            guard settled > state.settled else { return }
            state.settled = settled
            state.observation.lastSettled = self.now
        }
    }
}

extension Position {
    /// The one after it, as long as it fits 64 bits.
    fileprivate var next: Position? {
        self.offset.flatMap { $0 == .max ? nil : Position($0 + 1) }
    }
}
