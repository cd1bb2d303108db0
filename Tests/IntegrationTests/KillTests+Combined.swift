// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockCore
import PenstockTesting
import Testing

extension KillTests {
    private enum Fault: String {
        /// SIGKILL, and a new start.
        case kill
        /// SIGKILL of one of its functions.
        case function
        /// No connection until the session is over.
        case cut
        /// A second Penstock joins the group; the one that is there leaves, or is killed.
        case member
    }

    @Test(
        "Everything at once, in any order, loses nothing, keeps order, and repeats only what was not committed"
    )
    func everything() throws {
        let began = ContinuousClock.now
        let seed = UInt64.random(in: .min ... .max)
        var storm = try Storm(seed: seed)
        let faults: [Fault] = [.kill, .kill, .function, .function, .cut, .cut, .member, .member, .member]
            .shuffled(using: &storm.random)
        for fault in faults {
            try storm.step { storm in
                #expect(storm.world.farEnd.distinct < storm.world.records, "too late to prove anything")
                switch fault {
                case .kill: try storm.kill()
                case .function: storm.killFunction()
                case .cut: try storm.cut()
                case .member: try storm.changeMember()
                }
            }
        }
        try storm.step { storm in try storm.world.waitForAll(storm.first) }
        for penstock in storm.alive { try penstock.terminate() }
        storm.world.farEnd.read()
        let facts = "seed \(seed), \(faults.map(\.rawValue)), bound \(storm.bound)"
        Self.summarize("everything", storm.world, facts, since: began)
        Self.expectContract(storm.world, atMost: storm.bound)
        #expect(try storm.world.committed().reduce(0, +) == storm.world.records)
    }

    /// Penstocks in bad weather, and how much of their work may come again.
    private struct Storm {
        static let work = Duration.milliseconds(300)

        let world: KillWorld
        var random: SplitMix64
        var bound = 0
        private(set) var first: PenstockProcess
        private var second: PenstockProcess?
        private var members = 1
        /// All that were ever started, for their logs.
        private var all: [PenstockProcess]
        private var losses = 0
        /// Whether the fault lets work come again.
        private var repeats = false

        init(seed: UInt64) throws {
            self.random = SplitMix64(seed: seed)
            self.world = try KillWorld(records: 200_000)
            self.first = try self.world.start(work: Self.work)
            self.all = [self.first]
        }

        var alive: [PenstockProcess] { [self.first] + (self.second.map { [$0] } ?? []) }

        /// Lets some records arrive, and one thing happen to them.
        ///
        /// What may come again lies between what was committed before it and what has arrived after it, and in flight.
        mutating func step(_ body: (inout Storm) throws -> Void) throws {
            let committed = try self.world.committed()
            self.repeats = false
            let before = self.world.farEnd.read()
            let some = Int.random(in: 2000...8000, using: &self.random)
            try self.world.wait(arrivals: before + some, self.first)
            try body(&self)
            let losses = self.lossesSoFar
            // On a slow machine a session can end by itself, too.
            if self.repeats || losses > self.losses {
                self.bound +=
                    self.world.farEnd.arrivals(behind: committed) + self.alive.count * KillWorld.inFlight
            }
            self.losses = losses
        }

        private var lossesSoFar: Int {
            self.all.reduce(0) { $0 + $1.log.components(separatedBy: "partitions lost").count - 1 }
        }

        mutating func kill() throws {
            self.repeats = true
            self.first.kill()
            try self.world.waitForWriters(of: 1)
            self.first = try self.world.start(1, work: Self.work)
            self.all.append(self.first)
        }

        mutating func killFunction() {
            guard let victim = self.first.children.randomElement(using: &self.random) else { return }
            if Glibc.kill(victim, SIGKILL) == 0 { self.bound += KillWorld.batch }
        }

        mutating func cut() throws {
            self.repeats = true
            let losses = self.lossesSoFar
            self.world.proxy.cut()
            // A member that was just joining does not tell that its session ended (librdkafka looks at that only between
            // rebalances); the broker has ended it by then all the same: it allows two seconds.
            _ = BoundedWait.until(within: .seconds(5)) { self.lossesSoFar > losses }
            self.world.proxy.restore()
        }

        mutating func changeMember() throws {
            guard let leaving = self.second.take() else {
                self.members += 1
                let joining = try self.world.start(self.members, work: Self.work)
                self.second = joining
                self.all.append(joining)
                return
            }
            guard Bool.random(using: &self.random) else { return try leaving.terminate() }
            self.repeats = true
            leaving.kill()
            try self.world.waitForWriters(of: self.members)
        }
    }
}
