// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockStore
import PostgresClient
import Reactor
import Synchronization

/// Fills a trigger's journal with the rows that a query finds; notifications only say that it is worth while to ask.
///
/// It asks when it has connected, when it is notified, and on an interval, on a connection of its own.
/// ``CatchUpWindow`` decides which rows are new.
final class CatchUpFeed: JournalFeed {
    /// A look at rows that were seen, for those that have become visible between them.
    private struct Again {
        var cursor: Int64
        /// The greatest number when it began; it ends there.
        let through: Int64
        let began: Timestamp
    }

    private struct State {
        var window: CatchUpWindow
        /// What was read and is not taken yet.
        var page: JournalIntake?
        /// Whether there may be rows behind the greatest number.
        var isDirty = true
        /// Whether the last ask was for those: looks at rows that were seen take turns with it.
        var wasForward = false
        var again: Again?
        var lastAgain = Instant.start
        var lastForward = Instant.start
        /// Not before this time, after a failure.
        var notBefore = Instant.start
        var failures = 0
        var isHeld = false
        var isStopped = false
        /// The time of the timer that rings.
        var timer: Instant?
        var database = ""
        var hasRead = false
        var sessionProblem: String?
        var queryProblem: String?
        var wake: (@Sendable () -> Void)?
    }

    /// What is to be asked next.
    private enum Ask {
        case forward(Int64)
        case again(Again)
    }

    private let configuration: NotifyConfiguration
    private let catchUp: CatchUpConfiguration
    private let address: PostgresAddress
    private let reactor: Reactor
    private let session: PostgresSession
    private let state: Mutex<State>
    /// Rings when there may be something to do; closed by the stop.
    private let bells = Mailbox<Void>()

    /// Entries in the journal beyond which nothing more is read.
    private static let waitingMax = 10_000
    private static let queryTimeout = Duration.seconds(60)
    private static let backoff = Backoff(
        initial: .milliseconds(200),
        factor: 2,
        max: .seconds(30),
        jitter: .full
    )

    init(
        _ configuration: NotifyConfiguration,
        _ catchUp: CatchUpConfiguration,
        _ address: PostgresAddress,
        on reactor: Reactor
    ) {
        self.configuration = configuration
        self.catchUp = catchUp
        self.address = address
        self.reactor = reactor
        self.session = PostgresSession(address, on: reactor)
        self.state = Mutex(State(window: CatchUpWindow(start: catchUp.start)))
    }

    // MARK: - The source's side

    func begin(_ past: JournalPast, now: Timestamp) {
        guard let mark = past.mark, let window = CatchUpWindow(mark: mark, now: self.age) else { return }
        self.state.withLock { $0.window = window }
    }

    func run(wake: @escaping @Sendable () -> Void) async {
        self.state.withLock { $0.wake = wake }
        let listener = ListenSession.Listener(
            channels: self.configuration.channels,
            ping: self.configuration.ping,
            notified: { _ in self.ring { $0.isDirty = true } },
            changed: { self.changed($0) }
        )
        let membership = ListenSession.join(
            self.address,
            on: self.reactor,
            listener
        )
        self.bells.put(())
        while !(await self.bells.takeAll()).isEmpty {
            while let ask = self.nextAsk() {
                await self.carryOut(ask)
            }
            self.setTimer()
        }
        membership.leave()
        await self.session.close()
        self.state.withLock { $0.wake = nil }
    }

    func stop() {
        self.state.withLock { $0.isStopped = true }
        self.bells.close()
        // A query under way changes nothing: nobody waits for it.
        self.session.closeSoon()
    }

    var status: JournalFeedStatus {
        self.state.withLock { state in
            if let problem = state.queryProblem ?? state.sessionProblem { return .disconnected(problem) }
            return state.hasRead ? .connected : .connecting
        }
    }

    func next() -> Timestamp? { nil }

    func due(now: Timestamp, waiting: Int) -> JournalIntake? {
        let page = self.state.withLock { state in
            let page = state.page.take()
            state.isHeld = waiting + (page?.write.entries.count ?? 0) > Self.waitingMax
            return page
        }
        if page != nil || waiting <= Self.waitingMax { self.bells.put(()) }
        return page
    }

    // MARK: - Deciding

    private func changed(_ change: ListenSession.Change) {
        self.ring { state in
            switch change {
            case .listening(let facts):
                state.sessionProblem = nil
                state.database = facts.database
                state.isDirty = true
            case .lost(let text): state.sessionProblem = text
            }
        }
        self.wake()
    }

    private func ring(_ change: (inout State) -> Void) {
        self.state.withLock { change(&$0) }
        self.bells.put(())
    }

    private func wake() {
        self.state.withLock { $0.wake }?()
    }

    /// What to ask now; nil to wait.
    private func nextAsk() -> Ask? {
        let now = self.reactor.now
        return self.state.withLock { state in
            guard state.page == nil, !state.isHeld, !state.isStopped, now >= state.notBefore else {
                return nil
            }
            if now - state.lastForward >= self.catchUp.interval { state.isDirty = true }
            let isAgainDue = state.window.isOpen && now - state.lastAgain >= self.againInterval
            let isTurn = state.again != nil || isAgainDue
            if state.isDirty, !isTurn || !state.wasForward {
                state.isDirty = false
                state.wasForward = true
                state.lastForward = now
                return .forward(state.window.highest)
            }
            guard isTurn else { return nil }
            state.wasForward = false
            if let again = state.again { return .again(again) }
            state.lastAgain = now
            let again = Again(cursor: state.window.base, through: state.window.highest, began: self.age)
            state.again = again
            return .again(again)
        }
    }

    /// The time that the overlap is measured by: a wall clock that is set must not end it.
    private var age: Timestamp { Timestamp(milliseconds: (self.reactor.now - .start).wholeMilliseconds) }

    private var againInterval: Duration { max(.seconds(1), self.catchUp.overlap / 2) }

    /// Rings when something is due by its time.
    private func setTimer() {
        let now = self.reactor.now
        let deadline = self.state.withLock { state -> Instant? in
            // Whoever takes the page, or takes some away of what waits, rings.
            guard state.page == nil, !state.isHeld else { return nil }
            var deadline = state.lastForward + self.catchUp.interval
            if state.window.isOpen { deadline = min(deadline, state.lastAgain + self.againInterval) }
            if now < state.notBefore { deadline = state.notBefore }
            guard state.timer.map({ deadline < $0 }) ?? true else { return nil }
            state.timer = deadline
            return deadline
        }
        guard let deadline else { return }
        self.reactor.submit {
            _ = self.reactor.schedule(at: max(deadline, now + .milliseconds(10))) {
                self.ring { if $0.timer == deadline { $0.timer = nil } }
            }
        }
    }

    // MARK: - Asking

    private func carryOut(_ ask: Ask) async {
        do throws(PostgresError) {
            let last =
                switch ask {
                case .forward(let last): last
                case .again(let again): again.cursor
                }
            let query = PostgresQuery(self.catchUp.sql, [.integer(last)])
            let rows = try await self.session.run(query, within: Self.queryTimeout)
            let ids = (0..<rows.rows).compactMap { rows.integer($0, 0) }
            guard ids.count == rows.rows else {
                throw PostgresError(.rejected, "the first column of catch_up.query must be a whole number")
            }
            // Ordered by a text, or with equal numbers, rows would be passed over without a word.
            guard zip(ids, ids.dropFirst()).allSatisfy({ $0 < $1 }) else {
                throw PostgresError(
                    .rejected,
                    "the first column of catch_up.query must be of a type of whole numbers, and different in each row"
                )
            }
            self.take(rows, ids, of: ask)
        } catch {
            let text = PostgresAdvice.text(error, self.address)
            var random = SplitMix64(seed: .random(in: .min ... .max))
            let now = self.reactor.now
            self.state.withLock { state in
                guard !state.isStopped else { return }
                // The server's own, after its statement_timeout, has a SQLSTATE.
                if error.code != .cancelled || error.sqlState != nil { state.queryProblem = text }
                state.failures += 1
                state.isDirty = true
                state.again = nil
                let pause = Self.backoff.delay(attempt: state.failures, using: &random)
                state.notBefore = now + max(pause, .milliseconds(50))
            }
        }
        self.wake()
    }

    private func take(_ rows: PostgresResult, _ ids: [Int64], of ask: Ask) {
        let (now, age) = (self.reactor.wallNow, self.age)
        self.state.withLock { state in
            state.failures = 0
            state.queryProblem = nil
            state.hasRead = true
            let before = state.window
            var entries: [JournalEntry] = []
            for (row, id) in ids.enumerated() where state.window.admit(id, at: age) {
                entries.append(self.entry(id, rows, row, state.database, now))
            }
            let inPage = rows.rows > 0 ? rows.integer(0, 2) ?? 0 : 0
            let isFull = inPage == CatchUpConfiguration.page || inPage > rows.rows
            switch ask {
            case .forward:
                if isFull { state.isDirty = true }
                if self.catchUp.overlap == .zero { state.window.lookedAgain(began: age, overlap: .zero) }
            case .again(var again):
                again.cursor = ids.last ?? again.cursor
                if isFull, again.cursor < again.through {
                    state.again = again
                } else {
                    state.again = nil
                    state.window.lookedAgain(began: again.began, overlap: self.catchUp.overlap)
                }
            }
            guard !entries.isEmpty || state.window != before else { return }
            state.page = JournalIntake(entries: entries, mark: state.window.mark)
        }
    }

    private func entry(
        _ id: Int64,
        _ rows: PostgresResult,
        _ row: Int,
        _ database: String,
        _ now: Timestamp
    ) -> JournalEntry {
        let channel = self.configuration.channels.first ?? ""
        let arn = PostgresEventFormat.arn(database: database, "channel", channel)
        let head =
            PostgresEventFormat.head(id: "\(id)", name: "ROW", kind: .notify, arn: arn)
            + JSONText.member("database", database) + Array(",".utf8) + JSONText.member("channel", channel)
            + Array(#","id":"\#(id)","payload":"#.utf8)
        let tail = #","receivedAt":\#(PostgresEventFormat.seconds(now)),"possibleGap":false}}"#
        return JournalEntry(
            key: "\(id)",
            timestamp: now,
            body: unsafe rows.bytes(row, 1).map { unsafe Array($0) } ?? [],
            attributes: .postgres(id: "\(id)", channel: channel, head: head, tail: Array(tail.utf8))
        )
    }
}
