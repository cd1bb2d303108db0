// SPDX-License-Identifier: Apache-2.0

import PenstockRuntime
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// Which shard is read next, and how much is handed out.
@Suite struct ShardTurnsTests {
    private static func budget(
        _ records: Int,
        bytes: Int = 1 << 20,
        held: Set<PartitionID> = []
    ) -> ReceiveBudget {
        ReceiveBudget(records: records, bytes: bytes, held: held)
    }

    private static let (a, b) = (PartitionID(1), PartitionID(2))

    private static func turns(most: Int = 2) -> ShardTurns {
        var turns = ShardTurns(most: most)
        turns.add(Self.a, isPrepared: true)
        turns.add(Self.b, isPrepared: true)
        return turns
    }

    @Test("Nothing is read before the first budget, but prepared; no more side by side than allowed")
    func limits() {
        var turns = Self.turns(most: 1)
        let third = PartitionID(3)
        turns.add(third, isPrepared: false)
        #expect(turns.next() == .prepare(third))
        #expect(turns.next() == nil)
        turns.ended(third)
        turns.rested(third)
        #expect(turns.next() == nil)
        let hasWork = turns.grant(Self.budget(10))
        #expect(hasWork)
        #expect(turns.next() == .read(Self.a))
        #expect(turns.next() == nil)
        turns.ended(Self.a)
        #expect(turns.next() == .read(Self.b))
        turns.ended(Self.b)
        #expect(turns.next() == .read(third))
        turns.ended(third)
        // Resting until they are told to be due.
        #expect(turns.next() == nil)
        turns.rested(Self.b)
        turns.rested(Self.b)
        #expect(turns.next() == .read(Self.b))
        #expect(turns.next() == nil)
    }

    @Test("A page is handed out in parts as the budget allows, and nothing more is read of its shard")
    func parts() {
        var turns = Self.turns()
        _ = turns.grant(Self.budget(5))
        #expect(turns.next() == .read(Self.a))
        turns.ended(Self.a, pageBytes: 1000)
        #expect(turns.next() == .handOut(Self.a, records: 5, bytes: 1 << 20))
        turns.handedOut(Self.a, records: 5, bytes: 500, left: 500)
        #expect(turns.next() == nil)
        // The budget was made before these five arrived.
        let isOpen = turns.grant(Self.budget(5))
        #expect(!isOpen && turns.next() == nil)
        turns.returned(records: 5, bytes: 500)
        _ = turns.grant(Self.budget(7))
        #expect(turns.next() == .handOut(Self.a, records: 7, bytes: 1 << 20))
        turns.handedOut(Self.a, records: 5, bytes: 500, left: 0)
        #expect(turns.next() == .read(Self.b))
        #expect(turns.next() == nil)
    }

    @Test("A shard that is held lets its page go, and is due when it is not held any more")
    func held() {
        var turns = Self.turns()
        _ = turns.grant(Self.budget(5))
        #expect(turns.next() == .read(Self.a))
        turns.ended(Self.a, pageBytes: 1000)
        _ = turns.grant(Self.budget(5, held: [Self.a, Self.b]))
        #expect(turns.next() == .letGo(Self.a))
        #expect(turns.next() == nil)
        let hasWork = turns.grant(Self.budget(5, held: [Self.b]))
        #expect(hasWork)
        #expect(turns.next() == .read(Self.a))
        #expect(turns.next() == nil)
        turns.ended(Self.a, pageBytes: 1)
        _ = turns.grant(Self.budget(5))
        #expect(turns.next() == .handOut(Self.a, records: 5, bytes: 1 << 20))
        #expect(turns.next() == .read(Self.b))
    }

    @Test("Pages that wait bound what is read")
    func room() {
        var turns = Self.turns()
        _ = turns.grant(Self.budget(1))
        #expect(turns.next() == .read(Self.a))
        turns.ended(Self.a, pageBytes: ShardTurns.pageBytesMax)
        #expect(turns.next() == .handOut(Self.a, records: 1, bytes: 1 << 20))
        turns.handedOut(Self.a, records: 1, bytes: 1, left: ShardTurns.pageBytesMax)
        turns.returned(records: 1, bytes: 1)
        _ = turns.grant(Self.budget(1))
        #expect(turns.next() == .handOut(Self.a, records: 1, bytes: 1 << 20))
        #expect(turns.next() == nil, "b is not read while there is no room for a page")
        turns.remove(Self.a)
        #expect(turns.next() == .read(Self.b))
    }

    @Test("A shard that is over comes no more, whatever is still told of it")
    func removed() {
        var turns = Self.turns()
        _ = turns.grant(Self.budget(5))
        #expect(turns.next() == .read(Self.a))
        turns.remove(Self.a)
        turns.remove(Self.b)
        turns.ended(Self.a, pageBytes: 10)
        turns.rested(Self.a)
        turns.handedOut(Self.a, records: 0, bytes: 0, left: 0)
        #expect(turns.next() == nil)
        #expect(turns.underWay == 0)
    }
}
