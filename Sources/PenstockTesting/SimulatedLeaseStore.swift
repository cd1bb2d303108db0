// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockStore
import Synchronization

/// The members and leases of a simulated cluster; time is given.
package final class SimulatedLeases: Sendable {
    private struct Member {
        var member: ClusterMember
        var expires: Instant
    }

    private struct State {
        var members: [MemberID: Member] = [:]
        var leases: [String: LeaseState] = [:]
        /// When each changed hands last.
        var since: [String: Instant] = [:]
        var epoch: UInt64 = 0
    }

    private let state = Mutex(State())
    private let clock: @Sendable () -> Instant

    /// No members yet; `clock` is the store's own.
    package init(clock: @escaping @Sendable () -> Instant) {
        self.clock = clock
    }

    /// Whether it lives behind that.
    fileprivate func join(_ member: ClusterMember, for ttl: Duration) -> Bool {
        let now = self.clock()
        return self.state.withLock { state in
            if state.members[member.id] != nil, !Self.lives(member.id, state, now) { return false }
            state.members[member.id] = Member(member: member, expires: now + ttl)
            return true
        }
    }

    fileprivate func beat(_ id: MemberID, _ pools: Set<String>, _ ttl: Duration) -> ClusterView? {
        let now = self.clock()
        return self.state.withLock { state in
            guard let member = state.members[id], member.expires > now else { return nil }
            state.members[id]?.expires = now + ttl
            state.members[id]?.member.pools = pools
            let view = Self.view(state, now)
            return ClusterView(
                members: view.members,
                leases: view.leases.filter { pools.contains($0.lease.pool) || $0.owner == id }
            )
        }
    }

    fileprivate func acquire(_ names: [LeaseName], for id: MemberID) -> [Fence] {
        let now = self.clock()
        return self.state.withLock { state in
            guard Self.lives(id, state, now) else { return [] }
            var fences: [Fence] = []
            for name in names {
                var lease = state.leases[name.name] ?? LeaseState(lease: name, owner: nil, epoch: 0)
                let isFree = lease.owner.map { !Self.lives($0, state, now) } ?? true
                let isReserved = lease.askedBy.map { $0 != id && Self.wants($0, lease, state, now) } ?? false
                guard isFree, !isReserved else { continue }
                state.epoch += 1
                lease.epoch = state.epoch
                lease.owner = id
                lease.askedBy = nil
                state.leases[name.name] = lease
                state.since[name.name] = now
                fences.append(Fence(lease: name.name, epoch: lease.epoch))
            }
            return fences
        }
    }

    fileprivate func ask(for names: [String], by id: MemberID) {
        let now = self.clock()
        self.state.withLock { state in
            for name in names {
                guard let lease = state.leases[name], let owner = lease.owner, owner != id,
                    Self.lives(owner, state, now), Self.lives(id, state, now)
                else { continue }
                let isTaken = lease.askedBy.map { Self.wants($0, lease, state, now) } ?? false
                if !isTaken { state.leases[name]?.askedBy = id }
            }
        }
    }

    fileprivate func release(_ fences: [Fence]) {
        let now = self.clock()
        self.state.withLock { state in
            for fence in fences where state.leases[fence.lease]?.epoch == fence.epoch {
                state.leases[fence.lease]?.owner = nil
                state.since[fence.lease] = now
            }
        }
    }

    fileprivate func sweep(unusedFor age: Duration) {
        let now = self.clock()
        self.state.withLock { state in
            for (name, lease) in state.leases {
                let isHeld = lease.owner.map { Self.lives($0, state, now) } ?? false
                let isAsked = lease.askedBy.map { Self.wants($0, lease, state, now) } ?? false
                let since = state.since[name] ?? now
                if !isHeld, !isAsked, now - since >= age { state.leases[name] = nil }
            }
        }
    }

    fileprivate func remove(_ fences: [Fence]) {
        self.state.withLock { state in
            for fence in fences where state.leases[fence.lease]?.epoch == fence.epoch {
                state.leases[fence.lease] = nil
            }
        }
    }

    fileprivate func leave(_ id: MemberID) {
        let now = self.clock()
        self.state.withLock { state in
            state.members[id] = nil
            for (name, lease) in state.leases {
                if lease.owner == id {
                    state.leases[name]?.owner = nil
                    state.since[name] = now
                }
                if lease.askedBy == id { state.leases[name]?.askedBy = nil }
            }
        }
    }

    /// What the cluster looks like now.
    package func view() -> ClusterView {
        let now = self.clock()
        return self.state.withLock { Self.view($0, now) }
    }

    fileprivate func holds(_ fences: [Fence]) -> Bool {
        self.state.withLock { state in fences.allSatisfy { state.leases[$0.lease]?.epoch == $0.epoch } }
    }

    private static func lives(_ id: MemberID, _ state: borrowing State, _ now: Instant) -> Bool {
        state.members[id].map { $0.expires > now } ?? false
    }

    /// Whether a member lives and takes leases of this one's pool.
    private static func wants(
        _ id: MemberID,
        _ lease: LeaseState,
        _ state: borrowing State,
        _ now: Instant
    ) -> Bool {
        self.lives(id, state, now) && state.members[id]?.member.pools.contains(lease.lease.pool) == true
    }

    private static func view(_ state: borrowing State, _ now: Instant) -> ClusterView {
        var leases: [LeaseState] = []
        for var lease in state.leases.values {
            if let owner = lease.owner, !Self.lives(owner, state, now) { lease.owner = nil }
            if let asker = lease.askedBy, !Self.lives(asker, state, now) { lease.askedBy = nil }
            leases.append(lease)
        }
        return ClusterView(
            members: state.members.values.filter { $0.expires > now }.map(\.member).sorted { $0.id < $1.id },
            leases: leases.sorted { $0.lease.name < $1.lease.name }
        )
    }
}

/// One member's way to a store that simulated members share; it can be cut.
package final class SimulatedLeaseStore: LeaseStore, StoreView {
    package let identity = "simulated"

    private let leases: SimulatedLeases
    private let base: (any StateStore)?
    private let fences: [Fence]
    private let way: Way

    private final class Way: Sendable {
        let failure = Mutex<StoreError?>(nil)
        let answers = Mutex<StoreError?>(nil)
    }

    /// A way to `leases`, and to `base` for all the rest, which is closed without one.
    package init(_ leases: SimulatedLeases, base: (any StateStore)? = nil) {
        self.leases = leases
        self.base = base
        self.fences = []
        self.way = Way()
    }

    private init(_ store: SimulatedLeaseStore, _ fences: [Fence]) {
        self.leases = store.leases
        self.base = store.base
        self.way = store.way
        self.fences = fences
    }

    /// Fails each call from now on; nil serves again.
    package func cut(_ error: StoreError?) { self.way.failure.withLock { $0 = error } }

    /// Carries out beats from now on, and loses their answers; nil gives them again.
    package func loseAnswers(_ error: StoreError?) { self.way.answers.withLock { $0 = error } }

    private func pass() throws(StoreError) {
        if let error = self.way.failure.withLock({ $0 }) { throw error }
    }

    package func reader() throws(StoreError) -> any StateStore {
        try self.pass()
        guard let base = self.base else { throw StoreError(.closed, "there are only leases here") }
        return base
    }

    package func write<Value: Sendable>(
        _ scope: WriteScope,
        _ body: @Sendable (any StateStore) async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        try self.pass()
        guard self.leases.holds(self.fences) else { throw .fenced(self.fences.first?.lease ?? "") }
        return try await body(try self.reader())
    }

    package func fenced(by fences: [Fence]) -> any StateStore { SimulatedLeaseStore(self, fences) }

    package func join(_ member: ClusterMember, for ttl: Duration) async throws(StoreError) {
        try self.pass()
        guard self.leases.join(member, for: ttl) else {
            throw StoreError(.fenced, "the member \(member.name) is dead already; it joins under a new id")
        }
    }

    package func beat(
        _ member: MemberID,
        pools: Set<String>,
        for ttl: Duration
    ) async throws(StoreError) -> ClusterView? {
        try self.pass()
        let view = self.leases.beat(member, pools, ttl)
        if let error = self.way.answers.withLock({ $0 }) { throw error }
        return view
    }

    package func acquire(_ leases: [LeaseName], for member: MemberID) async throws(StoreError) -> [Fence] {
        try self.pass()
        return self.leases.acquire(leases, for: member)
    }

    package func ask(for leases: [String], by member: MemberID) async throws(StoreError) {
        try self.pass()
        self.leases.ask(for: leases, by: member)
    }

    package func release(_ fences: [Fence]) async throws(StoreError) {
        try self.pass()
        self.leases.release(fences)
    }

    package func remove(_ fences: [Fence]) async throws(StoreError) {
        try self.pass()
        self.leases.remove(fences)
    }

    package func sweep(unusedFor age: Duration) async throws(StoreError) {
        try self.pass()
        self.leases.sweep(unusedFor: age)
    }

    package func leave(_ member: MemberID) async throws(StoreError) {
        try self.pass()
        self.leases.leave(member)
    }

    package func cluster() async throws(StoreError) -> ClusterView {
        try self.pass()
        return self.leases.view()
    }

    package func close() async {}
}
