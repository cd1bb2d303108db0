// SPDX-License-Identifier: Apache-2.0

import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// Streams that follow each other.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct StreamFollowingTests {
    @Test(
        "A disabled stream is read to its end, then the table's next one from its begin, and the gap is told"
    )
    func another() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let (old, first) = (streams.openShards[0], streams.arn)
        streams.write(["a", "b"], to: old)
        let kept = try await StreamProbe.run(streams, "start: latest") { probe in
            probe.grant()
            try await probe.receive { $0.assigned == [old] && $0.hasUnsettled }
            try await probe.settle()
            streams.write(["c"], to: old)
            streams.disable()
            streams.enable()
            streams.write(["d"], to: streams.openShards[0])
            try await probe.settleOn()
            try await probe.receive { $0.keys == ["c", "d"] }
            #expect(probe.gaps.map(\.partition) == [first])
            #expect(probe.assigned == [old] + streams.openShards)
        }
        #expect(kept["\(first)/\(old)"] == StreamPosition.end)
        // The old one is gone by now; nothing of it is missing.
        streams.forgetOldStreams()
        streams.write(["e"], to: streams.openShards[0])
        try await StreamProbe.run(streams, checkpoints: kept) { probe in
            probe.grant()
            try await probe.receive(1)
            #expect(probe.keys == ["e"])
            #expect(probe.gaps.isEmpty)
        }
    }

    @Test("A stream that vanished before it was read to its end is a gap, and the next one is read")
    func vanished() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let (old, first) = (streams.openShards[0], streams.arn)
        streams.write(["a", "b"], to: old)
        let kept = try await StreamProbe.run(streams) { probe in
            probe.grant(1)
            try await probe.receive(1)
            try await probe.settle()
        }
        streams.disable()
        streams.enable()
        streams.forgetOldStreams()
        streams.write(["c"], to: streams.openShards[0])
        try await StreamProbe.run(streams, checkpoints: kept) { probe in
            probe.grant()
            try await probe.settleOn()
            try await probe.receive { $0.keys == ["c"] }
            #expect(probe.gaps.map(\.partition) == ["\(first)/\(old)", first])
        }
    }

    @Test("One stream by its ARN is read alone, and its end is told")
    func single() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let (shard, arn) = (streams.openShards[0], streams.arn)
        streams.write(["a"], to: shard)
        streams.disable()
        streams.enable()
        try await StreamProbe.run(streams, stream: arn) { probe in
            probe.grant()
            try await probe.settleOn()
            try await probe.receive { !$0.statuses.isEmpty }
            guard case .disconnected(let text) = probe.statuses[0] else {
                Issue.record("\(probe.statuses)")
                return
            }
            #expect(text.contains("it was disabled and is read to its end"))
        }
        #expect(streams.count("ListStreams") == 0)
    }

    @Test("A table's streams are listed page by page, and the latest is read wherever it is listed")
    func paging() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        var arns = [streams.arn]
        for _ in 0..<4 {
            streams.disable()
            streams.enable()
            arns.append(streams.arn)
        }
        streams.setPages(streams: 2)
        streams.write(["a"], to: streams.openShards[0])
        try await StreamProbe.run(streams) { probe in
            probe.grant()
            try await probe.receive(1)
            #expect(probe.assigned == streams.openShards)
            #expect(streams.count("ListStreams") == 3)
            #expect(try await probe.source.hub.client.streams(of: streams.table).map(\.arn) == arns)
        }
    }

    @Test("A table without a stream, and one that is not there, are waited for")
    func none() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        streams.setFaults { $0.operation == "ListStreams" ? .answer(#"{"Streams":[]}"#) : nil }
        try await StreamProbe.run(streams) { probe in
            try await probe.receive { !$0.statuses.isEmpty }
            #expect(
                probe.statuses == [
                    .disconnected("dynamodb table orders: it has no stream; enable one on the table")
                ]
            )
        }
    }

    @Test("A stream that is not found for a moment is not taken for gone")
    func blip() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let shard = streams.openShards[0]
        streams.write(["a"], to: shard)
        let kept = try await StreamProbe.run(streams) { probe in
            probe.grant()
            try await probe.receive(1)
            try await probe.settle()
        }
        streams.write(["b"], to: shard)
        let left = Countdown(3)
        streams.setFaults { _ in
            left.next() ? .error(status: 400, code: "ResourceNotFoundException") : nil
        }
        try await StreamProbe.run(streams, checkpoints: kept) { probe in
            probe.grant()
            try await probe.receive(1)
            #expect(probe.keys == ["b"])
            #expect(probe.gaps.isEmpty)
        }
    }
}
