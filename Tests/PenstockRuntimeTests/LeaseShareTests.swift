// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockStore
import Testing

/// Who takes which lease.
struct LeaseShareTests {
    private static let patience = Duration.seconds(5)
    private static let start = Instant(nanoseconds: 0)

    private func member(_ name: String, pools: Set<String> = ["p"]) -> ClusterMember {
        ClusterMember(
            id: MemberID(name),
            name: name,
            version: "1",
            started: Timestamp(milliseconds: 0),
            pools: pools
        )
    }

    private func name(_ number: Int) -> LeaseName { LeaseName("l\(number)", pool: "p") }

    /// A cluster in which members hold leases, and the share-outs of its members.
    private struct Cluster {
        var shares: [MemberID: LeaseShare] = [:]
        var leases: [LeaseName: LeaseState] = [:]
        var members: [ClusterMember] = []

        mutating func add(_ member: ClusterMember) {
            self.members.append(member)
            self.shares[member.id] = LeaseShare(patience: LeaseShareTests.patience)
        }

        mutating func remove(_ id: MemberID) {
            self.members.removeAll { $0.id == id }
            for (name, lease) in self.leases {
                if lease.owner == id { self.leases[name]?.owner = nil }
                if lease.askedBy == id { self.leases[name]?.askedBy = nil }
            }
        }

        /// One beat of a member: it takes, it asks, and gives back what is asked for.
        mutating func beat(_ id: MemberID, wanted: Set<LeaseName>, now: Instant) {
            for (name, lease) in self.leases where lease.owner == id && lease.askedBy != nil {
                self.leases[name]?.owner = nil
            }
            let view = ClusterView(members: self.members, leases: Array(self.leases.values))
            let decided = self.shares[id]?.decide(for: id, wanted: wanted, view, now: now)
            guard let decision = decided else { return }
            for name in decision.acquire {
                let lease = self.leases[name]
                #expect(lease?.owner == nil, "\(name) is somebody's")
                #expect(lease?.askedBy == nil || lease?.askedBy == id, "\(name) is kept for somebody")
                self.leases[name] = LeaseState(lease: name, owner: id, epoch: (lease?.epoch ?? 0) + 1)
            }
            for text in decision.ask {
                let name = LeaseName(text, pool: "p")
                #expect(self.leases[name]?.owner != id && self.leases[name]?.askedBy == nil)
                self.leases[name]?.askedBy = id
            }
        }

        func counts() -> [Int] {
            self.members.map { member in self.leases.values.count { $0.owner == member.id } }.sorted()
        }
    }

    @Test("Members that come and go end with even shares, and then nothing moves", arguments: 0..<50)
    func evens(seed: Int) {
        var random = SplitMix64(seed: UInt64(seed))
        let wanted = Set((0..<Int.random(in: 1...40, using: &random)).map(self.name))
        var cluster = Cluster()
        cluster.add(self.member("m0"))
        var now = Self.start
        for round in 0..<6 {
            if round > 0 {
                if Bool.random(using: &random) || cluster.members.count == 1 {
                    cluster.add(self.member("m\(round)"))
                } else if let lost = cluster.members.randomElement(using: &random) {
                    cluster.remove(lost.id)
                }
            }
            for _ in 0..<12 {
                now = now + .milliseconds(2500)
                for member in cluster.members.shuffled(using: &random) {
                    cluster.beat(member.id, wanted: wanted, now: now)
                }
            }
            let counts = cluster.counts()
            #expect(counts.reduce(0, +) == wanted.count, "each lease has an owner")
            #expect((counts.last ?? 0) - (counts.first ?? 0) <= 1, "\(counts)")
            let before = cluster.leases
            for member in cluster.members { cluster.beat(member.id, wanted: wanted, now: now) }
            #expect(cluster.leases == before, "nothing moves between even shares")
        }
    }

    @Test("A lease that only one member can take is taken by it, though it has its share")
    func overdue() {
        var cluster = Cluster()
        cluster.add(self.member("old"))
        cluster.add(self.member("new"))
        let common = Set((0..<4).map(self.name))
        let now = Self.start
        cluster.beat(MemberID("new"), wanted: common.union([self.name(9), self.name(10)]), now: now)
        #expect(cluster.counts() == [0, 3])
        for step in 1..<8 {
            let now = now + .milliseconds(2500 * step)
            cluster.beat(MemberID("new"), wanted: common.union([self.name(9), self.name(10)]), now: now)
            cluster.beat(MemberID("old"), wanted: common, now: now)
        }
        #expect(cluster.leases[self.name(9)]?.owner == MemberID("new"))
        #expect(cluster.leases[self.name(10)]?.owner == MemberID("new"))
        #expect(cluster.leases.values.allSatisfy { $0.owner != nil })
    }

    @Test("Leases that nobody has and nobody wants do not count: they are of triggers that are no more")
    func unwanted() {
        var cluster = Cluster()
        cluster.add(self.member("a"))
        cluster.add(self.member("b"))
        for number in 100..<120 {
            cluster.leases[self.name(number)] = LeaseState(lease: self.name(number), owner: nil, epoch: 1)
        }
        let wanted = Set((0..<6).map(self.name))
        cluster.beat(MemberID("a"), wanted: wanted, now: Self.start)
        #expect(cluster.counts() == [0, 3], "half of what is wanted, and no more")
        cluster.beat(MemberID("b"), wanted: wanted, now: Self.start)
        #expect(cluster.counts() == [3, 3])
    }

    @Test("Members of another pool take no part in the share-out")
    func pools() {
        var cluster = Cluster()
        cluster.add(self.member("a"))
        cluster.add(self.member("b", pools: ["other"]))
        let wanted = Set((0..<5).map(self.name))
        cluster.beat(MemberID("a"), wanted: wanted, now: Self.start)
        #expect(cluster.counts() == [0, 5])
    }
}
