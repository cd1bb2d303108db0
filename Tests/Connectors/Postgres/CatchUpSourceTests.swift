// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import PostgresClient
import Reactor
import Testing

@testable import PostgresConnector

/// Rows of a catch-up query of a real server as a source.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct CatchUpSourceTests {
    private static func yaml(_ url: String, overlap: String = "30s", interval: String = "1h") -> String {
        """
        url: "\(url)"
        channels: [orders]
        catch_up:
          query: SELECT id, payload FROM orders WHERE id > $last
          interval: \(interval)
          overlap: \(overlap)
        """
    }

    private static let table = "CREATE TABLE orders (id bigserial PRIMARY KEY, payload text)"

    @Test("The catch-up source keeps the contract of sources")
    func conforms() async throws {
        let server = try PostgresServer()
        let checks = SourceConformance.checks.filter { !$0.needsRebalance }
        for (number, check) in checks.enumerated() {
            try server.run(
                """
                CREATE TABLE orders_\(number) (id bigserial PRIMARY KEY, payload text);
                INSERT INTO orders_\(number) (payload) SELECT lpad(i::text, 9) FROM generate_series(1, \(check.records)) i
                """
            )
        }
        let address = try PostgresAddress(server.url())
        await withTaskGroup { group in
            for (number, check) in checks.enumerated() {
                group.addTask {
                    do {
                        let yaml = Self.yaml(server.url()).replacing(
                            "FROM orders",
                            with: "FROM orders_\(number)"
                        )
                        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(
                            NotifyConfiguration.self
                        )
                        let configuration = try #require(read.value, "\(read.findings)")
                        let catchUp = try #require(configuration.catchUp)
                        let (file, reactor) = (StoreFile(), try Reactor(name: "catch-up-test"))
                        let store = try SQLiteStore.open(path: file.url.path)
                        let name = PostgresConnector.notifyPartition
                        let upstream = SourceConformance.Upstream(loop: reactor, partitions: [name]) {
                            JournalSource(
                                journal: "t",
                                partition: Partition(id: PartitionID(1), name: name),
                                format: PostgresEventFormat(kind: .notify),
                                store: store,
                                feed: CatchUpFeed(configuration, catchUp, address, on: reactor),
                                loop: reactor
                            )
                        }
                        try await check.run(upstream)
                        await store.close()
                    } catch {
                        Issue.record(error, "\(check)")
                    }
                }
            }
        }
    }

    @Test("Rows come at the start, at a notification, and after the server was away; each once")
    func doorbell() async throws {
        let (server, file) = (try PostgresServer(), StoreFile())
        try server.run(Self.table)
        try server.run("INSERT INTO orders (payload) SELECT i::text FROM generate_series(1, 1200) i")
        let probe = try await NotifyProbe(Self.yaml(server.url()), store: file.url)
        probe.wait(for: "what was there") { $0.records.count == 1200 && $0.isConnected }
        try server.run("INSERT INTO orders (payload) VALUES ('rung'); NOTIFY orders")
        probe.wait(for: "a row that was told of") { $0.payloads.last == "rung" }
        let event = try #require(probe.records.last?.event)
        #expect(event["eventID"] == "1201")
        #expect(event["head"]?.contains(#""eventName":"ROW""#) == true)
        server.crash()
        probe.wait(for: "the loss") { !$0.problems.isEmpty }
        try server.start()
        try server.run("INSERT INTO orders (payload) VALUES ('quiet')")
        probe.wait(for: "a row that nobody told of") { $0.payloads.last == "quiet" && $0.isConnected }
        #expect(probe.gaps == [])
        #expect(Set(probe.payloads).count == probe.records.count && probe.records.count == 1202)
        try await probe.stop(settled: 1200)
        try server.run("INSERT INTO orders (payload) VALUES ('while away')")
        let second = try await NotifyProbe(Self.yaml(server.url()), store: file.url)
        second.wait(for: "what was not settled, and what is new") { $0.records.count == 3 }
        #expect(second.payloads == ["rung", "quiet", "while away"])
        try await second.stop()
    }

    @Test("A page of large rows is cut by their bytes, and the rest follows at once")
    func largeRows() async throws {
        let (server, file) = (try PostgresServer(), StoreFile())
        try server.run(Self.table)
        try server.run(
            "INSERT INTO orders (payload) SELECT repeat('x', 4000000) FROM generate_series(1, 11) i"
        )
        let probe = try await NotifyProbe(Self.yaml(server.url()), store: file.url)
        probe.wait(for: "all rows") { $0.records.count == 11 }
        try await probe.stop()
    }

    @Test("A row that becomes visible after one with a greater number comes, too")
    func lateCommit() async throws {
        let (server, file) = (try PostgresServer(), StoreFile())
        try server.run(Self.table)
        let probe = try await NotifyProbe(
            Self.yaml(server.url(), overlap: "20s", interval: "1s"),
            store: file.url
        )
        let address = try PostgresAddress(server.url())
        let writer = try await PostgresConnection.open(address, on: probe.reactor)
        try await writer.run(PostgresQuery(script: "BEGIN; INSERT INTO orders (payload) VALUES ('late')"))
        try server.run("INSERT INTO orders (payload) VALUES ('early'); NOTIFY orders")
        probe.wait(for: "the row that was committed first") { $0.payloads == ["early"] }
        try await writer.run(PostgresQuery(script: "COMMIT"))
        probe.wait(for: "the row before it") { $0.payloads == ["early", "late"] }
        await writer.close()
        try await probe.stop()
    }

    @Test(
        "A query that cannot be used says why, and goes on when that is mended",
        arguments: [
            ("SELECT id, payload FROM nothing WHERE id > $last", "42P01"),
            ("SELECT id FROM orders WHERE id > $last", "\"catch_up.query\" has 1 columns available but 2"),
            ("SELECT payload, id FROM orders WHERE id > $last", "must be a whole number"),
            ("SELECT (8 + id)::text, payload FROM orders WHERE id > $last", "different in each row"),
            ("SELECT 1, payload FROM orders WHERE id > $last", "different in each row"),
        ]
    )
    func broken(query: String, text: String) async throws {
        let (server, file) = (try PostgresServer(), StoreFile())
        try server.run(Self.table)
        let more = text == "different in each row" ? ", ('y')" : ""
        try server.run("INSERT INTO orders (payload) VALUES ('x')\(more)")
        let yaml = Self.yaml(server.url()).replacing(
            "SELECT id, payload FROM orders WHERE id > $last",
            with: query
        )
        let probe = try await NotifyProbe(yaml, store: file.url)
        probe.wait(for: text) { $0.problems.contains { $0.contains(text) } }
        if text == "42P01" {
            try server.run("CREATE TABLE nothing AS SELECT * FROM orders")
            probe.wait(for: "the row") { $0.payloads == ["x"] && $0.isConnected }
        }
        try await probe.stop()
    }
}
