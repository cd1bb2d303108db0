// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore
import PenstockTesting
import Testing

/// The Postgres store on servers as they are found.
@Suite(.ownThreads, .timeLimit(.minutes(5))) struct PostgresStoreTests {
    private func checkpoint(_ partition: String, _ position: UInt64 = 1) -> Checkpoint {
        Checkpoint(trigger: "t", partition: partition, position: Position(position))
    }

    /// Why a store cannot be opened.
    private func refusal(_ url: String) async throws -> StoreError {
        let location = try PostgresLocation(url)
        return try await withReactor { reactor in
            do {
                let store = try await PostgresStore.open(location, on: reactor)
                await store.close()
                throw TestEnvironmentFailure("the store was opened")
            } catch let error as StoreError {
                return error
            }
        }
    }

    private struct TestEnvironmentFailure: Error {
        var text: String
        init(_ text: String) { self.text = text }
    }

    @Test("Six Penstocks that start at once make the tables once, and all of them work")
    func migrationRace() async throws {
        let schema = try PostgresSchema()
        let location = try schema.location()
        try await withReactor { reactor in
            try await withThrowingTaskGroup { group in
                for number in 0..<6 {
                    group.addTask {
                        let store = try await PostgresStore.open(location, on: reactor)
                        try await store.save([self.checkpoint("\(number)")])
                        await store.close()
                    }
                }
                try await group.waitForAll()
            }
            let store = try await PostgresStore.open(location, on: reactor)
            #expect(try await store.checkpoints(of: "t").count == 6)
            await store.close()
        }
        let names = try schema.server.run("SELECT name FROM \(schema.name).migrations ORDER BY name")
        #expect(names == "0001-state\n0002-leases")
    }

    @Test("A store that a newer Penstock wrote is left alone")
    func tooNew() async throws {
        let schema = try PostgresSchema()
        try await withReactor { reactor in
            await (try PostgresStore.open(schema.location(), on: reactor)).close()
        }
        try schema.server.run("INSERT INTO \(schema.name).migrations (name) VALUES ('0099-later')")
        let error = try await self.refusal("\(schema.server.url())?schema=\(schema.name)")
        #expect(error.code == .tooNew && error.detail.contains("run that version"))
    }

    @Test("A user who may make nothing is told so; one for whom all is made needs no more than to write")
    func rights() async throws {
        let server = try PostgresServer()
        for sql in ["CREATE ROLE app LOGIN", "CREATE DATABASE own"] { try server.run(sql) }
        let url = "postgres://app@127.0.0.1:\(server.port)/own"
        let error = try await self.refusal(url)
        #expect(error.code == .cannotOpen && error.detail.contains("42501"), "\(error)")
        try await withReactor { reactor in
            let admin = try PostgresLocation(server.url("own"))
            await (try PostgresStore.open(admin, on: reactor)).close()
            let found = await PostgresServerCheck.examine(try PostgresLocation(url), on: reactor)
            #expect(found.last?.grade == .error && found.last?.detail.contains("GRANT") == true)
            let grants = ["TABLES", "SEQUENCES"].map { "GRANT ALL ON ALL \($0) IN SCHEMA penstock TO app" }
            try server.run(
                "GRANT USAGE ON SCHEMA penstock TO app; \(grants.joined(separator: ";"))",
                database: "own"
            )
            let store = try await PostgresStore.open(PostgresLocation(url), on: reactor)
            try await store.append([.fixture(1)])
            await store.close()
            let grades = await PostgresServerCheck.examine(try PostgresLocation(url), on: reactor).map(
                \.grade
            )
            // The server of tests does not wait for the disk.
            #expect(grades == [.ok, .warning, .ok])
        }
    }

    @Test("A wrong password, nobody there, a standby and a database of another encoding are told apart")
    func unsuitable() async throws {
        let server = try PostgresServer(password: "open-sesame")
        let wrong = try await self.refusal(server.url().replacing("open-sesame", with: "shut-sesame"))
        #expect(wrong.code == .cannotOpen && wrong.detail.contains("check user and password of \"state\""))
        let nobody = try await self.refusal(server.url(port: FreePort.pick()))
        #expect(nobody.code == .unreachable && nobody.detail.contains("127.0.0.1"))
        try server.run(
            "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        let latin = try await self.refusal(server.url("latin"))
        #expect(latin.code == .cannotOpen && latin.detail.contains("UTF8"))
        try server.becomeStandby()
        let standby = try await self.refusal(server.url())
        #expect(standby.code == .unreachable && standby.detail.contains("standby"))
        for error in [wrong, nobody, latin, standby] {
            #expect(!error.detail.contains("sesame"), "\(error)")
        }
    }

    @Test("A pool in session mode will do, and one in transaction mode is refused")
    func pooler() async throws {
        let server = try PostgresServer()
        let sharing = try PostgresPooler(before: server, .transaction)
        let error = try await self.refusal(server.url(port: sharing.port))
        #expect(error.code == .cannotOpen && error.detail.contains("pool in session mode"), "\(error)")
        let pooler = try PostgresPooler(before: server, .session)
        try await withReactor { reactor in
            let location = try PostgresLocation(server.url(port: pooler.port))
            let store = try await PostgresStore.open(location, on: reactor)
            try await store.save([self.checkpoint("p", 5)])
            #expect(try await store.checkpoints(of: "t") == ["p": Position(5)])
            await store.close()
        }
    }

    @Test("A commit waits for the disk, whatever the database says, in the isolation that is needed")
    func settings() async throws {
        let server = try PostgresServer()
        try server.run("CREATE DATABASE own")
        for setting in [
            "synchronous_commit = off", "default_transaction_isolation = 'serializable'",
            "default_transaction_read_only = on",
        ] {
            try server.run("ALTER DATABASE own SET \(setting)")
        }
        try await withReactor { reactor in
            let store = try await PostgresStore.open(PostgresLocation(server.url("own")), on: reactor)
            let seen =
                "current_setting('synchronous_commit') || ' ' || current_setting('transaction_isolation')"
            try server.run(
                """
                SET transaction_read_only = off; CREATE TABLE seen (what text);
                CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN INSERT INTO public.seen VALUES (\(seen)); RETURN NEW; END $$;
                CREATE TRIGGER look BEFORE INSERT ON penstock.checkpoints FOR EACH ROW EXECUTE FUNCTION look()
                """,
                database: "own"
            )
            try await store.save([self.checkpoint("p")])
            #expect(try server.run("SELECT what FROM seen", database: "own") == "on read committed")
            await store.close()
        }
    }

    @Test("Writes that wait share transactions, and a refused one fails alone")
    func groups() async throws {
        let schema = try PostgresSchema()
        try await withReactor { reactor in
            let store = try await PostgresStore.open(schema.location(), on: reactor)
            // Too long for an index, and no compression makes it shorter.
            let long = String((0..<20_000).map { _ in Character(UnicodeScalar(UInt8.random(in: 97...122))) })
            let failures = try await withThrowingTaskGroup(of: Int?.self) { group in
                for writer in 0..<200 {
                    group.addTask {
                        do {
                            try await store.save([
                                self.checkpoint(writer % 40 == 7 ? "\(writer)\(long)" : "\(writer)")
                            ])
                            return nil
                        } catch let error as StoreError {
                            #expect(error.code == .inputOutput && !error.detail.contains(long.prefix(30)))
                            return writer
                        }
                    }
                }
                return try await group.reduce(into: []) { $0 += $1.map { [$0] } ?? [] }
            }
            #expect(failures.sorted() == [7, 47, 87, 127, 167])
            #expect(try await store.checkpoints(of: "t").count == 195)
            #expect(await store.commits < 100)
            await store.close()
        }
    }

    @Test("Large letters and entries come back whole")
    func large() async throws {
        let schema = try PostgresSchema()
        try await withReactor { reactor in
            let store = try await PostgresStore.open(schema.location(), on: reactor)
            var letter = DeadLetter.fixture(1)
            letter.body = (0..<(6 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let entry = JournalEntry(key: "k", timestamp: letter.at, body: letter.body ?? [])
            try await store.append([letter, .fixture(2)])
            let count = try await store.append([entry], to: "j", mark: nil)
            #expect(count == 1)
            let ids = try await store.deadLetters(matching: DeadLetterQuery()).map(\.id)
            #expect(try await store.deadLetter(ids[0])?.letter == letter)
            #expect(try await store.entries(of: "j", after: 0, limit: 9).map(\.entry) == [entry])
            await store.close()
        }
    }

    @Test("A redrive that is noted by several at once is added for each of them")
    func redrives() async throws {
        let schema = try PostgresSchema()
        try await withReactor { reactor in
            let stores = try await [
                PostgresStore.open(schema.location(), on: reactor),
                PostgresStore.open(schema.location(), on: reactor),
            ]
            try await stores[0].append([.fixture(1)])
            let id = try await stores[0].deadLetters(matching: DeadLetterQuery())[0].id
            try await withThrowingTaskGroup { group in
                for number in 0..<20 {
                    group.addTask {
                        let failure = Failure(type: "E", message: "\(number)")
                        let attempt = Attempt(
                            at: Timestamp(milliseconds: 1),
                            duration: .zero,
                            failure: failure
                        )
                        try await stores[number % 2].recordRedrive([id], attempt: attempt)
                    }
                }
                try await group.waitForAll()
            }
            let letter = try await stores[1].deadLetter(id)?.letter
            #expect(letter?.attemptCount == 23 && letter?.attempts.count == 23)
            #expect(Set(letter?.attempts.suffix(20).map(\.failure.message) ?? []).count == 20)
            for store in stores { await store.close() }
        }
    }
}
