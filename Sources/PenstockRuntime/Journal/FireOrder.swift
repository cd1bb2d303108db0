// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockStore

/// What an operator wants of a schedule.
package enum FireOrder: Sendable, Equatable {
    /// One fire at once, beside its times.
    case now
    /// Its times from one to the other, both included, as if they had come due. Those that have fired do not again.
    case times(from: Timestamp, through: Timestamp)
}

/// What fires on an order.
package struct OrderedFires: Sendable, Equatable {
    /// The entries, in order.
    package var entries: [JournalEntry]

    /// What the fire log says of them.
    package var fires: [ScheduleFire]

    /// Where the next order has to begin, because this one was too much at once; nil when it was not.
    package var rest: Timestamp?

    /// Fires with what is left of their order.
    package init(entries: [JournalEntry], fires: [ScheduleFire], rest: Timestamp? = nil) {
        self.entries = entries
        self.fires = fires
        self.rest = rest
    }
}

/// What came of an order, once it is in the store.
package struct FireReceipt: Sendable, Equatable {
    /// The keys of the times that the order was about, in order.
    package var keys: [String]

    /// How many of them fire now; the others have fired before.
    package var fired: Int

    /// Where the next order has to begin, because this one was too much at once; nil when all is done.
    package var rest: Timestamp?

    /// A receipt.
    package init(keys: [String], fired: Int, rest: Timestamp?) {
        self.keys = keys
        self.fired = fired
        self.rest = rest
    }
}

/// A source whose records have a timetable, and come on an operator's order, too.
package protocol FiringSource: Source {
    /// When the next record comes due; nil for never, and before the source has started.
    var next: Timestamp? { get }

    /// When the next record of one of its members comes due; nil for never, for an unknown one, and before the start.
    func next(of member: String) -> Timestamp?

    /// Whether a later record takes the place of those before it.
    var overtakes: Bool { get }

    /// Whether a later record took the place of the one at a position: it is not to be invoked, and an invocation of it is
    /// cancelled. ``SourceEvent/overtaken`` tells that it may have changed. Any isolation.
    func isOvertaken(_ position: Position) -> Bool

    /// Carries an order out, of one of its members when it has such: durable in the store when it returns. Nil when the
    /// source has not started, takes no orders, or does not know the member.
    func fire(_ order: FireOrder, of member: String?) async throws(StoreError) -> FireReceipt?

    /// Whether ``done(_:)`` is to be called.
    var hearsOfDone: Bool { get }

    /// Nothing more is done with the records at these positions, though those before them may not be settled yet. Any
    /// isolation.
    func done(_ positions: [Position])

    /// Notes what becomes of records that are going to be settled, by their keys: durable when it returns.
    func note(_ outcome: ScheduleFire.Outcome, of keys: [[UInt8]]) async throws(StoreError)
}

/// How a schedule is written, for people.
package struct ScheduleFacts: Sendable, Equatable {
    /// The expression as configured.
    package var expression: String

    /// When it fires, in words.
    package var words: String

    /// The IANA name of its time zone.
    package var zone: String

    /// Facts of a schedule.
    package init(expression: String, words: String, zone: String) {
        self.expression = expression
        self.words = words
        self.zone = zone
    }
}

/// The schedules of a set, by number in the order of their names' bytes.
package struct ScheduleMembers: Sendable {
    /// How many.
    package var count: Int

    /// The name of one.
    package var name: @Sendable (_ number: Int) -> String

    /// How one is written.
    package var facts: @Sendable (_ number: Int) -> ScheduleFacts

    /// The members of a set.
    package init(
        count: Int,
        name: @escaping @Sendable (_ number: Int) -> String,
        facts: @escaping @Sendable (_ number: Int) -> ScheduleFacts
    ) {
        self.count = count
        self.name = name
        self.facts = facts
    }

    /// The number of the first one whose name is `name` or behind it; ``count`` when there is none.
    package func lowerBound(_ name: String) -> Int {
        var (low, high) = (0, self.count)
        while low < high {
            let middle = (low + high) / 2
            if self.name(middle).utf8.lexicographicallyPrecedes(name.utf8) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /// Whether there is one of this name.
    package func contains(_ name: String) -> Bool {
        let number = self.lowerBound(name)
        return number < self.count && self.name(number) == name
    }
}

/// What is known of one schedule of a set now.
package struct ScheduleMember: Sendable, Equatable {
    /// Its name in the set.
    package var name: String

    /// How it is written.
    package var facts: ScheduleFacts

    /// When it fires next; nil for never, and where that is not looked up because its trigger does not run here.
    package var next: Timestamp?

    /// A member.
    package init(name: String, facts: ScheduleFacts, next: Timestamp?) {
        self.name = name
        self.facts = facts
        self.next = next
    }
}

/// Which schedule an operator means: `nightly`, or `reminders/alice` for one of a set.
package struct ScheduleAddress: Sendable, Equatable {
    /// The trigger's name.
    package var trigger: String

    /// The schedule's name in the trigger's set; nil when the trigger is one schedule.
    package var member: String?

    /// A schedule.
    package init(trigger: String, member: String? = nil) {
        self.trigger = trigger
        self.member = member
    }

    /// Reads a name; a trigger's has no `/`.
    package init(_ name: String) {
        let parts = name.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        self.init(trigger: String(parts[0]), member: parts.count > 1 ? String(parts[1]) : nil)
    }
}

/// What is known of a schedule now.
package struct ScheduleStatus: Sendable, Equatable {
    /// The trigger's name.
    package var name: String

    /// How it is written.
    package var facts: ScheduleFacts

    /// How many schedules it is made of; nil for a schedule of its own.
    package var members: Int?

    /// When it fires next, also when another Penstock runs its trigger; nil for never, and for large sets that do not run here.
    package var next: Timestamp?

    /// What its fire log has.
    package var count: FireCount

    /// A status.
    package init(name: String, facts: ScheduleFacts, next: Timestamp?, count: FireCount) {
        self.name = name
        self.facts = facts
        self.next = next
        self.count = count
    }
}
