// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Tumbling windows over shards that are split and come to their end, with Lambda's own Python runtime.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(5)))
struct DynamoDBWindowTests {
    /// Keeps which changes it was given, and writes each call down; holds a lock as long as it lives.
    private static let handler = """
        import fcntl, json, os, time

        OUT = os.open("calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        LOCK = os.open("lock", os.O_WRONLY | os.O_CREAT, 0o644)
        fcntl.flock(LOCK, fcntl.LOCK_SH)

        def handler(event, context):
            state = event["state"]
            for record in event["Records"]:
                change = record["dynamodb"]
                state.setdefault("seen", []).append([int(change["NewImage"]["n"]["N"]),
                    int(change["ApproximateCreationDateTime"])])
            call = {"shard": event["shardId"], "source": event["eventSourceARN"], "new": len(event["Records"]),
                "start": event["window"]["start"], "final": event["isFinalInvokeForWindow"],
                "early": event["isWindowTerminatedEarly"], "seen": state.get("seen", [])}
            line = (json.dumps(call) + "\\n").encode()
            assert os.write(OUT, line) == len(line)
            time.sleep(0.02)
            return {"state": state}
        """

    /// What a call was told, and the state that it answered.
    private struct Call: Decodable {
        var shard: String
        var source: String
        var new: Int
        var start: String
        var final: Bool
        var early: Bool
        /// Number and time of each change.
        var seen: [[Int]]
    }

    /// Shards, each with its parent and its changes.
    private struct Stream {
        let streams: ScriptedStreams
        var shards: [(id: String, parent: String?, changes: [Int])] = []

        /// A shard that is split in two, each of which is followed by another: all of them closed, with 100 changes each.
        ///
        /// With `spread` the changes are of times in the past, ten in each second; else all of now.
        init(spread: Bool) throws {
            self.streams = try ScriptedStreams("carts")
            let now = Int(Date().timeIntervalSince1970)
            let began = spread ? now - 600 : now
            var written = 1_000_000
            func write(_ shard: String, parent: String?, generation: Int) {
                var changes: [Int] = []
                for second in 0..<10 {
                    let time = spread ? began + generation * 10 + second : now
                    streams.write((0..<10).map { "c\($0)" }, to: shard, at: time)
                    changes += (1...10).map { written + $0 }
                    written += 10
                }
                self.shards.append((shard, parent, changes))
            }
            let root = self.streams.openShards[0]
            write(root, parent: nil, generation: 0)
            for child in self.streams.replace([root], by: 2) {
                write(child, parent: root, generation: 1)
                let grandchild = self.streams.replace([child], by: 1)[0]
                write(grandchild, parent: child, generation: 2)
            }
            self.streams.disable()
        }
    }

    private static func calls(_ folder: URL) throws -> [Call] {
        let text = (try? String(contentsOf: folder.appendingPathComponent("calls"), encoding: .utf8)) ?? ""
        // A line may be half written.
        let whole = text.lastIndex(of: "\n").map { text[..<$0] } ?? ""
        return try whole.split(separator: "\n").map {
            try JSONDecoder().decode(Call.self, from: Data($0.utf8))
        }
    }

    private static func start(
        _ streams: ScriptedStreams,
        in folder: URL,
        window: String
    ) throws -> PenstockProcess {
        try PenstockProcess(
            in: folder,
            configuration: streams.configuration(in: folder) + "    tumbling_window: \(window)\n"
        )
    }

    @Test(
        "Each change counts once in a window of its shard, which ends before the shard's children begin, over SIGKILLs",
        arguments: [true, false]
    )
    func exact(spread: Bool) throws {
        let stream = try Stream(spread: spread)
        defer { stream.streams.stop() }
        let home = try TemporaryFolder()
        try Self.handler.write(
            to: home.url.appendingPathComponent("app.py"),
            atomically: true,
            encoding: .utf8
        )
        // A window of 15 minutes ends in time for this test because its shard does.
        let window = spread ? "5s" : "15m"
        for _ in 0..<3 {
            let penstock = try Self.start(stream.streams, in: home.url, window: window)
            let goal = try Self.calls(home.url).count + Int.random(in: 6...14)
            try Self.wait(penstock) { try Self.calls(home.url).count >= goal }
            penstock.kill()
            try WriterLock.waitUntilFree(home.url.appendingPathComponent("lock"))
        }
        let last = try Self.start(stream.streams, in: home.url, window: window)
        let all = Set(stream.shards.flatMap(\.changes))
        try Self.wait(last) {
            let finals = try Self.calls(home.url).filter(\.final)
            return Set(finals.flatMap { $0.seen.map { $0[0] } }) == all
        }
        try last.terminate()
        let calls = try Self.calls(home.url)
        #expect(
            calls.allSatisfy { $0.source == stream.streams.arn && !$0.early && $0.final == ($0.new == 0) }
        )
        for shard in stream.shards {
            // A final call that was repeated has the last word, as where results are kept by shard and window.
            var windows: [String: Call] = [:]
            for call in calls where call.shard == shard.id && call.final { windows[call.start] = call }
            let seen = windows.values.sorted { $0.start < $1.start }.flatMap(\.seen)
            #expect(seen.map { $0[0] } == shard.changes, "\(shard.id): each once, and in order")
            if spread { #expect(windows.count >= 2) }
            let ended = calls.lastIndex { $0.shard == shard.parent }
            let began = calls.firstIndex { $0.shard == shard.id }
            if let ended, let began {
                #expect(calls[ended].final && ended < began, "\(shard.id) began before its parent ended")
                #expect(calls[began].seen.count == calls[began].new, "with a fresh state")
            }
        }
    }

    private static func wait(_ penstock: PenstockProcess, until condition: () throws -> Bool) throws {
        var failure: (any Error)?
        let isDone = BoundedWait.until(within: .seconds(60)) {
            do { return try condition() } catch {
                failure = error
                return true
            }
        }
        if let failure { throw failure }
        if !isDone { throw PenstockProcess.Failure("waited in vain; log:\n\(penstock.logTail)") }
    }
}
