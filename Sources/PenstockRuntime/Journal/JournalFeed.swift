// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockStore

/// What fills a journal as time passes: the decisions of a source that cannot redeliver.
///
/// It decides and keeps no time; ``JournalSource`` asks it, and has what it answers on disk before anything else happens.
package protocol JournalFeed: Sendable {
    /// Goes on behind the mark that an earlier run left; nil when there was none.
    func begin(mark: String?, now: Timestamp)

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

    /// What fires on an operator's order; nil for a feed that is no schedule.
    func ordered(_ order: FireOrder, now: Timestamp) -> OrderedFires?
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

    /// Most feeds take no orders.
    package func ordered(_ order: FireOrder, now: Timestamp) -> OrderedFires? { nil }
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
    /// The entries, in order.
    package var entries: [JournalEntry]

    /// Where the feed goes on after a restart.
    package var mark: String

    /// What did not become an entry, in one sentence, for operators.
    package var gap: String?

    /// What the fire log says of all times that were decided.
    package var fires: [ScheduleFire]

    /// Entries with the mark that stands behind them.
    package init(entries: [JournalEntry], mark: String, gap: String? = nil, fires: [ScheduleFire] = []) {
        self.entries = entries
        self.mark = mark
        self.gap = gap
        self.fires = fires
    }
}
