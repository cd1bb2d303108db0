// SPDX-License-Identifier: Apache-2.0

import PenstockTesting
import Testing

/// Each row of AWS's table of partial batch responses with a real Python handler on a real topic.
///
/// One run of Penstock has a trigger for each row; what came of it is looked at row by row.
@Suite(.ownThreads, .timeLimit(.minutes(4)))
struct ResponseTableTests {
    private struct Outcome: Sendable {
        var invocations: [String: [[String]]]
        var letters: [String: [DeliveryWorld.Letter]]
        var committed: [String: [Int]]
    }

    private static func topic(_ number: Int) -> String { "row-\(number)" }

    private static let outcome = Result(catching: Self.run)

    private static func run() throws -> Outcome {
        let triggers = ResponseRow.all.enumerated().map { number, row in
            let partitions = (0..<row.partitions).flatMap { partition in
                row.keys.map { DeliveryWorld.Record(partition: partition, key: $0) }
            }
            return DeliveryWorld.Trigger(
                name: Self.topic(number),
                handler: row.handler,
                records: partitions,
                partitions: row.partitions,
                function: row.function,
                options: [
                    "ordering: \(row.ordering)", "batch: { size: \(partitions.count), window: 10s }",
                    "failure: { retries: 1, backoff: { initial: 1ms, max: 5ms }, \(row.settings) }",
                ]
            )
        }
        let hasty = "hasty: { local: { command: HANDLER, directory: HOME, concurrency: 1, timeout: 300ms } }"
        let world = try DeliveryWorld(triggers, functions: [hasty])
        defer { world.broker.stop() }
        let penstock = try world.start()
        try world.waitUntilSettled(penstock)
        try penstock.terminate()
        return Outcome(
            invocations: world.invocations,
            letters: Dictionary(grouping: try world.letters(), by: \.trigger),
            committed: try world.committed()
        )
    }

    @Test("With a Python handler on a Kafka topic", arguments: Array(ResponseRow.all.enumerated()))
    func row(_ number: Int, _ row: ResponseRow) throws {
        let outcome = try Self.outcome.get()
        let topic = Self.topic(number)
        let invocations = outcome.invocations[topic]?.map { row.isMixed ? $0.sorted() : $0 }
        #expect(invocations == row.invocations.map { row.isMixed ? $0.sorted() : $0 })
        let letters = outcome.letters[topic] ?? []
        #expect(letters.map(\.record).sorted() == row.letters.keys.sorted())
        for letter in letters { #expect(letter.error == row.letters[letter.record]) }
        #expect(outcome.committed[topic] == Array(repeating: 3, count: row.partitions))
    }
}
