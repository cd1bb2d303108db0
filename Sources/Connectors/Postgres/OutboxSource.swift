// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PostgresClient
import Reactor
import Synchronization

/// Reads an outbox table: leases its rows, and settles them by a statement for each batch.
///
/// ``OutboxIntake`` decides when it asks. Receives have a connection of their own, so that no settlement waits for one.
/// Pinned to the reactor. See ``LeaseSource`` for what it promises.
actor OutboxSource: LeaseSource {
    nonisolated let format: any EventFormat

    private let settings: OutboxSettings
    private nonisolated let reactor: Reactor
    private let receiver: PostgresSession
    private let settler: PostgresSession
    private let acknowledgements: OutboxAcknowledgements

    private nonisolated let intake: Mutex<OutboxIntake>
    /// What the pipeline has not seen yet.
    private nonisolated let events = Mailbox<SourceEvent>()
    private nonisolated let backlog = Mutex<[PartitionLag]>([])
    /// Wakes ``run()`` when a receive may begin; closed by the stop.
    private nonisolated let turns = Mailbox<Void>()

    private var statements: OutboxStatements?
    /// Whether the table is to be looked at again before the next receive.
    private var isStale = false
    private var reader: OutboxRowReader?
    private var random = SplitMix64(seed: .random(in: .min ... .max))
    /// What is wrong, by what it is wrong with; shown until that goes well again.
    private var problems: [Activity: String] = [:]
    private var isConnected = false
    private var isStopped = false
    private var running = SourceRun()
    /// The time of the timer that wakes ``run()``.
    private var timer: Instant?

    /// What a source does, each of which may fail by itself.
    private enum Activity: CaseIterable {
        case receiving, settling
    }

    private static let measureInterval = Duration.seconds(15)
    /// What is due by the server's clock is asked for a little later.
    private static let clockSpare = Duration.milliseconds(5)
    private static let stopPatience = Duration.seconds(2)
    private static let statementTimeout = Duration.seconds(30)
    private static let backoff = Backoff(
        initial: .milliseconds(200),
        factor: 2,
        max: .seconds(20),
        jitter: .full
    )

    /// A source that has connected nothing yet.
    init(_ settings: OutboxSettings, format: PostgresEventFormat, reactor: Reactor) {
        self.settings = settings
        self.format = format
        self.reactor = reactor
        self.receiver = PostgresSession(settings.address, on: reactor)
        self.settler = PostgresSession(settings.address, on: reactor)
        self.acknowledgements = OutboxAcknowledgements(on: reactor)
        self.intake = Mutex(OutboxIntake(poll: settings.configuration.poll))
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    // MARK: - The pipeline's side

    func start(checkpoints: [String: Position]) async throws(SourceError) {}

    nonisolated func grant(_ budget: ReceiveBudget) {
        self.intake.withLock { $0.grant(budget) }
        self.turns.put(())
    }

    nonisolated func receive() async throws(SourceError) -> [SourceEvent] {
        let events = await self.events.takeAll()
        let (records, bytes) = events.received
        if records > 0 { self.intake.withLock { $0.returned(records: records, bytes: bytes) } }
        return events
    }

    nonisolated func lag() -> [PartitionLag] { self.backlog.withLock { $0 } }

    func stop() async {
        self.isStopped = true
        self.turns.close()
        let (reactor, receiver) = (self.reactor, self.receiver)
        await withDiscardingTaskGroup { group in
            // A receive under way may bring rows that are to be given back; but a server that stands still is not waited for.
            group.addTask(executorPreference: reactor) {
                await reactor.pause(for: Self.stopPatience)
                if !Task.isCancelled { await receiver.close() }
            }
            await withCheckedContinuation { self.running.wait($0) }
            group.cancelAll()
        }
        self.events.close()
        await self.receiver.close()
        await self.settler.close()
    }

    // MARK: - Receiving

    func run() async {
        guard !self.isStopped else { return }
        self.running.begin()
        let bell = self.settings.configuration.channel.map { self.listen(on: $0) }
        let loop = self.reactor
        await withDiscardingTaskGroup { group in
            group.addTask(executorPreference: loop) { await self.find() }
            group.addTask(executorPreference: loop) { await self.watchBacklog() }
            while !self.isStopped, !(await self.turns.takeAll()).isEmpty {
                while !self.isStopped, !Task.isCancelled, self.statements != nil,
                    let limit = self.intake.withLock({ $0.next(self.reactor.now) })
                {
                    await self.receiveRows(limit)
                }
                self.setTimer()
            }
            group.cancelAll()
        }
        bell?.leave()
        self.running.end()
    }

    /// Looks at the table, until that has gone well once.
    private func find() async {
        var failures = 0
        while !self.isStopped, !Task.isCancelled {
            do throws(PostgresError) {
                _ = try await self.found()
                self.note(nil, of: .receiving)
                return self.turns.put(())
            } catch {
                guard !self.isStopped else { return }
                failures += 1
                self.note(error, of: .receiving)
                await self.reactor.pause(for: self.pause(after: failures))
            }
        }
    }

    private func pause(after failures: Int) -> Duration {
        max(.milliseconds(50), Self.backoff.delay(attempt: failures, using: &self.random))
    }

    /// A doorbell that does not ring only makes rows come later: what is wrong with it is nobody's problem.
    private func listen(on channel: String) -> ListenSession.Membership {
        let ring: @Sendable () -> Void = {
            self.intake.withLock { $0.ring() }
            self.turns.put(())
        }
        let listener = ListenSession.Listener(
            channels: [channel],
            ping: .seconds(15),
            notified: { _ in ring() },
            changed: { _ in ring() }
        )
        return ListenSession.join(self.settings.address, on: self.reactor, listener)
    }

    /// Wakes ``run()`` when something is due by its time.
    private func setTimer() {
        guard let next = self.intake.withLock({ $0.nextLook }), self.timer.map({ next < $0 }) ?? true else {
            return
        }
        self.timer = next
        // A table that was not found is not there a moment later.
        let pause = self.statements == nil ? Duration.milliseconds(500) : .milliseconds(5)
        let deadline = max(next, self.reactor.now + pause)
        self.reactor.submit {
            _ = self.reactor.schedule(at: deadline) { self.assumeIsolated { $0.timeCame(next) } }
        }
    }

    private func timeCame(_ time: Instant) {
        if self.timer == time { self.timer = nil }
        self.turns.put(())
    }

    private func receiveRows(_ limit: Int) async {
        do throws(PostgresError) {
            let statements = try await self.found()
            let until = self.reactor.now + self.settings.lease
            let depth = self.intake.withLock { $0.lastReach }
            let script = statements.receive(limit: limit, depth: depth, lease: self.settings.lease)
            let results = try await self.receiver.run(script: script, within: Self.statementTimeout)
            guard let received = OutboxReceive(results) else {
                throw PostgresError(.rejected, "the server did not answer what was asked")
            }
            let lease = BlockLease(until: until)
            let block = self.reader?.read(received.rows, lease: lease, now: self.reactor.wallNow)
            if self.isStopped { return await self.giveBack(block) }
            self.intake.withLock {
                $0.ended(
                    // As when it came back full: there is more.
                    asked: received.isCut ? block?.count ?? 0 : limit,
                    brought: block?.count ?? 0,
                    bytes: block?.byteCount ?? 0,
                    looked: statements.hasGroups ? received.looked : 0,
                    at: self.reactor.now
                )
            }
            self.note(nil, of: .receiving)
            if let block { self.events.put(.records(block)) }
        } catch {
            let failures = self.intake.withLock { $0.failed() }
            guard !self.isStopped else { return }
            if error.code != .connectionLost {
                // When it fails, so does what comes next, and it is ended behind that.
                _ = try? await self.receiver.run(OutboxStatements.rollback, within: Self.stopPatience)
            }
            // The table may be another one by now.
            if !error.isTransient { self.isStale = true }
            self.note(error, of: .receiving)
            let pause = self.pause(after: failures)
            self.intake.withLock { $0.pauses(until: self.reactor.now + pause) }
        }
    }

    /// The statements, once the table was looked at.
    private func found() async throws(PostgresError) -> OutboxStatements {
        if let statements = self.statements, !self.isStale { return statements }
        let configuration = self.settings.configuration
        let query = OutboxStatements.columns(of: configuration.table)
        let rows = try await self.receiver.run(query, within: Self.statementTimeout)
        let there = OutboxTableColumns(rows)
        if let problem = there.problem(of: configuration) { throw PostgresError(.rejected, problem) }
        guard let idType = there.types[configuration.columns.id], let database = there.database else {
            throw PostgresError(.rejected, "the table \(configuration.table) has no columns")
        }
        let statements = OutboxStatements(configuration, idType: idType)
        self.statements = statements
        self.isStale = false
        if self.reader == nil {
            let reader = OutboxRowReader(configuration.table, database: database)
            self.reader = reader
            self.events.put(.assigned([reader.partition]))
        }
        return statements
    }

    /// Gives rows back that arrived too late to be handed over; nobody waits for what comes of it.
    private func giveBack(_ block: RecordBlock?) async {
        guard let block, let statements = self.statements else { return }
        let receipts = (0..<block.count).map { OutboxRowReader.receipt(block, $0) }
        // When it fails, they come again as their lease ends.
        _ = try? await self.receiver.run(
            statements.hold(receipts, receipts.map { _ in .init() }),
            within: .seconds(2)
        )
    }

    // MARK: - Settling

    private typealias Entry = OutboxEntry

    /// Settles for good what ``acknowledgements`` brings together.
    private func acknowledge(_ entries: [Entry]) async throws(SourceError) -> [Run] {
        guard let statements = self.statements else { return [] }
        return try await self.carryOut(statements.acknowledge(entries.map(\.receipt)), entries)
    }

    func settle(_ settlements: [Settlement]) async throws(SourceError) -> SettlementOutcome {
        var done: [Entry] = []
        var held: [Entry] = []
        var delays: Set<Duration> = []
        for settlement in settlements {
            switch settlement.kind {
            case .acknowledge: done += Self.entries(settlement.runs, .init())
            case .release(let delay, let isFailure):
                let milliseconds = max(0, delay.wholeMilliseconds)
                held += Self.entries(
                    settlement.runs,
                    .init(milliseconds: milliseconds, isFailure: isFailure)
                )
                delays.insert(delay)
            }
        }
        guard let statements = self.statements else {
            throw SourceError(
                .closed,
                "postgres outbox \(self.settings.configuration.table): it was not read yet"
            )
        }
        var outcome = SettlementOutcome()
        if !done.isEmpty {
            outcome.lost += try await self.acknowledgements.add(done) { entries in
                do throws(SourceError) {
                    return .success(try await self.acknowledge(entries))
                } catch {
                    return .failure(error)
                }
            }
        }
        if !held.isEmpty {
            do throws(SourceError) {
                let query = statements.hold(held.map(\.receipt), held.map(\.hold))
                outcome.lost += try await self.carryOut(query, held)
            } catch {
                // What was acknowledged before is not to be told as unknown.
                guard !done.isEmpty else { throw error }
                outcome.refused += held.map(\.run)
            }
        }
        let settled = done.count + held.count - outcome.refused.reduce(0) { $0 + $1.count }
        self.intake.withLock { $0.settled(settled, rings: statements.hasGroups, at: self.reactor.now) }
        if statements.hasGroups { self.turns.put(()) }
        if !delays.isEmpty {
            let now = self.reactor.now
            self.intake.withLock { intake in
                for delay in delays { intake.comesDue(at: now + delay + Self.clockSpare) }
            }
            self.turns.put(())
        }
        return outcome
    }

    func extend(_ ticket: LeaseTicket) async throws(SourceError) -> LeaseExtension {
        let until = self.reactor.now + ticket.length
        let hold = OutboxStatements.Hold(milliseconds: max(1, ticket.length.wholeMilliseconds))
        let entries = Self.entries(ticket.runs, hold)
        guard let statements = self.statements else {
            throw SourceError(
                .closed,
                "postgres outbox \(self.settings.configuration.table): it was not read yet"
            )
        }
        let query = statements.hold(entries.map(\.receipt), entries.map(\.hold))
        return LeaseExtension(until: until, lost: try await self.carryOut(query, entries))
    }

    private static func entries(_ runs: [Run], _ hold: OutboxStatements.Hold) -> [Entry] {
        runs.flatMap { run in
            run.range.map { place in
                let record = Run(admitted: run.admitted, range: place..<place + 1)
                let receipt = OutboxRowReader.receipt(run.admitted.block, record.first)
                return Entry(run: record, receipt: receipt, hold: hold)
            }
        }
    }

    /// Runs a statement about receipts; gives those that are no longer ours.
    private func carryOut(_ query: PostgresQuery, _ entries: [Entry]) async throws(SourceError) -> [Run] {
        do throws(PostgresError) {
            let rows = try await self.settler.run(query, within: Self.statementTimeout)
            self.note(nil, of: .settling)
            guard rows.rows < entries.count else { return [] }
            // By attempt, too: a receipt that is void may be settled together with the row's next one.
            let ours = Set((0..<rows.rows).map { [rows.text($0, 0), rows.text($0, 1)] })
            return entries.filter { !ours.contains([$0.receipt.id, String($0.receipt.attempts)]) }.map(\.run)
        } catch {
            self.note(error, of: .settling)
            throw SourceError(.unreachable, self.text(error))
        }
    }

    // MARK: - Telling

    /// Keeps how many rows wait.
    private func watchBacklog() async {
        while !self.isStopped, !Task.isCancelled {
            if let statements = self.statements, let name = self.reader?.partition.name {
                // Settlements wait behind it.
                let rows = try? await self.settler.run(statements.backlog, within: .seconds(1))
                let lag = PartitionLag(partition: name, committed: nil, records: rows?.integer(0, 0))
                self.backlog.withLock { $0 = [lag] }
            }
            await self.reactor.pause(for: self.statements == nil ? .seconds(1) : Self.measureInterval)
        }
    }

    /// Tells the pipeline what is wrong, when that has changed; nil when it went well.
    private func note(_ error: PostgresError?, of activity: Activity) {
        let problem = error.map { self.text($0) }
        guard self.problems[activity] != problem || !self.isConnected && problem == nil else { return }
        self.problems[activity] = problem
        let first = Activity.allCases.compactMap { self.problems[$0] }.first
        self.isConnected = first == nil
        self.events.put(.status(first.map { .disconnected($0) } ?? .connected))
    }

    private func text(_ error: PostgresError) -> String {
        PostgresAdvice.text(error, self.settings.address)
    }
}

/// What a source does by: its configuration, on the terms of its trigger.
struct OutboxSettings: Sendable {
    let configuration: OutboxConfiguration
    let address: PostgresAddress
    let lease: Duration

    /// Beyond the function and the batch's window, as that of a queue.
    private static let spare = Duration.seconds(30)

    init(_ configuration: OutboxConfiguration, _ address: PostgresAddress, _ terms: TriggerTerms) {
        self.configuration = configuration
        self.address = address
        self.lease = Self.lease(configuration, terms)
    }

    static func lease(_ configuration: OutboxConfiguration, _ terms: TriggerTerms) -> Duration {
        configuration.lease ?? terms.functionTimeout + terms.batchWindow + Self.spare
    }
}

/// The columns that a table has, by name, with their types.
struct OutboxTableColumns: Sendable {
    let types: [String: String]
    let database: String?

    init(_ rows: PostgresResult) {
        var types: [String: String] = [:]
        for row in 0..<rows.rows { types[rows.text(row, 0) ?? ""] = rows.text(row, 1) }
        self.types = types
        self.database = rows.rows > 0 ? rows.text(0, 2) : nil
    }

    /// What the table lacks, and what to do; nil when it can be read.
    func problem(of configuration: OutboxConfiguration) -> String? {
        let table = configuration.table
        guard !self.types.isEmpty else {
            return
                "there is no table \(table), or the user may not see it; make it with penstock postgres init-outbox \(table)"
        }
        let missing = configuration.columns.all.filter { self.types[$0] == nil }
        guard missing.isEmpty else {
            let names = missing.map { "\"\($0)\"" }.joined(separator: ", ")
            return "the table \(table) has no column \(names); name its own by \"columns\", or add them"
        }
        let columns = configuration.columns
        let wanted = [columns.lockedUntil, columns.availableAt, columns.doneAt].compactMap(\.self)
        for name in wanted
        where self.types[name]?.hasPrefix("timestamp") != true
            || self.types[name]?.hasSuffix("with time zone") != true
        {
            return "the column \"\(name)\" of \(table) must be a timestamptz, not \(self.types[name] ?? "")"
        }
        if let name = columns.headers, let type = self.types[name], !["json", "jsonb"].contains(type) {
            return "the column \"\(name)\" of \(table) must be json or jsonb, not \(type)"
        }
        if let name = columns.createdAt, let type = self.types[name], !type.hasPrefix("timestamp") {
            return "the column \"\(name)\" of \(table) must be a timestamptz, not \(type)"
        }
        for name in [columns.attempts, columns.failures].compactMap(\.self) {
            guard let type = self.types[name], !["smallint", "integer", "bigint"].contains(type) else {
                continue
            }
            return "the column \"\(name)\" of \(table) must be a whole number, not \(type)"
        }
        return nil
    }
}
