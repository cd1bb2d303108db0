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
    @Test(
        "The DynamoDB source keeps the contract",
        arguments: SourceConformance.checks.filter { !$0.needsRebalance }
    )
    func conforms(check: SourceConformance.Check) async throws {
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
        let upstream = SourceConformance.Upstream(
            loop: reactor,
            partitions: shards.map { "\(arn)/\($0)" }
        ) { try streams.makeSource(on: reactor) }
        try await check.run(upstream)
    }
}
