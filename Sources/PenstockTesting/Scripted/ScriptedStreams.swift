// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// The streams of a DynamoDB table for tests, in this process: the JSON protocol, shards that are split and merged,
/// iterators that expire, records that are trimmed, and whatever faults a test wants, which no emulator has.
///
/// Fast: a page costs what its text costs.
package final class ScriptedStreams: Sendable {
    /// What a test makes of a request.
    package enum Fault: Sendable {
        /// Answered with this error.
        case error(status: Int, code: String)
        /// This is answered.
        case answer(String)
        /// The connection is closed instead of an answer.
        case lostAnswer
        /// Answered when this is opened.
        case late(Latch)
    }

    /// A request as faults see it.
    package struct Call: Sendable {
        /// Such as `GetRecords`.
        package var operation: String
        /// The shard that it is about; empty for none.
        package var shard: String
        /// `TRIM_HORIZON`, `LATEST` or `AFTER_SEQUENCE_NUMBER` of a `GetShardIterator`; empty otherwise.
        package var place = ""
    }

    /// The table's name.
    package let table: String

    private let state: Mutex<ScriptedStreamState>
    private let intercept = Mutex<(@Sendable (_ call: Call) -> Fault?)?>(nil)
    private let log = Mutex<[Call]>([])
    private let server = Mutex<TestHTTPServer?>(nil)
    private let port: UInt16

    /// A table whose stream has so many open shards, each empty; one that is to go down and come back needs a port.
    package init(_ table: String = "orders", shards: Int = 1, port: UInt16 = 0) throws {
        self.port = port
        self.table = table
        self.state = Mutex(ScriptedStreamState(table: table, shards: shards))
        try self.comeUp()
    }

    /// `http://127.0.0.1:PORT`.
    package var endpoint: String { self.server.withLock { $0?.url("") } ?? "" }

    /// The ARN of the table's latest stream.
    package var arn: String { self.state.withLock { $0.latest.arn } }

    /// Ends it.
    package func stop() {
        self.server.withLock { $0.take() }?.stop()
    }

    /// Ends all connections at once and refuses others, as when the server is killed; what the stream has stays.
    package func goDown() {
        self.stop()
    }

    /// Serves again where it did.
    package func comeUp() throws {
        let server = try TestHTTPServer.again(port: self.port) { [weak self] request, exchange in
            self?.serve(request, exchange)
        }
        self.server.withLock { $0 = server }
    }

    /// Decides about each request from now on; nil for no faults.
    package func setFaults(_ intercept: (@Sendable (_ call: Call) -> Fault?)?) {
        self.intercept.withLock { $0 = intercept }
    }

    /// The requests so far, in order.
    package var calls: [Call] { self.log.withLock { $0 } }

    /// How often an operation was called.
    package func count(_ operation: String) -> Int {
        self.log.withLock { $0.count { $0.operation == operation } }
    }

    // MARK: - What happens to the stream

    /// The ids of the open shards of the latest stream.
    package var openShards: [String] { self.state.withLock { $0.latest.openShards } }

    /// Writes changes of items with these keys to a shard, each with its number; returns their sequence numbers.
    @discardableResult
    package func write(_ keys: [String], to shard: String, at time: Int? = nil) -> [String] {
        self.state.withLock { $0.write(keys, to: shard, at: time) }
    }

    /// Closes shards and opens so many that come from them: a split, a merge, or a rollover.
    @discardableResult
    package func replace(_ shards: [String], by count: Int) -> [String] {
        self.state.withLock { $0.replace(shards, by: count) }
    }

    /// Removes all records of a shard but the last ones.
    package func trim(_ shard: String, keeping count: Int) {
        self.state.withLock { $0.trim(shard, keeping: count) }
    }

    /// Sets what changes have of the items, in AWS's word, as the stream tells it; nil for nothing.
    package func setViewType(_ type: String?) {
        self.state.withLock { $0.viewType = type }
    }

    /// Removes all streams of the table.
    package func removeStreams() {
        self.state.withLock { $0.removeStreams() }
    }

    /// Removes a shard from the stream.
    package func remove(_ shard: String) {
        self.state.withLock { $0.remove(shard) }
    }

    /// All iterators that were given out have expired.
    package func expireIterators() {
        self.state.withLock { $0.generation += 1 }
    }

    /// Disables the stream: its shards are closed.
    package func disable() {
        self.state.withLock { $0.disable() }
    }

    /// Gives the table another stream, after ``disable()``.
    package func enable(shards: Int = 1) {
        self.state.withLock { $0.enable(shards: shards) }
    }

    /// Removes all streams but the latest.
    package func forgetOldStreams() {
        self.state.withLock { $0.forgetOldStreams() }
    }

    /// Sets how many records a page has at most, and how many shards and streams a list.
    package func setPages(records: Int = 1000, shards: Int = 100, streams: Int = 100) {
        self.state.withLock { state in
            state.pageMax = records
            state.listMax = shards
            state.streamMax = streams
        }
    }

    // MARK: - Serving

    private func serve(_ request: TestHTTPServer.Request, _ exchange: TestHTTPServer.Exchange) {
        let target = request.headers["x-amz-target"] ?? ""
        // The table itself is another service's, of which this has one call.
        let isTable = target == "DynamoDB_20120810.DescribeTable"
        let prefix = isTable ? "DynamoDB_20120810." : "DynamoDBStreams_20120810."
        guard target.hasPrefix(prefix), request.headers["content-type"] == "application/x-amz-json-1.0",
            request.headers["authorization"]?.contains("/dynamodb/aws4_request") == true,
            let body = try? JSONSerialization.jsonObject(with: Data(request.body)) as? [String: Any]
        else { return exchange.respond(400, [], "this is no request of DynamoDB Streams' JSON protocol") }
        let iterator = (body["ShardIterator"] as? String).flatMap { ScriptedIterator($0) }
        let call = Call(
            operation: String(target.dropFirst(prefix.count)),
            shard: iterator?.shard ?? body["ShardId"] as? String ?? "",
            place: body["ShardIteratorType"] as? String ?? ""
        )
        self.log.withLock { $0.append(call) }
        switch self.intercept.withLock({ $0 })?(call) {
        case .error(let status, let code):
            return exchange.respond(status, [("x-amzn-requestid", "scripted")], Self.error(code))
        case .answer(let text): return exchange.respond(200, [], text)
        case .lostAnswer: return
        case .late(let latch): latch.block()
        case nil: break
        }
        let answer = self.state.withLock { state -> Result<String, ScriptedRefusal> in
            Result { () throws(ScriptedRefusal) in try state.answer(call, body, iterator) }
        }
        switch answer {
        case .success(let text):
            exchange.respond(200, [("x-amzn-requestid", "scripted"), ("date", Self.date)], text)
        case .failure(let refusal):
            exchange.respond(400, [("x-amzn-requestid", "scripted")], Self.error(refusal.code))
        }
    }

    private static func error(_ code: String) -> String {
        #"{"__type":"com.amazonaws.dynamodb.v20120810#\#(code)","message":"as the script says"}"#
    }

    private static var date: String {
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "GMT")
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        return format.string(from: Date())
    }
}

/// Why a request is refused.
struct ScriptedRefusal: Error {
    var code: String
}

/// What an iterator says: it is the place itself.
struct ScriptedIterator {
    var stream: Int
    var shard: String
    var index: Int
    var generation: Int

    init(stream: Int, shard: String, index: Int, generation: Int) {
        self.stream = stream
        self.shard = shard
        self.index = index
        self.generation = generation
    }

    init?(_ text: String) {
        let parts = text.split(separator: "|")
        guard parts.count == 4, let stream = Int(parts[0]), let index = Int(parts[2]),
            let generation = Int(parts[3])
        else { return nil }
        self.init(stream: stream, shard: String(parts[1]), index: index, generation: generation)
    }

    var text: String { "\(self.stream)|\(self.shard)|\(self.index)|\(self.generation)" }
}
