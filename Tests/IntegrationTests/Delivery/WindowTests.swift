// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockTesting
import Testing

/// Tumbling windows with a Python function on a real topic.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct WindowTests {
    private static let partitions = 2
    private static let records = 1200
    private static let length: Int64 = 5000

    /// Keeps which records it was given, works a little, and writes the state down at the end of a window.
    private static let handler = """
        import json, os, time

        OUT = os.open("windows", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        CALLS = os.open("calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


        def handler(event, context):
            state = event["state"]
            before = len(state.get("seen", []))
            for name, records in event["records"].items():
                assert name == event["shardId"]
                for r in records:
                    state.setdefault("seen", []).append([r["offset"], r["timestamp"]])
            new = [o for o, t in state.get("seen", [])[before:]]
            os.write(CALLS, ("%s %d %s\\n" % (event["shardId"], before, new)).encode())
            time.sleep(0.03)
            if event["isFinalInvokeForWindow"]:
                text = json.dumps({"shard": event["shardId"], "start": event["window"]["start"],
                    "end": event["window"]["end"], "early": event["isWindowTerminatedEarly"],
                    "source": event["eventSourceARN"], "empty": event["records"] == {}, "seen": state["seen"]})
                line = (text + "\\n").encode()
                assert os.write(OUT, line) == len(line)
            return {"state": state}
        """

    /// What a final call was told.
    private struct Window: Decodable {
        var shard: String
        var start: String
        var end: String
        var early: Bool
        var source: String
        var empty: Bool
        /// Offset and timestamp of each record.
        var seen: [[Int64]]
    }

    private static func windows(_ world: DeliveryWorld) throws -> [Window] {
        guard let lines = try? world.lines("windows") else { return [] }
        return try lines.map { try JSONDecoder().decode(Window.self, from: Data($0)) }
    }

    private static func calls(_ world: DeliveryWorld) -> Int { (try? world.lines("calls").count) ?? 0 }

    private static func world(
        _ records: [DeliveryWorld.Record],
        later: [DeliveryWorld.Record] = [],
        partitions: Int,
        window: String
    ) throws -> DeliveryWorld {
        let trigger = DeliveryWorld.Trigger(
            name: "windowed",
            handler: "pass",
            records: records,
            later: later,
            partitions: partitions,
            function: "windows",
            options: ["batch: { size: 10, window: 20ms }", "tumbling_window: \(window)"]
        )
        let world = try DeliveryWorld(
            [trigger],
            functions: [
                "windows: { local: { command: [\"PYTHON\", -m, awslambdaric, windows.handler], directory: HOME, "
                    + "concurrency: 2 } }"
            ]
        )
        try world.write("windows.py", Self.handler)
        return world
    }

    @Test("Each record counts once in the window of its time, through three SIGKILLs, a SIGTERM and a pause")
    func exact() throws {
        var random = SystemRandomNumberGenerator()
        // A minute of records, the last of them now.
        let records = (0..<Self.records).map { number in
            DeliveryWorld.Record(
                partition: number % Self.partitions,
                age: .milliseconds(50 * (Self.records - number))
            )
        }
        let world = try Self.world(records, partitions: Self.partitions, window: "5s")
        defer { world.broker.stop() }
        for life in 0..<4 {
            let penstock = try world.start()
            let goal = Self.calls(world) + Int.random(in: 10...25, using: &random)
            try world.wait(for: "\(goal) calls", penstock) { Self.calls(world) >= goal }
            if life < 3 { penstock.kill() } else { try penstock.terminate() }
        }
        let last = try world.start()
        try world.wait(for: "all windows, and their commit", last) {
            try world.committed()["windowed"] == [600, 600]
        }
        try last.terminate()
        // A final call that was repeated has the last word, as where results are kept by partition and window.
        var latest: [String: Window] = [:]
        for window in try Self.windows(world) {
            latest["\(window.shard) \(window.start)"] = window
            #expect(window.empty && !window.early && window.source == "smk://\(world.broker.address)")
        }
        #expect(latest.count >= 2 * 12)
        for partition in 0..<Self.partitions {
            let windows = latest.values.filter { $0.shard == "windowed-\(partition)" }.sorted {
                $0.start < $1.start
            }
            #expect(windows.flatMap { $0.seen.map { $0[0] } } == Array(0..<600), "each once, and in order")
            for window in windows {
                let start = try #require(Timestamp(configurationText: window.start)).milliseconds
                let end = try #require(Timestamp(configurationText: window.end)).milliseconds
                #expect(start % Self.length == 0 && end == start + Self.length)
                #expect(window.seen.allSatisfy { $0[1] >= start && $0[1] < end })
            }
        }
    }
    @Test("A window goes on where it was after a stop: with its state, and without a record again")
    func goesOn() throws {
        // Not so near to the end of a window that it is over before the test is.
        let isClear = BoundedWait.until(within: .seconds(100)) {
            Int(Date().timeIntervalSince1970) % 900 < 840
        }
        #expect(isClear)
        let now = DeliveryWorld.Record()
        let world = try Self.world(
            [DeliveryWorld.Record(age: .seconds(1800))] + Array(repeating: now, count: 20),
            later: Array(repeating: now, count: 5),
            partitions: 1,
            window: "15m"
        )
        defer { world.broker.stop() }
        let first = try world.start()
        try world.wait(for: "21 records", first) { try world.count("succeeded", "windowed") == 21 }
        try first.terminate()
        #expect(try world.committed()["windowed"] == [1], "only what is before the window")
        let before = Self.calls(world)
        let second = try world.start()
        try world.produceLater("windowed")
        try world.wait(for: "five more", second) { try world.count("succeeded", "windowed") == 5 }
        try second.terminate()
        let calls = try world.lines("calls").dropFirst(before).map { String(decoding: $0, as: UTF8.self) }
        #expect(calls.first?.hasPrefix("windowed-0 20 [21") == true, "\(calls)")
        #expect(try Self.windows(world).map(\.seen.count) == [1])
    }
}
