// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockStore

/// What fills a journal as time passes: the decisions of a source that cannot redeliver.
///
/// It decides and keeps no time; ``JournalSource`` asks it, and has what it answers on disk before anything else happens.
package protocol JournalFeed: Sendable {
    /// Which parts of ``JournalPast`` it needs, and whether it is told of entries that come and go.
    var needs: JournalNeeds { get }

    /// Goes on behind what an earlier run left.
    func begin(_ past: JournalPast, now: Timestamp)

    /// Entries that count as waiting are these by their keys, whatever was said before: an entry that ``due(now:waiting:)``
    /// answered was in the journal already, or an order brought some. Only with ``JournalNeeds/waiting``.
    func recount(waiting keys: [String])

    /// Entries with these keys are settled, or will be as soon as those before them are. Only with ``JournalNeeds/waiting``.
    func settled(_ keys: [String])

    /// When this part of it comes due next; nil for never, and for a name that it does not know.
    func next(of member: String) -> Timestamp?

    /// What an entry's place is taken by, when the feed overtakes: a later entry that gives the same text.
    func lane(of key: String) -> String

    /// What has come due, with `waiting` entries not settled yet; nil for nothing.
    ///
    /// Asked again until there is nothing: one answer may be a part of what is due.
    func due(now: Timestamp, waiting: Int) -> JournalIntake?

    /// When something comes due next; nil for never.
    func next() -> Timestamp?

    /// Whether what comes due takes the place of earlier entries that are not settled.
    var overtakes: Bool { get }

    /// Whether nothing comes due any more, and nothing is to be kept of it once all is settled.
    var isOver: Bool { get }

    /// Does the feed's own work, such as keeping a connection, until ``stop()`` or until the task is cancelled; `wake` says
    /// that something has come due, or that ``status`` has changed.
    func run(wake: @escaping @Sendable () -> Void) async

    /// Ends ``run(wake:)`` soon.
    ///
    /// Any thread; idempotent.
    func stop()

    /// Whether the feed can reach where its events come from.
    var status: JournalFeedStatus { get }

    /// So many lines of its fire log are kept.
    var firesKept: Int { get }

    /// What fires on an operator's order, of one of its members when it has such; nil for a feed that is no schedule, and
    /// for a name that it does not know.
    func ordered(_ order: FireOrder, of member: String?, now: Timestamp) -> OrderedFires?
}

extension JournalFeed {
    /// Most feeds want all that came.
    package var overtakes: Bool { false }

    /// Most feeds have no end.
    package var isOver: Bool { false }

    /// Most feeds only look at the clock.
    package func run(wake: @escaping @Sendable () -> Void) async {}

    /// Nothing runs.
    package func stop() {}

    /// Most feeds need nobody.
    package var status: JournalFeedStatus { .connected }

    /// As many as a schedule has.
    package var firesKept: Int { ScheduleFire.keptMax }

    /// Most feeds take no orders.
    package func ordered(_ order: FireOrder, of member: String?, now: Timestamp) -> OrderedFires? { nil }

    /// Most feeds need the mark alone.
    package var needs: JournalNeeds { [] }

    /// Nothing.
    package func recount(waiting keys: [String]) {}

    /// Nothing.
    package func settled(_ keys: [String]) {}

    /// Most feeds have no members.
    package func next(of member: String) -> Timestamp? { nil }

    /// Most feeds are one lane.
    package func lane(of key: String) -> String { "" }
}

/// What a feed needs besides its mark.
package struct JournalNeeds: OptionSet, Sendable {
    package let rawValue: Int

    package init(rawValue: Int) {
        self.rawValue = rawValue
    }

    /// The members with their marks.
    package static let members = JournalNeeds(rawValue: 1)

    /// The keys of entries that are not settled.
    package static let waiting = JournalNeeds(rawValue: 2)
}

/// What an earlier run of a feed has left in the store.
package struct JournalPast: Sendable, Equatable {
    /// The last mark; nil when there was none.
    package var mark: String?

    /// The members in the order of their names' bytes, when the feed needs them.
    package var members: [JournalMember] = []

    /// The keys of entries that are not settled, in order, when the feed needs them.
    package var waiting: [String] = []

    /// What a mark tells.
    package init(mark: String?) {
        self.mark = mark
    }
}

/// Whether a feed can reach where its events come from.
package enum JournalFeedStatus: Sendable, Equatable {
    /// It has not been there yet.
    case connecting
    /// What comes is seen.
    case connected
    /// Nothing is seen; the feed keeps trying. The text says what failed and what to do.
    case disconnected(String)
}

/// What goes into a journal at once.
package struct JournalIntake: Sendable, Equatable {
    /// The entries, where the feed goes on after a restart, and what the fire log says of all times that were decided.
    package var write: JournalWrite

    /// What did not become an entry, in one sentence, for operators.
    package var gap: String?

    /// What is to be written.
    package init(_ write: JournalWrite, gap: String? = nil) {
        self.write = write
        self.gap = gap
    }

    /// Entries with the mark that stands behind them.
    package init(entries: [JournalEntry], mark: String, gap: String? = nil, fires: [ScheduleFire] = []) {
        self.init(JournalWrite(entries: entries, mark: mark, fires: fires), gap: gap)
    }
}
