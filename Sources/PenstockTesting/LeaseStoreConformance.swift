// SPDX-License-Identifier: Apache-2.0

import PenstockCore
package import PenstockStore

/// What every `LeaseStore` owes besides what every `StateStore` does, as checks that any test framework can run.
package enum LeaseStoreConformance {
    /// Two Penstocks before one empty store.
    package struct World: Sendable {
        /// The store as one process has it open.
        package var one: any LeaseStore
        /// The same store as another process has it open.
        package var other: any LeaseStore
        /// Returns when at least so much time has passed by the store's clock.
        package var pass: @Sendable (Duration) async throws -> Void

        /// A world.
        package init(
            one: any LeaseStore,
            other: any LeaseStore,
            pass: @escaping @Sendable (Duration) async throws -> Void
        ) {
            self.one = one
            self.other = other
            self.pass = pass
        }
    }

    /// A check with its name, a sentence of behaviour.
    package struct Check: Sendable, CustomStringConvertible {
        /// The promise.
        package var description: String
        /// Throws ``StateStoreConformance/Violation`` when the store, open and empty, does not keep it.
        package var run: @Sendable (World) async throws -> Void
    }

    /// All checks.
    package static let checks: [Check] = [
        Check(description: "Members are seen by all until they leave", run: Self.members),
        Check(description: "A member that does not beat is dead for ever", run: Self.death),
        Check(description: "A lease has one holder, and its epoch tells which", run: Self.oneHolder),
        Check(description: "A dead member's leases are free, and no others", run: Self.takeover),
        Check(description: "An epoch is never given twice", run: Self.epochs),
        Check(description: "A lease that is given back is free for all who want it", run: Self.release),
        Check(description: "A lease that was asked for is kept for who asked", run: Self.asking),
        Check(description: "Leases that nobody has had for long are removed", run: Self.sweeping),
        Check(description: "A member sees the pools that it asks about, and what it holds", run: Self.views),
        Check(description: "A thousand leases are taken at once", run: Self.thousand),
        Check(description: "Names come back exactly, whatever their characters", run: Self.names),
        Check(description: "Writes under a lease that was taken over do not happen", run: Self.fencing),
        Check(description: "A write under a lost lease does not harm others", run: Self.neighbours),
        Check(description: "Many that want the same leases share them without overlap", run: Self.crowd),
    ]

    /// What only a store owes whose fences are part of the transaction of a write; that of simulations runs one call at a time.
    package static let raceChecks: [Check] = [
        Check(description: "No holder writes over what a later one has written", run: Self.race)
    ]

    private static let life = Duration.seconds(60)
    private static let short = Duration.milliseconds(200)

    static func member(_ id: String, pools: Set<String> = ["p"]) -> ClusterMember {
        ClusterMember(
            id: MemberID(id),
            name: "host:\(id)",
            version: "1.2.3",
            admin: id == "a" ? "127.0.0.1:8077" : nil,
            started: Timestamp(milliseconds: 1_700_000_000_123),
            pools: pools
        )
    }

    private static func leases(_ names: String...) -> [LeaseName] {
        names.map { LeaseName($0, pool: "p") }
    }

    private static func holders(_ store: any LeaseStore) async throws -> [String] {
        try await store.cluster().leases.map { "\($0.lease.name)=\($0.owner?.rawValue ?? "-")" }
    }

    /// Acquires one lease that must be free.
    private static func take(
        _ lease: String,
        for member: String,
        in store: any LeaseStore
    ) async throws -> Fence {
        let fences = try await store.acquire(self.leases(lease), for: MemberID(member))
        try StateStoreConformance.expect(fences.map(\.lease), [lease], "what is free can be acquired")
        return fences[0]
    }

    private static func isFenced(_ write: () async throws -> Void, _ promise: String) async throws {
        do {
            try await write()
        } catch let error as StoreError {
            return try StateStoreConformance.expect(error.code, .fenced, promise)
        }
        throw StateStoreConformance.Violation(description: "\(promise): it was written")
    }

    // MARK: - Members

    private static func members(_ world: World) async throws {
        let (a, b) = (
            Self.member("a", pools: ["x", "NULL", "y z", "", "\\\"{,}"]), Self.member("b", pools: [])
        )
        try await world.one.join(a, for: Self.life)
        try await world.other.join(b, for: Self.life)
        let view = try await world.one.cluster()
        try StateStoreConformance.expect(view, ClusterView(members: [a, b], leases: []), "members are seen")
        var later = a
        later.pools = ["z"]
        let beat = try await world.one.beat(later.id, pools: later.pools, for: Self.life)
        try StateStoreConformance.expect(beat?.members, [later, b], "a beat says what is wanted")
        try await world.one.join(later, for: Self.life)
        try await world.one.leave(a.id)
        try await world.one.leave(a.id)
        let left = try await world.other.beat(b.id, pools: [], for: Self.life)
        try StateStoreConformance.expect(left?.members, [b], "who has left is not seen")
        let gone = try await world.one.beat(a.id, pools: [], for: Self.life)
        try StateStoreConformance.expect(gone, nil, "who has left cannot beat")
        let never = try await world.one.beat(MemberID("never"), pools: [], for: Self.life)
        try StateStoreConformance.expect(never, nil, "nor who never joined")
    }

    private static func death(_ world: World) async throws {
        try await world.one.join(Self.member("a"), for: Self.life)
        try await world.other.join(Self.member("b"), for: Self.life)
        for _ in 0..<3 {
            let beat = try await world.one.beat(MemberID("a"), pools: ["p"], for: .seconds(20))
            try StateStoreConformance.expect(beat?.members.count, 2, "who beats in time lives")
        }
        _ = try await world.one.beat(MemberID("a"), pools: ["p"], for: Self.short)
        try await world.pass(Self.short)
        let seen = try await world.other.cluster().members.map(\.id.rawValue)
        try StateStoreConformance.expect(seen, ["b"], "who does not beat is dead")
        let beat = try await world.one.beat(MemberID("a"), pools: ["p"], for: Self.life)
        try StateStoreConformance.expect(beat, nil, "the dead do not come back by a beat")
        try await Self.isFenced(
            { try await world.one.join(Self.member("a"), for: Self.life) },
            "nor by joining under the same id"
        )
        let taken = try await world.one.acquire(Self.leases("l"), for: MemberID("a"))
        try StateStoreConformance.expect(taken, [], "the dead take nothing")
        try await world.one.join(Self.member("a2"), for: Self.life)
        let again = try await world.one.beat(MemberID("a2"), pools: ["p"], for: Self.life)
        try StateStoreConformance.expect(again?.members.count, 2, "they join anew under another id")
    }

    // MARK: - Leases

    private static func oneHolder(_ world: World) async throws {
        try await world.one.join(Self.member("a"), for: Self.life)
        try await world.other.join(Self.member("b"), for: Self.life)
        let first = try await world.one.acquire(Self.leases("x", "y"), for: MemberID("a"))
        try StateStoreConformance.expect(Set(first.map(\.lease)), ["x", "y"], "missing leases are made")
        try StateStoreConformance.isTrue(first.allSatisfy { $0.epoch > 0 }, "a holder has an epoch")
        let second = try await world.other.acquire(Self.leases("x", "y", "z"), for: MemberID("b"))
        try StateStoreConformance.expect(
            second.map(\.lease),
            ["z"],
            "what a living member holds stays its own"
        )
        let mine = try await world.one.acquire(Self.leases("x"), for: MemberID("a"))
        try StateStoreConformance.expect(mine, [], "also for itself")
        try StateStoreConformance.expect(
            try await Self.holders(world.one),
            ["x=a", "y=a", "z=b"],
            "all see who"
        )
        let states = try await world.one.cluster().leases
        try StateStoreConformance.expect(
            Set(states.map { Fence(lease: $0.lease.name, epoch: $0.epoch) }),
            Set(first + second),
            "with the epochs that the holders have"
        )
        let none = try await world.one.acquire([], for: MemberID("a"))
        try StateStoreConformance.expect(none, [], "nothing asked, nothing given")
    }

    private static func takeover(_ world: World) async throws {
        try await world.one.join(Self.member("a"), for: Self.life)
        try await world.one.join(Self.member("c"), for: Self.life)
        let old = try await Self.take("x", for: "a", in: world.one)
        _ = try await Self.take("y", for: "c", in: world.one)
        try await world.other.join(Self.member("b"), for: Self.life)
        _ = try await world.one.beat(MemberID("a"), pools: ["p"], for: Self.short)
        try await world.pass(Self.short)
        let view = try await world.other.beat(MemberID("b"), pools: ["p"], for: Self.life)
        try StateStoreConformance.expect(
            view?.leases.map { $0.owner?.rawValue },
            [nil, "c"],
            "what the dead held is seen to be free"
        )
        let taken = try await world.other.acquire(Self.leases("x", "y"), for: MemberID("b"))
        try StateStoreConformance.expect(taken.map(\.lease), ["x"], "and can be taken, and nothing else")
        try StateStoreConformance.isTrue(taken[0].epoch > old.epoch, "under a larger epoch")
        try await world.one.release([old])
        try await world.one.remove([old])
        try await world.one.leave(MemberID("a"))
        try StateStoreConformance.expect(
            try await Self.holders(world.one),
            ["x=b", "y=c"],
            "who held it before changes nothing any more"
        )
    }

    private static func epochs(_ world: World) async throws {
        try await world.one.join(Self.member("a"), for: Self.life)
        var last: UInt64 = 0
        for round in 0..<6 {
            let fence = try await Self.take("x", for: "a", in: world.one)
            try StateStoreConformance.isTrue(fence.epoch > last, "epochs grow, also of a lease made anew")
            last = fence.epoch
            if round.isMultiple(of: 2) {
                try await world.one.remove([fence])
                try StateStoreConformance.expect(
                    try await Self.holders(world.one),
                    [],
                    "what is over is gone"
                )
            } else {
                try await world.one.release([fence])
            }
        }
    }

    private static func release(_ world: World) async throws {
        try await world.one.join(Self.member("a"), for: Self.life)
        try await world.other.join(Self.member("b"), for: Self.life)
        let x = try await Self.take("x", for: "a", in: world.one)
        let y = try await Self.take("y", for: "a", in: world.one)
        try await world.one.release([x])
        try await world.one.release([
            x, Fence(lease: "unknown", epoch: 7), Fence(lease: "y", epoch: y.epoch + 1),
        ])
        try StateStoreConformance.expect(
            try await Self.holders(world.other),
            ["x=-", "y=a"],
            "given back is free"
        )
        _ = try await Self.take("x", for: "b", in: world.other)
        try await world.one.leave(MemberID("a"))
        try StateStoreConformance.expect(
            try await Self.holders(world.other),
            ["x=b", "y=-"],
            "who leaves gives all back"
        )
    }

    private static func asking(_ world: World) async throws {
        for id in ["a", "b", "c"] { try await world.one.join(Self.member(id), for: Self.life) }
        try await world.one.join(Self.member("d"), for: .seconds(5))
        let x = try await Self.take("x", for: "a", in: world.one)
        let y = try await Self.take("y", for: "a", in: world.one)
        _ = try await Self.take("z", for: "b", in: world.one)
        func asked() async throws -> [String?] {
            try await world.one.cluster().leases.map { $0.askedBy?.rawValue }
        }
        try await world.other.ask(for: ["x", "z", "unknown"], by: MemberID("b"))
        try await world.other.ask(for: ["x"], by: MemberID("c"))
        try await world.other.ask(for: ["y"], by: MemberID("d"))
        try StateStoreConformance.expect(try await asked(), ["b", "d", nil], "the first who asks, of others")
        try await world.one.release([x, y])
        let taken = try await world.other.acquire(Self.leases("x", "y"), for: MemberID("c"))
        try StateStoreConformance.expect(taken, [], "what was asked for is kept")
        _ = try await Self.take("x", for: "b", in: world.other)
        try await world.one.leave(MemberID("d"))
        _ = try await Self.take("y", for: "c", in: world.other)
        try StateStoreConformance.expect(try await asked(), [nil, nil, nil], "who has it no longer asks")
        // Of the dead nobody asks, and nothing is kept for them.
        try await world.one.join(Self.member("e"), for: Self.short)
        let again = try await world.one.cluster().leases
        try await world.one.ask(for: ["x"], by: MemberID("e"))
        try await world.pass(Self.short)
        try StateStoreConformance.expect(try await asked(), [nil, nil, nil], "the dead do not ask")
        try await world.one.ask(for: ["x"], by: MemberID("c"))
        try StateStoreConformance.expect(
            try await asked(),
            ["c", nil, nil],
            "nor are they in the way of others"
        )
        try await world.one.release(again.map { Fence(lease: $0.lease.name, epoch: $0.epoch) })
        _ = try await Self.take("x", for: "c", in: world.one)
    }

    private static func sweeping(_ world: World) async throws {
        let age = Duration.milliseconds(400)
        for id in ["a", "b", "c"] { try await world.one.join(Self.member(id), for: Self.life) }
        let old = try await Self.take("free", for: "a", in: world.one)
        _ = try await Self.take("held", for: "a", in: world.one)
        let asked = try await Self.take("asked", for: "a", in: world.one)
        _ = try await Self.take("dead", for: "c", in: world.one)
        try await world.other.ask(for: ["asked"], by: MemberID("b"))
        try await world.one.release([old, asked])
        _ = try await world.one.beat(MemberID("c"), pools: ["p"], for: Self.short)
        try await world.pass(age)
        try await world.other.sweep(unusedFor: .seconds(60))
        try StateStoreConformance.expect(
            try await Self.holders(world.one),
            ["asked=-", "dead=-", "free=-", "held=a"],
            "a young one is kept"
        )
        try await world.other.sweep(unusedFor: age)
        try StateStoreConformance.expect(
            try await Self.holders(world.one),
            ["asked=-", "held=a"],
            "what nobody alive holds or asked for is gone, and nothing else"
        )
        let late = world.one.fenced(by: [old])
        try await Self.isFenced(
            { try await late.save([Checkpoint(trigger: "t", partition: "p", position: Position(1))]) },
            "nobody writes under a lease that is gone"
        )
        let again = try await Self.take("free", for: "b", in: world.other)
        try StateStoreConformance.isTrue(again.epoch > asked.epoch, "it comes again under a larger epoch")
        try await Self.isFenced(
            { try await late.save([Checkpoint(trigger: "t", partition: "p", position: Position(1))]) },
            "nor does its former holder then"
        )
    }

    private static func views(_ world: World) async throws {
        try await world.one.join(Self.member("a", pools: ["p", "q"]), for: Self.life)
        try await world.other.join(Self.member("b", pools: ["q"]), for: Self.life)
        let own = LeaseName("own", pool: "r")
        _ = try await world.one.acquire(
            [LeaseName("1", pool: "p"), LeaseName("2", pool: "q"), own],
            for: MemberID("a")
        )
        func seen(_ member: String, _ pools: Set<String>) async throws -> [String] {
            try await world.one.beat(MemberID(member), pools: pools, for: Self.life)?.leases.map(\.lease.name)
                ?? []
        }
        try StateStoreConformance.expect(try await seen("b", ["q"]), ["2"], "those of the pools")
        try StateStoreConformance.expect(try await seen("b", []), [], "of no pools none")
        try StateStoreConformance.expect(try await seen("a", ["q"]), ["1", "2", "own"], "and what is held")
        let all = try await world.other.cluster().leases
        try StateStoreConformance.expect(all.map(\.lease.pool), ["p", "q", "r"], "each with its pool")
    }

    private static func thousand(_ world: World) async throws {
        try await world.one.join(Self.member("a"), for: Self.life)
        let names = (0..<1000).map { LeaseName("lease-\(1000 + $0)", pool: "p\($0 % 7)") }
        let fences = try await world.one.acquire(names, for: MemberID("a"))
        try StateStoreConformance.expect(Set(fences.map(\.lease)), Set(names.map(\.name)), "all of them")
        try StateStoreConformance.expect(Set(fences.map(\.epoch)).count, 1000, "each under its own epoch")
        try await world.one.release(Array(fences.prefix(500)))
        let left = try await world.one.cluster().leases.count { $0.owner != nil }
        try StateStoreConformance.expect(left, 500, "and half of them given back")
    }

    private static func names(_ world: World) async throws {
        try await world.one.join(Self.member("m\0 'ä"), for: Self.life)
        let names = ["a", "a\0b", "a\u{1}b", "it's", "back\\slash", "ä/日本", "", " a "]
        let fences = try await world.one.acquire(
            names.map { LeaseName($0, pool: "pool \($0)") },
            for: MemberID("m\0 'ä")
        )
        try StateStoreConformance.expect(Set(fences.map(\.lease)), Set(names), "names come back exactly")
        let states = try await world.other.cluster().leases
        try StateStoreConformance.isTrue(
            states.allSatisfy { $0.owner == MemberID("m\0 'ä") && $0.lease.pool == "pool \($0.lease.name)" },
            "with pool and holder"
        )
        let view = world.one.fenced(by: fences)
        try await view.save([Checkpoint(trigger: "t", partition: "p", position: Position(1))])
        let asked: Set<String> = Set(names.map { "pool \($0)" })
        let seen = try await world.one.beat(MemberID("m\0 'ä"), pools: asked, for: Self.life)
        try StateStoreConformance.expect(seen?.leases.count, names.count, "pools are told apart")
    }
}
