// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockStore

/// Decides which leases a member takes, and which it asks others for: as many of each pool as each other member has.
///
/// Pure: a view of the cluster in, a decision out. Nobody takes what somebody alive holds; who has more than a fair share is
/// asked, and gives back what it has finished with.
package struct LeaseShare: Sendable {
    /// What to do.
    package struct Decision: Sendable, Equatable {
        /// Free leases to be acquired; those that should come first come first.
        package var acquire: [LeaseName] = []

        /// Leases of others to be asked for.
        package var ask: [String] = []
    }

    /// A lease that is free for so long is taken also by a member that has its share: those that should take it do not.
    private let patience: Duration

    private var freeSince: [LeaseName: Instant] = [:]

    /// A share-out; `patience` is longer than the time between two beats.
    package init(patience: Duration) {
        self.patience = patience
    }

    /// What `me` does about the leases it wants.
    package mutating func decide(
        for me: MemberID,
        wanted: Set<LeaseName>,
        _ view: ClusterView,
        now: Instant
    ) -> Decision {
        let known = Dictionary(view.leases.map { ($0.lease, $0) }) { $1 }
        let free = wanted.filter { name in
            guard let lease = known[name] else { return true }
            return lease.owner == nil && (lease.askedBy == nil || lease.askedBy == me)
        }
        self.freeSince = self.freeSince.filter { free.contains($0.key) }
        for name in free where self.freeSince[name] == nil { self.freeSince[name] = now }
        var decision = Decision()
        // What was asked for and is not wanted any more is kept for nobody else: it is taken, and given back at once.
        decision.acquire = view.leases.filter {
            $0.askedBy == me && $0.owner == nil && !wanted.contains($0.lease)
        }.map(\.lease)
        for pool in Set(wanted.map(\.pool)).sorted() {
            // What nobody has and nobody here wants is of no trigger that is configured, or about to be taken by another one.
            let had = view.leases.filter { $0.owner != nil || $0.askedBy != nil }.map(\.lease)
            let names = wanted.union(had).filter { $0.pool == pool }
            let counts = Self.counts(of: pool, view, me)
            let fair = (names.count + counts.count - 1) / counts.count
            let mine = counts[me] ?? 0
            let candidates = Self.inTurn(free.filter { $0.pool == pool }, for: me)
            // Those that were asked for count already.
            let reserved = candidates.filter { known[$0]?.askedBy == me }
            let open = candidates.filter { known[$0]?.askedBy == nil }
            decision.acquire += reserved
            for (place, name) in open.enumerated() {
                let isOverdue = self.freeSince[name].map { now - $0 >= self.patience } ?? false
                if mine + place < fair || isOverdue { decision.acquire.append(name) }
            }
            guard open.isEmpty else { continue }
            let others = wanted.filter { $0.pool == pool && known[$0]?.askedBy == nil }
            decision.ask += Self.asked(for: me, others, known, counts, floor: names.count / counts.count)
        }
        return decision
    }

    /// How many leases of a pool each member will have when all that are asked for have changed hands.
    private static func counts(of pool: String, _ view: ClusterView, _ me: MemberID) -> [MemberID: Int] {
        var counts: [MemberID: Int] = [me: 0]
        for member in view.members where member.pools.contains(pool) { counts[member.id] = 0 }
        for lease in view.leases where lease.lease.pool == pool {
            if let next = lease.askedBy ?? lease.owner { counts[next, default: 0] += 1 }
        }
        return counts
    }

    /// The leases of the member with the most that make up for what `me` has too little.
    private static func asked(
        for me: MemberID,
        _ others: Set<LeaseName>,
        _ known: [LeaseName: LeaseState],
        _ counts: [MemberID: Int],
        floor: Int
    ) -> [String] {
        let mine = counts[me] ?? 0
        let richest = counts.filter { $0.key != me }.max { ($0.value, $1.key) < ($1.value, $0.key) }
        guard let richest, richest.value - mine > 1 else { return [] }
        let names = others.filter { known[$0]?.owner == richest.key }
        let count = max(1, min(floor - mine, richest.value - floor))
        return Self.inTurn(names, for: me).prefix(count).map(\.name)
    }

    /// The names in an order that differs from member to member, so that all do not reach for the same ones.
    private static func inTurn(_ names: Set<LeaseName>, for me: MemberID) -> [LeaseName] {
        names.map { (Self.weight(of: $0, for: me), $0) }
            .sorted { ($0.0, $0.1.name) < ($1.0, $1.1.name) }
            .map(\.1)
    }

    /// FNV-1a over both names.
    private static func weight(of name: LeaseName, for me: MemberID) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for text in [me.rawValue, name.name] {
            for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        }
        return hash
    }
}
