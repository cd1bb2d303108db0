// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import PostgresClient
import Reactor
import Testing

@testable import PostgresConnector

/// Tables of a real server as destinations.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(3)))
struct PostgresDestinationTests {
    private static let source = SourcePlan(
        kind: "test",
        summary: "test",
        capabilities: SourceCapabilities(settlement: .cursor, canSeek: false, prunesOnAcknowledge: false),
        format: PostgresEventFormat(kind: .notify),
        fields: RecordFields([]),
        partition: { Partition(id: $0, name: $1) },
        make: { _, _ throws(SourceError) in throw SourceError(.closed, "no source") }
    )

    private static func letter(
        _ position: UInt64,
        body: String = "{}",
        at: Int64 = 1_767_225_600_000
    ) -> DeadLetter {
        let verdict = DeadLetterVerdict(
            trigger: "orders",
            function: "charge",
            reason: .retriesExhausted,
            at: Timestamp(milliseconds: at),
            attempts: [],
            attemptCount: 3,
            invocation: "id-1"
        )
        var letter = DeadLetter(
            partition: "p",
            position: Position(position),
            timestamp: Timestamp(milliseconds: 0),
            verdict: verdict
        )
        letter.body = Array(body.utf8)
        return letter
    }

    private static func table(_ url: String, _ reactor: Reactor) throws -> DocumentTable {
        let yaml = "{ url: \"\(url)\", table: letters }"
        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(
            PostgresDestinationConfiguration.self
        )
        return try DocumentTable(try #require(read.value, "\(read.findings)"), on: reactor)
    }

    private static let sql = DocumentSchema(.init(schema: "public", name: "letters")).sql

    @Test("A letter is a row; the same again replaces it, and many go by one statement")
    func letters() async throws {
        let server = try PostgresServer()
        let reactor = try Reactor(name: "destination-test")
        defer { reactor.stop() }
        for _ in 0..<2 { try server.run(Self.sql) }
        let destination = PostgresDestination(
            try Self.table(server.url(), reactor),
            FailureDocument(Self.source)
        )
        #expect(destination.name == "postgres table public.letters")
        // A queue may bring a message twice in one batch.
        try await destination.deliver([
            Self.letter(1, at: 0), Self.letter(2, body: "a \"b\" \\ \u{0}"), Self.letter(1),
        ])
        try await destination.deliver([Self.letter(2, at: 1_767_225_661_500)])
        let rows = try server.run(
            "SELECT id, trigger, at AT TIME ZONE 'UTC', document #>> '{requestContext,approximateInvokeCount}' FROM letters ORDER BY id"
        )
        #expect(rows == "orders/p/1|orders|2026-01-01 00:00:00|3\norders/p/2|orders|2026-01-01 00:01:01.5|3")
        try await destination.deliver((10..<2510).map { Self.letter($0) })
        #expect(try server.run("SELECT count(*) FROM letters") == "2502")
        let record = InvocationRecord(
            id: "i-1",
            trigger: "orders",
            function: "f",
            attempt: 1,
            at: Timestamp(milliseconds: 0),
            json: Array("{\"a\":1}".utf8)
        )
        let results = PostgresResultDestination(try Self.table(server.url(), reactor))
        for _ in 0..<2 { try await results.deliver(record) }
        #expect(try server.run("SELECT document FROM letters WHERE id = 'i-1'") == "{\"a\":1}")
        await results.close()
        await destination.close()
    }

    @Test("While the server is away letters are refused; a letter that the table can never take is named")
    func refusals() async throws {
        let server = try PostgresServer()
        let reactor = try Reactor(name: "destination-test")
        defer { reactor.stop() }
        let destination = PostgresDestination(
            try Self.table(server.url(), reactor),
            FailureDocument(Self.source)
        )
        func failure(_ letters: [DeadLetter]) async -> DestinationError? {
            do throws(DestinationError) {
                try await destination.deliver(letters)
                return nil
            } catch {
                return error
            }
        }
        let missing = await failure([Self.letter(1)])
        #expect(missing?.detail.contains("42P01") == true && missing?.refused == [])
        // A user's own table, whose type does not take all of JSON.
        try server.run(Self.sql.replacing("document json NOT", with: "document jsonb NOT"))
        let odd = await failure([Self.letter(1), Self.letter(2, body: "\u{0}"), Self.letter(3)])
        #expect(odd?.delivered == [0, 2] && odd?.refused == [1], "\(odd.map { "\($0)" } ?? "")")
        #expect(try server.run("SELECT count(*) FROM letters") == "2")
        server.crash()
        let away = await failure([Self.letter(4)])
        #expect(away?.delivered == [] && away?.refused == [])
        try server.start()
        #expect(await failure([Self.letter(4)]) == nil)
        #expect(try server.run("SELECT count(*) FROM letters") == "3")
        await destination.close()
        #expect(await failure([Self.letter(5)]) != nil)
    }
}
