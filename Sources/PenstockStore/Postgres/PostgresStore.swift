// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
import PostgresClient
package import Reactor

/// The store in a schema of a Postgres database, which several Penstocks share.
///
/// Writes go through one session, in transactions that are one message each (``PostgresWriter``); reads through up to two
/// others. Nothing blocks: all of it is driven by the reactor. A call fails soon while the server cannot be reached, and a
/// later one connects again. A write whose answer was lost throws `unreachable`: it may have happened, and repeating it is
/// harmless.
package struct PostgresStore: StateStore {
    let sessions: PostgresSessions
    package let identity: String
    /// The leases that writes are made under.
    var fences: [Fence] = []
    /// Whether it is a view of another one, which closes nothing.
    var isView = false

    /// Opens the store, and makes or brings up to this version what is missing of it.
    ///
    /// - Parameters:
    ///   - location: The database and the schema.
    ///   - reactor: Runs its sessions, and outlives it.
    /// - Returns: An open store.
    /// - Throws: `tooNew`, `unreachable`, else `cannotOpen`, with what to do.
    package static func open(
        _ location: PostgresLocation,
        on reactor: Reactor
    ) async throws(StoreError) -> PostgresStore {
        try await PostgresServerCheck.requireSuitable(location, on: reactor)
        let sessions = PostgresSessions(location, on: reactor)
        do throws(StoreError) {
            try await sessions.migrate()
            let identity = try await sessions.read(PostgresMigrations.identity(location)).text(0, 0)
            guard let identity else { throw StoreError.unreadable("the list of its migrations") }
            return PostgresStore(sessions: sessions, identity: identity)
        } catch {
            await sessions.close()
            throw error
        }
    }

    // MARK: - Checkpoints

    package func checkpoints(of trigger: String) async throws(StoreError) -> [String: Position] {
        let rows = try await self.rows(PostgresQueries.checkpoints(of: trigger), "a checkpoint") {
            (columns) throws(StoreError) in (try columns.text(), try columns.position())
        }
        return Dictionary(rows) { _, last in last }
    }

    package func windows(of trigger: String) async throws(StoreError) -> [String: KeptWindow] {
        let rows = try await self.rows(PostgresQueries.windows(of: trigger), "the window of a checkpoint") {
            (columns) throws(StoreError) in
            let partition = try columns.text()
            let closed = try columns.position()
            return (partition, try WindowCoding.decode(try columns.blob(), closed: closed))
        }
        return Dictionary(rows) { _, last in last }
    }

    package func save(_ checkpoints: [Checkpoint]) async throws(StoreError) {
        _ = try await self.write(.save(checkpoints))
    }

    package func removeCheckpoints(of trigger: String, partitions: [String]) async throws(StoreError) {
        _ = try await self.write(.removeCheckpoints(of: trigger, partitions: partitions))
    }

    package func replaceCheckpoints(
        of trigger: String,
        with checkpoints: [Checkpoint],
        removing partitions: [String]
    ) async throws(StoreError) {
        let removal = PostgresWrite.removeCheckpoints(of: trigger, partitions: partitions)
        let save = PostgresWrite.save(checkpoints)
        _ = try await self.write(PostgresWrite(removal.statements + save.statements))
    }

    // MARK: - Dead letters

    package func append(_ letters: [DeadLetter]) async throws(StoreError) {
        let bytes = letters.reduce(0) { $0 + ($1.body?.count ?? 0) }
        _ = try await self.write(about: bytes) { .append(letters) }
    }

    package func deadLetters(
        matching query: DeadLetterQuery
    ) async throws(StoreError) -> [StoredDeadLetter.Summary] {
        try await self.rows(PostgresQueries.deadLetters(matching: query), "a dead letter") {
            (columns) throws(StoreError) in try StoredDeadLetter.Summary(&columns)
        }
    }

    package func deadLetter(_ id: DeadLetterID) async throws(StoreError) -> StoredDeadLetter? {
        try await self.rows(PostgresQueries.deadLetter(id), "dead letter \(id.rawValue)") {
            (columns) throws(StoreError) in try StoredDeadLetter(&columns)
        }.first
    }

    package func countDeadLetters(matching query: DeadLetterQuery) async throws(StoreError) -> DeadLetterCount
    {
        let query = PostgresQueries.countDeadLetters(matching: query)
        return try await self.rows(query, "the number of dead letters") { (columns) throws(StoreError) in
            try DeadLetterCount(&columns)
        }.first ?? .none
    }

    package func oldestDeadLetters(limit: Int) async throws(StoreError) -> [StoredDeadLetter.Age] {
        try await self.rows(PostgresQueries.oldestDeadLetters(limit: limit), "the age of a dead letter") {
            (columns) throws(StoreError) in try StoredDeadLetter.Age(&columns)
        }
    }

    @discardableResult
    package func removeDeadLetters(_ ids: [DeadLetterID]) async throws(StoreError) -> Int {
        try await self.write(.remove(ids))
    }

    package func recordRedrive(_ ids: [DeadLetterID], attempt: Attempt) async throws(StoreError) {
        if ids.isEmpty { _ = try await self.write(PostgresWrite([])) }
        for id in ids {
            // Somebody else's attempt may come between: then it is added behind that.
            while let history = try await self.history(of: id) {
                let longer = try LetterCoding.adding(attempt, to: history)
                let write = PostgresWrite.replaceHistory(history, by: longer, attempt.failure, of: id)
                if try await self.write(write) > 0 { break }
            }
        }
    }

    private func history(of id: DeadLetterID) async throws(StoreError) -> [UInt8]? {
        let query = PostgresQueries.history(of: id)
        return try await self.rows(query, "the attempts of dead letter \(id.rawValue)") {
            (columns) throws(StoreError) in try columns.blob()
        }.first
    }

    // MARK: - The rest

    package func pausedTriggers() async throws(StoreError) -> Set<String> {
        Set(
            try await self.rows(PostgresQueries.pausedTriggers, "the name of a paused trigger") {
                (columns) throws(StoreError) in try columns.text()
            }
        )
    }

    package func setPaused(_ paused: Bool, trigger: String) async throws(StoreError) {
        _ = try await self.write(.setPaused(paused, trigger: trigger))
    }

    package func close() async {
        if !self.isView { await self.sessions.close() }
    }

    /// How many transactions of writes were committed since the store was opened; for tests and benchmarks.
    package var commits: Int {
        get async { await self.sessions.commits }
    }

    /// Waits until the write is durable, or may not be; a cancelled caller waits as well.
    func write(_ write: PostgresWrite) async throws(StoreError) -> Int {
        var write = write
        write.fences = self.fences
        return try await self.sessions.write(write)
    }

    /// The same for a write of about so many bytes, which is made into text elsewhere when that takes long: the caller's thread
    /// may be the reactor's.
    func write(
        about bytes: Int,
        _ make: @escaping @Sendable () -> PostgresWrite
    ) async throws(StoreError) -> Int {
        try await self.write(bytes < 256 << 10 ? make() : await Self.made(make))
    }

    @concurrent
    private static func made(_ make: @Sendable () -> PostgresWrite) async -> PostgresWrite { make() }

    /// Reads rows, from one snapshot that holds all writes that have returned.
    func rows<Value>(
        _ query: PostgresQuery,
        _ what: String,
        _ read: (inout PostgresColumns) throws(StoreError) -> Value
    ) async throws(StoreError) -> [Value] {
        let rows = try await self.sessions.read(query)
        var values: [Value] = []
        values.reserveCapacity(rows.rows)
        for row in 0..<rows.rows {
            var columns = PostgresColumns(rows, row, what)
            values.append(try read(&columns))
        }
        return values
    }
}
