// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockRuntime
import PenstockTesting
import Reactor
import Synchronization
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// The source against a scripted stream, without an engine.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct DynamoDBSourceTests {
    private static func keys(_ prefix: String, _ count: Int) -> [String] {
        (0..<count).map { "\(prefix)\($0)" }
    }

    @Test("Children begin when all of their parent is settled and kept, and at their beginning")
    func split() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let root = streams.openShards[0]
        streams.write(Self.keys("a", 3), to: root)
        let children = streams.replace([root], by: 2)
        for (child, name) in zip(children, ["b", "c"]) { streams.write(Self.keys(name, 2), to: child) }
        try await StreamProbe.run(streams) { probe in
            probe.grant()
            try await probe.receive(3)
            #expect(probe.assigned == [root])
            try await probe.settleOn()
            try await probe.receive(7)
            #expect(probe.ended == [root])
            #expect(probe.assigned == [root] + children)
            #expect(probe.received[children[0]] == ["b0", "b1"])
            #expect(probe.checkpoints["\(streams.arn)/\(root)"] == StreamPosition.end)
            streams.write(["b2"], to: children[0])
            try await probe.receive(8)
            #expect(probe.received[children[0]] == ["b0", "b1", "b2"])
        }
        #expect(
            streams.calls.filter { $0.operation == "GetShardIterator" }.allSatisfy {
                $0.place == "TRIM_HORIZON"
            }
        )
    }

    @Test("A merged shard waits for both of its parents")
    func merge() async throws {
        let streams = try ScriptedStreams(shards: 2)
        defer { streams.stop() }
        let roots = streams.openShards
        for root in roots { streams.write([root], to: root) }
        let child = streams.replace(roots, by: 1)[0]
        streams.write(["child"], to: child)
        try await StreamProbe.run(streams) { probe in
            probe.grant()
            try await probe.receive(2)
            try await probe.settleOn([roots[0]])
            try await probe.receive { $0.ended == [roots[0]] }
            #expect(probe.assigned == roots)
            try await probe.settleOn([roots[1]])
            try await probe.receive(3)
            #expect(probe.assigned == roots + [child])
        }
    }

    @Test("A shard that closes while it is read is followed by its children, however often")
    func rollover() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        try await StreamProbe.run(streams) { probe in
            probe.grant()
            try await probe.settleOn()
            for generation in 0..<3 {
                let shard = streams.openShards[0]
                streams.write(Self.keys("\(generation)-", 5), to: shard)
                try await probe.receive(5 * (generation + 1))
                streams.replace([shard], by: 1)
                let shards = generation + 1
                try await probe.receive { $0.ended.count == shards && $0.assigned.count == shards + 1 }
            }
            #expect(probe.keys == (0..<3).flatMap { Self.keys("\($0)-", 5) })
        }
    }

    @Test("A restart goes on behind the checkpoint, reads no finished shard again, and no child too early")
    func restart() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let root = streams.openShards[0]
        streams.write(Self.keys("a", 4), to: root)
        let children = streams.replace([root], by: 2)
        for child in children { streams.write(Self.keys("\(child)/", 3), to: child) }
        var kept = try await StreamProbe.run(streams) { probe in
            probe.grant(2)
            try await probe.receive(2)
            try await probe.settle()
        }
        kept = try await StreamProbe.run(streams, checkpoints: kept) { probe in
            probe.grant()
            try await probe.receive(2)
            #expect(probe.received == [root: ["a2", "a3"]])
            // Read to its end, and not settled.
        }
        kept = try await StreamProbe.run(streams, checkpoints: kept) { probe in
            probe.grant()
            try await probe.receive(2)
            #expect(probe.assigned == [root])
            try await probe.settleOn()
            try await probe.receive { $0.assigned.count == 3 }
        }
        let before = streams.calls.count
        try await StreamProbe.run(streams, checkpoints: kept) { probe in
            probe.grant()
            try await probe.receive(6)
            #expect(Set(probe.assigned) == Set(children))
        }
        #expect(streams.calls.dropFirst(before).allSatisfy { $0.shard != root })
    }

    @Test("start: latest leaves out what was there, and after a restart nothing that came since")
    func latest() async throws {
        let streams = try ScriptedStreams(shards: 2)
        defer { streams.stop() }
        let shards = streams.openShards
        let closed = shards[0]
        // Two hours ago.
        let before = Int(Timestamp.now.milliseconds / 1000) - 7200
        for shard in shards { streams.write(Self.keys("old", 3), to: shard, at: before) }
        let child = streams.replace([closed], by: 1)[0]
        streams.write(["older"], to: child, at: before)
        let kept = try await StreamProbe.run(streams, "start: latest") { probe in
            probe.grant()
            try await probe.receive { $0.assigned.count == 2 && $0.unsettledCount == 2 }
            #expect(Set(probe.assigned) == [child, shards[1]])
            try await probe.settle()
        }
        #expect(kept.count == 2)
        #expect(kept.values.allSatisfy { StreamPosition.time(in: $0) != nil })
        // While nobody reads.
        streams.write(["new"], to: child)
        streams.write(["other"], to: shards[1])
        let grandchild = streams.replace([child], by: 1)[0]
        streams.write(["newer"], to: grandchild)
        try await StreamProbe.run(streams, "start: latest", checkpoints: kept) { probe in
            probe.grant()
            try await probe.receive(2)
            #expect(Set(probe.keys) == ["new", "other"])
            try await probe.settleOn()
            try await probe.receive(3)
            #expect(probe.received[grandchild] == ["newer"])
            #expect(probe.gaps.isEmpty)
        }
    }

    @Test("start: latest reads what comes once it is there, in its order")
    func latestRunning() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let shard = streams.openShards[0]
        streams.write(Self.keys("old", 3), to: shard)
        try await StreamProbe.run(streams, "start: latest") { probe in
            try await probe.receive { $0.assigned == [shard] }
            #expect(BoundedWait.until(within: .seconds(30)) { streams.count("GetShardIterator") > 0 })
            // Nothing was granted yet: the place was taken nevertheless.
            streams.write(Self.keys("new", 2), to: shard)
            probe.grant()
            try await probe.receive(2)
            #expect(probe.keys == ["new0", "new1"])
        }
    }

    @Test("An iterator that expires is taken anew behind the last record")
    func expiry() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let shard = streams.openShards[0]
        try await StreamProbe.run(streams) { probe in
            probe.grant()
            for round in 0..<3 {
                streams.write(Self.keys("\(round)-", 2), to: shard)
                try await probe.receive(2 * (round + 1))
                streams.expireIterators()
            }
            #expect(probe.keys == (0..<3).flatMap { Self.keys("\($0)-", 2) })
            #expect(probe.gaps.isEmpty && probe.statuses.isEmpty)
        }
    }

    @Test("Trimmed records are a gap that is told once, and reading goes on with the oldest there are")
    func trimmed() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let shard = streams.openShards[0]
        streams.write(Self.keys("a", 10), to: shard)
        let kept = try await StreamProbe.run(streams) { probe in
            probe.grant(2)
            try await probe.receive(2)
            try await probe.settle()
        }
        streams.trim(shard, keeping: 3)
        try await StreamProbe.run(streams, checkpoints: kept) { probe in
            probe.grant()
            try await probe.receive(3)
            #expect(probe.keys == ["a7", "a8", "a9"])
            #expect(probe.gaps.count == 1)
            #expect(probe.gaps.first?.partition == "\(streams.arn)/\(shard)")
            #expect(probe.gaps.first?.detail.contains("older than 24 hours and gone") == true)
        }
    }

    @Test("A shard that is gone at the start is a gap, told once, and its children are read")
    func gone() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let root = streams.openShards[0]
        streams.write(Self.keys("a", 2), to: root)
        let kept = try await StreamProbe.run(streams) { probe in
            probe.grant(1)
            try await probe.receive(1)
            try await probe.settle()
        }
        let child = streams.replace([root], by: 1)[0]
        streams.write(["b"], to: child)
        streams.remove(root)
        let later = try await StreamProbe.run(streams, checkpoints: kept) { probe in
            probe.grant()
            try await probe.settleOn()
            try await probe.receive { $0.keys.count == 1 && !$0.ended.isEmpty }
            #expect(probe.received == [child: ["b"]])
            #expect(probe.gaps.map(\.partition) == ["\(streams.arn)/\(root)"])
        }
        try await StreamProbe.run(streams, checkpoints: later) { probe in
            probe.grant()
            streams.write(["c"], to: child)
            try await probe.receive(1)
            #expect(probe.gaps.isEmpty)
        }
    }

    @Test(
        "Throttling, outages and broken answers cost nothing but time",
        arguments: [
            ScriptedStreams.Fault.error(status: 400, code: "LimitExceededException"),
            .error(status: 400, code: "ProvisionedThroughputExceededException"),
            .error(status: 500, code: "InternalServerError"), .lostAnswer, .answer("no JSON"),
            .answer(#"{"Records":[{"eventName":"INSERT"}]}"#), .answer("{}"), .answer(#"{"Records":[]}"#),
        ]
    )
    func faults(fault: ScriptedStreams.Fault) async throws {
        let streams = try ScriptedStreams(shards: 2)
        defer { streams.stop() }
        for shard in streams.openShards { streams.write(Self.keys("\(shard)/", 50), to: shard) }
        streams.setPages(records: 10)
        let left = Countdown(6)
        streams.setFaults { _ in left.next() ? fault : nil }
        try await StreamProbe.run(streams) { probe in
            probe.grant()
            try await probe.receive(100)
            for (shard, keys) in probe.received { #expect(keys == Self.keys("\(shard)/", 50)) }
            #expect(probe.gaps.isEmpty)
        }
    }

    @Test("What is wrong is told with what to do, and that it went well again")
    func problems() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        streams.setFaults { call in
            call.operation == "DescribeStream" ? .error(status: 400, code: "AccessDeniedException") : nil
        }
        try await StreamProbe.run(streams) { probe in
            try await probe.receive { !$0.statuses.isEmpty }
            guard case .disconnected(let text) = probe.statuses[0] else {
                Issue.record("\(probe.statuses)")
                return
            }
            #expect(text.contains("dynamodb table orders: AccessDeniedException"))
            #expect(text.contains("dynamodb:ListStreams"))
            streams.setFaults(nil)
            try await probe.receive { $0.statuses.last == .connected }
        }
    }

    @Test("A held shard brings nothing, keeps no room from others, and goes on where it was")
    func held() async throws {
        let streams = try ScriptedStreams(shards: 2)
        defer { streams.stop() }
        let shards = streams.openShards
        for shard in shards { streams.write(Self.keys("\(shard)/", 300), to: shard) }
        try await StreamProbe.run(streams) { probe in
            try await probe.receive { $0.owned.count == 2 }
            let id = try #require(probe.owned[shards[0]]?.id)
            probe.grant(2)
            try await probe.receive(2)
            probe.grant(100_000, held: [id])
            try await probe.receive { ($0.received[shards[1]]?.count ?? 0) == 300 }
            #expect(probe.received[shards[0]]?.count ?? 0 <= 2)
            probe.grant()
            try await probe.receive(600)
            for shard in shards { #expect(probe.received[shard] == Self.keys("\(shard)/", 300)) }
        }
    }

    @Test("Many shards are listed page by page, and an idle one is read about once in a second")
    func paging() async throws {
        let streams = try ScriptedStreams(shards: 7)
        defer { streams.stop() }
        streams.setPages(shards: 3)
        try await StreamProbe.run(streams) { probe in
            probe.grant()
            try await probe.receive { $0.assigned.count == 7 }
            #expect(probe.assigned == streams.openShards)
            #expect(streams.count("DescribeStream") == 3)
            let began = ContinuousClock.now
            #expect(BoundedWait.until(within: .seconds(60)) { streams.count("GetRecords") >= 7 * 6 })
            // 250 ms, then slower up to 1 s: six reads need 2.8 s at least.
            #expect(ContinuousClock.now - began > .seconds(2))
        }
    }

    @Test("Thousands of shards are listed and read within what AWS allows")
    func thousands() async throws {
        let streams = try ScriptedStreams(shards: 1500)
        defer { streams.stop() }
        // All are split once.
        let children = streams.openShards.flatMap { streams.replace([$0], by: 1) }
        let lists = Mutex<[ContinuousClock.Instant]>([])
        streams.setFaults { call in
            if call.operation == "DescribeStream" { lists.withLock { $0.append(.now) } }
            return nil
        }
        try await StreamProbe.run(streams) { probe in
            probe.grant()
            try await probe.settleOn()
            try await probe.receive { $0.assigned.count == 3000 }
            #expect(probe.ended.count == 1500 && Set(probe.owned.keys) == Set(children))
            let last = children[1499]
            streams.write(["a"], to: last)
            try await probe.receive(1)
        }
        let times = lists.withLock { $0 }
        #expect(times.count >= 30)
        for (index, time) in times.enumerated() {
            let within = times[index...].prefix { $0 - time < .seconds(1) }
            #expect(within.count <= 10, "ten calls a second are allowed")
        }
        let reads = streams.calls.filter { $0.operation == "GetRecords" }
        #expect(
            reads.filter { !children.contains($0.shard) }.count == 1500,
            "a shard that is over is read once"
        )
    }
}

/// True so many times.
final class Countdown: Sendable {
    private let left: Mutex<Int>

    init(_ count: Int) {
        self.left = Mutex(count)
    }

    func next() -> Bool {
        self.left.withLock { left in
            left -= 1
            return left >= 0
        }
    }
}

extension StreamProbe {
    /// Whether something was told that is not settled.
    var hasUnsettled: Bool { self.unsettledCount > 0 }
}

extension Timestamp {
    /// The wall clock.
    static var now: Timestamp {
        Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    }
}
