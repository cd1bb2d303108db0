// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient
import Reactor

/// The sessions of a store: one for writes, up to two for reads, and one for leases once they are asked for.
final class PostgresSessions: @unchecked Sendable {
    // @unchecked: `reading` is touched on the reactor's thread only, all else does not change.

    let location: PostgresLocation
    private let reactor: Reactor
    private let writer: PostgresWriter
    private let writing: PostgresChannel
    private let readers: [PostgresChannel]
    /// Reads under way of each reader.
    private var reading: [Int]
    /// For leases: small statements that must not wait behind large writes, nor long for locks.
    let leases: PostgresChannel

    init(_ location: PostgresLocation, on reactor: Reactor) {
        self.location = location
        self.reactor = reactor
        self.writing = PostgresChannel(location, on: reactor)
        self.writer = PostgresWriter(location, on: reactor, self.writing)
        self.readers = (0..<2).map { _ in PostgresChannel(location, on: reactor) }
        self.reading = self.readers.map { _ in 0 }
        self.leases = PostgresChannel(location, on: reactor, lockPatience: .seconds(1))
    }

    deinit {
        let channels = [self.writing, self.leases] + self.readers
        self.reactor.submit {
            for channel in channels { channel.close() }
        }
    }

    /// Brings the tables up to this version.
    func migrate() async throws(StoreError) {
        let known = PostgresMigrations.all.map(\.name)
        let exists = try await self.read(PostgresMigrations.exists(self.location))
        if exists.boolean(0, 0) == true {
            let names = try await self.read(PostgresMigrations.names(self.location))
            let there = (0..<names.rows).compactMap { names.text($0, 0) }
            try self.requireKnown(there, known)
            if Set(there).isSuperset(of: known) { return }
        }
        // It reads last what is there behind it, which another one of a newer version may have made meanwhile.
        let script = PostgresMigrations.script(self.location)
        let results = try await self.writing.run(script: script, within: .seconds(60))
        guard let last = results.last else { return }
        try self.requireKnown((0..<last.rows).compactMap { last.text($0, 0) }, known)
    }

    private func requireKnown(_ names: [String], _ known: [String]) throws(StoreError) {
        guard names.contains(where: { !known.contains($0) }) else { return }
        throw StoreError(
            .tooNew,
            "\(self.location): the schema \(self.location.schema) was written by a newer Penstock; run that version, or give "
                + "another schema: \"state\" with ?schema="
        )
    }

    func write(_ write: PostgresWrite) async throws(StoreError) -> Int {
        let outcome: PostgresWriter.Outcome = await withCheckedContinuation { continuation in
            self.reactor.submit { self.writer.add(write, continuation) }
        }
        return try outcome.get()
    }

    func read(_ query: PostgresQuery) async throws(StoreError) -> PostgresResult {
        let result: Result<PostgresResult, StoreError> = await withCheckedContinuation { continuation in
            self.reactor.submit {
                // The second one connects when the first one is at work.
                let index = self.reading[0] <= self.reading[1] ? 0 : 1
                self.reading[index] += 1
                self.readers[index].read(query) { result in
                    self.reading[index] -= 1
                    continuation.resume(returning: result)
                }
            }
        }
        return try result.get()
    }

    /// Waits for the writes under way, and ends all sessions.
    func close() async {
        await withCheckedContinuation { continuation in
            self.reactor.submit { self.writer.close(continuation) }
        }
        await withCheckedContinuation { continuation in
            self.reactor.submit {
                for channel in self.readers + [self.leases] { channel.close() }
                continuation.resume()
            }
        }
    }

    /// How many transactions of writes were committed.
    var commits: Int {
        get async {
            await withCheckedContinuation { continuation in
                self.reactor.submit { continuation.resume(returning: self.writer.commits) }
            }
        }
    }
}
