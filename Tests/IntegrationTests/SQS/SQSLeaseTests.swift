// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockTesting
import Synchronization
import Testing

/// The built program between a scripted queue and a function that answers over HTTP: what becomes of leases.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(5)))
struct SQSLeaseTests {
    private static func start(
        _ queue: ScriptedSQS,
        _ server: TestHTTPServer,
        in home: TemporaryFolder,
        source: String = "",
        function: String = "timeout: 30s",
        trigger: String = ""
    ) throws -> PenstockProcess {
        try PenstockProcess(
            in: home.url,
            configuration: """
                state: "sqlite:\(home.url.path)/penstock.db"
                admin: { listen: "127.0.0.1:0" }
                functions:
                  sink: { http: { url: "\(server.url())", \(function) } }
                triggers:
                  orders:
                    source:
                      sqs:
                        queue: "\(queue.url)"
                        region: eu-west-1
                        credentials: { access_key_id: test, secret_access_key: test }
                        \(source)
                    function: sink
                    \(trigger)

                """
        )
    }

    private static func wait(for what: String, _ penstock: PenstockProcess, _ condition: () -> Bool) throws {
        guard BoundedWait.until(within: .seconds(60), condition) else {
            throw PenstockProcess.Failure("waited for \(what); log:\n\(penstock.logTail)")
        }
    }

    @Test("A function that takes longer than the visibility keeps its messages, and gets none twice")
    func heartbeat() throws {
        let (queue, home) = (try ScriptedSQS(), try TemporaryFolder())
        let mayAnswer = Latch()
        let server = try TestHTTPServer { _, exchange in
            mayAnswer.block()
            exchange.respond()
        }
        defer {
            queue.stop()
            server.stop()
        }
        queue.send((0..<5).map { ("\($0)", nil) })
        let penstock = try Self.start(
            queue,
            server,
            in: home,
            source: "visibility: 6s",
            trigger: "batch: { size: 5, window: 100ms }"
        )
        // Each comes after 3 s, so without them the messages would have come again.
        try Self.wait(for: "extensions", penstock) { queue.figures.visibilities.count >= 15 }
        mayAnswer.open()
        try Self.wait(for: "deletions", penstock) { queue.bodies.isEmpty }
        try penstock.terminate()
        #expect(queue.figures.deliveries == 5)
        #expect(Set(queue.figures.visibilities) == [6])
    }

    @Test("Triggers with filters share a queue when each gives back what is the other's")
    func shared() throws {
        let (queue, home) = (try ScriptedSQS(), try TemporaryFolder())
        let server = try TestHTTPServer { _, exchange in exchange.respond() }
        defer {
            queue.stop()
            server.stop()
        }
        queue.send((0..<8).map { ("{\"kind\":\"\($0 % 2 == 0 ? "even" : "odd")\",\"n\":\($0)}", nil) })
        func trigger(_ kind: String) -> String {
            "filters: [{ body: { kind: [\(kind)] } }]\n    filtered: release\n    batch: { size: 10, window: 0s }"
        }
        let other = """
              other:
                source:
                  sqs:
                    queue: "\(queue.url)"
                    region: eu-west-1
                    credentials: { access_key_id: test, secret_access_key: test }
                function: sink
            """
        let penstock = try Self.start(
            queue,
            server,
            in: home,
            trigger: trigger("even") + "\n" + other + "\n    " + trigger("odd")
        )
        try Self.wait(for: "deletions", penstock) { queue.bodies.isEmpty }
        try penstock.terminate()
        #expect(queue.figures.deleted == 8)
        let events = server.requests.map { String(decoding: $0.body, as: UTF8.self) }
        #expect(events.allSatisfy { $0.contains(#"\"even\""#) != $0.contains(#"\"odd\""#) })
    }

    @Test("A function without room costs no receipt: its messages stay in hand, and no more are received")
    func throttled() throws {
        let (queue, home) = (try ScriptedSQS(), try TemporaryFolder())
        let refusals = Mutex(0)
        let server = try TestHTTPServer { _, exchange in
            let isRefused = refusals.withLock { count in
                count += 1
                return count <= 6
            }
            exchange.respond(isRefused ? 429 : 200)
        }
        defer {
            queue.stop()
            server.stop()
        }
        queue.send((0..<1000).map { ("\($0)", nil) })
        let penstock = try Self.start(
            queue,
            server,
            in: home,
            function: "timeout: 30s, concurrency: 1",
            trigger: "batch: { size: 10, window: 0s }"
        )
        try Self.wait(for: "refusals", penstock) { refusals.withLock { $0 } >= 5 }
        #expect(queue.figures.deliveries <= 20)
        try Self.wait(for: "deletions", penstock) { queue.bodies.isEmpty }
        try penstock.terminate()
        #expect(queue.figures.deliveries == 1000)
    }

    @Test("A stop gives back at once what waits, and lets what is under way finish")
    func stop() throws {
        let (queue, home) = (try ScriptedSQS(), try TemporaryFolder())
        let server = try TestHTTPServer { _, exchange in
            // Until what waits has been given back, long before its visibility ends.
            _ = BoundedWait.until(within: .seconds(90)) { queue.figures.visibilities.count == 10 }
            exchange.respond()
        }
        defer {
            queue.stop()
            server.stop()
        }
        queue.send((0..<20).map { ("\($0)", nil) })
        let penstock = try Self.startOneByOne(queue, server, in: home)
        try penstock.terminate()
        #expect(queue.figures.inFlight == 0)
        #expect(queue.bodies.count == 10)
        #expect(queue.figures.visibilities == Array(repeating: 0, count: 10))
    }

    @Test("A second signal ends a Penstock at once that has messages in hand")
    func giveUp() throws {
        let (queue, home) = (try ScriptedSQS(), try TemporaryFolder())
        let mayAnswer = Latch()
        let server = try TestHTTPServer { _, exchange in mayAnswer.block() }
        defer {
            mayAnswer.open()
            queue.stop()
            server.stop()
        }
        queue.send((0..<20).map { ("\($0)", nil) })
        // Nothing that is given back is taken, so that the drain has something to wait for.
        queue.setFaults {
            $0 == "ChangeMessageVisibilityBatch" ? .error(status: 500, code: "InternalFailure") : nil
        }
        let penstock = try Self.startOneByOne(queue, server, in: home)
        _ = Glibc.kill(penstock.id, SIGTERM)
        try Self.wait(for: "the drain", penstock) { penstock.log.contains("draining") }
        let clock = ContinuousClock()
        let began = clock.now
        // Its exit status says that not all was done.
        #expect(throws: PenstockProcess.Failure.self) { try penstock.terminate() }
        #expect(clock.now - began < .seconds(15))
        #expect(queue.bodies.count == 20)
    }

    /// One invocation of ten messages under way, and ten messages that wait.
    private static func startOneByOne(
        _ queue: ScriptedSQS,
        _ server: TestHTTPServer,
        in home: TemporaryFolder
    ) throws -> PenstockProcess {
        let penstock = try Self.start(
            queue,
            server,
            in: home,
            source: "visibility: 1h",
            function: "timeout: 30s, concurrency: 1",
            trigger: "batch: { size: 10, window: 0s }"
        )
        try Self.wait(for: "an invocation and a batch that waits", penstock) {
            server.requests.count == 1 && queue.figures.deliveries == 20
        }
        return penstock
    }
}
