// SPDX-License-Identifier: Apache-2.0

import AWSClient
import CurlClient
import PenstockCore
import PenstockRuntime
import Reactor

/// The calls of DynamoDB Streams that we make (AWS JSON 1.0).
///
/// `GetRecords` is made once: the source lets a shard rest that fails. The others are repeated as AWS's SDKs do.
struct StreamsClient: Sendable {
    private let client: AWSClient
    private let reactor: Reactor

    /// Records of a page at most.
    private static let recordsMax = 1000

    /// A page is 1 MB of records; their JSON may be several times as large.
    private static let pageBytes = 16 << 20

    /// Between pages of a list: ten calls of `DescribeStream` are allowed in a second, to all readers together.
    private static let listPause = Duration.milliseconds(200)

    /// Pages of a list that are read at once.
    private static let pagesAtOnce = 4

    /// - Throws: ``AWSError`` for an endpoint that is no URL, or when libcurl cannot be set up.
    init(_ options: AWSOptions, reactor: Reactor) throws(AWSError) {
        var options = options
        // The service has a host of its own, and signs as the table's.
        options.endpoint =
            options.endpoint ?? AWSEndpoint.url(service: "streams.dynamodb", region: options.region)
        self.client = try AWSClient(service: "dynamodb", options: options, reactor: reactor)
        self.reactor = reactor
    }

    /// Ends calls in flight and all connections.
    ///
    /// Idempotent.
    func close() async {
        await self.client.close()
    }

    // MARK: - Calls

    /// The streams of a table, those that are still readable, the oldest first.
    func streams(of table: String) async throws(AWSError) -> [StreamName] {
        var streams: [StreamName] = []
        var last: String?
        repeat {
            var body = Array("{".utf8) + JSONText.member("TableName", table)
            if let last { body += Array(",".utf8) + JSONText.member("ExclusiveStartStreamArn", last) }
            let answer = try await self.call("ListStreams", body + Array("}".utf8))
            last = nil
            var isWhole = false
            try Self.read(answer.body, of: "ListStreams") { (cursor, name) throws(JSONCursor.Malformed) in
                if cursor.isEqual(name, "Streams"), cursor.isNext(UInt8(ascii: "[")) {
                    isWhole = true
                    try cursor.elements { (cursor) throws(JSONCursor.Malformed) in
                        if let arn = try Self.text("StreamArn", in: &cursor), let name = StreamName(arn) {
                            streams.append(name)
                        }
                    }
                } else if cursor.isEqual(name, "LastEvaluatedStreamArn"), cursor.isNext(UInt8(ascii: "\"")) {
                    last = try cursor.value(cursor.string())
                } else {
                    try cursor.skip()
                }
            }
            guard isWhole else { throw Self.unreadable("ListStreams", at: 0) }
        } while last != nil
        return streams.filter { $0.table == table }.sorted()
    }

    /// A stream with all its shards.
    func describe(_ stream: StreamName) async throws(AWSError) -> StreamDescription {
        var description = StreamDescription()
        var pages = 0
        while true {
            try await self.describe(stream, into: &description)
            guard description.last != nil else { return description }
            pages += 1
            if pages > Self.pagesAtOnce { await self.reactor.pause(for: Self.listPause) }
        }
    }

    /// The next page of a stream's shards, behind those that were read.
    func describe(_ stream: StreamName, into description: inout StreamDescription) async throws(AWSError) {
        var body = Array("{".utf8) + JSONText.member("StreamArn", stream.arn)
        if let last = description.last {
            body += Array(",".utf8) + JSONText.member("ExclusiveStartShardId", last)
        }
        let answer = try await self.call("DescribeStream", body + Array("}".utf8), wantedHeaders: ["date"])
        if description.time == nil { description.time = Self.time(of: answer) }
        description.last = nil
        description.isWhole = false
        var page = description
        try Self.read(answer.body, of: "DescribeStream") { (cursor, name) throws(JSONCursor.Malformed) in
            guard cursor.isEqual(name, "StreamDescription") else { return try cursor.skip() }
            try page.read(&cursor)
        }
        // Half an answer must not look like a stream without shards.
        guard page.isWhole else { throw Self.unreadable("DescribeStream", at: 0) }
        // Nothing is written to a disabled stream: not every emulator gives its shards an end.
        if !page.isOpen { for place in page.shards.indices { page.shards[place].isClosed = true } }
        description = page
    }

    /// Where to begin in a shard.
    enum Place {
        case oldest, latest
        /// Behind the record of this sequence number.
        case after(String)
    }

    /// An iterator, which is good for 15 minutes.
    func iterator(
        _ place: Place,
        of shard: String,
        in stream: StreamName
    ) async throws(AWSError) -> String {
        var body = Array("{".utf8) + JSONText.member("StreamArn", stream.arn)
        body += Array(",".utf8) + JSONText.member("ShardId", shard) + Array(",\"ShardIteratorType\":".utf8)
        switch place {
        case .oldest: body += Array("\"TRIM_HORIZON\"".utf8)
        case .latest: body += Array("\"LATEST\"".utf8)
        case .after(let number):
            body += Array("\"AFTER_SEQUENCE_NUMBER\",".utf8) + JSONText.member("SequenceNumber", number)
        }
        let answer = try await self.call("GetShardIterator", body + Array("}".utf8))
        var iterator: String?
        try Self.read(answer.body, of: "GetShardIterator") { (cursor, name) throws(JSONCursor.Malformed) in
            guard cursor.isEqual(name, "ShardIterator"), cursor.isNext(UInt8(ascii: "\"")) else {
                return try cursor.skip()
            }
            iterator = try cursor.value(cursor.string())
        }
        guard let iterator else { throw Self.unreadable("GetShardIterator", at: 0) }
        return iterator
    }

    /// The next page of a shard.
    func records(_ iterator: String) async throws(AWSError) -> StreamPage {
        var body = Array("{".utf8) + JSONText.member("ShardIterator", iterator)
        body += Array(",\"Limit\":\(Self.recordsMax)}".utf8)
        let answer = try await self.call("GetRecords", body, limit: Self.pageBytes, isRepeatable: false)
        do throws(JSONCursor.Malformed) {
            return try StreamPage(answer.body)
        } catch {
            throw Self.unreadable("GetRecords", at: error.offset)
        }
    }

    // MARK: - The protocol

    private func call(
        _ operation: String,
        _ body: [UInt8],
        limit: Int = 4 << 20,
        isRepeatable: Bool = true,
        wantedHeaders: [StaticString] = []
    ) async throws(AWSError) -> CurlResponse {
        var call = AWSCall(method: .post, path: "/", body: .bytes(body))
        call.headers = [
            ("Content-Type", "application/x-amz-json-1.0"),
            ("X-Amz-Target", "DynamoDBStreams_20120810.\(operation)"),
        ]
        call.responseLimit = limit
        call.isRepeatable = isRepeatable
        call.wantedHeaders = wantedHeaders
        return try await self.client.call(call)
    }

    private static func read(
        _ answer: [UInt8],
        of operation: String,
        _ visit: (inout JSONCursor, JSONCursor.Text) throws(JSONCursor.Malformed) -> Void
    ) throws(AWSError) {
        var cursor = JSONCursor(answer)
        do throws(JSONCursor.Malformed) {
            try cursor.members(visit)
        } catch {
            throw Self.unreadable(operation, at: error.offset)
        }
    }

    /// A member of the object at the cursor, which is passed over.
    private static func text(
        _ wanted: StaticString,
        in cursor: inout JSONCursor
    ) throws(JSONCursor.Malformed) -> String? {
        var found: String?
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            guard cursor.isEqual(name, wanted), cursor.isNext(UInt8(ascii: "\"")) else {
                return try cursor.skip()
            }
            found = try cursor.value(cursor.string())
        }
        return found
    }

    private static func time(of answer: CurlResponse) -> Timestamp? {
        answer.header("date").flatMap { HTTPDate.timestamp($0) }
    }

    private static func unreadable(_ operation: String, at offset: Int) -> AWSError {
        AWSError(
            .noAnswer,
            code: "Client.Malformed",
            message: "the answer to \(operation) is not the JSON of DynamoDB Streams, at byte \(offset)"
        )
    }
}

/// A stream as `DescribeStream` tells it.
struct StreamDescription: Sendable {
    /// Its shards, in the order in which they were listed.
    var shards: [ShardTree.Shard] = []

    /// Whether records are still written to it.
    var isOpen = false

    /// What its records have of the items, in AWS's word, such as `KEYS_ONLY`; empty when it did not say.
    var viewType = ""

    /// Whether the last page had its status and a list of shards.
    var isWhole = false

    /// The service's clock when it answered first; nil when it did not say.
    var time: Timestamp?

    /// The shard behind which the list goes on; nil at its end.
    var last: String?

    /// Reads a page of it.
    mutating func read(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) {
        var (hasStatus, hasShards) = (false, false)
        defer { self.isWhole = hasStatus && hasShards }
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            if cursor.isEqual(name, "StreamStatus"), cursor.isNext(UInt8(ascii: "\"")) {
                hasStatus = true
                let status = try cursor.value(cursor.string())
                self.isOpen = status == "ENABLED" || status == "ENABLING"
            } else if cursor.isEqual(name, "StreamViewType"), cursor.isNext(UInt8(ascii: "\"")) {
                self.viewType = try cursor.value(cursor.string())
            } else if cursor.isEqual(name, "LastEvaluatedShardId"), cursor.isNext(UInt8(ascii: "\"")) {
                self.last = try cursor.value(cursor.string())
            } else if cursor.isEqual(name, "Shards"), cursor.isNext(UInt8(ascii: "[")) {
                hasShards = true
                try cursor.elements { (cursor) throws(JSONCursor.Malformed) in
                    self.shards.append(try Self.shard(&cursor))
                }
            } else {
                try cursor.skip()
            }
        }
    }

    private static func shard(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) -> ShardTree.Shard {
        var shard = ShardTree.Shard(id: "")
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            if cursor.isEqual(name, "SequenceNumberRange"), cursor.isNext(UInt8(ascii: "{")) {
                try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
                    guard cursor.isNext(UInt8(ascii: "\"")) else { return try cursor.skip() }
                    let value = try cursor.string()
                    if cursor.isEqual(name, "StartingSequenceNumber") {
                        shard.first = try cursor.value(value)
                    }
                    if cursor.isEqual(name, "EndingSequenceNumber") { shard.isClosed = true }
                }
            } else if cursor.isNext(UInt8(ascii: "\"")) {
                let value = try cursor.value(cursor.string())
                if cursor.isEqual(name, "ShardId") { shard.id = value }
                // The second one is what Kinesis calls the other parent of a merge.
                if cursor.isEqual(name, "ParentShardId") || cursor.isEqual(name, "AdjacentParentShardId") {
                    shard.parents.append(value)
                }
            } else {
                try cursor.skip()
            }
        }
        return shard
    }
}
