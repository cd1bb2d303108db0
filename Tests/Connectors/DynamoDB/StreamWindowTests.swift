// SPDX-License-Identifier: Apache-2.0

import PenstockRuntime
import PenstockTesting
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// The source in the middle of tumbling windows.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct StreamWindowTests {
    private static func window(_ position: Position, closed: Position) -> KeptWindow {
        var kept = KeptWindow(position: position, closed: closed)
        kept.open = OpenWindow(
            WindowSpan(holding: Timestamp(milliseconds: 1_773_478_811_000), length: .seconds(60))
        )
        kept.open?.state = Array("{\"n\":2}".utf8)
        return kept
    }

    @Test("A shard goes on behind its window's position, and hands the window over")
    func goesOn() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let root = streams.openShards[0]
        let numbers = streams.write(["a", "b", "c", "d"], to: root).compactMap { Position($0) }
        let name = "\(streams.arn)/\(root)"
        let kept = Self.window(numbers[1], closed: numbers[0])
        try await StreamProbe.run(streams, checkpoints: [name: numbers[0]], windows: [name: kept]) { probe in
            probe.grant()
            try await probe.receive(2)
            #expect(probe.keys == ["c", "d"])
            #expect(probe.owned[root]?.kept == kept)
            #expect(probe.source.lag().map(\.committed) == [numbers[0]], "not beyond the window's beginning")
            // Its windows end soon when nothing is left, and wait while it cannot be read.
            while probe.source.lag().contains(where: \.isBehind) { await Task.yield() }
            streams.setFaults { $0.operation == "GetRecords" ? .error(status: 500, code: "Any") : nil }
            while !probe.source.lag().contains(where: \.isBehind) { await Task.yield() }
        }
    }

    @Test("A shard that was read to its end is not read again, and its children wait for the window's end")
    func ended() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let root = streams.openShards[0]
        let numbers = streams.write(["a", "b"], to: root).compactMap { Position($0) }
        let child = streams.replace([root], by: 1)[0]
        streams.write(["c"], to: child)
        let name = "\(streams.arn)/\(root)"
        let kept = Self.window(StreamPosition.end, closed: numbers[0])
        // A stop before the window's end, then another start.
        for isSettled in [false, true] {
            try await StreamProbe.run(streams, checkpoints: [name: numbers[0]], windows: [name: kept]) {
                probe in
                probe.grant()
                try await probe.receive { $0.unsettledCount == 1 }
                #expect(probe.owned[root]?.kept == kept && probe.assigned == [root])
                guard isSettled else { return }
                try await probe.settle()
                try await probe.receive(1)
                #expect(probe.ended == [root] && probe.assigned == [root, child])
                #expect(probe.keys == ["c"] && probe.owned[child]?.kept == nil && probe.gaps.isEmpty)
            }
        }
        #expect(streams.calls.allSatisfy { $0.shard != root })
    }
}
