// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// A store that several Penstocks share: who of them is alive, and who holds which lease.
///
/// Time is the store's, never a member's: a member lives until its last beat is `ttl` old by the store's clock. A lease
/// is free when nobody holds it, or when its holder does not live any more. Its epoch grows each time it changes hands,
/// and is never given twice, also when the lease was removed in between.
///
/// The promises of writes are those of ``StateStore``. `LeaseStoreConformance` in PenstockTesting is the contract.
package protocol LeaseStore: StateStore {
    /// Tells this store from others: the same for all who have it open, letters and digits, 16 at most.
    var identity: String { get }

    /// Makes this process a member, for `ttl` from now on.
    func join(_ member: ClusterMember, for ttl: Duration) async throws(StoreError)

    /// Says that a member is alive, for `ttl` from now on, and which pools it takes leases of; returns what the cluster
    /// looks like behind that.
    ///
    /// Returns nil when the member did not live any more: it never will again. It has lost all leases, and joins under a
    /// new id.
    func beat(
        _ member: MemberID,
        pools: Set<String>,
        for ttl: Duration
    ) async throws(StoreError) -> ClusterView?

    /// Gives a living member those of the leases that are free, but for those given back to somebody else who asked; makes
    /// those that are missing. Does not wait for locks that others hold: what is locked is left out.
    func acquire(_ leases: [LeaseName], for member: MemberID) async throws(StoreError) -> [Fence]

    /// Marks leases, by name, that others hold as wanted by this member, where nobody else wants them; the holder gives them
    /// back when it has finished what it does.
    func ask(for leases: [String], by member: MemberID) async throws(StoreError)

    /// Gives leases back; those that are held by somebody else by now do not matter. One that somebody asked for is kept for
    /// that member, as long as it lives.
    func release(_ fences: [Fence]) async throws(StoreError)

    /// Removes leases of what is over, such as a shard that was read to its end; those that are held by somebody else by now
    /// do not matter.
    func remove(_ fences: [Fence]) async throws(StoreError)

    /// Removes leases that nobody alive holds or has asked for, and that have not changed hands for so long: those of triggers
    /// and partitions that are no more. One that is wanted nevertheless is made anew, under a larger epoch.
    func sweep(unusedFor age: Duration) async throws(StoreError)

    /// Gives back all leases of a member, and ends it. Idempotent.
    func leave(_ member: MemberID) async throws(StoreError)

    /// All living members, and all leases with their holders; for operators.
    func cluster() async throws(StoreError) -> ClusterView

    /// This store for a holder of leases: a write happens only while each of the leases is of this epoch, which is looked at
    /// in the transaction of the write. Else it throws `fenced`, and did not happen. Reads are as ever.
    ///
    /// Closing it does nothing.
    func fenced(by fences: [Fence]) -> any StateStore
}

/// The right to write in the name of one lease, from when it was acquired until somebody else acquires it.
package struct Fence: Hashable, Sendable {
    /// The lease's name.
    package var lease: String

    /// Which of its holders.
    package var epoch: UInt64

    /// A fence.
    package init(lease: String, epoch: UInt64) {
        self.lease = lease
        self.epoch = epoch
    }
}

/// The name of a lease, and which others it is shared out with.
package struct LeaseName: Hashable, Sendable {
    /// Names it among all leases of a store.
    package var name: String

    /// The leases of a pool are shared out evenly among the members that take leases of it.
    package var pool: String

    /// A name.
    package init(_ name: String, pool: String) {
        self.name = name
        self.pool = pool
    }
}

/// Names a process for as long as it lives as a member; chosen at random.
package struct MemberID: Hashable, Comparable, Sendable {
    /// The text.
    package var rawValue: String

    /// The id with this text.
    package init(_ rawValue: String) {
        self.rawValue = rawValue
    }

    package static func < (lhs: Self, rhs: Self) -> Bool {
        lhs.rawValue < rhs.rawValue
    }
}

/// A process among those that share a store.
package struct ClusterMember: Sendable, Equatable {
    /// Its id.
    package var id: MemberID

    /// What operators know it by: host and process id.
    package var name: String

    /// The version of Penstock that it runs.
    package var version: String

    /// Where its admin API listens; nil when that is known to nobody else.
    package var admin: String?

    /// When it joined, by its own clock.
    package var started: Timestamp

    /// The pools that it takes leases of.
    package var pools: Set<String>

    /// A member.
    package init(
        id: MemberID,
        name: String,
        version: String,
        admin: String? = nil,
        started: Timestamp,
        pools: Set<String> = []
    ) {
        self.id = id
        self.name = name
        self.version = version
        self.admin = admin
        self.started = started
        self.pools = pools
    }
}

/// A lease, and who holds it.
package struct LeaseState: Sendable, Equatable {
    /// Its name and pool.
    package var lease: LeaseName

    /// The living member that holds it; nil when it is free.
    package var owner: MemberID?

    /// Its latest epoch.
    package var epoch: UInt64

    /// The living member that wants it next.
    package var askedBy: MemberID?

    /// A lease.
    package init(lease: LeaseName, owner: MemberID?, epoch: UInt64, askedBy: MemberID? = nil) {
        self.lease = lease
        self.owner = owner
        self.epoch = epoch
        self.askedBy = askedBy
    }
}

/// What a member sees of the cluster.
package struct ClusterView: Sendable, Equatable {
    /// All living members, by id.
    package var members: [ClusterMember]

    /// The leases of the pools that were asked about, and all that the asking member holds; by name.
    package var leases: [LeaseState]

    /// A view.
    package init(members: [ClusterMember], leases: [LeaseState]) {
        self.members = members
        self.leases = leases
    }
}
