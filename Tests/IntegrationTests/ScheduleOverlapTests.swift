// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Synchronization
import Testing

/// Fires that come while earlier ones run, in the built program.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(5)))
struct ScheduleOverlapTests {
    /// A function over HTTP that answers the first calls when it is told to.
    private final class SlowServer: Sendable {
        let slow: Int
        private let calls = Mutex(0)
        private let release = Latch()

        init(slow: Int) {
            self.slow = slow
        }

        func respond(_ exchange: TestHTTPServer.Exchange) {
            let number = self.calls.withLock { calls in
                calls += 1
                return calls
            }
            guard number <= self.slow else { return exchange.respond() }
            self.release.block()
            exchange.respond()
        }

        var count: Int { self.calls.withLock { $0 } }

        func go() { self.release.open() }
    }

    private static func configuration(
        _ overlap: String,
        _ home: TemporaryFolder,
        _ server: TestHTTPServer,
        port: Int = 0
    ) -> String {
        """
        state: "sqlite:\(home.url.path)/penstock.db"
        admin: { listen: "127.0.0.1:\(port)" }
        functions:
          sink: { http: { url: "\(server.url())", timeout: 120s } }
        triggers:
          tick:
            source: { schedule: { expression: "* * * * * *", overlap: \(overlap) } }
            function: sink

        """
    }

    private static func history(_ home: TemporaryFolder) throws -> [(key: String, outcome: String)] {
        let run = try CommandRun(
            [
                "schedule", "history", "tick", "--limit", "1000", "--format", "json", "--config",
                "commands.yaml",
            ],
            in: home.url
        )
        let result = try run.document()["result"] as? [String: Any]
        let fires = result?["fires"] as? [[String: Any]] ?? []
        return fires.compactMap { fire in
            guard let key = fire["key"] as? String, let outcome = fire["outcome"] as? String else {
                return nil
            }
            return (key, outcome)
        }
    }

    private static func time(_ request: TestHTTPServer.Request) -> String? {
        let object = try? JSONSerialization.jsonObject(with: Data(request.body)) as? [String: Any]
        return object?["time"] as? String
    }

    private static func start(
        _ overlap: String,
        _ home: TemporaryFolder,
        _ server: TestHTTPServer
    ) throws -> PenstockProcess {
        let penstock = try PenstockProcess(
            in: home.url,
            configuration: Self.configuration(overlap, home, server)
        )
        let text = try String(contentsOf: home.url.appendingPathComponent("ready"), encoding: .utf8)
        let port = try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        try Self.configuration(overlap, home, server, port: port).write(
            to: home.url.appendingPathComponent("commands.yaml"),
            atomically: true,
            encoding: .utf8
        )
        return penstock
    }

    @Test("With allow, fires are invoked side by side while the first one runs")
    func allow() throws {
        let home = try TemporaryFolder()
        let slow = SlowServer(slow: 3)
        let server = try TestHTTPServer { _, exchange in slow.respond(exchange) }
        defer { server.stop() }
        let penstock = try Self.start("allow", home, server)
        #expect(BoundedWait.until(within: .seconds(90)) { slow.count >= 4 }, "\(penstock.logTail)")
        #expect(
            try Self.history(home).allSatisfy { $0.outcome == "waiting" },
            "the first one holds the watermark"
        )
        slow.go()
        try penstock.terminate()
        let times = server.requests.compactMap(Self.time)
        #expect(Set(times).count == times.count)
    }

    @Test(
        "With cancel_other, a fire cancels the one that runs, is invoked, and the log tells which was which"
    )
    func cancelOther() throws {
        let home = try TemporaryFolder()
        let slow = SlowServer(slow: 2)
        let server = try TestHTTPServer { _, exchange in slow.respond(exchange) }
        defer { server.stop() }
        let penstock = try Self.start("cancel_other", home, server)
        // The first two hang, and each is cancelled by the next one.
        #expect(BoundedWait.until(within: .seconds(90)) { slow.count >= 4 }, "\(penstock.logTail)")
        let hung = server.requests.prefix(2).compactMap(Self.time)
        var log: [String: String] = [:]
        #expect(
            try BoundedWait.until(within: .seconds(90)) {
                log = try Dictionary(Self.history(home).map { ($0.key, $0.outcome) }) { first, _ in first }
                // What was answered in time has settled, though a later one came before its checkpoint.
                return log.values.contains("settled") && hung.allSatisfy { log[$0] == "cancelled" }
            },
            "\(log)"
        )
        let show = try CommandRun(["triggers", "show", "tick", "--config", "commands.yaml"], in: home.url)
        #expect(show.output.contains(" cancelled"), "\(show.output)")
        slow.go()
        try penstock.terminate()
        let times = server.requests.compactMap(Self.time)
        #expect(Set(times).count == times.count, "nothing is invoked twice")
    }
}
