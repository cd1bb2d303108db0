// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockRuntime
import PenstockStore
import PostgresClient
import Reactor
import Synchronization

// MARK: - The initial snapshot

// A snapshot is as of a place in the log, and its rows stand at that place among the changes: behind all that was committed
// before it, and before all that was committed since. So what a trigger gets is the history of each row, whatever happens: a
// snapshot that is broken off goes on at a later place, behind the changes up to there.
extension ChangesSource {
    /// Rows of a page at most, and bytes after which it has no other row.
    private static let pageRows = 1000
    private static let pageBytes = 1 << 20
    private static let askTimeout = Duration.seconds(15)
    /// A snapshot begins once the transactions that are under way have ended.
    private static let beginTimeout = Duration.seconds(600)
    /// How long a table's rows may be held up by whoever changes the table.
    private static let lockTimeout = Duration.seconds(60)
    /// Conditions that nobody tells of are looked at again.
    private static let look = Duration.seconds(1)
    private static let backoff = Backoff(
        initial: .milliseconds(200),
        factor: 2,
        max: .seconds(20),
        jitter: .full
    )

    /// Why an attempt ended.
    private enum Halt: Error {
        /// The source is stopped.
        case stopped
        /// Changes are missing: what was read does not fit to those that follow.
        case gap
        /// Something is not as it must be.
        case problem(String)
    }

    /// A transaction that sees the tables as of a place in the log.
    private struct View {
        var connection: PostgresConnection
        var place: LogSequenceNumber
    }

    /// Reads the rows that are left to read, in as many attempts as that takes.
    func readSnapshot(_ journal: any JournalStore) async {
        guard let (stream, reader) = self.current.withLock({ $0 }) else { return }
        var failures = 0
        var random = SplitMix64(seed: .random(in: .min ... .max))
        while !self.rest.isEmpty, !self.isStopped, !Task.isCancelled {
            let before = self.rest
            var problem: String?
            do {
                try await self.attempt(journal, stream, reader)
            } catch Halt.stopped {
            } catch Halt.gap {
                self.context.logger.warning("the snapshot begins again, because changes are missing")
                // Before anything behind the gap is settled: a restart must not go on in the midst of what was there before.
                do throws(StoreError) {
                    try await self.keepProgress(in: journal)
                } catch {
                    problem = "the snapshot cannot be kept: \(error.detail)"
                }
            } catch Halt.problem(let text) {
                problem = text
            } catch let error as PostgresError {
                problem = PostgresAdvice.text(error, self.address)
            } catch {
                problem = "the snapshot cannot be kept: \(error)"
            }
            // Changes come in any case, also of tables that cannot be read.
            if problem != nil, !self.progress.untouched.isEmpty {
                let before = self.progress
                self.progress.touchAll()
                do throws(StoreError) { try await self.keepProgress(in: journal) } catch {
                    self.progress = before
                }
            }
            reader.lift()
            reader.ignored = self.progress.untouched
            await self.closeSessions()
            guard !self.isStopped, !Task.isCancelled else { return }
            reader.snapshotConcern = problem
            if reader.isAttached { reader.showConnected() }
            stream.poke()
            guard let problem else { continue }
            self.context.logger.warning("the snapshot does not go on", metadata: ["detail": "\(problem)"])
            failures = self.rest == before ? failures + 1 : 1
            let pause = Self.backoff.delay(attempt: failures, using: &random)
            let end = self.reactor.now + max(.milliseconds(100), pause)
            while self.reactor.now < end, !self.isStopped, !Task.isCancelled {
                await self.signal.wait(until: end, on: self.reactor)
            }
        }
        reader.turned = nil
    }

    /// Ends what the snapshot is read by.
    func closeSessions() async {
        let sessions = self.sessions
        self.sessions = []
        for session in sessions { await session.abandon() }
    }

    private func open(_ address: PostgresAddress) throws -> PostgresSession {
        guard !self.isStopped, !Task.isCancelled else { throw Halt.stopped }
        let session = PostgresSession(address, on: self.reactor)
        self.sessions.append(session)
        return session
    }

    /// Waits until a condition holds.
    private func wait(_ reader: SlotReader, until condition: () -> Bool) async throws {
        while true {
            guard !self.isStopped, !Task.isCancelled else { throw Halt.stopped }
            guard reader.gaps == self.knownGaps else {
                self.knownGaps = reader.gaps
                self.progress.restart()
                self.rest = self.progress.resume(behind: nil)
                throw Halt.gap
            }
            if condition() { return }
            await self.signal.wait(until: self.reactor.now + Self.look, on: self.reactor)
        }
    }

    private func attempt(
        _ journal: any JournalStore,
        _ stream: SlotStream,
        _ reader: SlotReader
    ) async throws {
        try await self.wait(reader) { reader.isAttached }
        // First to where the log ends now: a transaction that is open for long keeps the server from cleaning up.
        let side = try self.open(self.address)
        let end = try await self.logEnd(side)
        reader.limit(at: ChangePosition.change(end, 0))
        stream.askEnd()
        try await self.wait(reader) { reader.isAtLimit }
        let view = try await self.makeView(stream)
        guard reader.isBehind(ChangePosition.row(view.place, 1)) else {
            throw Halt.problem("the snapshot is as of \(view.place), which is before changes that were read")
        }
        reader.limit(at: ChangePosition.row(view.place, 0))
        stream.poke()
        stream.askEnd()
        let names = self.rest.map(\.table)
        var tables: [PostgresTable: SnapshotTable] = [:]
        for name in names { tables[name] = try await self.table(name, side) }
        await side.close()
        try await self.wait(reader) { reader.takesRows }
        self.context.logger.info(
            "reading tables",
            metadata: ["place": "\(view.place)", "tables": "\(names.map(\.description))"]
        )
        var number: UInt64 = 0
        while let part = self.rest.first {
            guard let table = tables[part.table] else {
                throw Halt.problem("\(part.table) was not looked at")
            }
            try await self.read(part, table, view, &number, journal) {
                try await self.wait(reader, until: $0)
            }
        }
        self.context.logger.info("all tables are read", metadata: ["rows": "\(number)"])
    }

    private func logEnd(_ session: PostgresSession) async throws -> LogSequenceNumber {
        let rows = try await session.run(
            PostgresQuery("SELECT pg_current_wal_lsn()::text"),
            within: Self.askTimeout
        )
        guard rows.rows == 1, let end = rows.text(0, 0).flatMap({ LogSequenceNumber($0) }) else {
            throw Halt.problem("it did not say where its log ends")
        }
        return end
    }

    // MARK: - The transaction

    /// Begins a transaction that sees what was committed before a place in the log, and nothing else: a slot of its own, which is
    /// made for that and dropped at once, knows the place.
    private func makeView(_ stream: SlotStream) async throws -> View {
        let name = self.context.cluster.map {
            SlotSession.snapshot(of: $0, slot: self.configuration.slot, stream: stream.mark)
        }
        let connection = try await self.open(self.address.replicating(named: name)).open()
        func run(_ sql: String, within timeout: Duration) async throws -> PostgresResult {
            guard !self.isStopped, !Task.isCancelled else { throw Halt.stopped }
            return try await connection.run(PostgresQuery(script: sql), within: timeout)
        }
        // Rows that a policy hides would be missing without a word. By an index, rows come at once, in their order.
        var settings = [
            "statement_timeout = 0", "lock_timeout = 0", "idle_in_transaction_session_timeout = 0",
            "row_security = off", "enable_sort = off",
        ]
        // A server that waits finds out that nobody is there any more.
        if connection.serverVersion >= 140_000 { settings.append("client_connection_check_interval = 5000") }
        if connection.serverVersion >= 170_000 { settings.append("transaction_timeout = 0") }
        for setting in settings { _ = try await run("SET \(setting)", within: Self.askTimeout) }
        _ = try await run("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ", within: Self.askTimeout)
        let slot = "penstock_snapshot_\(UInt64.random(in: .min ... .max))"
        let rows = try await run(
            "CREATE_REPLICATION_SLOT \(slot) TEMPORARY LOGICAL pgoutput USE_SNAPSHOT",
            within: Self.beginTimeout
        )
        guard rows.rows == 1, let column = rows.column("consistent_point"),
            let place = rows.text(0, column).flatMap({ LogSequenceNumber($0) }), place.rawValue > 0
        else { throw Halt.problem("it did not say where the snapshot stands in its log") }
        _ = try await run("DROP_REPLICATION_SLOT \(slot)", within: Self.askTimeout)
        // From here on, nobody changes what the tables look like; who did since the snapshot may have moved the rows to where it
        // does not see them.
        let names = self.rest.map(\.table.quoted)
        _ = try await run(
            "LOCK TABLE \(names.joined(separator: ", ")) IN ACCESS SHARE MODE",
            within: Self.lockTimeout
        )
        for name in names {
            let oid = "\(PostgresName.literal(name))::regclass"
            let rows = try await run(
                """
                SELECT coalesce(bool_and(c.relfilenode = coalesce(pg_relation_filenode(c.oid), 0)), true) FROM pg_class c
                WHERE c.oid = \(oid) OR c.oid IN (SELECT relid FROM pg_partition_tree(\(oid)))
                """,
                within: Self.askTimeout
            )
            guard rows.rows == 1, rows.boolean(0, 0) == true else {
                throw Halt.problem("\(name) was written anew while the snapshot was made")
            }
        }
        return View(connection: connection, place: place)
    }

    private func table(_ name: PostgresTable, _ side: PostgresSession) async throws -> SnapshotTable {
        let publication = self.configuration.publication
        let version = try await side.open().serverVersion
        let rows = try await side.run(
            SnapshotTable.question(name, publication: publication, version: version),
            within: Self.askTimeout
        )
        let message: RelationMessage
        do throws(SnapshotTable.Refusal) {
            message = try SnapshotTable.message(name, rows, publication: publication)
        } catch {
            throw Halt.problem("postgres \(self.address): \(error.detail)")
        }
        var facts = TableFacts()
        if let question = TableFacts.question(message) {
            facts = TableFacts(try await side.run(question, within: Self.askTimeout))
        }
        return SnapshotTable(message, rows, facts)
    }

    // MARK: - Rows

    /// Reads a table, or what is left of it.
    private func read(
        _ part: SnapshotProgress.Part,
        _ table: SnapshotTable,
        _ view: View,
        _ number: inout UInt64,
        _ journal: any JournalStore,
        _ wait: (_ until: () -> Bool) async throws -> Void
    ) async throws {
        // Another key than the one that was kept says nothing of where its rows stand.
        var key = part.by == table.by ? part.after : nil
        let copy = await view.connection.copyOut(table.copy(behind: key))
        while let rows = try await copy.next(rows: Self.pageRows, bytes: Self.pageBytes) {
            try await wait { true }
            self.progress.settle(self.settled)
            self.progress.begin(
                part.table,
                after: key,
                by: table.by,
                behind: ChangePosition.row(view.place, number)
            )
            // Before its rows are handed out: a checkpoint among them must be found in it.
            try await self.keepProgress(in: journal)
            try await wait { true }
            key = try await self.handOut(rows, table, view, &number, wait)
            self.rest[0].after = key
            self.rest[0].by = table.by
        }
        try await wait { true }
        self.progress.settle(self.settled)
        self.progress.end(part.table, at: ChangePosition.row(view.place, number))
        try await self.keepProgress(in: journal)
        self.rest.removeFirst()
    }

    /// Hands out the rows of a page as there is room for them; returns the key of the last one.
    private func handOut(
        _ rows: CopiedRows,
        _ table: SnapshotTable,
        _ view: View,
        _ number: inout UInt64,
        _ wait: (_ until: () -> Bool) async throws -> Void
    ) async throws -> [String]? {
        guard let (_, reader) = self.current.withLock({ $0 }) else { throw Halt.stopped }
        var message: [UInt8] = []
        var row = 0
        while row < rows.count {
            reader.beginTurn()
            let time = self.reactor.wallNow
            while row < rows.count {
                guard table.message(rows.bytes[rows.range(row)], into: &message) else {
                    throw Halt.problem("a row of \(table.table.name) came in a form that is not known")
                }
                guard number + 1 < ChangePosition.changesMax else {
                    throw Halt.problem("there are too many rows for one snapshot")
                }
                let place = ChangePlace(
                    position: ChangePosition.row(view.place, number + 1),
                    lsn: view.place,
                    time: time,
                    transaction: nil
                )
                guard reader.take(message, of: table.table, at: place) else { break }
                number += 1
                row += 1
            }
            reader.endTurn()
            if row < rows.count { try await wait { reader.hasBudget } }
        }
        return table.key(of: message)
    }
}
