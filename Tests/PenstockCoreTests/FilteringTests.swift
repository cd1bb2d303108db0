// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Testing

/// Lets through what a rule says about positions.
final class PositionFilter: RecordFilter {
    private let passes: (UInt64) -> Bool

    init(_ passes: @escaping (UInt64) -> Bool) {
        self.passes = passes
    }

    func select(_ block: RecordBlock) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        for (index, entry) in block.entries.enumerated() where self.passes(entry.position.offset ?? 0) {
            if let last = ranges.last, last.upperBound == index {
                ranges[ranges.count - 1] = last.lowerBound..<index + 1
            } else {
                ranges.append(index..<index + 1)
            }
        }
        return ranges
    }
}

@Suite struct FilteringTests {
    private static func policy(_ filtered: FilteredDisposition) -> TriggerPolicy {
        var policy = TriggerPolicy.testing(size: 10)
        policy.filtered = filtered
        return policy
    }

    @Test("Filtered records are settled at once, the others are invoked, and the position waits for both")
    func acknowledges() {
        let world = EngineFixture(Self.policy(.acknowledge), filter: PositionFilter { $0 % 3 == 1 })
        world.arrive(8)
        #expect(world.counters.filtered == 5)
        #expect(world.counters.inFlight == 3)
        #expect(world.counters.isConserved)
        #expect(world.invocations.map { EngineFixture.offsets($0.runs) } == [[1, 4, 7]])
        world.pass(.seconds(2))
        // Only what stands before the first record in flight.
        #expect(world.commits.map { $0.map(\.position) } == [[Position(0)]])
        world.engine.commitEnded(world.commits[0], accepted: world.commits[0], now: world.now)
        world.answer(.succeeded)
        world.pass(.seconds(2))
        #expect(world.commits.last?.map(\.position) == [Position(7)])
        #expect(world.counters.isConserved)
        let bytes = world.engine.bytesInHand
        #expect(bytes == 0)
    }

    @Test("When everything is filtered nothing is invoked, and the position moves on")
    func allFiltered() {
        let world = EngineFixture(Self.policy(.acknowledge), filter: PositionFilter { _ in false })
        world.arrive(100)
        world.arrive(100)
        #expect(world.invocations.isEmpty)
        #expect(world.counters.filtered == 200)
        #expect(world.counters.inFlight == 0)
        world.pass(.seconds(2))
        #expect(world.commits.last?.map(\.position) == [Position(199)])
    }

    @Test("Filtered records do not count towards the size of a batch")
    func batchSize() {
        var policy = Self.policy(.acknowledge)
        policy.batchWindow = .seconds(10)
        policy.batchSize = 5
        let world = EngineFixture(policy, filter: PositionFilter { $0 % 2 == 0 })
        world.arrive(8)
        #expect(world.invocations.isEmpty)
        world.arrive(2)
        #expect(world.invocations.map { EngineFixture.offsets($0.runs) } == [[0, 2, 4, 6, 8]])
    }

    @Test("Filtered records that are kept become dead letters in their turn; the position waits for them")
    func deadLetters() {
        let world = EngineFixture(Self.policy(.deadLetter), filter: PositionFilter { $0 < 2 || $0 == 4 })
        world.arrive(5)
        #expect(world.invocations.map { EngineFixture.offsets($0.runs) } == [[0, 1]])
        #expect(world.tickets.isEmpty)
        world.answer(.succeeded)
        #expect(world.tickets.map(\.reason) == [.filtered])
        #expect(world.tickets.map { EngineFixture.offsets($0.runs) } == [[2, 3]])
        #expect(world.invocations.isEmpty)
        world.letterWritten()
        #expect(world.invocations.map { EngineFixture.offsets($0.runs) } == [[4]])
        world.answer(.succeeded)
        #expect(world.counters.deadLettered == 2)
        #expect(world.counters.filtered == 0)
        #expect(world.counters.isConserved)
        world.pass(.seconds(2))
        #expect(world.commits.last?.map(\.position) == [Position(4)])
    }

    @Test("Filtered records of a partition given up meanwhile are released, not settled")
    func revoked() throws {
        let world = EngineFixture(Self.policy(.acknowledge), filter: PositionFilter { _ in false })
        let partition = try #require(world.partitions["orders-0"])
        world.engine.lost([partition.id], now: world.now)
        world.arrive(3)
        #expect(world.counters.filtered == 0)
        #expect(world.counters.released == 3)
        #expect(world.counters.isConserved)
    }
}
