// SPDX-License-Identifier: Apache-2.0

import AWSConfiguration

/// A stream of a table by its ARN: `arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-03-14T08:00:00.123`.
///
/// Its label is the time at which it was enabled, so that the streams of one table have an order.
struct StreamName: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The ARN.
    let arn: String

    /// Such as `eu-west-1`.
    let region: String

    /// The account's number.
    let account: String

    /// The table's name.
    let table: String

    /// When it was enabled, in AWS's own words.
    let label: String

    /// What the rule is, for findings.
    static let form = "the ARN of a stream"

    /// Reads an ARN; nil for anything else.
    init?(_ arn: String) {
        guard let name = AWSResourceName(arn, service: "dynamodb"), !name.region.isEmpty else { return nil }
        let resource = name.resource.split(separator: "/", omittingEmptySubsequences: false)
        guard resource.count == 4, resource[0] == "table", resource[2] == "stream", !resource[1].isEmpty,
            !resource[3].isEmpty
        else { return nil }
        self.arn = arn
        self.region = name.region
        self.account = name.account
        self.table = String(resource[1])
        self.label = String(resource[3])
    }

    var description: String { self.arn }

    static func < (lhs: Self, rhs: Self) -> Bool { (lhs.label, lhs.arn) < (rhs.label, rhs.arn) }

    /// The name of the partition of one of its shards.
    func partition(of shard: String) -> String { "\(self.arn)/\(shard)" }
}

/// What a partition's name says: the stream's ARN, and the shard's id behind a slash.
struct ShardName: Sendable, Equatable {
    /// The stream's ARN; empty when the name has none.
    var stream: String

    /// The shard's id.
    var shard: String

    /// Reads the name of a partition, of whatever form.
    init(_ partition: String) {
        let slash = partition.lastIndex(of: "/")
        self.stream = slash.map { String(partition[..<$0]) } ?? ""
        self.shard = slash.map { String(partition[$0...].dropFirst()) } ?? partition
    }
}
