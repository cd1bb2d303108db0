// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import PostgresClient
import Reactor
import Synchronization
import Testing

@testable import PostgresConnector

/// An outbox table of a real server as a source.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct OutboxSourceTests {
    private typealias Reader = OutboxReader

    @Test("A row comes with all that its columns say, at the doorbell, long before the poll")
    func record() async throws {
        let server = try PostgresServer()
        let table = try #require(PostgresTable("app.jobs"))
        try server.run("CREATE SCHEMA app")
        // Twice, because it can be run again.
        for _ in 0..<2 { try server.run(OutboxSchema(table).sql) }
        let reader = try Reader("{ url: \"\(server.url())\", table: app.jobs, poll: 1h }")
        reader.wait(for: "a look at the table") { $0.isConnected }
        let listens = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        #expect(try BoundedWait.until(within: .seconds(60)) { try server.run(listens) == "1" })
        try server.run(
            """
            INSERT INTO app.jobs (group_key, payload, headers, created_at)
            VALUES ('g "1"', '{"a":1}', '{"traceparent":"00-1"}', '2026-03-14T09:00:40.512Z'), (NULL, 'plain', NULL, now());
            INSERT INTO app.jobs (payload, available_at) VALUES ('later', now() + interval '1 hour');
            """
        )
        reader.wait(for: "two rows") { $0.records.count == 2 }
        let first = reader.records[0]
        #expect(first["eventID"] == "1" && first["group"] == "g \"1\"" && first["payload"] == "{\"a\":1}")
        #expect(
            first["head"]
                == #"{"eventID":"1","eventVersion":"1.0","eventName":"INSERT","eventSource":"postgres:outbox","#
                + #""eventSourceARN":"arn:aws:postgres:local:000000000000:postgres/outbox/app.jobs","awsRegion":"local","#
                + #""postgres":{"database":"postgres","schema":"app","table":"jobs","id":"1","groupKey":"g \"1\"","payload":"#
        )
        #expect(
            first["tail"]
                == #","headers":{"traceparent": "00-1"},"createdAt":1773478840.512,"receiveCount":1}}"#
        )
        #expect(reader.records[1]["group"] == nil)
        #expect(reader.records[1]["tail"]?.contains(#""headers":{}"#) == true)
        await reader.stop()
    }

    @Test("A server that crashes and one that stops are waited for, and rows are found then")
    func reconnect() async throws {
        let server = try PostgresServer()
        try server.run(OutboxSchema(PostgresTable(schema: "public", name: "outbox")).sql)
        let reader = try Reader("{ url: \"\(server.url())\", poll: 200ms }")
        for (number, crashes) in [true, false].enumerated() {
            reader.wait(for: "a look at the table") { $0.isConnected }
            if crashes { server.crash() } else { server.stop() }
            reader.wait(for: "the loss") { !$0.isConnected }
            try server.start()
            try server.run("INSERT INTO outbox (payload) VALUES ('\(number)')")
            reader.wait(for: "the row") { $0.payloads.last == "\(number)" && $0.isConnected }
        }
        await reader.stop()
    }

    @Test("A table that is not there, lacks columns or has others is explained, and read once it is mended")
    func tables() async throws {
        let server = try PostgresServer()
        let reader = try Reader("{ url: \"\(server.url())\", table: jobs, poll: 200ms, doorbell: false }")
        reader.wait(problem: "there is no table public.jobs")
        try server.run(
            "CREATE TABLE jobs (id bigserial PRIMARY KEY, payload text, locked_until timestamp, attempts int, group_key text)"
        )
        reader.wait(
            problem: "has no column \"headers\", \"created_at\", \"available_at\", \"done_at\", \"failures\""
        )
        try server.run(
            "ALTER TABLE jobs ADD headers jsonb, ADD created_at timestamptz, ADD available_at timestamptz, ADD done_at timestamptz, ADD failures int"
        )
        reader.wait(problem: "the column \"locked_until\" of public.jobs must be a timestamptz")
        try server.run("DROP TABLE jobs")
        try server.run(OutboxSchema(PostgresTable(schema: "public", name: "jobs")).sql)
        try server.run("INSERT INTO jobs (payload) VALUES ('x')")
        reader.wait(for: "the row") { $0.payloads == ["x"] }
        await reader.stop()
    }

    /// What came of a table, in order.
    private final class Ledger: Sendable {
        private struct State {
            var seen: Set<Int> = []
            var last: [String: Int] = [:]
            var complaints: [String] = []
        }

        private let state = Mutex(State())

        var count: Int { self.state.withLock { $0.seen.count } }
        var complaints: [String] { self.state.withLock { $0.complaints } }

        func note(_ block: RecordBlock) {
            for index in 0..<block.count {
                let key = unsafe block.key(at: index).map { unsafe String(decoding: $0, as: UTF8.self) } ?? ""
                let body =
                    unsafe block.body(at: index).map { unsafe String(decoding: $0, as: UTF8.self) } ?? ""
                let number = Int(body) ?? 0
                self.state.withLock { state in
                    if !state.seen.insert(number).inserted { state.complaints.append("\(number) came twice") }
                    let last = state.last[key] ?? 0
                    if last >= number { state.complaints.append("\(number) came after \(last)") }
                    state.last[key] = number
                }
            }
        }

        func complain(_ text: String) { self.state.withLock { $0.complaints.append(text) } }
    }

    /// Settles all that comes, until the ledger has so many rows.
    private static func settleAll(_ reader: Reader, _ ledger: Ledger, until count: Int) async {
        var next = 0
        let deadline = reader.reactor.now + .seconds(120)
        while ledger.count < count, reader.reactor.now < deadline {
            let blocks = reader.blocks
            guard next < blocks.count else {
                await reader.reactor.pause(for: .milliseconds(5))
                continue
            }
            let block = blocks[next]
            next += 1
            ledger.note(block)
            let admitted = AdmittedBlock(
                block: block,
                firstDelivery: 0,
                receivedAt: reader.reactor.now,
                sizes: Array(repeating: 0, count: block.count + 1)
            )
            let run = Run(admitted: admitted, range: 0..<block.count)
            let outcome = try? await reader.source.settle([Settlement(kind: .acknowledge, runs: [run])])
            if outcome?.lost.isEmpty != true || outcome?.refused.isEmpty != true {
                ledger.complain("not settled")
            }
            reader.source.grant(ReceiveBudget(records: 20, bytes: 1 << 20))
        }
    }

    @Test("Several readers share a table without taking a row twice, and keep groups in order")
    func sharing() async throws {
        let server = try PostgresServer()
        try server.run(OutboxSchema(PostgresTable(schema: "public", name: "outbox")).sql)
        let count = 3000
        try server.run(
            "INSERT INTO outbox (group_key, payload) SELECT 'g' || i % 40, i::text FROM generate_series(1, \(count)) i"
        )
        let yaml = "{ url: \"\(server.url())\", poll: 100ms, lease: 60s }"
        let readers = try (0..<3).map { _ in try Reader(yaml, records: 20) }
        let ledger = Ledger()
        await withTaskGroup { group in
            for reader in readers {
                group.addTask { await Self.settleAll(reader, ledger, until: count) }
            }
        }
        #expect(ledger.count == count)
        #expect(ledger.complaints == [])
        for reader in readers { await reader.stop() }
        #expect(try server.run("SELECT count(*) FROM outbox") == "0")
    }

    @Test(
        "A receive of large rows is cut by their bytes, and the rest follows at once",
        arguments: [false, true]
    )
    func largeRows(hasGroups: Bool) async throws {
        let server = try PostgresServer()
        let table = try #require(PostgresTable("jobs"))
        try server.run(OutboxSchema(table).sql)
        let group = hasGroups ? "'g' || i % 2" : "NULL"
        try server.run(
            "INSERT INTO jobs (group_key, payload) SELECT \(group), repeat('x', 4000000) FROM generate_series(1, 15) i"
        )
        let reader = try Reader("{ url: \"\(server.url())\", table: jobs, poll: 1h }")
        // Up to 16 MiB, and what stands besides payloads. What follows in a group waits for what is leased of it.
        reader.wait(for: "the rows") { $0.records.count == (hasGroups ? 5 : 15) }
        #expect(reader.blocks.map(\.count) == Array(repeating: 5, count: hasGroups ? 1 : 3))
        await reader.stop()
    }

    @Test(
        "A time without end, and columns of a type that cannot be passed on, are no reason to stand still unheard"
    )
    func oddColumns() async throws {
        let server = try PostgresServer()
        let table = try #require(PostgresTable("jobs"))
        try server.run(OutboxSchema(table).sql)
        try server.run("INSERT INTO jobs (payload, created_at) VALUES ('for ever', 'infinity')")
        let reader = try Reader("{ url: \"\(server.url())\", table: jobs }")
        reader.wait(for: "the row") { $0.payloads == ["for ever"] }
        await reader.stop()
        try server.run("ALTER TABLE jobs ALTER headers TYPE text USING headers::text")
        let other = try Reader("{ url: \"\(server.url())\", table: jobs }")
        other.wait(problem: "the column \"headers\" of public.jobs must be json or jsonb, not text")
        await other.stop()
    }

    @Test("Keys become positions, each its own, the same each time")
    func positions() {
        #expect(OutboxRowReader.position(of: "42") == Position(42))
        let uuid = "0f0e0d0c-0b0a-0908-0706-050403020100"
        #expect(
            OutboxRowReader.position(of: uuid) == Position(wide: 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100)
        )
        // Numbers and UUIDs in another spelling are other keys of a text column.
        let spelt = [
            "7", "007", "07", uuid, uuid.uppercased(), uuid.replacing("-", with: ""),
            "0" + uuid.dropFirst(2) + "-",
        ]
        let texts = ["-1", "a", "b", "ab", "ba", "", "order-1", "order-2"] + spelt
        #expect(Set(texts.map { OutboxRowReader.position(of: $0) }).count == texts.count)
    }
}
