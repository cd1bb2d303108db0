// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore
import PenstockTesting
import PostgresClient
import Reactor
import Synchronization
import Testing

/// The Postgres store and a server, or a way to it, that fails.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5))) struct PostgresStoreFaultTests {
    private func checkpoint(_ partition: String, _ position: UInt64) -> Checkpoint {
        Checkpoint(trigger: "t", partition: partition, position: Position(position))
    }

    /// What a call comes to.
    private func failure(_ body: () async throws -> Void) async -> StoreError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? StoreError
        }
    }

    /// What writers were told is kept, by partition.
    private final class Told: Sendable {
        private let state = Mutex<(positions: [String: UInt64], isOver: Bool)>(([:], false))
        func keep(_ partition: String, _ position: UInt64) {
            self.state.withLock { $0.positions[partition] = position }
        }
        func end() { self.state.withLock { $0.isOver = true } }
        var isOver: Bool { self.state.withLock { $0.isOver } }
        var positions: [String: UInt64] { self.state.withLock { $0.positions } }
        var total: UInt64 { self.positions.values.reduce(0, +) }
    }

    @Test("What was written before a server was killed is there, and the store comes back by itself")
    func crash() async throws {
        let server = try PostgresServer()
        try await withReactor { reactor in
            let store = try await PostgresStore.open(PostgresLocation(server.url()), on: reactor)
            let told = Told()
            try await withThrowingTaskGroup { group in
                for writer in 0..<8 {
                    group.addTask {
                        for position: UInt64 in 1... {
                            guard !told.isOver else { return }
                            let letter = DeadLetter.fixture(position, trigger: "t", partition: "\(writer)")
                            // Repeated until it is kept, as those do who must have it kept.
                            while let error = await self.failure({
                                try await store.append([letter])
                                try await store.save([self.checkpoint("\(writer)", position)])
                            }) {
                                #expect(error.code == .unreachable, "\(error)")
                                guard !told.isOver else { return }
                                await Task.yield()
                            }
                            told.keep("\(writer)", position)
                        }
                    }
                }
                for _ in 0..<3 {
                    let before = told.total
                    #expect(BoundedWait.until(within: .seconds(60)) { told.total > before + 100 })
                    server.crash()
                    try server.start()
                }
                let before = told.total
                #expect(BoundedWait.until(within: .seconds(60)) { told.total > before + 100 })
                told.end()
                try await group.waitForAll()
            }
            let kept = try await store.checkpoints(of: "t")
            for (partition, position) in told.positions {
                let there = kept[partition]?.offset ?? 0
                #expect(
                    there == position || there == position + 1,
                    "\(partition): \(there), told \(position)"
                )
                var query = DeadLetterQuery()
                query.partition = partition
                let letters = try await store.deadLetters(matching: query)
                #expect(letters.count == Set(letters.map(\.position)).count)
                #expect(letters.count >= Int(position) && letters.count <= Int(position) + 1)
            }
            await store.close()
        }
    }

    @Test("While the server is away each call fails soon, and says what is wrong without the password")
    func away() async throws {
        let server = try PostgresServer(password: "open-sesame")
        try await withReactor { reactor in
            let store = try await PostgresStore.open(PostgresLocation(server.url()), on: reactor)
            try await store.save([self.checkpoint("p", 1)])
            server.crash()
            let start = ContinuousClock.now
            for _ in 0..<20 {
                let errors = [
                    await self.failure { try await store.save([self.checkpoint("p", 2)]) },
                    await self.failure { _ = try await store.checkpoints(of: "t") },
                    await self.failure { _ = try await store.cluster() },
                ]
                for error in errors {
                    #expect(error?.code == .unreachable, "\(String(describing: error))")
                    #expect(error?.detail.contains("postgres at 127.0.0.1:\(server.port)") == true)
                    #expect(error?.detail.contains("sesame") == false)
                }
            }
            #expect(ContinuousClock.now - start < .seconds(120))
            try server.start()
            while await self.failure({ try await store.save([self.checkpoint("p", 3)]) }) != nil {
                await Task.yield()
            }
            while true {
                guard let kept = try? await store.checkpoints(of: "t") else { continue }
                #expect(kept == ["p": Position(3)])
                break
            }
            await store.close()
        }
    }

    @Test("A server that says nothing any more fails a call in time")
    func silence() async throws {
        let server = try PostgresServer()
        let proxy = try TestProxy(to: server.port)
        defer { proxy.stop() }
        try await withReactor { reactor in
            let location = try PostgresLocation(server.url(port: proxy.port))
            let store = try await PostgresStore.open(location, on: reactor)
            try await store.save([self.checkpoint("p", 1)])
            proxy.stall()
            let error = await self.failure { try await store.save([self.checkpoint("p", 2)]) }
            #expect(error?.code == .unreachable)
            proxy.restore()
            while await self.failure({ try await store.save([self.checkpoint("p", 3)]) }) != nil {
                await Task.yield()
            }
            while true {
                guard let kept = try? await store.checkpoints(of: "t") else { continue }
                #expect(kept == ["p": Position(3)])
                break
            }
            await store.close()
        }
    }

    @Test("What a lost session had under way never comes behind what the next one writes")
    func lateWrite() async throws {
        let server = try PostgresServer()
        let proxy = try TestProxy(to: server.port)
        defer { proxy.stop() }
        try await withReactor { reactor in
            let location = try PostgresLocation(server.url(port: proxy.port))
            let store = try await PostgresStore.open(location, on: reactor)
            try await store.save([self.checkpoint("p", 1)])
            let other = try await PostgresConnection.open(PostgresAddress(server.url()), on: reactor)
            let lock = "BEGIN; LOCK TABLE penstock.checkpoints IN EXCLUSIVE MODE"
            try await other.run(PostgresQuery(script: lock))
            func waiting() throws -> String {
                try server.run(
                    "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%checkpoints%'"
                )
            }
            async let first = self.failure { try await store.save([self.checkpoint("p", 5)]) }
            #expect(try BoundedWait.until(within: .seconds(30)) { try !waiting().isEmpty })
            let old = try waiting()
            // The server does not hear of it, because it reads nothing while it waits.
            proxy.cut()
            #expect(await first?.code == .unreachable)
            proxy.restore()
            async let second = self.failure {
                while let error = await self.failure({ try await store.save([self.checkpoint("p", 10)]) }) {
                    #expect(error.code == .unreachable || error.code == .inputOutput, "\(error)")
                }
            }
            let isFollowed = try BoundedWait.until(within: .seconds(30)) {
                let now = try waiting()
                return !now.isEmpty && !now.contains(old)
            }
            #expect(isFollowed, "the new session waits, and the old one is gone")
            try await other.run("COMMIT")
            #expect(await second == nil)
            #expect(try await store.checkpoints(of: "t") == ["p": Position(10)])
            await other.close()
            await store.close()
        }
    }

    @Test("A close waits for what is being written")
    func closing() async throws {
        let schema = try PostgresSchema()
        try await withReactor { reactor in
            let store = try await PostgresStore.open(schema.location(), on: reactor)
            let results = await withTaskGroup(of: StoreError?.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        await self.failure { try await store.save([self.checkpoint("\(number)", 1)]) }
                    }
                }
                group.addTask {
                    await store.close()
                    return nil
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            let refused = results.compactMap(\.self)
            #expect(refused.allSatisfy { $0.code == .closed })
            let again = try await PostgresStore.open(schema.location(), on: reactor)
            #expect(try await again.checkpoints(of: "t").count == 50 - refused.count)
            await again.close()
        }
    }
}
