// SPDX-License-Identifier: Apache-2.0

import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// Two shards of a scripted stream.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct DynamoDBSourceConformanceTests {
    /// Another trigger on the same stream.
    enum Neighbour: CaseIterable {
        /// There is none.
        case none
        /// It takes all there is.
        case busy
        /// It takes one record, and no other.
        case blocked
    }

    @Test(
        "The DynamoDB source keeps the contract, alone and beside another trigger",
        arguments: SourceConformance.checks.filter { !$0.needsRebalance },
        Neighbour.allCases
    )
    func conforms(check: SourceConformance.Check, neighbour: Neighbour) async throws {
        let streams = try ScriptedStreams(shards: 2)
        defer { streams.stop() }
        let shards = streams.openShards
        for shard in shards {
            // All of one size, so that a digit more in the sequence numbers does not matter.
            streams.write((0..<check.records).map { "\(10_000 + $0)" }, to: shard)
        }
        let reactor = try Reactor(name: "dynamodb-test")
        defer { reactor.stop() }
        let arn = streams.arn
        let hubs = StreamHubs()
        let upstream = SourceConformance.Upstream(
            loop: reactor,
            partitions: shards.map { "\(arn)/\($0)" }
        ) { try streams.makeSource(hubs: hubs, on: reactor) }
        guard neighbour != .none else { return try await check.run(upstream) }
        try await StreamProbe.run(streams, with: hubs, on: reactor) { probe in
            probe.grant(neighbour == .busy ? 100_000 : 1)
            if neighbour == .blocked { try await probe.receive(1) }
            try await check.run(upstream)
        }
    }
}
