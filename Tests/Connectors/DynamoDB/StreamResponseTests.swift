// SPDX-License-Identifier: Apache-2.0

import PenstockRuntime
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// The table of AWS's partial batch response with the sequence numbers of a stream (esm-spec section 4).
@Suite struct StreamResponseTests {
    private static let first = "300000000000000101234567"
    private static let second = "300000000000000101235011"

    private static func verdict(_ response: String) throws -> BatchVerdict {
        ResponseContract.verdict(
            of: .responded(Array(response.utf8)),
            batch: StreamEventTests.batch(try StreamEventTests.block(StreamEventTests.answer)),
            format: DynamoDBEventFormat(),
            itemReports: .accepted
        )
    }

    private static func items(_ numbers: String...) -> String {
        let items = numbers.map { #"{"itemIdentifier":"\#($0)"}"# }
        return #"{"batchItemFailures":[\#(items.joined(separator: ","))]}"#
    }

    @Test(
        "These answers mean that all succeeded",
        arguments: [Self.items(), #"{"batchItemFailures":null}"#, "{}", "null", "", #""""#, #"{"ok":true}"#]
    )
    func success(response: String) throws {
        #expect(try Self.verdict(response) == .succeeded)
    }

    @Test(
        "These answers fail the whole batch",
        arguments: [
            Self.items(""), #"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            #"{"batchItemFailures":[{"foo":"\#(Self.first)"}]}"#, #"{"batchItemFailures":[{}]}"#,
            #"{"batchItemFailures":[{"itemIdentifier":\#(Self.first)}]}"#,
            Self.items("300000000000000101234568"),
            Self.items("x\(Self.first)"), Self.items(Self.first, "unknown"),
            #"{"batchItemFailures":{"itemIdentifier":"\#(Self.first)"}}"#,
            #"{"batchItemFailures":[{"itemIdentifier":{"partition":"shardId-1","offset":1}}]}"#, "no JSON",
            "7", "[]",
        ]
    )
    func malformed(response: String) throws {
        guard case .failed(let failure) = try Self.verdict(response) else {
            Issue.record("\(try Self.verdict(response))")
            return
        }
        #expect(failure.type == "Penstock.MalformedResponse")
    }

    @Test(
        "The records named failed, the others succeeded; named twice is as named once, and numbers are compared"
    )
    func partial() throws {
        for response in [
            Self.items(Self.second), Self.items(Self.second, Self.second), Self.items("000\(Self.second)"),
        ] {
            guard case .partial(let verdicts, _) = try Self.verdict(response) else {
                Issue.record("\(try Self.verdict(response))")
                return
            }
            #expect(verdicts == [.succeeded, .failed])
        }
        guard case .partial(let verdicts, _) = try Self.verdict(Self.items(Self.second, Self.first)) else {
            Issue.record("not partial")
            return
        }
        #expect(verdicts == [.failed, .failed])
    }
}
