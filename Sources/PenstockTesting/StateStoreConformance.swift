// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockStore

/// What every `StateStore` owes, as checks that any test framework can run.
///
/// Each check gets an open, empty store of its own, and throws ``Violation`` when the store breaks its
/// contract. `checks` lists them all, so that a new check reaches each implementation.
package enum StateStoreConformance {
    /// A promise that a store did not keep.
    package struct Violation: Error, CustomStringConvertible {
        /// What was promised, and what was seen.
        package var description: String
    }

    /// A check with its name, a sentence of behaviour.
    package struct Check: Sendable, CustomStringConvertible {
        /// The promise.
        package var description: String
        /// Throws ``Violation`` when `store`, open and empty, does not keep it.
        package var run: @Sendable (any StateStore) async throws -> Void
    }

    /// All checks.
    package static let checks: [Check] = [
        Check(description: "Checkpoints come back by trigger and partition", run: Self.checkpoints),
        Check(
            description: "Windows come back with the checkpoints that they were kept with",
            run: Self.windows
        ),
        Check(
            description: "A checkpoint replaces the earlier one, also a smaller one",
            run: Self.replacement
        ),
        Check(description: "Checkpoints are removed by trigger and partition", run: Self.checkpointRemoval),
        Check(
            description: "Checkpoints of a trigger are replaced and removed in one write",
            run: Self.checkpointReplacement
        ),
        Check(description: "Positions of 192 bits come back exactly", run: Self.widePositions),
        Check(description: "Names come back exactly, whatever their characters", run: Self.names),
        Check(description: "A dead letter comes back whole", run: Self.wholeLetter),
        Check(description: "Null and empty keys, bodies and values stay apart", run: Self.nullAndEmpty),
        Check(description: "A thousand letters are kept in order by one append", run: Self.thousandLetters),
        Check(description: "The same record given up again leaves one letter", run: Self.sameRecord),
        Check(description: "A replaced letter has a new id, and its old id is gone", run: Self.replacedID),
        Check(description: "Letters are found by trigger, time, error and key", run: Self.filters),
        Check(description: "Letters are listed page by page, oldest first", run: Self.pages),
        Check(description: "Letters are counted with the oldest", run: Self.counts),
        Check(description: "Letters tell what they take, as long as they are kept", run: Self.sizes),
        Check(description: "The oldest letters are found by when they were given up", run: Self.oldest),
        Check(description: "Removing tells how many letters there were", run: Self.removal),
        Check(description: "An id is never given twice", run: Self.idsAreNotReused),
        Check(description: "A failed redrive is added to the history", run: Self.redrive),
        Check(description: "A long history keeps its first and its latest attempts", run: Self.longHistory),
        Check(description: "Paused triggers are remembered until they go on", run: Self.paused),
        Check(description: "A journal's entries come back in order", run: Self.journalOrder),
        Check(description: "An entry with a known key is kept once", run: Self.journalKeys),
        Check(
            description: "A journal loses what is settled, and no position comes twice",
            run: Self.journalRemoval
        ),
        Check(description: "A journal's mark is kept with its entries", run: Self.journalMark),
        Check(
            description: "A time that has fired is not kept again, also after it is settled",
            run: Self.fireOnce
        ),
        Check(description: "The fire log tells what became of each time", run: Self.fireOutcomes),
        Check(
            description: "The fire log keeps the latest lines, and those that wait",
            run: Self.fireRetention
        ),
        Check(
            description: "A journal without entries is forgotten, and no other",
            run: Self.forgetJournal
        ),
        Check(
            description: "A journal's members come back with their marks, until they are removed",
            run: Self.journalMembers
        ),
        Check(description: "The fire log is told member by member", run: Self.memberFires),
        Check(description: "Empty writes do nothing", run: Self.emptyWrites),
        Check(description: "Many writers at once lose nothing", run: Self.manyWriters),
        Check(description: "A cancelled caller still gets the true result", run: Self.cancelledCaller),
        Check(description: "A closed store refuses everything, and closes again", run: Self.closed),
    ]

    static func expect<Value: Equatable>(
        _ actual: Value,
        _ expected: Value,
        _ promise: String
    ) throws(Violation) {
        guard actual == expected else {
            throw Violation(description: "\(promise): expected \(expected), got \(actual)")
        }
    }

    static func isTrue(_ condition: Bool, _ promise: String) throws(Violation) {
        guard condition else { throw Violation(description: promise) }
    }
}

// MARK: - Values

extension DeadLetter {
    /// A letter with everything set, for tests of stores: record `offset` of `partition`, given up by
    /// `trigger`.
    package static func fixture(
        _ offset: UInt64 = 7,
        trigger: String = "orders",
        partition: String = "orders-3",
        at milliseconds: Int64 = 1_700_000_000_000,
        failure: Failure = Failure(type: "ValueError", message: "bad amount")
    ) -> DeadLetter {
        let attempts = (0..<3).map { index in
            Attempt(
                at: Timestamp(milliseconds: milliseconds + index),
                duration: .nanoseconds(1_234_567 * (index + 1)),
                failure: failure
            )
        }
        var letter = DeadLetter(
            partition: partition,
            position: Position(offset),
            timestamp: Timestamp(milliseconds: 1_600_000_000_123),
            verdict: DeadLetterVerdict(
                trigger: trigger,
                function: "billing",
                reason: .retriesExhausted,
                at: Timestamp(milliseconds: milliseconds),
                attempts: attempts,
                attemptCount: attempts.count,
                invocation: "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
            )
        )
        letter.tag = 2
        letter.key = Array("customer-\(offset)".utf8)
        letter.body = Array("{\"order\":\(offset)}".utf8)
        letter.attributes = [
            Attribute(name: "trace", value: [0, 255, 1]), Attribute(name: "trace", value: nil),
        ]
        return letter
    }
}
