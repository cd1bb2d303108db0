// SPDX-License-Identifier: Apache-2.0

import AWSClient
import Foundation
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Testing

@testable import SQSConnector

/// Queues of an emulator, and of the scripted one that the other tests trust.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct SQSSourceConformanceTests {
    /// Long enough for a machine that runs all tests at once to settle in what is leased: 6 s were not.
    private static let lease = Duration.seconds(24)

    private static func checks(isFIFO: Bool) -> [LeaseSourceConformance.Check] {
        LeaseSourceConformance.checks.filter { isFIFO || !$0.needsGroups }
    }

    /// Runs a check of sources that these settings describe.
    private static func run(
        _ check: LeaseSourceConformance.Check,
        _ settings: String
    ) async throws {
        let yaml = settings + "\nvisibility: 24s"
        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(SQSSourceConfiguration.self)
        let configuration = try #require(read.value, "\(read.findings)")
        let reactor = try Reactor(name: "sqs-test")
        defer { reactor.stop() }
        let upstream = LeaseSourceConformance.Upstream(
            loop: reactor,
            records: check.records,
            lease: Self.lease,
            makeSource: {
                SQSSource(
                    SQSSettings(
                        configuration,
                        TriggerTerms(functionTimeout: .seconds(1), batchWindow: .zero)
                    ),
                    format: SQSEventFormat(batchWindow: .zero),
                    client: try SQSClient(configuration.options, reactor: reactor),
                    reactor: reactor
                )
            },
            number: { block, index in
                unsafe block.body(at: index).flatMap { unsafe Int(String(decoding: $0, as: UTF8.self)) }
            }
        )
        try await check.run(upstream)
    }

    @Test("The source keeps the contract with a scripted queue", arguments: LeaseSourceConformance.checks)
    func scripted(check: LeaseSourceConformance.Check) async throws {
        // Both kinds side by side, because they wait for leases most of the time.
        try await withThrowingTaskGroup { group in
            for isFIFO in [true, false] where isFIFO || !check.needsGroups {
                group.addTask {
                    let queue = try ScriptedSQS(isFIFO ? "orders.fifo" : "orders")
                    defer { queue.stop() }
                    queue.send(
                        (0..<check.records).map { ("\($0)", "g\($0 % (check.groups ?? check.records))") }
                    )
                    try await Self.run(check, queue.settings())
                }
            }
            try await group.waitForAll()
        }
    }

    @Test("The source keeps the contract with an emulator's queue", arguments: [false, true])
    func emulated(isFIFO: Bool) async throws {
        let aws = try TestAWS()
        defer { aws.stop() }
        let checks = Self.checks(isFIFO: isFIFO)
        let sizes = checks.map { "\($0.records):\(isFIFO ? $0.groups ?? $0.records : 0)" }
        let urls = try aws.run(Self.script, sizes).split(separator: "\n").map(String.init)
        try #require(urls.count == checks.count)
        // Side by side, because they wait for leases most of the time.
        await withTaskGroup { group in
            for (check, url) in zip(checks, urls) {
                group.addTask {
                    do {
                        try await Self.run(
                            check,
                            """
                            queue: "\(url)"
                            region: \(TestAWS.region)
                            credentials: { access_key_id: test, secret_access_key: test }
                            """
                        )
                    } catch {
                        Issue.record(error, "\(check)")
                    }
                }
            }
        }
    }

    /// A queue for each argument, which says how many messages, and in how many groups.
    private static let script = """
        import boto3, sys
        sqs = boto3.client("sqs", endpoint_url=sys.argv[1])
        for number, size in enumerate(sys.argv[2:]):
            records, groups = map(int, size.split(":"))
            attributes = {"FifoQueue": "true"} if groups else {}
            name = f"orders-{number}" + (".fifo" if groups else "")
            url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
            for first in range(0, records, 10):
                entries = []
                for record in range(first, min(first + 10, records)):
                    entry = {"Id": str(record), "MessageBody": str(record)}
                    if groups:
                        entry |= {"MessageGroupId": f"g{record % groups}", "MessageDeduplicationId": str(record)}
                    entries.append(entry)
                sqs.send_message_batch(QueueUrl=url, Entries=entries)
            print(url)
        """
}
