// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockTesting
import Testing

/// A real broker, real processes, and a far end that counts by itself.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(10)))
struct KillTests {
    /// How long a function works at each batch, so that much is left when a random moment comes.
    private static let work = Duration.milliseconds(100)

    static func summarize(
        _ what: String,
        _ world: KillWorld,
        _ facts: String,
        since: ContinuousClock.Instant
    ) {
        let seconds = (ContinuousClock.now - since).components.seconds
        let duplicates = world.farEnd.duplicates
        let line = "\(what): \(world.records) records, \(facts), \(duplicates) duplicates, \(seconds) s\n"
        FileHandle.standardError.write(Data(line.utf8))
    }

    static func expectContract(_ world: KillWorld, atMost bound: Int) {
        #expect(world.farEnd.distinct == world.records)
        #expect(world.farEnd.violations.prefix(5) == [])
        #expect(world.farEnd.duplicates <= bound)
    }

    @Test("SIGKILL at ten random moments loses nothing, keeps order, and repeats only what was not committed")
    func killed() throws {
        let began = ContinuousClock.now
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let world = try KillWorld(records: 200_000)
        var (bound, pending, repeated) = (0, 0, 0)
        for _ in 0..<10 {
            let penstock = try world.start(work: Self.work)
            let before = world.farEnd.read()
            try world.wait(arrivals: before + Int.random(in: 3000...15_000, using: &random), penstock)
            #expect(world.farEnd.distinct < world.records, "a kill after the last record proves nothing")
            penstock.kill()
            let repeatedBefore = repeated
            let left = try world.uncommitted()
            repeated = world.farEnd.duplicates
            // Each life repeats at most what the kill before it left; the sum alone would be a weak bound.
            #expect(repeated - repeatedBefore <= pending)
            pending = left
            bound += left
        }
        let last = try world.start()
        try world.waitForAll(last)
        try last.terminate()
        world.farEnd.read()
        #expect(world.farEnd.duplicates - repeated <= pending)
        Self.summarize("SIGKILL", world, "seed \(seed), 10 kills, bound \(bound)", since: began)
        Self.expectContract(world, atMost: bound)
    }

    @Test("SIGTERM at five random moments repeats nothing")
    func terminated() throws {
        let began = ContinuousClock.now
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let world = try KillWorld(records: 200_000)
        for _ in 0..<5 {
            let penstock = try world.start(work: Self.work)
            let before = world.farEnd.read()
            try world.wait(arrivals: before + Int.random(in: 3000...20_000, using: &random), penstock)
            #expect(world.farEnd.distinct < world.records, "a stop after the last record proves nothing")
            try penstock.terminate()
            #expect(try world.uncommitted() == 0)
        }
        let last = try world.start()
        try world.waitForAll(last)
        try last.terminate()
        world.farEnd.read()
        Self.summarize("SIGTERM", world, "seed \(seed), 5 stops, bound 0", since: began)
        Self.expectContract(world, atMost: 0)
    }
}
