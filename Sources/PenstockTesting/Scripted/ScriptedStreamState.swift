// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The streams of a ``ScriptedStreams``, and what its calls do.
struct ScriptedStreamState {
    struct Shard {
        let id: String
        let parents: [String]
        /// As they stand in an answer, with their numbers.
        var records: [(number: UInt128, text: String)] = []
        /// How many records before those were trimmed, and the number of the last one.
        var trimmed = 0
        var lastTrimmed: UInt128 = 0
        /// The first number that it could have, and the last one once it is closed.
        let first: UInt128
        var last: UInt128?
    }

    struct Stream {
        let number: Int
        let arn: String
        var isOpen = true
        var shards: [Shard] = []

        var openShards: [String] { self.shards.filter { $0.last == nil }.map(\.id) }

        func place(_ id: String) -> Int? { self.shards.firstIndex { $0.id == id } }
    }

    private let table: String
    private var streams: [Stream] = []
    private var lastStream = 0
    private var lastShard = 0
    /// Sequence numbers grow by a digit soon, so that they are in order as numbers alone.
    private var lastNumber: UInt128 = 999_999_999_999_999_999_950
    /// Changes so far, and a million: the texts of all are as long as each other.
    private var written = 1_000_000
    var generation = 0
    var pageMax = 1000
    var listMax = 100
    var streamMax = 100
    var viewType: String? = "NEW_AND_OLD_IMAGES"

    init(table: String, shards: Int) {
        self.table = table
        self.enable(shards: shards)
    }

    var latest: Stream { self.streams[self.streams.count - 1] }

    private static func text(_ number: UInt128) -> String { String(number) }

    // MARK: - What happens to the stream

    mutating func enable(shards: Int) {
        self.lastStream += 1
        let label = "2026-03-14T08:\(self.lastStream < 10 ? "0" : "")\(self.lastStream):00.123"
        let arn = "arn:aws:dynamodb:eu-west-1:000000000000:table/\(self.table)/stream/\(label)"
        self.streams.append(Stream(number: self.lastStream, arn: arn))
        for _ in 0..<shards { _ = self.open([]) }
    }

    private mutating func open(_ parents: [String]) -> String {
        self.lastShard += 1
        let id = "shardId-0000000\(1_773_475_200_000 + self.lastShard)-\(10_000_000 + self.lastShard)"
        self.lastNumber += 1
        let shard = Shard(id: id, parents: parents, first: self.lastNumber)
        self.streams[self.streams.count - 1].shards.append(shard)
        return id
    }

    private mutating func withShard(_ id: String, _ change: (inout Shard) -> Void) {
        for index in self.streams.indices {
            guard let place = self.streams[index].place(id) else { continue }
            change(&self.streams[index].shards[place])
        }
    }

    mutating func write(_ keys: [String], to id: String, at time: Int?) -> [String] {
        var numbers: [String] = []
        let time = time ?? Int(Date().timeIntervalSince1970)
        for key in keys {
            self.lastNumber += 1
            self.written += 1
            let (number, count) = (self.lastNumber, self.written)
            let text =
                #"{"awsRegion":"eu-west-1","dynamodb":{"ApproximateCreationDateTime":\#(time),"#
                + #""Keys":{"pk":{"S":"\#(key)"}},"NewImage":{"n":{"N":"\#(count)"},"pk":{"S":"\#(key)"}},"#
                + #""SequenceNumber":"\#(Self.text(number))","SizeBytes":14,"StreamViewType":"NEW_AND_OLD_IMAGES"},"#
                + #""eventID":"event\#(count)","eventName":"INSERT","eventSource":"aws:dynamodb","eventVersion":"1.1"}"#
            self.withShard(id) { $0.records.append((number, text)) }
            numbers.append(Self.text(number))
        }
        return numbers
    }

    mutating func replace(_ ids: [String], by count: Int) -> [String] {
        for id in ids { self.close(id) }
        return (0..<count).map { _ in self.open(ids) }
    }

    private mutating func close(_ id: String) {
        self.lastNumber += 1
        let number = self.lastNumber
        self.withShard(id) { $0.last = $0.last ?? number }
    }

    mutating func trim(_ id: String, keeping count: Int) {
        self.withShard(id) { shard in
            let gone = shard.records.count - count
            guard gone > 0 else { return }
            shard.lastTrimmed = shard.records[gone - 1].number
            shard.trimmed += gone
            shard.records.removeFirst(gone)
        }
    }

    mutating func remove(_ id: String) {
        for index in self.streams.indices { self.streams[index].shards.removeAll { $0.id == id } }
    }

    mutating func disable() {
        for id in self.latest.openShards { self.close(id) }
        self.streams[self.streams.count - 1].isOpen = false
    }

    mutating func forgetOldStreams() {
        self.streams.removeFirst(self.streams.count - 1)
    }

    mutating func removeStreams() {
        self.streams = []
    }

    // MARK: - Calls

    mutating func answer(
        _ call: ScriptedStreams.Call,
        _ body: [String: Any],
        _ iterator: ScriptedIterator?
    ) throws(ScriptedRefusal) -> String {
        switch call.operation {
        case "ListStreams": return self.list(body)
        case "DescribeTable":
            guard body["TableName"] as? String == self.table else {
                throw ScriptedRefusal(code: "ResourceNotFoundException")
            }
            return #"{"Table":{"TableName":"\#(self.table)"}}"#
        case "DescribeStream": return try self.describe(body)
        case "GetShardIterator": return try self.iterator(call, body)
        case "GetRecords": return try self.records(iterator, body)
        default: throw ScriptedRefusal(code: "UnknownOperationException")
        }
    }

    private func list(_ body: [String: Any]) -> String {
        var streams = body["TableName"] as? String == self.table ? self.streams[...] : []
        if let last = body["ExclusiveStartStreamArn"] as? String {
            streams = streams.drop { $0.arn != last }.dropFirst()
        }
        let page = streams.prefix(self.streamMax)
        let texts = page.map { #"{"StreamArn":"\#($0.arn)","TableName":"\#(self.table)"}"# }
        let last = page.count < streams.count ? #","LastEvaluatedStreamArn":"\#(page.last?.arn ?? "")""# : ""
        return #"{"Streams":[\#(texts.joined(separator: ","))]\#(last)}"#
    }

    private func stream(_ body: [String: Any]) throws(ScriptedRefusal) -> Stream {
        guard let stream = self.streams.first(where: { $0.arn == body["StreamArn"] as? String }) else {
            throw ScriptedRefusal(code: "ResourceNotFoundException")
        }
        return stream
    }

    private func describe(_ body: [String: Any]) throws(ScriptedRefusal) -> String {
        let stream = try self.stream(body)
        var shards = stream.shards[...]
        if let last = body["ExclusiveStartShardId"] as? String, let place = stream.place(last) {
            shards = shards.dropFirst(place + 1)
        }
        let page = shards.prefix(self.listMax)
        let texts = page.map { shard in
            let names = ["ParentShardId", "AdjacentParentShardId"]
            let parents = zip(names, shard.parents).map { #""\#($0)":"\#($1)","# }.joined()
            let end = shard.last.map { #","EndingSequenceNumber":"\#(Self.text($0))""# } ?? ""
            return #"{"ShardId":"\#(shard.id)",\#(parents)"SequenceNumberRange":"#
                + #"{"StartingSequenceNumber":"\#(Self.text(shard.first))"\#(end)}}"#
        }
        let last = page.count < shards.count ? #","LastEvaluatedShardId":"\#(page.last?.id ?? "")""# : ""
        let status = stream.isOpen ? "ENABLED" : "DISABLED"
        let view = self.viewType.map { #""StreamViewType":"\#($0)","# } ?? ""
        return #"{"StreamDescription":{"StreamArn":"\#(stream.arn)","StreamStatus":"\#(status)",\#(view)"#
            + #""Shards":[\#(texts.joined(separator: ","))]\#(last)}}"#
    }

    private func iterator(
        _ call: ScriptedStreams.Call,
        _ body: [String: Any]
    ) throws(ScriptedRefusal) -> String {
        let stream = try self.stream(body)
        guard let place = stream.place(call.shard) else {
            throw ScriptedRefusal(code: "ResourceNotFoundException")
        }
        let shard = stream.shards[place]
        var index = shard.trimmed
        switch call.place {
        case "TRIM_HORIZON": break
        case "LATEST": index += shard.records.count
        case "AFTER_SEQUENCE_NUMBER":
            guard let number = (body["SequenceNumber"] as? String).flatMap({ UInt128($0) }) else {
                throw ScriptedRefusal(code: "ValidationException")
            }
            guard number > shard.lastTrimmed else {
                throw ScriptedRefusal(code: "TrimmedDataAccessException")
            }
            index += shard.records.count { $0.number <= number }
        default: throw ScriptedRefusal(code: "ValidationException")
        }
        let iterator = ScriptedIterator(
            stream: stream.number,
            shard: shard.id,
            index: index,
            generation: self.generation
        )
        return #"{"ShardIterator":"\#(iterator.text)"}"#
    }

    private func records(
        _ iterator: ScriptedIterator?,
        _ body: [String: Any]
    ) throws(ScriptedRefusal) -> String {
        guard var iterator, let limit = body["Limit"] as? Int, (1...1000).contains(limit) else {
            throw ScriptedRefusal(code: "ValidationException")
        }
        guard iterator.generation == self.generation else {
            throw ScriptedRefusal(code: "ExpiredIteratorException")
        }
        guard let stream = self.streams.first(where: { $0.number == iterator.stream }),
            let place = stream.place(iterator.shard)
        else { throw ScriptedRefusal(code: "ResourceNotFoundException") }
        let shard = stream.shards[place]
        guard iterator.index >= shard.trimmed else {
            throw ScriptedRefusal(code: "TrimmedDataAccessException")
        }
        let page = shard.records.dropFirst(iterator.index - shard.trimmed).prefix(min(limit, self.pageMax))
        iterator.index += page.count
        let isEnd = shard.last != nil && iterator.index == shard.trimmed + shard.records.count
        let next = isEnd ? "null" : #""\#(iterator.text)""#
        return #"{"NextShardIterator":\#(next),"Records":[\#(page.map(\.text).joined(separator: ","))]}"#
    }
}
