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

    /// Whether a later record takes the place of those before it.
    var overtakes: Bool { get }

    /// Whether a later record took the place of the one at a position: it is not to be invoked, and an invocation of it is
    /// cancelled. ``SourceEvent/overtaken`` tells that it may have changed. Any isolation.
    func isOvertaken(_ position: Position) -> Bool

    /// Carries an order out: durable in the store when it returns. Nil when the source has not started, or takes no
    /// orders.
    func fire(_ order: FireOrder) async throws(StoreError) -> FireReceipt?

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

/// What is known of a schedule now.
package struct ScheduleStatus: Sendable, Equatable {
    /// The trigger's name.
    package var name: String

    /// How it is written.
    package var facts: ScheduleFacts

    /// When it fires next; nil for never, and while its trigger is not running.
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
