// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import PostgresClient
import Reactor
import Synchronization
import Testing

/// Connections to a real server.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct PostgresConnectionTests {
    /// Runs `body` with a reactor, which it stops.
    private func withReactor<Value>(_ body: (Reactor) async throws -> Value) async throws -> Value {
        let reactor = try Reactor(name: "pg-test")
        defer { reactor.stop() }
        return try await body(reactor)
    }

    /// The error that something throws.
    private func failure(_ body: () async throws -> Void) async -> PostgresError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? PostgresError
        }
    }

    @Test("Parameters and rows come over as they are, as text and in binary")
    func query() async throws {
        let server = try PostgresServer()
        try await self.withReactor { reactor in
            let connection = try await PostgresConnection.open(PostgresAddress(server.url()), on: reactor)
            #expect(connection.serverVersion >= 150_000)
            #expect(!connection.isEncrypted)
            let text = try await connection.run(
                "SELECT $1::text, $2::bigint, $3::bytea, $4::text[], $5::bool, $6::int AS nothing",
                .text("a 'quoted' \\ \u{1F600} text"),
                .integer(-42),
                .bytes([0, 1, 255]),
                .array(["x", "with \"quotes\" and \\", nil, ""]),
                .boolean(true),
                .null
            )
            #expect(text.rows == 1 && text.columns == 6)
            #expect(text.text(0, 0) == "a 'quoted' \\ \u{1F600} text")
            #expect(text.integer(0, 1) == -42)
            #expect(text.text(0, 2) == "\\x0001ff")
            #expect(text.text(0, 3) == "{x,\"with \\\"quotes\\\" and \\\\\",NULL,\"\"}")
            #expect(text.boolean(0, 4) == true)
            #expect(text.text(0, 5) == nil && text.integer(0, 5) == nil)
            #expect(text.column("nothing") == 5 && text.column("none") == nil)

            let query = PostgresQuery(
                "SELECT $1::smallint, $2::int, $3::bigint, $4::bytea, $5::bool",
                [.integer(-2), .integer(-3), .integer(.min), .bytes([9, 0, 8]), .boolean(false)],
                format: .binary
            )
            let binary = try await connection.run(query)
            #expect((0..<3).map { binary.integer(0, $0) } == [-2, -3, .min])
            #expect(unsafe binary.bytes(0, 3).map { unsafe Array($0) } == [9, 0, 8])
            #expect(binary.boolean(0, 4) == false)

            try await connection.run("CREATE TABLE t (n int)")
            #expect(try await connection.run("INSERT INTO t SELECT generate_series(1, 5)").affected == 5)
            let script = PostgresQuery(script: "DELETE FROM t WHERE n = 1; SELECT count(*) FROM t")
            #expect(try await connection.run(script).integer(0, 0) == 4)
            // Larger than any buffer on the way, in both directions.
            let large = String(repeating: "0123456789", count: 800_000)
            #expect(
                try await connection.run("SELECT $1::text || 'x'", .text(large)).text(0, 0) == large + "x"
            )
            await connection.close()
            await connection.close()
            #expect(await !connection.isOpen)
        }
    }

    @Test("An error has its SQLSTATE, tells no values, and leaves the connection usable")
    func errors() async throws {
        let server = try PostgresServer()
        try await self.withReactor { reactor in
            let connection = try await PostgresConnection.open(PostgresAddress(server.url()), on: reactor)
            let syntax = await self.failure { try await connection.run("SELEKT 1") }
            #expect(syntax?.code == .rejected && syntax?.sqlState == "42601" && syntax?.isTransient == false)
            let value = await self.failure { try await connection.run("SELECT $1::int", .text("sesame")) }
            #expect(value?.sqlState == "22P02" && value?.description.contains("sesame") == false)
            let values: [(sql: String, state: String)] = [
                ("SELECT '99999999999999999999'::int8", "22003"), ("SELECT '99999999'::int2", "22003"),
                ("SELECT '2026-99-98'::date", "22008"), ("SELECT 'ses\"99ame'::timestamptz", "22007"),
                ("SELECT '{\"sesame\": 99'::jsonb", "22P02"), ("SELECT '99sesame'::uuid", "22P02"),
                ("SELECT convert_from('\\xff99', 'UTF8')", "22021"), ("SELECT 'sesame99'::mood", "22P02"),
                ("DO $$ BEGIN RAISE EXCEPTION 'sesame % is bad', 99 USING HINT = 'sesame'; END $$", "P0001"),
                ("DO $$ BEGIN RAISE 'sesame' USING ERRCODE = 'check_violation'; END $$", "23514"),
                ("DO $$ BEGIN EXECUTE 'SELECT ''sesame99''::int'; END $$", "22P02"),
            ]
            try await connection.run("CREATE TYPE mood AS ENUM ('well')")
            for (sql, state) in values {
                let error = await self.failure { try await connection.run(sql) }
                let text = error.map { "\($0)" } ?? ""
                #expect(error?.sqlState == state, "\(sql): \(text)")
                #expect(
                    !text.contains("sesame") && !text.contains("99") && !text.contains("ff"),
                    "\(sql): \(text)"
                )
                if state == "22003" { #expect(text.contains("is out of range for type")) }
                if state == "P0001" {
                    #expect(text.contains("PL/pgSQL function inline_code_block line 1 at RAISE"))
                }
            }
            try await connection.run("CREATE TABLE u (n int CONSTRAINT few CHECK (n < 5))")
            let check = await self.failure { try await connection.run("INSERT INTO u VALUES (99)") }
            #expect(check?.detail == "new row for relation \"u\" violates check constraint \"few\"")
            let script = await self.failure {
                try await connection.run(PostgresQuery(script: "SELECT 1; SELECT 1/0; SELECT 2"))
            }
            #expect(script?.sqlState == "22012")
            let nul = await self.failure { try await connection.run("SELECT $1::text", .text("a\0b")) }
            #expect(nul?.code == .invalid)
            let copy = await self.failure { try await connection.run("COPY pg_class TO STDOUT") }
            #expect(copy?.code == .rejected)
            let closed = await self.failure { try await connection.run("SELECT 1") }
            #expect(closed?.code == .closed)
        }
    }

    @Test(
        "A password is used and never told; a wrong one, an unknown database and nobody there are told apart"
    )
    func refusals() async throws {
        let server = try PostgresServer(password: "open-sesame")
        try await self.withReactor { reactor in
            let address = try PostgresAddress(server.url())
            let connection = try await PostgresConnection.open(address, on: reactor)
            #expect(try await connection.run("SELECT 1").integer(0, 0) == 1)
            await connection.close()
            var texts = ["\(address)", String(reflecting: address)]
            var dumped = ""
            dump(address, to: &dumped)
            texts.append(dumped)

            var wrong = address
            wrong["password"] = "wrong-sesame"
            let password = await self.failure { _ = try await PostgresConnection.open(wrong, on: reactor) }
            #expect(password?.code == .unauthorized && password?.sqlState == "28P01")
            wrong["password"] = nil
            let none = await self.failure { _ = try await PostgresConnection.open(wrong, on: reactor) }
            #expect(none?.code == .unauthorized)
            var elsewhere = address
            elsewhere["dbname"] = "nowhere"
            let database = await self.failure {
                _ = try await PostgresConnection.open(elsewhere, on: reactor)
            }
            #expect(database?.code == .rejected && database?.sqlState == "3D000")
            var encrypted = address
            encrypted["sslmode"] = "require"
            let tls = await self.failure { _ = try await PostgresConnection.open(encrypted, on: reactor) }
            #expect(tls?.code == .unreachable && tls?.detail.contains("SSL") == true)
            elsewhere = address
            elsewhere["port"] = "\(FreePort.pick())"
            let nobody = await self.failure { _ = try await PostgresConnection.open(elsewhere, on: reactor) }
            #expect(nobody?.code == .unreachable && nobody?.isTransient == true)
            // The second of two hosts answers.
            elsewhere["host"] = "127.0.0.1,127.0.0.1"
            elsewhere["port"] = "\(FreePort.pick()),\(server.port)"
            await (try PostgresConnection.open(elsewhere, on: reactor)).close()
            texts += [password, none, database, tls, nobody].map { "\($0.map { "\($0)" } ?? "")" }
            #expect(texts.allSatisfy { !$0.contains("sesame") }, "\(texts)")
        }
    }

    @Test(
        "A server that takes the connection and says nothing is a timeout, and a task that is cancelled ends"
    )
    func silence() async throws {
        let server = try PostgresServer()
        let proxy = try TestProxy(to: server.port)
        defer { proxy.stop() }
        proxy.stall()
        try await self.withReactor { reactor in
            let address = try PostgresAddress(server.url(port: proxy.port))
            let late = await self.failure {
                _ = try await PostgresConnection.open(address, on: reactor, within: .milliseconds(300))
            }
            #expect(late?.code == .timedOut)
            let opening = Task {
                try await PostgresConnection.open(address, on: reactor, within: .seconds(60))
            }
            opening.cancel()
            let cancelled = await self.failure { _ = try await opening.value }
            #expect(cancelled?.code == .cancelled)

            // Who closes a session waits for no connection that is on its way, nor does who waits for that.
            for isSoon in [false, true] {
                let session = PostgresSession(address, on: reactor)
                // Before they begin: what is accepted is one of theirs.
                let before = proxy.accepted
                let users = (0..<2).map { _ in Task { try await session.run(PostgresQuery("SELECT 1")) } }
                #expect(BoundedWait.until(within: .seconds(60)) { proxy.accepted > before })
                users[1].cancel()
                #expect(await self.failure { _ = try await users[1].value } != nil)
                if isSoon { session.closeSoon() } else { await session.close() }
                #expect(await self.failure { _ = try await users[0].value } != nil)
            }
        }
    }

    @Test("A statement that is cancelled or too slow is given up by the server, and others follow")
    func cancellation() async throws {
        let server = try PostgresServer()
        try await self.withReactor { reactor in
            let connection = try await PostgresConnection.open(PostgresAddress(server.url()), on: reactor)
            // On a slow machine the server takes its time.
            await connection.setCancelPatience(.seconds(120))
            let slow = Task { try await connection.run(PostgresQuery("SELECT pg_sleep(600)"), within: nil) }
            let active =
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' AND state = 'active'"
            #expect(try BoundedWait.until(within: .seconds(60)) { try server.run(active) == "1" })
            // Waits behind it, and is not sent; only now, for tasks begin in any order.
            let behind = Task { try await connection.run("CREATE TABLE never (n int)") }
            behind.cancel()
            #expect(await self.failure { _ = try await behind.value }?.code == .cancelled)
            slow.cancel()
            #expect(await self.failure { _ = try await slow.value }?.code == .cancelled)
            #expect(try await connection.run("SELECT to_regclass('never')").text(0, 0) == nil)
            let late = await self.failure {
                try await connection.run(PostgresQuery("SELECT pg_sleep(600)"), within: .milliseconds(100))
            }
            #expect(late?.code == .timedOut)
            #expect(try await connection.run("SELECT 7").integer(0, 0) == 7)
            #expect(try BoundedWait.until(within: .seconds(60)) { try server.run(active) == "0" })
        }
    }

    @Test("What listens gets notifications in the order of commits, empty ones too, while statements run")
    func notifications() async throws {
        let server = try PostgresServer()
        try await self.withReactor { reactor in
            let got = Mutex<[PostgresNotification]>([])
            let link = try await Self.link(server.url(), reactor) { notifications in
                got.withLock { $0 += notifications }
            }
            _ = try await Self.run("LISTEN \(PostgresName.quoted("Odd \"name\""))", link, reactor)
            _ = try await Self.run("LISTEN b", link, reactor)
            let count = 300
            try server.run(
                "DO $$ BEGIN FOR i IN 1..\(count) LOOP PERFORM pg_notify('Odd \"name\"', i::text); END LOOP; END $$"
            )
            try server.run("NOTIFY b; NOTIFY c, 'for nobody'")
            _ = try await Self.run("SELECT 1", link, reactor)
            #expect(BoundedWait.until(within: .seconds(60)) { got.withLock { $0.count } == count + 1 })
            let all = got.withLock { $0 }
            #expect(
                all.prefix(count).map { String(decoding: $0.payload, as: UTF8.self) }
                    == (1...count).map(String.init)
            )
            #expect(all.first?.channel == "Odd \"name\"" && (all.first?.backend ?? 0) > 0)
            #expect(
                all.last == PostgresNotification(channel: "b", payload: [], backend: all.last?.backend ?? 0)
            )
            reactor.submit { link.close() }
        }
    }

    @Test(
        "A server that is killed, and a connection that is cut, end statements under way and tell who listens"
    )
    func losses() async throws {
        let server = try PostgresServer()
        let proxy = try TestProxy(to: server.port)
        defer { proxy.stop() }
        try await self.withReactor { reactor in
            for isCut in [true, false] {
                let lost = Mutex<PostgresError?>(nil)
                let link = try await Self.link(server.url(port: proxy.port), reactor) { _ in }
                reactor.submit { link.onLoss = { error in lost.withLock { $0 = error } } }
                let connection = try await PostgresConnection.open(
                    PostgresAddress(server.url(port: proxy.port)),
                    on: reactor
                )
                let slow = Task {
                    try await connection.run(PostgresQuery("SELECT pg_sleep(600)"), within: nil)
                }
                let active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)'"
                #expect(try BoundedWait.until(within: .seconds(60)) { try server.run(active) >= "1" })
                if isCut { proxy.cut() } else { server.crash() }
                #expect(await self.failure { _ = try await slow.value }?.code == .connectionLost)
                #expect(
                    BoundedWait.until(within: .seconds(60)) { lost.withLock { $0?.code } == .connectionLost }
                )
                proxy.restore()
            }
            try server.start()
            let connection = try await PostgresConnection.open(PostgresAddress(server.url()), on: reactor)
            #expect(await connection.isStandby == false)
            try server.becomeStandby()
            let standby = try await PostgresConnection.open(PostgresAddress(server.url()), on: reactor)
            #expect(await standby.isStandby == true)
            let listen = await self.failure { try await standby.run("LISTEN a") }
            #expect(listen?.sqlState == "25006")
        }
    }

    private static func link(
        _ url: String,
        _ reactor: Reactor,
        _ onNotifications: @escaping @Sendable ([PostgresNotification]) -> Void
    ) async throws -> PostgresLink {
        let address = try PostgresAddress(url)
        return try await withCheckedThrowingContinuation { continuation in
            PostgresLink.open(address, on: reactor, within: .seconds(30)) { result in
                if case .success(let link) = result { link.onNotifications = onNotifications }
                continuation.resume(with: result)
            }
        }
    }

    private static func run(
        _ sql: String,
        _ link: PostgresLink,
        _ reactor: Reactor
    ) async throws -> PostgresResult {
        try await withCheckedThrowingContinuation { continuation in
            reactor.submit { link.send(PostgresQuery(sql)) { continuation.resume(with: $0) } }
        }
    }
}
