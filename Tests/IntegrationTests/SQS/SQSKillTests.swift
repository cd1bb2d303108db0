// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockTesting
import Testing

/// A scripted queue, real processes, and a far end that counts by itself.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(5)))
struct SQSKillTests {
    /// PENSTOCK_KILL_MESSAGES sets how many; 50000 is the full size.
    private static let messages =
        ProcessInfo.processInfo.environment["PENSTOCK_KILL_MESSAGES"].flatMap { Int($0) } ?? 20_000

    @Test(
        "SIGKILL and outages of the queue at random moments lose no message of a standard queue, and repeat only what was in flight"
    )
    func standard() throws {
        try Self.killed(messages: max(10_000, Self.messages), groups: nil, kills: 4)
    }

    @Test("SIGKILL and outages of the queue at random moments keep 200 message groups in order")
    func groups() throws {
        try Self.killed(messages: max(10_000, Self.messages), groups: 200, kills: 4)
    }

    private static func killed(messages: Int, groups: Int?, kills: Int) throws {
        let began = ContinuousClock.now
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let world = try SQSKillWorld(messages: messages, groups: groups)
        var (bound, outages) = (0, 0)
        var isDown = false
        for kill in 0..<kills {
            let penstock = try world.start()
            if isDown { try world.comeUp(penstock, &random) }
            for _ in 0..<Int.random(in: 1...2, using: &random) {
                let more = Int.random(in: 100...400, using: &random)
                bound += try world.outage(penstock, after: more, &random)
                outages += 1
            }
            let wanted = world.read() + Int.random(in: 200...messages / (4 * kills), using: &random)
            try world.wait(for: "\(wanted) arrivals", penstock) { world.read() >= wanted }
            #expect(world.distinct < messages, "a kill after the last message proves nothing")
            // Every other time both are killed, and Penstock comes back before the queue does.
            isDown = kill % 2 == 1 && kill + 1 < kills
            if isDown { bound += world.queue.goDown() }
            penstock.kill()
            try world.waitForWriters()
            if !isDown { bound += world.queue.figures.inFlight }
        }
        let last = try world.start()
        try world.wait(for: "all messages", last) {
            world.read()
            return world.distinct == messages && world.queue.bodies.isEmpty
        }
        try last.terminate()
        world.read()
        let line =
            "SIGKILL sqs\(groups == nil ? "" : " fifo"): \(messages) messages, seed \(seed), \(kills) kills, "
            + "\(outages) outages, bound \(bound), \(world.duplicates) duplicates, \(ContinuousClock.now - began)\n"
        FileHandle.standardError.write(Data(line.utf8))
        #expect(world.distinct == messages)
        #expect(world.violations.prefix(5) == [])
        #expect(world.duplicates <= bound)
        #expect(world.cutLines <= kills)
    }
}

/// A queue with messages that say their group and their number in it, and Penstocks that read it one after the other.
private final class SQSKillWorld {
    let queue: ScriptedSQS
    private let home: TemporaryFolder
    private let python = TestEnvironment.python
    private let keepsOrder: Bool
    private var lines: ArrivedLines
    private var seen: Set<String> = []
    private var next: [Substring: Int] = [:]
    private let bodies: Set<String>

    /// Messages that arrived, each counted once.
    var distinct: Int { self.seen.count }
    /// Lines that are no message of this test.
    private(set) var cutLines = 0
    /// Arrivals beyond the first.
    private(set) var duplicates = 0
    /// First arrivals that came before an earlier message of their group.
    private(set) var violations: [String] = []

    /// Also while it is down.
    private let url: String

    init(messages: Int, groups: Int?) throws {
        self.keepsOrder = groups != nil
        self.queue = try ScriptedSQS(groups == nil ? "kill" : "kill.fifo", port: FreePort.pick())
        self.url = self.queue.url
        self.home = try TemporaryFolder()
        self.lines = ArrivedLines(self.home.url.appendingPathComponent("arrived"))
        let groups = groups ?? 1
        let keepsOrder = self.keepsOrder
        let sent = (0..<messages).map { number -> (String, String?) in
            let group = "g\(number % groups)"
            return ("\(group) \(number / groups)", keepsOrder ? group : nil)
        }
        self.bodies = Set(sent.map(\.0))
        self.queue.send(sent)
        try Self.function.write(
            to: self.home.url.appendingPathComponent("function.py"),
            atomically: true,
            encoding: .utf8
        )
    }

    deinit {
        self.queue.stop()
    }

    /// Kills the queue's server after so many arrivals, and lets it come back; returns how many messages were in flight
    /// then, which may all come again.
    func outage(_ penstock: PenstockProcess, after count: Int, _ random: inout SplitMix64) throws -> Int {
        let wanted = self.read() + count
        try self.wait(for: "\(wanted) arrivals", penstock) { self.read() >= wanted }
        let inFlight = self.queue.goDown()
        try self.comeUp(penstock, &random)
        return inFlight
    }

    /// Lets the queue come back a while after Penstock has said that it is gone.
    func comeUp(_ penstock: PenstockProcess, _ random: inout SplitMix64) throws {
        try self.wait(for: "the outage", penstock) { !penstock.isSourceConnected }
        let more = Duration.milliseconds(Int.random(in: 0...500, using: &random))
        _ = BoundedWait.until(within: more) { false }
        try self.queue.comeUp()
        try self.wait(for: "the queue's return", penstock) { penstock.isSourceConnected }
    }

    func start() throws -> PenstockProcess {
        let folder = self.home.url.path
        return try PenstockProcess(
            in: self.home.url,
            configuration: """
                state: "sqlite:\(folder)/penstock.db"
                admin: { listen: "127.0.0.1:0" }
                functions:
                  sink:
                    local:
                      command: ["\(self.python.path)", "\(folder)/function.py", "\(folder)"]
                      concurrency: 2
                      timeout: 3s
                triggers:
                  kill:
                    source:
                      sqs:
                        queue: "\(self.url)"
                        region: eu-west-1
                        credentials: { access_key_id: test, secret_access_key: test }
                        visibility: 3s
                    function: sink
                    batch: { size: 200, window: 20ms }

                """
        )
    }

    /// Waits until a condition holds.
    func wait(for what: String, _ penstock: PenstockProcess, _ condition: () -> Bool) throws {
        guard BoundedWait.until(within: .seconds(120), condition) else {
            let state = "\(self.distinct) arrived; \(self.queue.figures)"
            throw PenstockProcess.Failure("waited for \(what): \(state); log:\n\(penstock.logTail)")
        }
    }

    /// Waits until no function is left that could still write.
    func waitForWriters() throws {
        try WriterLock.waitUntilFree(self.home.url.appendingPathComponent("lock"))
    }

    /// Reads what arrived since the last call; all arrivals so far.
    @discardableResult
    func read() -> Int {
        for line in self.lines.next() { self.arrived(line) }
        return self.distinct + self.duplicates
    }

    private func arrived(_ line: Substring) {
        let parts = line.split(separator: " ")
        guard parts.count == 2, let number = Int(parts[1]), self.bodies.contains(String(line)) else {
            // A function that is killed may leave half a line, which goes on with the next one's.
            self.cutLines += 1
            return
        }
        guard self.seen.insert(String(line)).inserted else {
            self.duplicates += 1
            return
        }
        guard self.keepsOrder else { return }
        let due = self.next[parts[0], default: 0]
        if number != due { self.violations.append("\(parts[0]): \(number) came first, \(due) was due") }
        self.next[parts[0]] = number + 1
    }

    /// Writes each body by one write(2) for each batch, and only then answers; holds a lock as long as it lives.
    private static let function = """
        import fcntl, http.client, json, os, sys, time

        folder = sys.argv[1]
        out = os.open(folder + "/arrived", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        lock = os.open(folder + "/lock", os.O_WRONLY | os.O_CREAT, 0o644)
        fcntl.flock(lock, fcntl.LOCK_SH)
        api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        base = "/2018-06-01/runtime/invocation/"
        while True:
            api.request("GET", base + "next")
            answer = api.getresponse()
            event = json.loads(answer.read())
            block = "".join(r["body"] + "\\n" for r in event["Records"]).encode()
            assert os.write(out, block) == len(block)
            time.sleep(0.005)
            api.request("POST", base + answer.getheader("Lambda-Runtime-Aws-Request-Id") + "/response", "null")
            api.getresponse().read()
        """
}
