// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import PostgresConnector

/// One slot for several triggers, and several readers of one slot.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(10)))
struct SlotSharingTests {
    private static func yaml(_ server: PostgresServer, _ more: String = "") -> String {
        "url: \"\(server.url())\"\nslot: s\nheartbeat: 1s\n\(more)\n"
    }

    private static func claim(
        _ yaml: String,
        _ trigger: String,
        on reactor: Reactor
    ) throws -> any SourceClaim {
        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(ChangesConfiguration.self)
        let plan = PostgresConnector.plan(try #require(read.value, "\(read.findings)"))
        let context = RuntimeContext(reactor: reactor, logger: Logger(label: "test"))
        return try #require(plan.claim?(trigger, context))
    }

    @Test("Triggers of a slot share a connection, each with its tables, and the slowest holds the slot")
    func shares() async throws {
        let server = try PostgresServer.replicating()
        try server.run("CREATE TABLE other (id int PRIMARY KEY)")
        try server.makeSlot("s")
        try server.run("ALTER PUBLICATION s ADD TABLE other")
        let reactor = try Reactor(name: "sharing-test")
        defer { reactor.stop() }
        let yaml = Self.yaml(server)
        // Configured, and never started: what it has is not known.
        let third = try Self.claim(yaml, "third", on: reactor)
        let all = try await ChangesProbe(yaml, trigger: "all", on: reactor)
        let some = try await ChangesProbe(Self.yaml(server, "tables: [other]"), trigger: "some", on: reactor)
        all.wait(for: "both to read") { $0.isConnected && some.isConnected }
        try server.run("INSERT INTO s SELECT n FROM generate_series(1, 100) n; INSERT INTO other VALUES (7)")
        let end = try server.walEnd()
        all.wait(for: "101 records") { $0.records.count == 101 && some.records.count == 1 }
        #expect(try server.run("SELECT count(*) FROM pg_stat_replication") == "1")
        #expect(some.records.first?.table == "other")
        func place(_ probe: ChangesProbe) -> String {
            probe.last.flatMap { ChangePosition.parts($0.position) }.map { "\($0.commit)" } ?? "0/0"
        }
        func isBehind(_ probe: ChangesProbe) throws -> Bool {
            try server.run("SELECT '\(place(probe))'::pg_lsn >= '\(end)'::pg_lsn") == "t"
        }
        try all.wait(for: "the end of the log") { try isBehind($0) && isBehind(some) }
        let before = try server.confirmed("s")
        try await all.settle()
        try await some.settle()
        // Whoever was never heard of holds all.
        let beats = try server.run("SELECT reply_time FROM pg_stat_replication")
        try all.wait(for: "a heartbeat") { _ in
            try server.run("SELECT reply_time > '\(beats)'::timestamptz FROM pg_stat_replication") == "t"
        }
        #expect(try server.confirmed("s") == before)
        third.release()
        try all.wait(for: "the slot to move") { _ in try server.isAllAcknowledged("s", since: end) }
        // One that has ended, and is not configured, holds nothing.
        try server.run("INSERT INTO s SELECT n FROM generate_series(101, 200) n")
        let later = try server.walEnd()
        all.wait(for: "201 records") { $0.records.count == 201 }
        await some.stop()
        try all.wait(for: "the next end of the log") { probe in
            try server.run("SELECT '\(place(probe))'::pg_lsn >= '\(later)'::pg_lsn") == "t"
        }
        try await all.settle()
        try all.wait(for: "the slot to move again") { _ in try server.isAllAcknowledged("s", since: later) }
        await all.stop()
    }

    @Test("A trigger that is left behind holds up no other, loses nothing, and the slot does not pass it")
    func leftBehind() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s")
        let reactor = try Reactor(name: "sharing-test")
        defer { reactor.stop() }
        let slow = try await ChangesProbe(Self.yaml(server), trigger: "slow", on: reactor, grant: 0)
        let quick = try await ChangesProbe(
            Self.yaml(server),
            trigger: "quick",
            on: reactor,
            settlesAll: true
        )
        quick.wait(for: "both to read") { $0.isConnected && slow.isConnected }
        slow.source.grant(ReceiveBudget(records: 5, bytes: 1 << 20))
        let before = try server.confirmed("s")
        // Far more than waits for one that does not take it.
        let count = 3000
        try server.run("INSERT INTO s SELECT n, repeat('x', 4000) FROM generate_series(1, \(count)) n")
        quick.wait(for: "all records") { $0.records.count == count }
        slow.wait(for: "its five") { $0.records.count == 5 }
        #expect(try server.confirmed("s") == before)
        slow.source.grant(ReceiveBudget(records: 1_000_000, bytes: 1 << 30))
        slow.wait(for: "all records, too") { $0.records.count == count }
        #expect(slow.records.compactMap(\.id) == Array(1...count) && slow.gaps.isEmpty)
        try server.run("INSERT INTO s VALUES (\(count + 1))")
        slow.wait(for: "what comes then") {
            $0.records.count == count + 1 && quick.records.count == count + 1
        }
        #expect(quick.records.compactMap(\.id) == Array(1...count + 1))
        await slow.stop()
        await quick.stop()
    }

    @Test("A second reader stands by, says who reads, and goes on when that one has ended")
    func standsBy() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s")
        let first = try await ChangesProbe(Self.yaml(server))
        first.wait(for: "the first to read") { $0.isConnected }
        let second = try await ChangesProbe(Self.yaml(server))
        second.wait(for: "the second to stand by") { probe in
            probe.problems.contains { $0.contains("penstock at 127.0.0.1") && $0.contains("stands by") }
        }
        try server.run("INSERT INTO s VALUES (1)")
        first.wait(for: "a record") { $0.records.count == 1 }
        #expect(second.records.isEmpty)
        await first.stop()
        second.wait(for: "the record again") { $0.records.count == 1 }
        await second.stop()
    }

    @Test("Whoever has the lease ends the session of another member, whatever its URL calls it")
    func takesOver() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s")
        let url = "url: \"\(server.url())?application_name=orders\"\nslot: s\nheartbeat: 1s\n"
        let first = try await ChangesProbe(url, cluster: "1f")
        first.wait(for: "the first to read") { $0.isConnected }
        let owner = "SELECT active_pid FROM pg_replication_slots"
        let before = try server.run(owner)
        let name = "SELECT application_name FROM pg_stat_activity WHERE pid = \(before)"
        #expect(try server.run(name) == "penstock 1f orders")
        let second = try await ChangesProbe(Self.yaml(server), cluster: "1f")
        try second.wait(for: "the first one's session to end") { _ in try server.run(owner) != before }
        await first.stop()
        second.wait(for: "the second to read") { $0.isConnected }
        await second.stop()
    }

    @Test(
        "Two URLs of one server do not take a slot from each other: the first one reads, the other one is told"
    )
    func twoURLs() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s")
        let reactor = try Reactor(name: "sharing-test")
        defer { reactor.stop() }
        let other = "url: \"\(server.url())?application_name=other\"\nslot: s\nheartbeat: 1s\n"
        let claim = try Self.claim(Self.yaml(server), "one", on: reactor)
        let first = try await ChangesProbe(Self.yaml(server), trigger: "one", on: reactor, cluster: "1f")
        first.wait(for: "the first to read") { $0.isConnected }
        let owner = "SELECT coalesce(max(active_pid), 0) FROM pg_replication_slots"
        let before = try server.run(owner)
        let second = try await ChangesProbe(other, trigger: "two", on: reactor, cluster: "1f")
        second.wait(for: "the second to be told") { probe in
            probe.problems.contains {
                $0.contains("is read by this Penstock already, for one by another \"url\"")
            }
        }
        var looks: Set<String> = []
        let look = """
            SELECT max(query_start) FROM pg_stat_activity
            WHERE query LIKE '%publication_rel%' AND application_name = 'other' AND pid <> pg_backend_pid()
            """
        try second.wait(for: "six looks") { _ in
            looks.insert(try server.run(look))
            return looks.count > 6
        }
        #expect(try server.run(owner) == before)
        // Also a session that is lost leaves the slot to whoever had it.
        for round in 1...3 {
            let last = try server.run(owner)
            try server.run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots")
            try first.wait(for: "the first to read again") { _ in
                let now = try server.run(owner)
                return now != last && now != "0"
            }
            try server.run("INSERT INTO s VALUES (\(round))")
            first.wait(for: "record \(round)") { $0.records.count == round }
        }
        #expect(second.records.isEmpty)
        try await first.settle()
        await first.stop()
        claim.release()
        second.wait(for: "the second to read") { $0.isConnected }
        await second.stop()
    }

    @Test("A publication may have any name")
    func oddPublication() async throws {
        let server = try PostgresServer.replicating()
        try server.run("CREATE TABLE s (id int PRIMARY KEY, v text)")
        let name = #"publication: 'O''Reilly\s "big" x, y\'"#
        let probe = try await ChangesProbe(Self.yaml(server, "tables: [s]\ncreate: true\n\(name)"))
        probe.wait(for: "it to read") { $0.isConnected }
        #expect(try server.run("SELECT pubname FROM pg_publication") == #"O'Reilly\s "big" x, y\"#)
        try server.run("INSERT INTO s VALUES (1)")
        probe.wait(for: "a record") { $0.records.count == 1 }
        await probe.stop()
    }

    @Test("The session of a Penstock with another store is waited for, and never ended")
    func foreign() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s")
        let first = try await ChangesProbe(Self.yaml(server), cluster: "1f")
        first.wait(for: "the first to read") { $0.isConnected }
        let owner = "SELECT active_pid FROM pg_replication_slots"
        let before = try server.run(owner)
        for cluster in ["1f2", "2"] {
            let second = try await ChangesProbe(Self.yaml(server), cluster: cluster)
            second.wait(for: "the second to stand by") { probe in
                probe.problems.contains {
                    $0.contains("another Penstock, which does not share this one's store")
                        && $0.contains("penstock 1f at")
                }
            }
            // It looks again and again.
            var looks: Set<String> = []
            try second.wait(for: "six looks") { _ in
                looks.insert(
                    try server.run(
                        "SELECT max(query_start) FROM pg_stat_activity WHERE query LIKE '%publication_rel%' AND pid <> pg_backend_pid()"
                    )
                )
                return looks.count > 6
            }
            #expect(try server.run(owner) == before)
            await second.stop()
        }
        try server.run("INSERT INTO s VALUES (1)")
        first.wait(for: "a record") { $0.records.count == 1 }
        await first.stop()
    }

    @Test("A trigger that comes while the stream is on its way misses nothing")
    func joinsWhileOpening() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s")
        for n in 1...100 { try server.run("INSERT INTO s VALUES (\(n))") }
        let first = try await ChangesProbe(Self.yaml(server))
        first.wait(for: "100 records") { $0.records.count == 100 }
        let last = try #require(first.records.last?.position)
        await first.stop()
        let reactor = try Reactor(name: "sharing-test")
        defer { reactor.stop() }
        // It is configured: what it has is not known before it comes, and nothing is acknowledged until then.
        let claim = try Self.claim(Self.yaml(server), "behind", on: reactor)
        for moment in 0..<20 {
            let ahead = try await ChangesProbe(
                Self.yaml(server),
                checkpoint: last,
                trigger: "ahead",
                on: reactor
            )
            // Others are waited for 300 ms; then another step of the connection each time.
            await reactor.pause(for: .microseconds(295_000 + 1000 * moment))
            let behind = try await ChangesProbe(Self.yaml(server), trigger: "behind", on: reactor)
            behind.wait(for: "100 records, step \(moment)", within: .seconds(15)) { $0.records.count == 100 }
            #expect(ahead.records.isEmpty)
            await ahead.stop()
            await behind.stop()
        }
        claim.release()
    }

    @Test("A table that is not there is told to who names it, stops nobody, and is read once it is made")
    func missingTable() async throws {
        let server = try PostgresServer.replicating()
        try server.makeSlot("s")
        let reactor = try Reactor(name: "sharing-test")
        defer { reactor.stop() }
        let whole = try await ChangesProbe(Self.yaml(server, "tables: [s]"), trigger: "whole", on: reactor)
        let yaml = Self.yaml(server, "tables: [s, later]\ncreate: true")
        let other = try await ChangesProbe(yaml, trigger: "other", on: reactor)
        other.wait(for: "the table to be missed") { probe in
            probe.warnings.contains { $0.contains("there is no table public.later") }
        }
        try server.run("INSERT INTO s VALUES (1)")
        whole.wait(for: "a record") { $0.records.count == 1 && other.records.count == 1 }
        try server.run("CREATE TABLE later (id int PRIMARY KEY)")
        try other.wait(for: "the table to be published") { _ in
            try server.run("SELECT count(*) FROM pg_publication_tables WHERE tablename = 'later'") == "1"
        }
        try server.run("INSERT INTO later VALUES (2)")
        other.wait(for: "its record") { $0.records.count == 2 }
        #expect(whole.records.count == 1)
        await whole.stop()
        await other.stop()
    }
}
