// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockTesting
import Testing

/// A scripted stream whose shards are split and merged, real processes, and a far end that counts by itself.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(5)))
struct DynamoDBKillTests {
    /// Changes that are written at once.
    private static let portion = 2000

    @Test(
        "SIGKILL and outages of the stream at random moments, over splits and merges while it is read, lose no change, and each item's stay in order"
    )
    func killed() throws {
        // PENSTOCK_KILL_CHANGES sets how many changes; 100000 is the full size.
        let wanted = ProcessInfo.processInfo.environment["PENSTOCK_KILL_CHANGES"].flatMap { Int($0) }
        let kills = 4
        let size = Self.portion * kills
        let quarter = max(4, ((wanted ?? 60_000) + size - 1) / size)
        let began = ContinuousClock.now
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let world = try DynamoDBKillWorld()
        var (bound, outages, reshaped) = (0, 0, 0)
        var penstock = try world.start()
        for kill in 0..<kills {
            let (killed, down) = (
                Int.random(in: 1..<quarter, using: &random), Int.random(in: 0..<quarter, using: &random)
            )
            for turn in 0..<quarter {
                world.write(Self.portion)
                if turn == down {
                    try world.outage(penstock, &random)
                    outages += 1
                }
                // What is not read yet of a parent must come before what its children get now.
                if turn != killed, Bool.random(using: &random) {
                    world.reshapeOne(&random)
                    reshaped += 1
                }
                let left = Int.random(in: 0..<Self.portion, using: &random)
                try world.wait(for: "all but \(left)", penstock) {
                    world.read()
                    return world.distinct >= world.written - left
                }
                guard turn == killed else { continue }
                // Every other time both are killed, and Penstock comes back before the stream does.
                let isAlone = kill % 2 == 0
                if !isAlone { world.goDown() }
                penstock.kill()
                try world.waitForWriters()
                world.read()
                bound += try world.uncommitted()
                world.reshape(&random)
                penstock = try world.start()
                if !isAlone { try world.comeUp(penstock, &random) }
            }
        }
        try world.wait(for: "all changes", penstock) {
            world.read()
            return world.distinct == world.written
        }
        try penstock.terminate()
        world.read()
        let line =
            "SIGKILL dynamodb: \(world.written) changes, \(world.shards) shards, seed \(seed), \(kills) kills, "
            + "\(outages) outages, \(reshaped) splits and merges of what was read, bound \(bound), "
            + "\(world.duplicates) duplicates, \(ContinuousClock.now - began)\n"
        FileHandle.standardError.write(Data(line.utf8))
        #expect(world.distinct == world.written)
        #expect(world.violations.prefix(5) == [])
        #expect(world.cutLines <= kills)
        #expect(world.duplicates <= bound)
    }

    @Test(
        "Members that share a store share the shards: those that are killed or stopped lose no change, and each item's stay in order"
    )
    func members() throws {
        let (generations, each) = (4, 10_000)
        let began = ContinuousClock.now
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let server = try PostgresServer()
        let world = try DynamoDBKillWorld(state: server.url())
        var members = [try world.start("a"), try world.start("b")]
        // Each has a part before anything happens.
        for member in members {
            try world.wait(for: "shards", member) { member.log.contains("leases acquired") }
        }
        for generation in 1..<generations {
            world.write(each)
            let wanted = world.distinct + Int.random(in: 500...each / 2, using: &random)
            try world.wait(for: "\(wanted) arrivals", members[0]) {
                world.read()
                return world.distinct >= wanted
            }
            let leaving = members.remove(at: Int.random(in: 0..<members.count, using: &random))
            if generation % 2 == 0 { try leaving.terminate() } else { leaving.kill() }
            world.reshape(&random)
            members.append(try world.start("m\(generation)"))
        }
        world.write(each)
        try world.wait(for: "all changes", members[0]) {
            world.read()
            return world.distinct == generations * each
        }
        for member in members { try member.terminate() }
        world.read()
        let line =
            "members dynamodb: \(generations * each) changes, \(world.shards) shards, seed \(seed), "
            + "\(world.duplicates) duplicates, \(ContinuousClock.now - began)\n"
        FileHandle.standardError.write(Data(line.utf8))
        #expect(world.distinct == generations * each)
        #expect(world.violations.prefix(5) == [])
        #expect(world.cutLines < generations)
        // What a killed member had in hand, at most.
        #expect(world.duplicates < 2 * each)
    }
}

/// A table with changes of 200 items, and Penstocks that read its stream one after the other.
private final class DynamoDBKillWorld {
    private let streams: ScriptedStreams
    /// Where it is, also while it is down.
    private let endpoint: String
    private let home: TemporaryFolder
    private let python = TestEnvironment.python
    /// Which items each open shard has.
    private var items: [String: [Int]] = [:]
    /// The shard and the item of each change by its sequence number.
    private var places: [String: (shard: String, item: String)] = [:]
    private var lines: ArrivedLines
    private var seen: Set<String> = []
    private var greatest: [Substring: Int] = [:]

    /// Shards that there were, and changes that were written.
    private(set) var shards = 4
    private(set) var written = 0
    /// Changes that arrived, each counted once.
    var distinct: Int { self.seen.count }
    /// Lines that are no change of this test.
    private(set) var cutLines = 0
    /// Arrivals beyond the first.
    private(set) var duplicates = 0
    /// First arrivals that came before an earlier change of their item.
    private(set) var violations: [String] = []

    /// Where the state is; in a file when it is nil.
    private let state: String?

    init(state: String? = nil) throws {
        self.state = state
        self.streams = try ScriptedStreams("kill", shards: 4, port: FreePort.pick())
        self.endpoint = self.streams.endpoint
        self.home = try TemporaryFolder()
        self.lines = ArrivedLines(self.home.url.appendingPathComponent("arrived"))
        for (number, shard) in self.streams.openShards.enumerated() {
            self.items[shard] = (0..<200).filter { $0 % 4 == number }
        }
        try Self.function.write(
            to: self.home.url.appendingPathComponent("function.py"),
            atomically: true,
            encoding: .utf8
        )
    }

    deinit {
        self.streams.stop()
    }

    /// Kills the stream's server; what it has stays.
    func goDown() { self.streams.goDown() }

    /// Lets it come back a while after Penstock has said that it is gone.
    func comeUp(_ penstock: PenstockProcess, _ random: inout SplitMix64) throws {
        try self.wait(for: "the outage", penstock) { !penstock.isSourceConnected }
        let more = Duration.milliseconds(Int.random(in: 0...500, using: &random))
        _ = BoundedWait.until(within: more) { false }
        try self.streams.comeUp()
        try self.wait(for: "the stream's return", penstock) { penstock.isSourceConnected }
    }

    /// Kills the stream's server, and lets it come back.
    func outage(_ penstock: PenstockProcess, _ random: inout SplitMix64) throws {
        self.goDown()
        try self.comeUp(penstock, &random)
    }

    /// Writes so many changes, of all items in turn.
    func write(_ count: Int) {
        for (shard, items) in self.items {
            let share = count * items.count / 200
            let keys = (0..<share).map { "i\(items[$0 % items.count])" }
            for (number, key) in zip(self.streams.write(keys, to: shard), keys) {
                self.places[number] = (shard, key)
            }
            self.written += share
        }
    }

    /// Splits one open shard, or merges two.
    func reshapeOne(_ random: inout SplitMix64) {
        let open = self.items.keys.sorted().shuffled(using: &random)
        if open.count < 4 || (open.count < 20 && Bool.random(using: &random)) {
            let widest = open.max { (self.items[$0] ?? []).count < (self.items[$1] ?? []).count } ?? open[0]
            self.split(widest)
        } else {
            self.merge(Array(open.prefix(2)))
        }
    }

    private func split(_ shard: String) {
        let items = self.items.removeValue(forKey: shard) ?? []
        let children = self.streams.replace([shard], by: 2)
        let middle = items.count / 2
        self.items[children[0]] = Array(items[..<middle])
        self.items[children[1]] = Array(items[middle...])
        self.shards += 2
    }

    private func merge(_ parents: [String]) {
        let items = parents.flatMap { self.items.removeValue(forKey: $0) ?? [] }
        self.items[self.streams.replace(parents, by: 1)[0]] = items
        self.shards += 1
    }

    /// Splits one half of the open shards, and merges pairs of the others.
    func reshape(_ random: inout SplitMix64) {
        let open = self.items.keys.sorted().shuffled(using: &random)
        for shard in open.prefix(open.count / 2) { self.split(shard) }
        let others = Array(open.dropFirst(open.count / 2))
        for pair in stride(from: 0, to: others.count - 1, by: 2) {
            self.merge([others[pair], others[pair + 1]])
        }
    }

    /// A Penstock with a folder of its own, if it has a name.
    func start(_ member: String = "") throws -> PenstockProcess {
        let folder = self.home.url.path
        let own = member.isEmpty ? self.home.url : self.home.url.appendingPathComponent(member)
        try FileManager.default.createDirectory(at: own, withIntermediateDirectories: true)
        return try PenstockProcess(
            in: own,
            configuration: """
                state: "\(self.state ?? "sqlite:\(folder)/penstock.db")"
                admin: { listen: "127.0.0.1:0" }
                functions:
                  sink:
                    local:
                      command: ["\(self.python.path)", "\(folder)/function.py", "\(folder)"]
                      concurrency: 3
                triggers:
                  kill:
                    source:
                      dynamodb:
                        table: kill
                        endpoint: "\(self.endpoint)"
                        region: eu-west-1
                        credentials: { access_key_id: test, secret_access_key: test }
                    function: sink
                    batch: { size: 200, window: 20ms }

                """
        )
    }

    /// Waits until a condition holds.
    func wait(for what: String, _ penstock: PenstockProcess, _ condition: () -> Bool) throws {
        guard BoundedWait.until(within: .seconds(120), condition) else {
            throw PenstockProcess.Failure(
                "waited for \(what): \(self.distinct) arrived; log:\n\(penstock.logTail)"
            )
        }
    }

    /// Waits until no function is left that could still write.
    func waitForWriters() throws {
        try WriterLock.waitUntilFree(self.home.url.appendingPathComponent("lock"))
    }

    /// How many of the changes that arrived no checkpoint covers: they come again.
    func uncommitted() throws -> Int {
        let text = try ForeignProcess.answer(
            of: self.python,
            [
                "-c",
                """
                import sqlite3, sys
                for row in sqlite3.connect(sys.argv[1]).execute("SELECT partition, position FROM checkpoints"):
                    print(*row)
                """, self.home.url.appendingPathComponent("penstock.db").path,
            ]
        )
        var checkpoints: [String: Position] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ").map(String.init)
            let shard = parts[0].split(separator: "/").last.map(String.init) ?? ""
            checkpoints[shard] = Position(parts[1])
        }
        return self.seen.count { line in
            let number = line.split(separator: " ").last.map(String.init) ?? ""
            guard let shard = self.places[number]?.shard, let position = Position(number) else { return true }
            return checkpoints[shard].map { $0 < position } ?? true
        }
    }

    /// Reads what arrived since the last call.
    func read() {
        for line in self.lines.next() { self.arrived(line) }
    }

    private func arrived(_ line: Substring) {
        let parts = line.split(separator: " ")
        guard parts.count == 3, let number = Int(parts[1]),
            self.places[String(parts[2])]?.item == String(parts[0])
        else {
            // A function that is killed may leave half a line, which goes on with the next one's.
            self.cutLines += 1
            return
        }
        guard self.seen.insert(String(line)).inserted else {
            self.duplicates += 1
            return
        }
        let last = self.greatest[parts[0], default: 0]
        if number < last { self.violations.append("\(parts[0]): \(number) came first behind \(last)") }
        self.greatest[parts[0]] = max(last, number)
    }

    /// Writes each change by one write(2) for each batch, and only then answers; holds a lock as long as it lives.
    private static let function = """
        import fcntl, http.client, json, os, sys

        folder = sys.argv[1]
        out = os.open(folder + "/arrived", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        lock = os.open(folder + "/lock", os.O_WRONLY | os.O_CREAT, 0o644)
        fcntl.flock(lock, fcntl.LOCK_SH)
        api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        base = "/2018-06-01/runtime/invocation/"
        while True:
            api.request("GET", base + "next")
            answer = api.getresponse()
            changes = [r["dynamodb"] for r in json.loads(answer.read())["Records"]]
            block = "".join(f'{c["Keys"]["pk"]["S"]} {c["NewImage"]["n"]["N"]} {c["SequenceNumber"]}\\n' for c in changes)
            assert os.write(out, block.encode()) == len(block)
            api.request("POST", base + answer.getheader("Lambda-Runtime-Aws-Request-Id") + "/response", "null")
            api.getresponse().read()
        """
}
