// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockStore
import Synchronization

/// The leases of this process: what its triggers want, what it holds, and until when it may believe that.
///
/// ``LeaseKeeper`` brings it up to date; triggers look at it through a ``LeaseGroup`` each. Any thread; never waits.
package final class LeaseTable: Sendable {
    private struct Held {
        var fence: Fence
        /// The groups that work under it; it is given back when the last one has let go.
        var users: Set<UInt64>
        var isAsked = false
    }

    private struct State {
        var lastGroup: UInt64 = 0
        var wants: [UInt64: Set<LeaseName>] = [:]
        var boxes: [UInt64: Mailbox<Void>] = [:]
        var held: [String: Held] = [:]
        var validUntil: Instant?
        var losses: UInt64 = 0
        /// To be given back, or removed, at the next beat.
        var returns: [Fence: Return] = [:]
        /// Epochs that are over here: a view that is older must not bring them back.
        var past: [String: UInt64] = [:]
        var owners: [String: String] = [:]
        var poke: (@Sendable () -> Void)?
    }

    private enum Return {
        case release
        case remove
    }

    private let state = Mutex(State())
    private let clock: @Sendable () -> Instant

    /// An empty table; `clock` tells the time that deadlines are of.
    package init(clock: @escaping @Sendable () -> Instant) {
        self.clock = clock
    }

    /// A group of leases of one pool, for one trigger.
    package func group(pool: String) -> LeaseGroup {
        let box = Mailbox<Void>()
        let id = self.state.withLock { state in
            state.lastGroup += 1
            state.boxes[state.lastGroup] = box
            return state.lastGroup
        }
        return LeaseGroup(self, id: id, pool: pool, changed: box)
    }

    // MARK: - For the keeper

    /// Calls this when there is something to do before the next beat.
    func onPoke(_ body: @escaping @Sendable () -> Void) {
        self.state.withLock { $0.poke = body }
    }

    /// What all groups want together.
    var wanted: Set<LeaseName> {
        self.state.withLock { state in state.wants.values.reduce(into: []) { $0.formUnion($1) } }
    }

    /// How many leases are held, and how many were ever lost.
    var counts: (held: Int, lost: UInt64) {
        self.state.withLock { ($0.held.count, $0.losses) }
    }

    /// All leases are valid until then.
    func renew(until deadline: Instant) {
        self.state.withLock { $0.validUntil = deadline }
    }

    /// What the store says of leases: those that `me` has lost are lost here, those that it has are held, also when the answer
    /// that said so was lost.
    func reconcile(_ view: ClusterView, me: MemberID) {
        let names = Dictionary(view.members.map { ($0.id, $0.name) }) { $1 }
        let (boxes, mustPoke) = self.state.withLock { state -> ([Mailbox<Void>], Bool) in
            var changed: Set<UInt64> = []
            var mine: [String: LeaseState] = [:]
            state.owners = [:]
            for lease in view.leases {
                guard let owner = lease.owner else { continue }
                state.owners[lease.lease.name] = names[owner]
                if owner == me { mine[lease.lease.name] = lease }
            }
            for (name, held) in state.held where mine[name]?.epoch != held.fence.epoch {
                Self.lose(name, &state, &changed)
            }
            // Over here, and not for the store: it is acquired anew, or by somebody else, when it has been given back.
            for (name, lease) in mine where lease.epoch <= state.past[name, default: 0] {
                let fence = Fence(lease: name, epoch: lease.epoch)
                state.returns[fence] = state.returns[fence] ?? .release
            }
            let known = Set(view.leases.map(\.lease.name))
            state.past = state.past.filter { known.contains($0.key) }
            for (name, lease) in mine where lease.epoch > state.past[name, default: 0] {
                if state.held[name] == nil {
                    Self.gain(Fence(lease: name, epoch: lease.epoch), &state, &changed)
                }
                let isAsked = lease.askedBy.map { $0 != me } ?? false
                guard let held = state.held[name], held.isAsked != isAsked else { continue }
                state.held[name]?.isAsked = isAsked
                changed.formUnion(held.users)
                guard !isAsked else { continue }
                // Those that came while it was asked for.
                let users = state.wants.filter { $0.value.contains { $0.name == name } }.keys
                state.held[name]?.users.formUnion(users)
                changed.formUnion(users)
            }
            return (changed.compactMap { state.boxes[$0] }, !state.returns.isEmpty)
        }
        for box in boxes { box.put(()) }
        if mustPoke { self.poke() }
    }

    /// Leases that were acquired.
    func gain(_ fences: [Fence]) {
        let boxes = self.state.withLock { state in
            var changed: Set<UInt64> = []
            for fence in fences where fence.epoch > state.past[fence.lease, default: 0] {
                Self.gain(fence, &state, &changed)
            }
            return changed.compactMap { state.boxes[$0] }
        }
        for box in boxes { box.put(()) }
        if self.state.withLock({ !$0.returns.isEmpty }) { self.poke() }
    }

    /// All leases are lost, when nothing has renewed them.
    func expire() {
        let now = self.clock()
        self.lose { state in
            guard let deadline = state.validUntil, deadline <= now else { return [] }
            return Array(state.held.keys)
        }
    }

    /// All leases are lost.
    func loseAll() {
        self.lose { Array($0.held.keys) }
        self.state.withLock { $0.returns = [:] }
    }

    /// What is to be given back and what is to be removed; the caller says with ``returned(_:)`` when that is done.
    var returns: (released: [Fence], removed: [Fence]) {
        self.state.withLock { state in
            (
                state.returns.filter { $0.value == .release }.map(\.key),
                state.returns.filter { $0.value == .remove }.map(\.key)
            )
        }
    }

    /// These are given back.
    func returned(_ fences: [Fence]) {
        self.state.withLock { state in
            for fence in fences { state.returns[fence] = nil }
        }
    }

    // MARK: - For groups

    fileprivate func want(_ names: Set<LeaseName>, _ group: UInt64) {
        let isNew = self.state.withLock { state -> Bool in
            guard state.boxes[group] != nil, state.wants[group] != names else { return false }
            let before = state.wants.updateValue(names, forKey: group) ?? []
            for name in before.subtracting(names) {
                Self.letGo(name.name, group, .release, &state)
            }
            for name in names.subtracting(before) where state.held[name.name]?.isAsked == false {
                state.held[name.name]?.users.insert(group)
                state.boxes[group]?.put(())
            }
            return true
        }
        if isNew { self.poke() }
    }

    fileprivate func held(_ group: UInt64) -> [String: HeldLease] {
        let now = self.clock()
        return self.state.withLock { state in
            guard let deadline = state.validUntil, now < deadline else { return [:] }
            return state.held.filter { $0.value.users.contains(group) }.mapValues {
                HeldLease(fence: $0.fence, isAsked: $0.isAsked)
            }
        }
    }

    fileprivate func fence(of name: String, _ group: UInt64) -> Fence? {
        let now = self.clock()
        return self.state.withLock { state in
            guard let deadline = state.validUntil, now < deadline, let held = state.held[name],
                held.users.contains(group)
            else { return nil }
            return held.fence
        }
    }

    fileprivate func owner(of name: String) -> String? {
        self.state.withLock { $0.owners[name] }
    }

    fileprivate func giveBack(_ names: Set<String>, _ group: UInt64, isOver: Bool) {
        self.state.withLock { state in
            for name in names { Self.letGo(name, group, isOver ? .remove : .release, &state) }
        }
        self.poke()
    }

    fileprivate func lose(_ fence: Fence) {
        self.lose { $0.held[fence.lease]?.fence == fence ? [fence.lease] : [] }
    }

    fileprivate func close(_ group: UInt64) {
        self.want([], group)
        self.state.withLock { state in
            state.wants[group] = nil
            state.boxes.removeValue(forKey: group)?.close()
        }
    }

    // MARK: - Changes

    private func poke() {
        self.state.withLock { $0.poke }?()
    }

    private func lose(_ names: (borrowing State) -> [String]) {
        let boxes = self.state.withLock { state in
            var changed: Set<UInt64> = []
            for name in names(state) { Self.lose(name, &state, &changed) }
            return changed.compactMap { state.boxes[$0] }
        }
        for box in boxes { box.put(()) }
    }

    private static func gain(_ fence: Fence, _ state: inout State, _ changed: inout Set<UInt64>) {
        let users = state.wants.filter { $0.value.contains { $0.name == fence.lease } }.keys
        // Nobody wants it any more.
        guard !users.isEmpty else {
            state.past[fence.lease] = fence.epoch
            state.returns[fence] = .release
            return
        }
        state.held[fence.lease] = Held(fence: fence, users: Set(users))
        changed.formUnion(users)
    }

    private static func lose(_ name: String, _ state: inout State, _ changed: inout Set<UInt64>) {
        guard let held = state.held.removeValue(forKey: name) else { return }
        state.past[name] = held.fence.epoch
        state.losses += 1
        changed.formUnion(held.users)
    }

    private static func letGo(_ name: String, _ group: UInt64, _ how: Return, _ state: inout State) {
        guard var held = state.held[name], held.users.remove(group) != nil else { return }
        state.held[name] = held
        guard held.users.isEmpty else { return }
        state.held[name] = nil
        state.past[name] = held.fence.epoch
        state.returns[held.fence] = how
    }
}

/// A lease that is held now.
package struct HeldLease: Sendable, Equatable {
    /// What writes under it carry.
    package var fence: Fence

    /// Whether another member wants it: finish what is in flight, then give it back.
    package var isAsked: Bool
}

/// The leases of one trigger, all of one pool.
///
/// Any thread; nothing but ``changes()`` waits.
package final class LeaseGroup: Sendable {
    private let table: LeaseTable
    private let id: UInt64
    private let changed: Mailbox<Void>

    /// The pool that its leases are shared out in.
    package let pool: String

    fileprivate init(_ table: LeaseTable, id: UInt64, pool: String, changed: Mailbox<Void>) {
        self.table = table
        self.id = id
        self.pool = pool
        self.changed = changed
    }

    deinit {
        self.table.close(self.id)
    }

    /// Wants these leases from now on, and no others; those that are held and not wanted any more are given back.
    package func want(_ names: Set<String>) {
        self.table.want(Set(names.map { LeaseName($0, pool: self.pool) }), self.id)
    }

    /// What is held now, by name.
    package func held() -> [String: HeldLease] { self.table.held(self.id) }

    /// What a write under this lease carries; nil when it is not held.
    package func fence(of name: String) -> Fence? { self.table.fence(of: name, self.id) }

    /// Who holds a lease, as far as known: the name of a member.
    package func owner(of name: String) -> String? { self.table.owner(of: name) }

    /// Lets go of leases under which nothing is done any more; they are still wanted.
    package func giveBack(_ names: Set<String>) { self.table.giveBack(names, self.id, isOver: false) }

    /// Removes leases of what is over for ever.
    package func finish(_ names: Set<String>) { self.table.giveBack(names, self.id, isOver: true) }

    /// The store has said that somebody else has the lease.
    func lose(_ fence: Fence) { self.table.lose(fence) }

    /// Waits until something has changed since the last call; false when the group was closed or the task cancelled.
    ///
    /// One task at a time.
    package func changes() async -> Bool { await !self.changed.takeAll().isEmpty }

    /// Gives everything back, and wants nothing any more.
    package func close() { self.table.close(self.id) }
}
