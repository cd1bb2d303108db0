// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Synchronization

/// One run of Penstock with a trigger for each policy, and all that was seen of it.
///
/// Some handlers fail until the file `mended` is there. Before it comes, the run looks at what waits and what does not.
struct PolicyRun: Sendable {
    var invocations: [String: [[String]]]
    var letters: [String: [DeadLetterLine]]
    var committed: [String: [Int]]
    /// Requests at the HTTP endpoints, by path.
    var requests: [String: [TestHTTPServer.Request]]
    /// What was seen while handlers failed, and after they were mended.
    var broken: Sight
    var mended: Sight
    /// What a redrive printed, and the invocations that it made.
    var redrive: String
    var redriven: [[String]]
    /// What redrives of `half` printed, with its own function and with another one, and the invocations of its own.
    var halves: [String]
    var halfRedriven: [[String]]
    /// The messages that came to the topic `letters`, and the lines of the file.
    var messages: [TestKafkaReader.Message]
    var lines: [[UInt8]]
    /// The lines of the file with what `answered` answered.
    var results: [[UInt8]]
    /// The first letters of `exhausted` and `paced`, as `dlq show` has them.
    var shown: [String: String]

    typealias DeadLetterLine = DeliveryWorld.Letter

    /// What an operator sees.
    struct Sight: Sendable {
        var ready: Int
        var reasons: String
        var metrics: String
        var shown: String
        var invocations: [String: [[String]]]
    }

    /// The run, made once for all tests.
    static let shared = Task { try await Self.make() }

    private static func make() async throws -> Self {
        let server = try TestHTTPServer(HTTPEndpoints().respond)
        defer { server.stop() }
        let world = try DeliveryWorld(Self.triggers, functions: Self.functions(server))
        defer { world.broker.stop() }
        try world.broker.createTopic("letters")
        let penstock = try world.start()
        // Records that become too old while they are tried.
        try world.wait(for: "the partition of ages", penstock) {
            try world.status()["ages"]?["partitions"] as? [String] == ["ages-0"]
        }
        try world.produceLater("ages")
        // Records that join a batch which has begun to wait.
        try world.wait(for: "a window that has begun", penstock) {
            try world.count("received", "windowed") == 2
        }
        try world.produceLater("windowed")
        // A function that cannot be started, until it can.
        try world.wait(for: "a function that cannot start", penstock) {
            try world.count("throttled", "absent") >= 2
        }
        try world.write("installed", "")
        // What waits for `mended`, and what does not.
        try world.waitUntilSettled(penstock, except: ["parked", "keys", "paths"])
        try world.wait(for: "an overdue partition", penstock) {
            let blocked = try world.status()["parked"]?["blocked_partitions"] as? [[String: Any]]
            return blocked?.first?["overdue"] as? Bool == true
        }
        try world.wait(for: "the keys that do not fail", penstock) {
            try world.count("succeeded", "keys") == 6 && world.count("succeeded", "paths") == 6
        }
        let broken = try await Sight(world)
        try world.write("mended", "")
        try world.waitUntilSettled(penstock)
        let mended = try await Sight(world)
        let before = world.invocations["redriven"]?.count ?? 0
        let redrive = try world.command(["dlq", "redrive", "--trigger", "redriven", "--concurrency", "4"])
        let redriven = Array((world.invocations["redriven"] ?? []).dropFirst(before))
        let halfBefore = world.invocations["half"]?.count ?? 0
        let half = ["dlq", "redrive", "--trigger", "half", "--concurrency", "4"]
        let halves = try [half, half + ["--function", "spare"]].map { try world.command($0).output }
        let halfRedriven = Array((world.invocations["half"] ?? []).dropFirst(halfBefore))
        try penstock.terminate()
        let letters = Dictionary(grouping: try world.letters()) { $0.trigger }
        let shown = try ["exhausted", "paced"].map { trigger in
            let id = letters[trigger]?.first.map { "\($0.id)" } ?? ""
            return (trigger, try world.command(["dlq", "show", id, "--format", "json"]).output)
        }
        return Self(
            invocations: world.invocations,
            letters: letters,
            committed: try world.committed(),
            requests: Dictionary(grouping: server.requests) { $0.path },
            broken: broken,
            mended: mended,
            redrive: redrive.output,
            redriven: redriven,
            halves: halves,
            halfRedriven: halfRedriven,
            messages: try world.messages(of: "letters"),
            lines: try world.lines("letters.jsonl"),
            results: try world.lines("results.jsonl"),
            shown: Dictionary(uniqueKeysWithValues: shown)
        )
    }
}

extension PolicyRun.Sight {
    fileprivate init(_ world: DeliveryWorld) async throws {
        let ready = await TestConnection.exchange("GET", "/readyz", port: Int(world.adminPort))
        self.ready = ready?.status ?? 0
        self.reasons = ready?.text ?? ""
        self.metrics =
            await TestConnection.exchange("GET", "/metrics", port: Int(world.adminPort))?.text ?? ""
        self.shown = try world.command(["triggers", "show", "parked"]).output
        self.invocations = world.invocations
    }
}

/// HTTP functions, by path.
private final class HTTPEndpoints: Sendable {
    private let counts = Mutex<[String: Int]>([:])

    func respond(_ request: TestHTTPServer.Request, _ exchange: TestHTTPServer.Exchange) {
        let count = self.counts.withLock { counts in
            counts[request.path, default: 0] += 1
            return counts[request.path, default: 0]
        }
        switch request.path {
        case "/spare" where count == 1: exchange.respond(429, [("Retry-After", "1")], "too much")
        case "/spare": exchange.respond()
        case "/forgiven": exchange.respond(count < 3 ? 404 : 200)
        case "/busy" where count == 1: exchange.respond(429, [("Retry-After", "1")], "too much")
        case "/busy" where count == 2: exchange.respond(503, [], "not now")
        case "/busy": exchange.respond()
        case "/telling":
            let words = count == 1 ? "\"success\",\"drop\",\"retry\"" : "\"success\""
            exchange.respond(200, [], "{\"recordResults\":[\(words)]}")
        case "/strict":
            // "YmFk" is "bad" in base64.
            let isBad = String(decoding: request.body, as: UTF8.self).contains("\"YmFk\"")
            exchange.respond(isBad ? 422 : 200, [], isBad ? "no such item" : "")
        default: exchange.respond(400, [], "not a form that I know")
        }
    }
}
