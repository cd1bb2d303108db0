// SPDX-License-Identifier: Apache-2.0

import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// Several triggers on one scripted stream.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct StreamHubTests {
    private static func keys(_ prefix: String, _ count: Int) -> [String] {
        (0..<count).map { "\(prefix)\($0)" }
    }

    /// Three triggers that are run side by side, the first one around the others.
    private static func run(
        _ streams: ScriptedStreams,
        _ more: [String] = ["", "", ""],
        limits: StreamHub.Limits = StreamHub.Limits(),
        _ body: ([StreamProbe]) async throws -> Void
    ) async throws {
        let reactor = try Reactor(name: "dynamodb-test")
        defer { reactor.stop() }
        let hubs = StreamHubs(limits)
        try await StreamProbe.run(streams, more[0], with: hubs, on: reactor) { first in
            try await StreamProbe.run(streams, more[1], with: hubs, on: reactor) { second in
                try await StreamProbe.run(streams, more[2], with: hubs, on: reactor) { third in
                    try await body([first, second, third])
                }
            }
        }
    }

    private static func wait(_ hub: StreamHub, _ condition: (isolated StreamHub) -> Bool) async {
        while await !condition(hub) { await Task.yield() }
    }

    @Test("Three triggers of one stream ask no more of it than one", arguments: [1, 3])
    func reads(count: Int) async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        streams.setPages(records: 10)
        let shard = streams.openShards[0]
        streams.write(Self.keys("a", 40), to: shard)
        streams.disable()
        let (lists, reads) = (Latch(), Latch())
        let (isFirstList, isFirstRead) = (Countdown(1), Countdown(1))
        streams.setFaults { call in
            switch call.operation {
            case "ListStreams": isFirstList.next() ? .late(lists) : nil
            case "GetRecords": isFirstRead.next() ? .late(reads) : nil
            default: nil
            }
        }
        try await Self.run(streams) { all in
            let probes = all.prefix(count)
            let hub = all[0].source.hub
            #expect(all.allSatisfy { $0.source.hub === hub })
            // Others follow, as the stream is disabled.
            await Self.wait(hub) { $0.waiting == 2 && streams.count("ListStreams") > 0 }
            #expect(streams.count("ListStreams") == 1)
            lists.open()
            for probe in all { try await probe.receive { $0.assigned == [shard] } }
            #expect(streams.count("DescribeStream") == 1)
            for probe in probes { probe.grant() }
            await Self.wait(hub) { $0.waiting == count - 1 && streams.count("GetRecords") > 0 }
            reads.open()
            for probe in probes {
                try await probe.receive(40)
                #expect(probe.keys == Self.keys("a", 40))
                #expect(probe.gaps.isEmpty)
            }
        }
        #expect(streams.count("GetShardIterator") == 1)
        #expect(streams.count("GetRecords") == 4)
    }

    @Test("One that takes nothing holds up nobody, catches up by itself, and comes back")
    func behind() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        streams.setPages(records: 100)
        let shard = streams.openShards[0]
        streams.write(Self.keys("a", 1000), to: shard)
        // Two pages or so.
        let limits = StreamHub.Limits(feedBytes: 80_000)
        try await Self.run(streams, limits: limits) { probes in
            for probe in probes { try await probe.receive { $0.assigned == [shard] } }
            probes[2].grant(5)
            try await probes[2].receive(5)
            for probe in probes.prefix(2) { probe.grant() }
            for probe in probes.prefix(2) { try await probe.receive(1000) }
            #expect(probes[2].keys.count == 5)
            let hub = probes[0].source.hub
            #expect(await hub.bytes <= limits.feedBytes)
            let before = streams.count("GetRecords")
            probes[2].grant()
            try await probes[2].receive(1000)
            #expect(streams.count("GetRecords") > before)
            await Self.wait(hub) { $0.followers == 3 }
            streams.write(Self.keys("b", 3), to: shard)
            for probe in probes {
                try await probe.receive(1003)
                #expect(probe.keys == Self.keys("a", 1000) + Self.keys("b", 3))
            }
        }
    }

    @Test("The stop of the one that reads loses nothing for the others")
    func stop() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let shard = streams.openShards[0]
        streams.write(Self.keys("a", 5), to: shard)
        let reads = Latch()
        let isFirst = Countdown(1)
        streams.setFaults { call in call.operation == "GetRecords" && isFirst.next() ? .late(reads) : nil }
        let reactor = try Reactor(name: "dynamodb-test")
        defer { reactor.stop() }
        let hubs = StreamHubs()
        try await StreamProbe.run(streams, with: hubs, on: reactor) { staying in
            try await staying.receive { $0.assigned == [shard] }
            try await StreamProbe.run(streams, with: hubs, on: reactor) { leaving in
                try await leaving.receive { $0.assigned == [shard] }
                leaving.grant()
                await Self.wait(leaving.source.hub) { _ in streams.count("GetRecords") == 1 }
                staying.grant()
                await Self.wait(leaving.source.hub) { $0.waiting == 1 }
            }
            reads.open()
            try await staying.receive(5)
            // And it comes back, where it began.
            try await StreamProbe.run(streams, with: hubs, on: reactor) { again in
                #expect(again.source.hub === staying.source.hub)
                again.grant()
                try await again.receive(5)
                streams.write(["b"], to: shard)
                try await again.receive(6)
                try await staying.receive(6)
            }
        }
        // The last one has closed it.
        let source = try streams.makeSource(hubs: hubs, on: reactor)
        #expect(source.hub.enter())
        await source.stop()
    }

    @Test("What is wrong with a shard is told to each, and asked for by one")
    func failures() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let shard = streams.openShards[0]
        streams.write(Self.keys("a", 3), to: shard)
        streams.setFaults { $0.operation == "GetRecords" ? .error(status: 500, code: "Any") : nil }
        try await Self.run(streams) { probes in
            for probe in probes { probe.grant() }
            for probe in probes { try await probe.receive { !$0.statuses.isEmpty } }
            streams.setFaults(nil)
            for probe in probes {
                try await probe.receive { $0.keys.count == 3 && $0.statuses.last == .connected }
            }
            // An iterator that expires is no failure.
            streams.expireIterators()
            streams.write(["b"], to: shard)
            for probe in probes {
                try await probe.receive(4)
                #expect(probe.gaps.isEmpty && probe.statuses.count == 2)
            }
        }
    }

    @Test("Trimmed records are a gap of each trigger that lost them, and of no other")
    func trimmed() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let shard = streams.openShards[0]
        streams.write(Self.keys("a", 10), to: shard)
        try await Self.run(streams) { probes in
            for probe in probes.prefix(2) {
                probe.grant(2)
                try await probe.receive(2)
            }
            // It has read all of the page, and the third trigger has a page of its own.
            streams.write(Self.keys("b", 10), to: shard)
            streams.trim(shard, keeping: 3)
            probes[2].grant()
            try await probes[2].receive { $0.keys.count == 3 }
            #expect(probes[2].keys == ["b7", "b8", "b9"])
            for probe in probes.prefix(2) {
                probe.grant()
                try await probe.receive { $0.keys.count == 13 }
                #expect(probe.keys == Self.keys("a", 10) + ["b7", "b8", "b9"])
                #expect(probe.gaps.count == 1)
            }
            await Self.wait(probes[0].source.hub) { $0.followers == 3 }
        }
    }

    @Test("start: latest joins those who are there, and gets nothing that is old")
    func latest() async throws {
        let streams = try ScriptedStreams()
        defer { streams.stop() }
        let shard = streams.openShards[0]
        let before = Int(Timestamp.now.milliseconds / 1000) - 7200
        streams.write(Self.keys("old", 3), to: shard, at: before)
        let reactor = try Reactor(name: "dynamodb-test")
        defer { reactor.stop() }
        let hubs = StreamHubs()
        try await StreamProbe.run(streams, with: hubs, on: reactor) { earliest in
            earliest.grant()
            try await earliest.receive(3)
            try await StreamProbe.run(streams, "start: latest", with: hubs, on: reactor) { latest in
                // It has its place, and takes nothing yet.
                try await latest.receive { $0.assigned == [shard] && $0.hasUnsettled }
                #expect(streams.calls.allSatisfy { $0.place != "LATEST" })
                streams.write(Self.keys("new", 3), to: shard)
                try await earliest.receive(6)
                latest.grant()
                try await latest.receive(3)
                #expect(latest.keys == Self.keys("new", 3))
            }
        }
    }

    @Test("Whatever each of them does, each gets all changes of each shard once, in order, parents first")
    func random() async throws {
        let streams = try ScriptedStreams(shards: 2)
        defer { streams.stop() }
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        var (written, lineage): ([String: [String]], [String: [String]]) = ([:], [:])
        try await Self.run(streams, limits: StreamHub.Limits(feedBytes: 20_000, hubBytes: 60_000)) { probes in
            for probe in probes { try await probe.settleOn() }
            for round in 0..<80 {
                streams.setPages(records: Int.random(in: 1...120, using: &random))
                let open = streams.openShards
                let shard = open.randomElement(using: &random) ?? ""
                switch Int.random(in: 0..<12, using: &random) {
                case 0 where written.values.joined().count < 4000:
                    let children = streams.replace([shard], by: Int.random(in: 1...2, using: &random))
                    for child in children { lineage[child] = [shard] }
                case 1: streams.expireIterators()
                default:
                    let keys = Self.keys("\(round)/", Int.random(in: 1...60, using: &random))
                    streams.write(keys, to: shard)
                    written[shard, default: []] += keys
                }
                for probe in probes {
                    let owned = probe.owned.values.map(\.id).sorted { $0.rawValue < $1.rawValue }
                    let held = owned.filter { _ in Int.random(in: 0..<3, using: &random) == 0 }
                    probe.grant(Int.random(in: 0...100, using: &random), held: Set(held))
                    try await probe.receiveSome()
                }
            }
            // Pages of one record would make the rest last for minutes: an open shard is asked four times a second.
            streams.setPages(records: 1000)
            let total = written.values.joined().count
            for probe in probes {
                probe.grant()
                try await probe.receive(total)
                #expect(probe.received == written, "seed \(seed)")
                // The youngest may have no record yet.
                try await probe.receive { probe in lineage.keys.allSatisfy(probe.assigned.contains) }
                for (child, parents) in lineage {
                    let place = probe.assigned.firstIndex(of: child) ?? -1
                    for parent in parents {
                        #expect(place > probe.assigned.firstIndex(of: parent) ?? .max, "seed \(seed)")
                    }
                }
                #expect(probe.gaps.isEmpty, "seed \(seed)")
                for case .disconnected(let text) in probe.statuses {
                    #expect(text.contains("ExpiredIteratorException"), "seed \(seed)")
                }
            }
            await Self.wait(probes[0].source.hub) { $0.bytes <= 60_000 }
        }
    }
}
