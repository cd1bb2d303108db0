// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient
import Reactor
import Synchronization

/// The one session of a database that listens, for all triggers that want to hear of it.
///
/// It keeps connected: asks the server after silence whether it is there, and connects again with growing pauses. It only
/// hands on what it hears; each listener bounds what it keeps. Lives as long as it has listeners, on the reactor's thread.
final class ListenSession: @unchecked Sendable {
    // @unchecked: touched on the reactor's thread only, but for `table` and `join`.

    /// What is known of a session that listens.
    struct Facts: Sendable, Equatable {
        /// The database's name.
        var database: String
        /// Names the session among all.
        var epoch: String
    }

    /// What became of the session.
    enum Change: Sendable {
        /// What is notified from now on is heard.
        case listening(Facts)
        /// Nothing is heard until it listens again; the text says why and what to do.
        case lost(String)
    }

    /// Who wants to hear.
    struct Listener: Sendable {
        var channels: [String]
        /// After how much silence the server is asked whether it is there; of several listeners the least counts.
        var ping: Duration
        var notified: @Sendable ([PostgresNotification]) -> Void
        var changed: @Sendable (Change) -> Void
    }

    /// What ends a listening.
    struct Membership: Sendable {
        fileprivate var session: ListenSession
        fileprivate var id: UInt64

        /// Nothing more is heard soon after.
        ///
        /// Any thread; idempotent.
        func leave() {
            self.session.reactor.submit { self.session.remove(self.id) }
        }
    }

    private struct Key: Hashable {
        var reactor: ObjectIdentifier
        var address: PostgresAddress
    }

    private struct Table {
        var sessions: [Key: ListenSession] = [:]
        var lastID: UInt64 = 0
    }

    private static let table = Mutex(Table())

    private let reactor: Reactor
    private let address: PostgresAddress
    private var listeners: [UInt64: Listener] = [:]
    /// The listeners that know that they are listening.
    private var told: Set<UInt64> = []

    private var opening: PostgresLink.Opening?
    private var link: PostgresLink?
    /// Which connection it is: what an earlier one still brings is not heard.
    private var generation: UInt64 = 0
    private var facts: Facts?
    /// The channels that the session listens on.
    private var listened: Set<String> = []
    private var isChanging = false
    /// While it is not sure that a pooler leaves the session alone: the channel on which that is tried.
    private var probe: String?
    private var lastHeard = Instant.start
    private var timer: TimerID?
    private var failures = 0
    private var random = SplitMix64(seed: .random(in: .min ... .max))

    private static let openTimeout = Duration.seconds(10)
    private static let answerTimeout = Duration.seconds(10)
    /// How long a notification may take through a pooler.
    private static let probeTimeout = Duration.seconds(5)
    private static let backoff = Backoff(
        initial: .milliseconds(200),
        factor: 2,
        max: .seconds(30),
        jitter: .full
    )

    private init(_ address: PostgresAddress, _ reactor: Reactor) {
        self.address = address
        self.reactor = reactor
    }

    private var ping: Duration { self.listeners.values.map(\.ping).min() ?? .seconds(15) }

    /// Lets a listener hear, by the session that there is for the database, or a new one.
    ///
    /// Any thread; its closures are called on the loop.
    static func join(
        _ address: PostgresAddress,
        on reactor: Reactor,
        _ listener: Listener
    ) -> Membership {
        let key = Key(reactor: ObjectIdentifier(reactor), address: address)
        let membership = Self.table.withLock { table in
            let session = table.sessions[key] ?? ListenSession(address, reactor)
            table.sessions[key] = session
            table.lastID += 1
            return Membership(session: session, id: table.lastID)
        }
        reactor.submit { membership.session.add(listener, membership.id) }
        return membership
    }

    private func add(_ listener: Listener, _ id: UInt64) {
        self.listeners[id] = listener
        // Another one may have left the table to it meanwhile.
        let key = Key(reactor: ObjectIdentifier(self.reactor), address: self.address)
        Self.table.withLock { $0.sessions[key] = $0.sessions[key] ?? self }
        if self.facts != nil { self.adjust() } else { self.connect() }
    }

    private func remove(_ id: UInt64) {
        guard self.listeners.removeValue(forKey: id) != nil else { return }
        self.told.remove(id)
        guard self.listeners.isEmpty else { return self.adjust() }
        let key = Key(reactor: ObjectIdentifier(self.reactor), address: self.address)
        Self.table.withLock { table in
            if table.sessions[key] === self { table.sessions[key] = nil }
        }
        self.disconnect()
    }

    // MARK: - Connecting

    private func connect() {
        guard !self.listeners.isEmpty, self.link == nil, self.opening == nil, self.timer == nil else {
            return
        }
        self.generation += 1
        let generation = self.generation
        self.opening = PostgresLink.open(self.address, on: self.reactor, within: Self.openTimeout) { result in
            guard self.generation == generation else {
                if case .success(let link) = result { link.close() }
                return
            }
            self.opening = nil
            switch result {
            case .success(let link): self.introduce(link, generation)
            case .failure(let error): self.fail(PostgresAdvice.text(error, self.address))
            }
        }
    }

    /// Learns what is at the other end.
    private func introduce(_ link: PostgresLink, _ generation: UInt64) {
        self.link = link
        link.onLoss = { error in
            guard self.generation == generation else { return }
            self.fail(PostgresAdvice.text(error, self.address))
        }
        link.onNotifications = { notifications in
            guard self.generation == generation else { return }
            self.hear(notifications)
        }
        self.ask("SELECT pg_backend_pid(), current_database(), pg_is_in_recovery()") { result in
            guard result.rows == 1, result.boolean(0, 2) != true else {
                return self.fail(PostgresAdvice.standby(self.address))
            }
            let epoch = String(self.random.next() & 0xFFFF_FFFF | 1 << 32, radix: 16).dropFirst()
            self.facts = Facts(database: result.text(0, 1) ?? "", epoch: String(epoch))
            // A pooler answers for the server, and makes up the process that it announces.
            if result.integer(0, 0) != Int64(link.announcedBackend) {
                self.probe = "penstock_probe_\(String(self.random.next(), radix: 36))"
            }
            self.adjust()
        }
    }

    /// Runs a statement on the connection that there is now; what goes wrong ends that.
    private func ask(_ sql: String, _ then: @escaping @Sendable (PostgresResult) -> Void) {
        let generation = self.generation
        self.link?.send(PostgresQuery(script: sql), within: Self.answerTimeout) { result in
            guard self.generation == generation else { return }
            self.lastHeard = self.reactor.now
            switch result {
            case .success(let rows): then(rows)
            case .failure(let error): self.fail(PostgresAdvice.text(error, self.address))
            }
        }
    }

    /// Listens on what is wanted, and on nothing else.
    private func adjust() {
        guard self.facts != nil, !self.isChanging else { return }
        let wanted = Set(self.listeners.values.flatMap(\.channels) + [self.probe].compactMap(\.self))
        let new = wanted.subtracting(self.listened)
        let old = self.listened.subtracting(wanted)
        guard !new.isEmpty || !old.isEmpty else { return self.settled() }
        let statements =
            new.sorted().map { "LISTEN \(PostgresName.quoted($0))" }
            + old.sorted().map { "UNLISTEN \(PostgresName.quoted($0))" }
        self.isChanging = true
        self.ask(statements.joined(separator: "; ")) { _ in
            self.isChanging = false
            self.listened = wanted
            self.adjust()
        }
    }

    /// The session listens on what is wanted.
    private func settled() {
        guard let facts = self.facts else { return }
        if let probe = self.probe { return self.tryPooler(probe) }
        self.failures = 0
        self.schedule(in: self.ping) { self.checkSilence() }
        for (id, listener) in self.listeners where self.told.insert(id).inserted {
            listener.changed(.listening(facts))
        }
    }

    /// Notifies the session from another one: a pooler that shares its session out lets nothing come of that.
    private func tryPooler(_ channel: String) {
        guard self.timer == nil else { return }
        let generation = self.generation
        self.schedule(in: Self.probeTimeout) { self.fail(PostgresAdvice.pooler(self.address)) }
        PostgresLink.open(self.address, on: self.reactor, within: Self.openTimeout) { result in
            guard case .success(let other) = result else { return }
            guard self.generation == generation else { return other.close() }
            other.send(
                PostgresQuery("SELECT pg_notify($1, '')", [.text(channel)]),
                within: Self.answerTimeout
            ) { _ in
                other.close()
            }
        }
    }

    // MARK: - Hearing

    private func hear(_ notifications: [PostgresNotification]) {
        self.lastHeard = self.reactor.now
        if let probe = self.probe, notifications.contains(where: { $0.channel == probe }) {
            self.probe = nil
            self.cancelTimer()
            self.adjust()
        }
        // Whoever does not know yet that it listens has nothing to name what it hears by.
        for (id, listener) in self.listeners where self.told.contains(id) {
            let own = notifications.filter { listener.channels.contains($0.channel) }
            if !own.isEmpty { listener.notified(own) }
        }
    }

    private func checkSilence() {
        let silence = self.reactor.now - self.lastHeard
        guard silence >= self.ping else {
            return self.schedule(in: self.ping - silence) { self.checkSilence() }
        }
        self.ask("SELECT pg_backend_pid()") { _ in
            self.schedule(in: self.ping) { self.checkSilence() }
        }
    }

    // MARK: - Losing

    private func fail(_ text: String) {
        self.disconnect()
        for listener in self.listeners.values { listener.changed(.lost(text)) }
        self.failures += 1
        let pause = Self.backoff.delay(attempt: self.failures, using: &self.random)
        self.schedule(in: max(pause, .milliseconds(50))) { self.connect() }
    }

    private func disconnect() {
        self.generation += 1
        self.opening?.abandon()
        self.opening = nil
        self.link?.close()
        self.link = nil
        self.facts = nil
        self.listened = []
        self.told = []
        self.isChanging = false
        self.probe = nil
        self.cancelTimer()
    }

    private func cancelTimer() {
        if let timer = self.timer.take() { self.reactor.cancel(timer) }
    }

    /// The one timer: whichever of ping, probe and pause is due next.
    private func schedule(in time: Duration, _ action: @escaping @Sendable () -> Void) {
        self.cancelTimer()
        self.timer = self.reactor.schedule(at: self.reactor.now + time) {
            self.timer = nil
            action()
        }
    }
}
