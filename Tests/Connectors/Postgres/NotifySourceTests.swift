// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import PostgresClient
import Reactor
import Testing

@testable import PostgresConnector

/// Notifications of a real server as a source.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct NotifySourceTests {
    private static let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'penstock'"

    @Test("Each notification becomes a record, in the order of commits, with where and when it came from")
    func records() async throws {
        let (server, file) = (try PostgresServer(), StoreFile())
        let probe = try await NotifyProbe(
            "{ url: \"\(server.url())\", channels: [orders, \"Odd Name\"] }",
            store: file.url
        )
        probe.wait(for: "a session that listens") { $0.isConnected }
        try server.run("NOTIFY orders, 'first'; NOTIFY other, 'x'")
        try server.run("NOTIFY \"Odd Name\"")
        probe.wait(for: "two records") { $0.records.count == 2 }
        #expect(probe.payloads == ["first", ""] && probe.gaps == [])
        let event = probe.records[0].event
        let id = try #require(event["eventID"])
        #expect(id.wholeMatch(of: /[0-9a-f]{8}:000000000001/) != nil)
        #expect(event["channel"] == "orders")
        let head =
            #"{"eventID":"\#(id)","eventVersion":"1.0","eventName":"NOTIFY","eventSource":"postgres:notify","#
            + #""eventSourceARN":"arn:aws:postgres:local:000000000000:postgres/channel/orders","awsRegion":"local","#
            + #""postgres":{"database":"postgres","channel":"orders","payload":"#
        #expect(event["head"] == head)
        let tail = try #require(event["tail"])
        #expect(
            tail.wholeMatch(
                of:
                    /,"backendPid":[0-9]+,"receivedAt":[0-9]+\.[0-9]{3},"sessionEpoch":"[0-9a-f]{8}","sequence":1,"possibleGap":false}}/
            ) != nil
        )
        try await probe.stop()
        #expect(try BoundedWait.until(within: .seconds(60)) { try server.run(Self.sessions) == "0" })
    }

    @Test("After a lost connection and after a restart, the first record says that others may be missing")
    func gaps() async throws {
        let (server, file) = (try PostgresServer(), StoreFile())
        let proxy = try TestProxy(to: server.port)
        defer { proxy.stop() }
        let yaml = "{ url: \"\(server.url(port: proxy.port))\", channels: [c] }"
        let probe = try await NotifyProbe(yaml, store: file.url)
        probe.wait(for: "a session that listens") { $0.isConnected }
        for isCut in [true, false] {
            let (before, lost) = (probe.records.count, probe.problems.count)
            if isCut { proxy.cut() } else { server.crash() }
            probe.wait(for: "the loss is told") { $0.problems.count > lost && !$0.isConnected }
            if isCut {
                try server.run("NOTIFY c, 'lost'")
                proxy.restore()
            } else {
                try server.start()
            }
            probe.wait(for: "it listens again") { $0.isConnected && $0.gaps.count == (isCut ? 1 : 2) }
            try server.run("NOTIFY c, 'a'; NOTIFY c, 'b'")
            probe.wait(for: "two records") { $0.records.count == before + 2 }
            let tails = probe.records.suffix(2).map { $0.event["tail"] ?? "" }
            #expect(tails.map { $0.contains(#""possibleGap":true"#) } == [true, false])
        }
        #expect(!probe.payloads.contains("lost"))
        // One record is not settled.
        try await probe.stop(settled: 3)
        let second = try await NotifyProbe(yaml, store: file.url)
        second.wait(for: "what was not settled") { $0.payloads == ["b"] }
        second.wait(for: "the gap") { $0.gaps.count == 1 && $0.isConnected }
        try server.run("NOTIFY c, 'c'")
        second.wait(for: "a new record") { $0.payloads == ["b", "c"] }
        #expect(second.records[1].event["tail"]?.contains(#""possibleGap":true"#) == true)
        try await second.stop()
    }

    @Test("A server that stands still is noticed after silence")
    func silence() async throws {
        let (server, file) = (try PostgresServer(), StoreFile())
        let proxy = try TestProxy(to: server.port)
        defer { proxy.stop() }
        let url = server.url(port: proxy.port)
        let probe = try await NotifyProbe("{ url: \"\(url)\", channels: [c], ping: 1s }", store: file.url)
        probe.wait(for: "a session that listens") { $0.isConnected }
        proxy.stall()
        probe.wait(for: "the silence is noticed") { !$0.problems.isEmpty }
        #expect(probe.problems[0].contains("took longer than"), "\(probe.problems)")
        proxy.cut()
        proxy.restore()
        probe.wait(for: "it listens again") { $0.isConnected && $0.gaps.count == 1 }
        try await probe.stop()
    }

    @Test("Of two triggers that share a session, the shorter ping counts, whichever came first")
    func leastPing() async throws {
        let server = try PostgresServer()
        let proxy = try TestProxy(to: server.port)
        defer { proxy.stop() }
        let reactor = try Reactor(name: "ping-test")
        defer { reactor.stop() }
        let address = try PostgresAddress(server.url(port: proxy.port))
        let (patient, impatient) = (Ears(), Ears())
        let memberships = [
            ListenSession.join(address, on: reactor, patient.listener(["a"], ping: .seconds(3600))),
            ListenSession.join(address, on: reactor, impatient.listener(["a"], ping: .seconds(1))),
        ]
        #expect(BoundedWait.until(within: .seconds(60)) { patient.isListening && impatient.isListening })
        proxy.stall()
        #expect(BoundedWait.until(within: .seconds(60)) { !patient.isListening && !impatient.isListening })
        for membership in memberships { membership.leave() }
    }

    @Test("What does not fit the buffer is dropped, counted, and told")
    func drops() async throws {
        let (server, file) = (try PostgresServer(), StoreFile())
        let url = server.url()
        let probe = try await NotifyProbe("{ url: \"\(url)\", channels: [c], buffer: 1 }", store: file.url)
        probe.wait(for: "a session that listens") { $0.isConnected }
        let count = 2000
        try server.run("SELECT pg_notify('c', i::text) FROM generate_series(1, \(count)) i")
        func dropped() -> Int {
            probe.gaps.compactMap { $0.split(separator: " ").first.flatMap { Int($0) } }.reduce(0, +)
        }
        probe.wait(for: "each is a record or counted") { $0.records.count + dropped() == count }
        #expect(dropped() > 0)
        try server.run("NOTIFY c, 'after'")
        probe.wait(for: "the next record") { $0.payloads.last == "after" }
        try await probe.stop()
    }

    @Test("All triggers of a database share one session, and each gets what it listens for")
    func sharing() async throws {
        let server = try PostgresServer()
        let reactor = try Reactor(name: "share-test")
        defer { reactor.stop() }
        let address = try PostgresAddress(server.url())
        let (first, second) = (Ears(), Ears())
        let memberships = [
            ListenSession.join(address, on: reactor, first.listener(["a", "shared"])),
            ListenSession.join(address, on: reactor, second.listener(["b", "shared"])),
        ]
        #expect(BoundedWait.until(within: .seconds(60)) { first.isListening && second.isListening })
        #expect(try server.run(Self.sessions) == "1")
        try server.run("NOTIFY a, '1'; NOTIFY b, '2'; NOTIFY shared, '3'")
        #expect(
            BoundedWait.until(within: .seconds(60)) {
                first.heard == ["1", "3"] && second.heard == ["2", "3"]
            }
        )
        memberships[0].leave()
        let third = Ears()
        let last = ListenSession.join(address, on: reactor, third.listener(["a"]))
        #expect(BoundedWait.until(within: .seconds(60)) { third.isListening })
        #expect(try server.run(Self.sessions) == "1")
        try server.run("NOTIFY a, '4'; NOTIFY shared, '5'")
        #expect(BoundedWait.until(within: .seconds(60)) { third.heard == ["4"] && second.heard.last == "5" })
        #expect(first.heard == ["1", "3"])
        memberships[1].leave()
        last.leave()
        #expect(try BoundedWait.until(within: .seconds(60)) { try server.run(Self.sessions) == "0" })
    }

    @Test(
        "A standby, and a pooler that shares sessions out, are found and explained; one that does not is fine"
    )
    func explained() async throws {
        let server = try PostgresServer()
        for mode in [PostgresPooler.Mode.session, .transaction] {
            let (pooler, file) = (try PostgresPooler(before: server, mode), StoreFile())
            let url = server.url(port: pooler.port)
            let probe = try await NotifyProbe("{ url: \"\(url)\", channels: [c] }", store: file.url)
            if mode == .session {
                probe.wait(for: "it listens through the pooler") { $0.isConnected }
                try server.run("NOTIFY c, 'through'")
                probe.wait(for: "a record") { $0.payloads == ["through"] }
            } else {
                probe.wait(for: "the pooler is explained") {
                    $0.problems.contains { $0.contains("PgBouncer in transaction mode") }
                }
                #expect(!probe.isConnected)
            }
            try await probe.stop()
        }
        try server.becomeStandby()
        let file = StoreFile()
        let probe = try await NotifyProbe("{ url: \"\(server.url())\", channels: [c] }", store: file.url)
        probe.wait(for: "the standby is explained") {
            $0.problems.contains { $0.contains("standby in recovery") }
        }
        try await probe.stop()
    }
}
