// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockCore
import PenstockTesting
import Testing

extension KillTests {
    @Test("Functions that are killed under load lose nothing, and repeat at most the batch that each had")
    func functionsKilled() throws {
        let began = ContinuousClock.now
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let world = try KillWorld(records: 200_000)
        let penstock = try world.start(work: .milliseconds(100))
        var kills = 0
        for _ in 0..<10 {
            let before = world.farEnd.read()
            try world.wait(arrivals: before + Int.random(in: 1000...15_000, using: &random), penstock)
            #expect(world.farEnd.distinct < world.records, "a kill after the last record proves nothing")
            guard let victim = penstock.children.randomElement(using: &random) else { continue }
            if Glibc.kill(victim, SIGKILL) == 0 { kills += 1 }
        }
        try world.waitForAll(penstock)
        try penstock.terminate()
        world.farEnd.read()
        // A process has one batch at a time; what it had written before it was killed comes again with the retry.
        let bound = kills * KillWorld.batch
        Self.summarize(
            "functions killed",
            world,
            "seed \(seed), \(kills) kills, bound \(bound)",
            since: began
        )
        #expect(kills >= 8)
        Self.expectContract(world, atMost: bound)
    }

    @Test(
        "A connection that is cut until the session is over, or for a moment, loses nothing and keeps order"
    )
    func cut() throws {
        let began = ContinuousClock.now
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let world = try KillWorld(records: 200_000)
        let penstock = try world.start(work: .milliseconds(200))
        var (bound, losses) = (0, 0)
        var committed: [Int] = []
        for number in 0..<6 {
            let before = world.farEnd.read()
            try world.wait(arrivals: before + Int.random(in: 2000...8000, using: &random), penstock)
            #expect(world.farEnd.distinct < world.records, "a cut after the last record proves nothing")
            if Self.losses(penstock) > losses {
                // The machine was so slow that the session ended although the cut was short.
                losses = Self.losses(penstock)
                bound += world.farEnd.arrivals(behind: committed) + KillWorld.inFlight
            }
            committed = try world.committed()
            world.proxy.cut()
            if number.isMultiple(of: 2) {
                world.proxy.restore()
                continue
            }
            guard BoundedWait.until(within: .seconds(20), { Self.losses(penstock) > losses }) else {
                throw KillWorld.Failure(description: "no session ended:\n\(penstock.logTail)")
            }
            // Reading begins again where the group had committed. Since that was looked at, at most what has arrived
            // by now came without being committed, and what is still in flight.
            losses = Self.losses(penstock)
            bound += world.farEnd.arrivals(behind: committed) + KillWorld.inFlight
            world.proxy.restore()
        }
        try world.waitForAll(penstock)
        try penstock.terminate()
        world.farEnd.read()
        let facts = "seed \(seed), 6 cuts, \(losses) sessions lost, bound \(bound)"
        Self.summarize("cut", world, facts, since: began)
        #expect(losses >= 3)
        Self.expectContract(world, atMost: bound)
    }

    /// How often a Penstock has lost partitions without being asked.
    private static func losses(_ penstock: PenstockProcess) -> Int {
        penstock.log.components(separatedBy: "partitions lost").count - 1
    }

    @Test(
        "A second Penstock that joins and leaves repeats nothing; when either is killed, only what was not committed"
    )
    func secondMember() throws {
        let began = ContinuousClock.now
        let world = try KillWorld(records: 200_000)
        let work = Duration.milliseconds(250)
        let first = try world.start(1, work: work)
        try world.wait(arrivals: 4000, first)
        // Joins, and leaves by SIGTERM.
        let second = try world.start(2, work: work)
        try world.wait(arrivals: 4000, of: 2, second)
        try second.terminate()
        world.farEnd.read()
        #expect(world.farEnd.duplicates == 0, "a member that joins or leaves in peace repeats nothing")
        // Joins again, and is killed.
        let third = try world.start(3, work: work)
        try world.wait(arrivals: 4000, of: 3, third)
        world.farEnd.read()
        #expect(world.farEnd.duplicates == 0, "a member that joins repeats nothing")
        var bound = try Self.kill(third, 3, world)
        try world.wait(arrivals: world.farEnd.read() + 16_000, first)
        world.farEnd.read()
        #expect(world.farEnd.duplicates <= bound)
        // Another joins, and the one that was there first is killed.
        let fourth = try world.start(4, work: work)
        try world.wait(arrivals: 4000, of: 4, fourth)
        #expect(world.farEnd.distinct < world.records, "a kill after the last record proves nothing")
        bound += try Self.kill(first, 1, world)
        try world.waitForAll(fourth)
        try fourth.terminate()
        world.farEnd.read()
        let facts = "arrivals by member \(world.farEnd.byMember.sorted { $0.key < $1.key }), bound \(bound)"
        Self.summarize("second member", world, facts, since: began)
        Self.expectContract(world, atMost: bound)
    }

    /// Kills one of several Penstocks; returns how much of its work may come again.
    ///
    /// The survivor may have taken over by the time anybody looks at the group's offsets. So they are looked at before
    /// the kill, when they were not higher; what has arrived is counted after it, when that is not lower. Between the
    /// two lies all that the killed one had done without committing, and some of the survivor's work, too.
    private static func kill(_ victim: PenstockProcess, _ member: Int, _ world: KillWorld) throws -> Int {
        let committed = try world.committed()
        victim.kill()
        try world.waitForWriters(of: member)
        return world.farEnd.arrivals(behind: committed)
    }
}
