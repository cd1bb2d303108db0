// SPDX-License-Identifier: Apache-2.0

package import PenstockStore

/// The one lease under which a whole trigger runs, on one member at a time.
package struct TriggerLease: Sendable {
    /// The group that has it.
    package let group: LeaseGroup

    /// Its name.
    package let name: String

    /// How long invocations may go on when another member wants it.
    package let drainTimeout: Duration

    /// The pool of all such leases.
    package static let pool = "triggers"

    /// The lease of a trigger; triggers that name the same one run on the same member.
    package init(_ name: String, of table: LeaseTable, drainTimeout: Duration) {
        self.group = table.group(pool: Self.pool)
        self.name = name
        self.drainTimeout = drainTimeout
    }

    /// Whether this process holds it now.
    var isHeld: Bool { self.group.fence(of: self.name) != nil }

    /// What is known of it now; nil when this process does not hold it.
    var held: HeldLease? { self.group.held()[self.name] }

    /// Waits until this process holds it; false when the group was closed or the task cancelled.
    func obtain() async -> Bool {
        self.group.want([self.name])
        while self.held.map({ $0.isAsked }) ?? true {
            // Nothing runs under it here.
            if self.held != nil { self.group.giveBack([self.name]) }
            guard await self.group.changes() else { return false }
        }
        return true
    }

    /// Waits until it is lost or another member wants it; nil when the task was cancelled before.
    func end() async -> End? {
        while true {
            guard let held = self.held else { return .lost }
            if held.isAsked { return .asked }
            guard await self.group.changes() else { return nil }
        }
    }

    /// Waits until it is lost, whoever wants it; false when the task was cancelled before.
    func isLost() async -> Bool {
        while self.held != nil {
            guard await self.group.changes() else { return false }
        }
        return true
    }

    /// Why it does not go on.
    enum End {
        case lost
        case asked
    }
}

/// The leases under which the partitions of one trigger are read, each on one member at a time.
package struct PartitionLeases: Sendable {
    private let group: LeaseGroup
    private let trigger: String

    /// How long invocations may go on when another member wants a partition.
    package let drainTimeout: Duration

    /// The leases of a trigger's partitions, shared out among the members that run the trigger.
    package init(of trigger: String, _ table: LeaseTable, drainTimeout: Duration) {
        self.trigger = trigger
        self.drainTimeout = drainTimeout
        self.group = table.group(pool: "partitions/\(trigger)")
    }

    /// The store for the holder of these leases.
    package func store(_ store: any LeaseStore) -> LeasedStore {
        let trigger = self.trigger
        return LeasedStore(store, self.group) { Self.name(trigger, $0 ?? "") }
    }

    /// Wants these partitions from now on, by name, and no others.
    package func want(_ partitions: Set<String>) {
        self.group.want(Set(partitions.map { Self.name(self.trigger, $0) }))
    }

    /// The partitions held now, and whether another member wants them.
    package func held() -> [String: HeldLease] {
        let prefix = Self.name(self.trigger, "").utf8.count
        let held = self.group.held().map { (String($0.key.utf8.dropFirst(prefix)) ?? $0.key, $0.value) }
        return Dictionary(held) { $1 }
    }

    /// Waits until something has changed; false when it is over.
    ///
    /// One task at a time.
    package func changes() async -> Bool { await self.group.changes() }

    /// Lets go of partitions that are drained; they are still wanted.
    package func giveBack(_ partitions: Set<String>) {
        self.group.giveBack(Set(partitions.map { Self.name(self.trigger, $0) }))
    }

    /// Removes the leases of partitions that are over for ever.
    package func finish(_ partitions: Set<String>) {
        self.group.finish(Set(partitions.map { Self.name(self.trigger, $0) }))
    }

    /// Gives everything back, and wants nothing any more.
    func close() { self.group.close() }

    /// Wants no partition any more; what is held is given back, and can be wanted again.
    package func clear() { self.group.want([]) }

    private static func name(_ trigger: String, _ partition: String) -> String {
        "partition/\(trigger)/\(partition)"
    }
}
