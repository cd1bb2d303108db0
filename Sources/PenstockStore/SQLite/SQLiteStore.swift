// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
package import PenstockCore

/// The store in one SQLite file: write-ahead log, `synchronous=FULL`, and one commit for all writes that
/// wait.
///
/// Writes go through one thread of its own (``GroupWriter``), reads through GRDB's reader connections, each
/// on a dispatch queue; Swift's pool never blocks. One process has a store open at a time.
package final class SQLiteStore: StateStore {
    /// A file up to this many bytes is checked whole when it is opened (well below a second); a larger one is
    /// not, and its damage is found when the damaged part is read.
    static let checkedBytesMax: Int64 = 64 << 20

    private let file: StoreFile
    private let pool: DatabasePool
    private let writer: GroupWriter

    /// Opens the store at `path`, which is made with its directories when it is missing (file mode 0600).
    ///
    /// Blocks for as long as the disk does; call it once, at the start.
    ///
    /// - Throws: `inUse` with the other's process id, `tooNew`, `corrupt`, `diskFull`, else `cannotOpen`.
    package static func open(path: String) throws(StoreError) -> SQLiteStore {
        let file = try StoreFile(path)
        do {
            return try SQLiteStore(file)
        } catch {
            throw StoreError(error, file: file, opening: true)
        }
    }

    private init(_ file: StoreFile) throws {
        var configuration = Configuration()
        configuration.label = "penstock.store"
        configuration.maximumReaderCount = 2
        // Another program that looks into the file (a backup, a shell) may hold a lock for a moment.
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { database in
            try database.execute(sql: "PRAGMA journal_size_limit = \(64 << 20)")
        }
        let pool = try DatabasePool(path: file.path, configuration: configuration)
        try pool.writeWithoutTransaction { database in
            // GRDB sets NORMAL when it turns the write-ahead log on, after prepareDatabase; so this comes
            // last.
            try database.execute(sql: "PRAGMA synchronous = FULL")
            guard try Int.fetchOne(database, sql: "PRAGMA synchronous") == 2 else {
                throw StoreError(.cannotOpen, "\"\(file.name)\": SQLite refuses synchronous=FULL")
            }
            try Self.check(database, file.name)
        }
        try Migrations.all.migrate(pool)
        self.file = file
        self.pool = pool
        self.writer = try GroupWriter(pool: pool, file: file)
        self.writer.start()
    }

    deinit {
        self.writer.closeSoon()
    }

    /// Whether the file is a store that this version can open, and whole if it is small.
    ///
    /// - Throws: `corrupt`, `tooNew`, or SQLite's own errors.
    static func check(_ database: Database, _ name: String) throws {
        let application = try Int64.fetchOne(database, sql: "PRAGMA application_id") ?? 0
        // GRDB makes tables of its own before our first migration marks the file as ours.
        let tables =
            try Int.fetchOne(
                database,
                sql: "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'grdb%'"
            ) ?? 0
        guard application == Migrations.applicationID || (application == 0 && tables == 0) else {
            throw StoreError(
                .corrupt,
                "\"\(name)\" is a SQLite file of another program; give another state path"
            )
        }
        guard tables > 0 else { return }
        let pages = try Int64.fetchOne(database, sql: "PRAGMA page_count") ?? 0
        let pageBytes = try Int64.fetchOne(database, sql: "PRAGMA page_size") ?? 0
        if pages * pageBytes <= Self.checkedBytesMax {
            let verdict = try String.fetchOne(database, sql: "PRAGMA quick_check(1)") ?? ""
            guard verdict == "ok" else {
                throw StoreError(
                    .corrupt,
                    "\"\(name)\" is damaged: \(verdict); restore a backup, or move it away"
                )
            }
        }
        guard try !Migrations.all.hasBeenSuperseded(database) else {
            throw StoreError(
                .tooNew,
                "\"\(name)\" was written by a newer Penstock; "
                    + "run that version, or give another state path"
            )
        }
    }

    package func checkpoints(of trigger: String) async throws(StoreError) -> [String: Position] {
        try await self.read { try Queries.checkpoints(of: trigger, $0) }
    }

    package func windows(of trigger: String) async throws(StoreError) -> [String: KeptWindow] {
        try await self.read { try Queries.windows(of: trigger, $0) }
    }

    package func save(_ checkpoints: [Checkpoint]) async throws(StoreError) {
        guard !checkpoints.isEmpty else { return try self.requireOpen() }
        _ = try await self.writer.write(.save(checkpoints))
    }

    package func removeCheckpoints(of trigger: String, partitions: [String]) async throws(StoreError) {
        guard !partitions.isEmpty else { return try self.requireOpen() }
        _ = try await self.writer.write(.removeCheckpoints(partitions, trigger: trigger))
    }

    package func replaceCheckpoints(
        of trigger: String,
        with checkpoints: [Checkpoint],
        removing partitions: [String]
    ) async throws(StoreError) {
        guard !checkpoints.isEmpty || !partitions.isEmpty else { return try self.requireOpen() }
        _ = try await self.writer.write(
            .replaceCheckpoints(checkpoints, removing: partitions, trigger: trigger)
        )
    }

    package func append(_ letters: [DeadLetter]) async throws(StoreError) {
        guard !letters.isEmpty else { return try self.requireOpen() }
        _ = try await self.writer.write(.append(letters))
    }

    package func deadLetters(
        matching query: DeadLetterQuery
    ) async throws(StoreError) -> [StoredDeadLetter.Summary] {
        try await self.read { try Queries.deadLetters(matching: query, $0) }
    }

    package func deadLetter(_ id: DeadLetterID) async throws(StoreError) -> StoredDeadLetter? {
        try await self.read { try Queries.deadLetter(id, $0) }
    }

    package func countDeadLetters(matching query: DeadLetterQuery) async throws(StoreError) -> DeadLetterCount
    {
        try await self.read { try Queries.countDeadLetters(matching: query, $0) }
    }

    package func oldestDeadLetters(limit: Int) async throws(StoreError) -> [StoredDeadLetter.Age] {
        try await self.read { try Queries.oldestDeadLetters(limit: limit, $0) }
    }

    @discardableResult
    package func removeDeadLetters(_ ids: [DeadLetterID]) async throws(StoreError) -> Int {
        try await self.writer.write(.remove(ids))
    }

    package func recordRedrive(_ ids: [DeadLetterID], attempt: Attempt) async throws(StoreError) {
        _ = try await self.writer.write(.recordRedrive(ids, attempt))
    }

    package func pausedTriggers() async throws(StoreError) -> Set<String> {
        try await self.read { try Queries.pausedTriggers($0) }
    }

    package func setPaused(_ paused: Bool, trigger: String) async throws(StoreError) {
        _ = try await self.writer.write(.setPaused(paused, trigger: trigger))
    }

    package func close() async {
        await self.writer.close()
        self.file.unlock()
    }

    /// How many transactions were committed since the store was opened; for tests and benchmarks.
    package var commits: Int {
        self.writer.commits
    }

    /// Runs a statement of ours on the writer's connection; for maintenance and tests, never with text from
    /// outside.
    ///
    /// - Returns: The first number of its result; 0 when there is none.
    @discardableResult
    package func execute(_ sql: String) async throws(StoreError) -> Int {
        try await self.writer.write(.execute(sql))
    }

    /// Waits until the write is on disk, or is known not to have happened.
    func write(_ operation: WriteOperation) async throws(StoreError) -> Int {
        try await self.writer.write(operation)
    }

    private func requireOpen() throws(StoreError) {
        guard !self.writer.isClosing else { throw .closed(self.file) }
    }

    /// Reads on a reader connection, from one snapshot that holds all writes that have returned.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreError) -> Value {
        try self.requireOpen()
        let outcome: Result<Value, StoreError> = await withCheckedContinuation { continuation in
            self.pool.asyncRead { database in
                let outcome = Result { try body(database.get()) }.mapError { error in
                    // A read that came after the check above and before the end of close.
                    self.writer.isClosing && (error as? DatabaseError)?.resultCode == .SQLITE_MISUSE
                        ? StoreError.closed(self.file) : StoreError(error, file: self.file)
                }
                continuation.resume(returning: outcome)
            }
        }
        return try outcome.get()
    }
}
