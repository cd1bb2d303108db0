// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockRuntime
import PostgresClient
import Reactor
import Synchronization

// MARK: - Connecting, watching, losing

extension SlotStream {
    private static let openTimeout = Duration.seconds(10)
    static let askTimeout = Duration.seconds(15)
    /// A slot is made once the transactions that are under way have ended.
    private static let createTimeout = Duration.seconds(600)
    /// How often one that stands by asks whether the slot is free.
    static let standbyPause = Duration.seconds(1)
    /// How long the server may take to notice that our own last session has ended.
    private static let ownPause = Duration.milliseconds(100)
    private static let ownPatience = 50
    /// Without a word of the server for three heartbeats, and for so long, the connection is taken for lost.
    private static let silenceMin = Duration.seconds(6)
    /// How long it may take to answer, then, on the connection beside.
    private static let silenceTimeout = Duration.seconds(5)
    /// How often in a row a session of another member is found before whoever has the lease ends it.
    private static let ownerPatience = 3
    private static let watchPause = Duration.seconds(15)
    /// Others that are configured begin within a moment of each other: one stream for all.
    private static let gathering = Duration.milliseconds(300)
    /// A lost slot is looked at now and then: an operator may have made it anew.
    private static let lostPause = Duration.seconds(30)
    private static let backoff = Backoff(
        initial: .milliseconds(200),
        factor: 2,
        max: .seconds(20),
        jitter: .full
    )

    /// Begins to read, or, with `again`, ends the stream and begins it anew for all readers.
    func begin(again: Bool) {
        guard !self.readers.isEmpty else { return }
        if again { self.tearDown() }
        guard self.link == nil, !self.isConnecting else { return }
        self.connect()
    }

    /// Ends all connections.
    func disconnect() {
        self.tearDown()
        self.failures = 0
        self.hasWaitedForOthers = false
    }

    private func tearDown() {
        self.generation &+= 1
        self.isConnecting = false
        for timer in [self.retry.take(), self.heartbeat.take()].compactMap(\.self) {
            self.reactor.cancel(timer)
        }
        for opening in self.openings { opening.abandon() }
        self.openings = []
        self.link.take()?.close()
        self.pending.take()?.close()
        // A slot that is being made may wait for the transactions of others.
        self.control.take()?.abandon()
        for reader in self.readers { reader.detach() }
    }

    /// The connection is gone, or of no use: tells so, and tries again later.
    func lose(_ text: String) {
        self.tearDown()
        self.failures += 1
        self.show(.disconnected(text))
        let pause = Self.backoff.delay(attempt: self.failures, using: &self.random)
        self.tryAgain(in: max(.milliseconds(100), pause))
    }

    func tryAgain(in pause: Duration) {
        self.isConnecting = true
        let generation = self.generation
        self.retry = self.reactor.schedule(at: self.reactor.now + pause) {
            guard self.generation == generation else { return }
            self.retry = nil
            self.isConnecting = false
            self.begin(again: false)
        }
    }

    func show(_ status: SourceStatus) {
        for reader in self.readers { reader.show(status) }
    }

    // MARK: - Steps

    private func connect() {
        self.isConnecting = true
        if let control = self.control { return self.examine(control, round: 0) }
        self.open(self.address) { control in
            self.control = control
            self.examine(control, round: 0)
        }
    }

    /// Opens a connection whose loss is ours.
    private func open(_ address: PostgresAddress, _ use: @escaping @Sendable (PostgresLink) -> Void) {
        let generation = self.generation
        let opening = PostgresLink.open(address, on: self.reactor, within: Self.openTimeout) { result in
            switch result {
            case .success(let link):
                guard self.generation == generation else { return link.close() }
                link.onLoss = { error in
                    guard self.generation == generation else { return }
                    self.lose(PostgresAdvice.text(error, self.address) + self.advice(error))
                }
                use(link)
            case .failure(let error):
                guard self.generation == generation else { return }
                self.lose(PostgresAdvice.text(error, self.address))
            }
        }
        self.openings.append(opening)
    }

    /// What is to be done about an error of the stream.
    private func advice(_ error: PostgresError) -> String {
        // undefined_object: before version 18 a publication is looked up as of the change that is read.
        guard error.sqlState == "42704", self.link != nil || self.pending != nil else { return "" }
        let publication = self.settings.publication
        let slot = PostgresName.literal(self.slot)
        return
            "; where the slot \(self.slot) stands, there was no publication \(publication) yet: it was made, or made anew, after "
            + "the slot, and what was written before it cannot be read by it. Run SELECT pg_replication_slot_advance(\(slot), "
            + "pg_current_wal_lsn()) and read the tables by \"snapshot\", or name the publication that the slot was made with"
    }

    /// Runs a statement on the connection beside the stream; an error ends both.
    func ask(
        _ query: PostgresQuery,
        within timeout: Duration,
        _ use: @escaping @Sendable (PostgresResult) -> Void
    ) {
        let generation = self.generation
        self.control?.send(query, within: timeout) { result in
            guard self.generation == generation else { return }
            switch result {
            case .success(let rows): use(rows)
            case .failure(let error): self.lose(PostgresAdvice.text(error, self.address))
            }
        }
    }

    /// What the slot is to be like for all of them.
    private var settings: SlotSettings {
        var settings = SlotSettings(slot: self.slot, publication: "", tables: [], isCreated: false)
        settings.cluster = self.cluster
        settings.wantsAll = self.readers.contains { $0.configuration.settings.tables.isEmpty }
        for reader in self.readers {
            let own = reader.configuration.settings
            settings.publication = own.publication
            settings.isCreated = settings.isCreated || own.isCreated
            settings.tables += own.tables.filter { !settings.tables.contains($0) }
        }
        return settings
    }

    /// Looks at the slot and its publication, and does what is next.
    private func examine(_ control: PostgresLink, round: Int) {
        let settings = self.settings
        let version = control.serverVersion
        self.ask(SlotFacts.question(settings, version: version), within: Self.askTimeout) { rows in
            self.ask(SlotFacts.tablesQuestion(settings), within: Self.askTimeout) { tables in
                guard let facts = SlotFacts(rows, tables, settings, version: version) else {
                    return self.lose("postgres \(self.address): it did not answer what was asked")
                }
                self.note(missing: Set(facts.tables.filter { !$0.exists }.map(\.name)))
                self.carryOut(facts.next(settings), facts, control, settings, round)
            }
        }
    }

    /// Keeps what readers miss: one that names a table which is not there stops no other.
    private func note(missing: Set<PostgresTable>) {
        for reader in self.readers {
            let own = reader.configuration.settings.tables.filter { missing.contains($0) }
            let names = own.map { "\($0)" }.joined(separator: ", ")
            reader.concern =
                own.isEmpty
                ? nil : "postgres \(self.address): there is no table \(names); make it, or change \"tables\""
        }
    }

    private func carryOut(
        _ step: SlotStep,
        _ facts: SlotFacts,
        _ control: PostgresLink,
        _ settings: SlotSettings,
        _ round: Int
    ) {
        let name = "postgres \(self.address)"
        switch step {
        case .run(let sql):
            guard round < 4 else { return self.lose("\(name): \(sql) did not do what it should") }
            self.logger.info("making what is missing", metadata: ["sql": "\(sql)"])
            // A server that waits finds out that nobody is there any more.
            let check =
                control.serverVersion >= 140_000 ? "SET client_connection_check_interval = 5000;\n" : ""
            self.ask(PostgresQuery(script: check + sql), within: Self.createTimeout) { _ in
                self.examine(control, round: round + 1)
            }
        case .problem(let text): self.lose("\(name): \(text)")
        case .lost(let text):
            let detail = "\(name): \(text)"
            if self.concern != detail {
                self.concern = detail
                for reader in self.readers { reader.tellGap(text) }
                self.logger.error("the slot is lost", metadata: ["slot": "\(self.slot)"])
            }
            self.tearDown()
            self.show(.disconnected(detail))
            self.tryAgain(in: Self.lostPause)
        case .wait(let owner, let text):
            if owner == self.ownBackend, self.failures < Self.ownPatience {
                self.failures += 1
                return self.tryAgain(in: Self.ownPause)
            }
            if let other = self.other(where: { $0.reads(by: owner) }) { return self.standBack(for: other) }
            self.foundOwned += 1
            let isOurs = self.cluster.map { facts.slot?.isOwned(by: $0) ?? false } ?? false
            if self.foundOwned > Self.ownerPatience, isOurs, let cluster = self.cluster,
                self.mayTerminateOwner()
            {
                self.logger.warning("ending the session of a former owner", metadata: ["process": "\(owner)"])
                let query = SlotSession.endReader(owner, of: self.slot, cluster: cluster)
                self.ask(query, within: Self.askTimeout) { _ in
                    self.tryAgain(in: Self.ownPause)
                }
                return
            }
            self.failures = 0
            self.show(.disconnected("\(name): \(text)"))
            self.tryAgain(in: Self.standbyPause)
        case .read(let confirmed):
            guard self.isWhole || self.hasWaitedForOthers else {
                self.hasWaitedForOthers = true
                return self.tryAgain(in: Self.gathering)
            }
            self.hasWaitedForOthers = true
            self.endSnapshots {
                self.openStream(from: confirmed, end: facts.end, settings)
            }
        }
    }

    private func openStream(
        from confirmed: LogSequenceNumber,
        end: LogSequenceNumber,
        _ settings: SlotSettings
    ) {
        self.open(self.address.replicating(named: self.cluster.map { SlotSession.reader(of: $0) })) { link in
            self.ownBackend = link.announcedBackend
            self.pending = link
            self.identify(link) { self.startStream(link, from: confirmed, end: end, settings) }
        }
    }

    private func startStream(
        _ link: PostgresLink,
        from confirmed: LogSequenceNumber,
        end: LogSequenceNumber,
        _ settings: SlotSettings
    ) {
        // What some have is skipped for them; before what is confirmed there is nothing.
        let positions = self.readers.map { reader in
            let commit = reader.position.flatMap { ChangePosition.parts($0)?.commit } ?? confirmed
            return commit > end ? confirmed : commit
        }
        let start = max(confirmed, positions.min() ?? confirmed)
        let publication = PostgresName.replicationLiteral(PostgresName.quoted(settings.publication))
        let sql =
            "START_REPLICATION SLOT \(PostgresName.quoted(self.slot)) LOGICAL \(start) "
            + "(proto_version '1', publication_names \(publication))"
        let generation = self.generation
        link.startCopy(sql, within: Self.askTimeout, { self.poke() }) { result in
            guard self.generation == generation else { return }
            switch result {
            case .success:
                self.isConnecting = false
                self.failures = 0
                self.concern = nil
                self.foundOwned = 0
                self.pending = nil
                self.link = link
                self.begun(confirmed: confirmed, end: end, at: start)
                self.beat(after: .zero)
                self.watch()
            case .failure(let error) where error.sqlState == "55006":
                // Somebody was faster.
                link.onLoss = nil
                self.pending = nil
                link.close()
                self.tryAgain(in: Self.ownPause)
            case .failure(let error):
                self.lose(PostgresAdvice.text(error, self.address))
            }
        }
    }

    // MARK: - While it reads

    /// Tells the server that we are there, and asks how far its log is.
    private func beat(after pause: Duration) {
        let generation = self.generation
        self.heartbeat = self.reactor.schedule(at: self.reactor.now + pause) {
            guard self.generation == generation, let link = self.link else { return }
            let silence = self.reactor.now - self.lastHeard
            let pause = self.readers.map(\.configuration.heartbeat).min() ?? .seconds(10)
            if link.isReadingCopy, silence > max(pause * 3, Self.silenceMin) {
                return self.askAfterSilence(silence, pause)
            }
            // While nobody takes anything, nothing is heard.
            if !link.isReadingCopy { self.lastHeard = self.reactor.now }
            self.sendStatus(wantsReply: true)
            self.beat(after: pause)
        }
    }

    /// While the server reads a large transaction of which nothing is published, it says nothing: it is asked beside.
    private func askAfterSilence(_ silence: Duration, _ pause: Duration) {
        let query = PostgresQuery(
            "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1",
            [.text(self.slot)]
        )
        let generation = self.generation
        self.control?.send(query, within: Self.silenceTimeout) { result in
            guard self.generation == generation else { return }
            let rows = try? result.get()
            let owner = rows.flatMap { $0.rows > 0 ? $0.integer(0, 0) : nil }
            guard let owner, Int32(truncatingIfNeeded: owner) == self.ownBackend else {
                let seconds = Int(silence.inSeconds)
                return self.lose("postgres \(self.address): the server has said nothing for \(seconds) s")
            }
            self.lastHeard = self.reactor.now
            self.beat(after: pause)
        }
    }

    /// Begins anew when a table is there that was not.
    private func lookForTables() {
        let missing = self.readers.filter { $0.concern != nil }
        guard !missing.isEmpty else { return }
        let settings = self.settings
        self.ask(SlotFacts.tablesQuestion(settings), within: Self.askTimeout) { rows in
            let there = settings.tables.enumerated().filter { rows.boolean($0.offset, 0) ?? false }
            let names = Set(there.map(\.element))
            let isNew = self.readers.contains { reader in
                reader.concern != nil
                    && reader.configuration.settings.tables.allSatisfy { names.contains($0) }
            }
            if isNew { self.begin(again: true) }
        }
    }

    /// Looks how far the readers are behind the end of the log, and how the slot is.
    private func watch() {
        guard let control = self.control else { return }
        let generation = self.generation
        let status = control.serverVersion >= 130_000 ? "wal_status" : "NULL"
        let query = PostgresQuery(
            "SELECT pg_current_wal_lsn()::text, \(status) FROM pg_replication_slots WHERE slot_name = $1",
            [.text(self.slot)]
        )
        self.ask(query, within: Self.askTimeout) { rows in
            let end = rows.rows > 0 ? rows.text(0, 0).flatMap { LogSequenceNumber($0) } : nil
            let status = rows.rows > 0 ? rows.text(0, 1) : nil
            for reader in self.readers { self.judge(reader, end, status) }
            self.lookForTables()
            _ = self.reactor.schedule(at: self.reactor.now + Self.watchPause) {
                if self.generation == generation { self.watch() }
            }
        }
    }

    private func judge(_ reader: SlotReader, _ end: LogSequenceNumber?, _ status: String?) {
        let commit = reader.committed.withLock { $0.position }.flatMap { ChangePosition.parts($0)?.commit }
        let bytes = end.flatMap { end in
            commit.map { Int64(clamping: end.rawValue &- min(end.rawValue, $0.rawValue)) }
        }
        reader.committed.withLock { $0.bytes = bytes }
        guard reader.isAttached || self.link != nil else { return }
        let name = "postgres \(self.address): the slot \(self.slot)"
        if status == "unreserved" || status == "lost" {
            reader.show(
                .warned(
                    "\(name) is about to be lost: it keeps more of the log than max_slot_wal_keep_size allows; let the "
                        + "trigger catch up, or raise that setting, before the next checkpoint of the server"
                )
            )
        } else if let bytes, bytes >= Int64(reader.configuration.lagAlarm) {
            let mib = bytes >> 20
            reader.show(
                .warned(
                    "\(name) keeps \(mib) MiB of the log on the server's disk that \(reader.trigger) has not settled; see "
                        + "why it is slow, or raise \"lag_alarm\""
                )
            )
        } else {
            reader.showConnected()
        }
    }
}
