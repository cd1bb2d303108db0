// SPDX-License-Identifier: Apache-2.0

import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// Answers that say a shard has ended, where the list of shards says something else.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct ShardEndTests {
    /// Answered instead of the next reads, so many of them.
    private static func answer(_ text: String, to reads: Int, of streams: ScriptedStreams) {
        let left = Countdown(reads)
        streams.setFaults { call in call.operation == "GetRecords" && left.next() ? .answer(text) : nil }
    }

    @Test(
        "An open shard that half an answer calls ended is read on, behind the last record",
        arguments: [1, 3]
    )
    func open(reads: Int) async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let shard = streams.openShards[0]
        streams.write(["a", "b"], to: shard)
        let kept = try await StreamProbe.run(streams) { probe in
            probe.grant()
            try await probe.settleOn()
            try await probe.receive(2)
            Self.answer(#"{"Records":[]}"#, to: reads, of: streams)
            streams.write(["c"], to: shard)
            try await probe.receive(3)
            streams.write(["d"], to: shard)
            try await probe.receive(4)
            #expect(probe.keys == ["a", "b", "c", "d"] && probe.ended.isEmpty && probe.gaps.isEmpty)
            #expect(probe.statuses.isEmpty, "a half answer is no outage")
        }
        #expect(kept.values.allSatisfy { StreamPosition.isSequence($0) })
        #expect(Set(streams.calls.map(\.place)) == ["", "TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER"])
    }

    @Test("An open shard that is called ended before its first record is read from where it began")
    func first() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let shard = streams.openShards[0]
        streams.write(["old"], to: shard, at: 1_700_000_000)
        Self.answer(#"{"Records":[]}"#, to: 1, of: streams)
        try await StreamProbe.run(streams, "start: latest") { probe in
            probe.grant()
            try await probe.receive { $0.assigned == [shard] && $0.hasUnsettled }
            #expect(BoundedWait.until(within: .seconds(30)) { streams.count("GetRecords") > 0 })
            streams.write(["a"], to: shard)
            try await probe.receive(1)
            #expect(probe.keys == ["a"] && probe.ended.isEmpty)
        }
    }

    @Test("A shard that is called ended all the time is told of, and read on when it is well again")
    func denied() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let shard = streams.openShards[0]
        streams.write(["a"], to: shard)
        streams.setFaults { $0.operation == "GetRecords" ? .answer(#"{"Records":[]}"#) : nil }
        try await StreamProbe.run(streams) { probe in
            probe.grant()
            try await probe.receive { !$0.statuses.isEmpty }
            guard case .disconnected(let text) = probe.statuses[0] else {
                Issue.record("\(probe.statuses)")
                return
            }
            #expect(
                text.contains("GetRecords says that \(shard) has ended, and DescribeStream lists it as open")
            )
            streams.setFaults(nil)
            try await probe.receive { $0.keys == ["a"] && $0.statuses.last == .connected }
        }
    }

    @Test("Several triggers that were told of the same end that is none all go on")
    func several() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let shard = streams.openShards[0]
        streams.write(["a"], to: shard)
        let reactor = try Reactor(name: "dynamodb-test")
        defer { reactor.stop() }
        let hubs = StreamHubs()
        try await StreamProbe.run(streams, with: hubs, on: reactor) { first in
            try await StreamProbe.run(streams, with: hubs, on: reactor) { second in
                let probes = [first, second]
                for probe in probes {
                    probe.grant()
                    try await probe.receive(1)
                }
                Self.answer(#"{"Records":[]}"#, to: 1, of: streams)
                let lists = streams.count("DescribeStream")
                #expect(BoundedWait.until(within: .seconds(30)) { streams.count("DescribeStream") > lists })
                for round in ["b", "c"] {
                    streams.write([round], to: shard)
                    for probe in probes { try await probe.receive { $0.keys.last == round } }
                }
                for probe in probes { #expect(probe.keys == ["a", "b", "c"] && probe.ended.isEmpty) }
            }
        }
    }

    @Test(
        "A shard that is closed after it was listed ends when it is listed again, and one that is gone, too"
    )
    func real() async throws {
        let streams = try ScriptedStreams(shards: 2)
        defer { streams.stop() }
        let shards = streams.openShards
        for shard in shards { streams.write(["a"], to: shard) }
        try await StreamProbe.run(streams) { probe in
            probe.grant()
            try await probe.settleOn()
            try await probe.receive(2)
            let child = streams.replace([shards[0]], by: 1)[0]
            streams.write(["b"], to: child)
            try await probe.receive { $0.ended == [shards[0]] && $0.keys.count == 3 }
            streams.setFaults { call in
                call.operation == "GetRecords" && call.shard == shards[1] ? .answer(#"{"Records":[]}"#) : nil
            }
            streams.remove(shards[1])
            try await probe.receive { $0.ended == shards }
            #expect(probe.gaps.isEmpty)
        }
    }
}
