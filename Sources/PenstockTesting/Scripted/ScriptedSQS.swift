// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// A queue of Amazon SQS for tests, in this process: the JSON protocol, visibility in real time, message groups, and
/// whatever faults a test wants, which no emulator has.
///
/// It holds clients to the limits of SQS's API, as AWS does. Fast: no receive looks at more messages than it brings.
package final class ScriptedSQS: Sendable {
    /// What a test makes of a request.
    package enum Fault: Sendable {
        /// Answered with this error, and not carried out.
        case error(status: Int, code: String)
        /// Carried out, and the connection is closed instead of an answer.
        case lostAnswer
        /// Not carried out; this is answered.
        case answer(String)
        /// The entries of a batch call at these places fail with this code, and are not carried out.
        case failedEntries([Int], code: String, isSendersFault: Bool)
    }

    /// The queue's name.
    package let name: String

    private let state: Mutex<SQSQueueState>
    private let intercept = Mutex<(@Sendable (_ operation: String) -> Fault?)?>(nil)
    private let attributes = Mutex<[String: String]>([:])
    private let server = Mutex<TestHTTPServer?>(nil)
    private let port: UInt16

    /// A queue; a FIFO queue when its name says so; one that is to go down and come back needs a port.
    package init(_ name: String = "orders", port: UInt16 = 0) throws {
        self.port = port
        self.name = name
        self.state = Mutex(SQSQueueState(isFIFO: name.hasSuffix(".fifo")))
        try self.comeUp()
    }

    /// `http://127.0.0.1:PORT`.
    package var endpoint: String { self.server.withLock { $0?.url("") } ?? "" }

    /// The queue's URL.
    package var url: String { "\(self.endpoint)/000000000000/\(self.name)" }

    /// Ends it.
    package func stop() {
        self.server.withLock { $0.take() }?.stop()
    }

    /// Ends all connections at once and refuses others, as when the server is killed; what the queue has stays as it is
    /// then, whatever was asked before.
    ///
    /// - Returns: how many messages were in flight.
    package func goDown() -> Int {
        let inFlight = self.state.withLock { state in
            state.life += 1
            return state.inFlight(at: .now)
        }
        self.stop()
        return inFlight
    }

    /// Serves again where it did.
    package func comeUp() throws {
        let server = try TestHTTPServer.again(port: self.port) { [weak self] request, exchange in
            self?.serve(request, exchange)
        }
        self.server.withLock { $0 = server }
    }

    /// Decides about each request from now on, by its operation, such as `ReceiveMessage`; nil for no faults.
    package func setFaults(_ intercept: (@Sendable (_ operation: String) -> Fault?)?) {
        self.intercept.withLock { $0 = intercept }
    }

    /// Sets attributes of the queue that it only tells, such as `RedrivePolicy`.
    package func setAttributes(_ attributes: [String: String]) {
        self.attributes.withLock { $0 = attributes }
    }

    /// Puts messages in, each with a group in a FIFO queue.
    package func send(_ messages: [(body: String, group: String?)]) {
        self.state.withLock { state in
            for message in messages { state.send(message.body, group: message.group, at: .now) }
        }
    }

    /// Deletes the queue with all that is in it, or creates it again.
    package func setExists(_ exists: Bool) {
        self.state.withLock { state in
            let life = state.life
            state = SQSQueueState(isFIFO: state.isFIFO)
            state.exists = exists
            state.life = life
        }
    }

    /// What the queue has seen, and how it stands.
    package var figures: SQSQueueFigures {
        self.state.withLock { state in
            state.figures.inFlight = state.inFlight(at: .now)
            return state.figures
        }
    }

    /// The bodies of the messages that are there, visible or not, in the order in which they were sent.
    package var bodies: [String] { self.state.withLock { $0.messages.filter { !$0.isDeleted }.map(\.body) } }

    // MARK: - Serving

    private func serve(_ request: TestHTTPServer.Request, _ exchange: TestHTTPServer.Exchange) {
        let life = self.state.withLock { $0.life }
        let target = request.headers["x-amz-target"] ?? ""
        guard target.hasPrefix("AmazonSQS."), request.headers["content-type"] == "application/x-amz-json-1.0",
            let body = try? JSONSerialization.jsonObject(with: Data(request.body)) as? [String: Any]
        else { return exchange.respond(400, [], "this is no request of SQS's JSON protocol") }
        let operation = String(target.dropFirst("AmazonSQS.".count))
        let call = SQSCall(operation: operation, body: body, life: life)
        let fault = self.intercept.withLock { $0 }?(operation)
        self.state.withLock { state in
            state.figures.calls[operation, default: 0] += 1
            if operation == "ReceiveMessage" {
                state.figures.waits.append(call.number("WaitTimeSeconds") ?? 0)
            }
        }
        switch fault {
        case .error(let status, let code):
            let headers = [("x-amzn-query-error", "\(code);Sender"), ("x-amzn-requestid", "scripted")]
            let body = #"{"__type":"com.amazonaws.sqs#\#(code)","message":"as the script says"}"#
            return exchange.respond(status, headers, body)
        case .answer(let text):
            return exchange.respond(200, [], text)
        case .lostAnswer:
            _ = self.answer(call, failing: [], "")
        case .failedEntries(let places, let code, let isSendersFault):
            self.respond(self.answer(call, failing: places, code, isSendersFault), exchange)
        case nil:
            self.respond(self.answer(call, failing: [], ""), exchange)
        }
    }

    private func respond(_ answer: SQSAnswer, _ exchange: TestHTTPServer.Exchange) {
        exchange.respond(answer.status, [("x-amzn-requestid", "scripted")], answer.body)
    }

    private func answer(
        _ call: SQSCall,
        failing places: [Int],
        _ code: String,
        _ isSendersFault: Bool = false
    ) -> SQSAnswer {
        guard self.state.withLock({ $0.exists }) else { return .error("QueueDoesNotExist") }
        switch call.operation {
        case "GetQueueUrl":
            guard call.text("QueueName") == self.name else { return .error("QueueDoesNotExist") }
            return SQSAnswer(#"{"QueueUrl":"\#(self.url)"}"#)
        case "GetQueueAttributes": return SQSAnswer(#"{"Attributes":{\#(self.attributesText)}}"#)
        case "ReceiveMessage": return self.receive(call)
        case "DeleteMessageBatch", "ChangeMessageVisibilityBatch", "SendMessageBatch":
            guard !call.entries.isEmpty else { return .error("EmptyBatchRequest") }
            return self.state.withLock { state in
                guard state.life == call.life else { return .error("ServiceUnavailable") }
                return state.batch(call, failing: Set(places), code, isSendersFault, at: .now)
            }
        default: return .error("InvalidAction")
        }
    }

    /// The attributes as members of an object.
    private var attributesText: String {
        var all = self.attributes.withLock { $0 }
        all["ApproximateNumberOfMessages"] = self.state.withLock { state in
            "\(state.messages.count { !$0.isDeleted } - state.inFlight(at: .now))"
        }
        let data = try? JSONEncoder().encode(all)
        return String(decoding: (data ?? Data("{}".utf8)).dropFirst().dropLast(), as: UTF8.self)
    }

    private func receive(_ call: SQSCall) -> SQSAnswer {
        guard let limit = call.number("MaxNumberOfMessages"), (1...10).contains(limit),
            let wait = call.number("WaitTimeSeconds"), (0...20).contains(wait),
            let visibility = call.number("VisibilityTimeout"), (0...43_200).contains(visibility)
        else { return .error("InvalidParameterValue") }
        let attempt = call.text("ReceiveRequestAttemptId")
        self.state.withLock { state in
            state.figures.receiving += 1
            state.figures.receivingMost = max(state.figures.receivingMost, state.figures.receiving)
        }
        defer { self.state.withLock { $0.figures.receiving -= 1 } }
        let end = ContinuousClock.now + .seconds(wait)
        while true {
            let answer = self.state.withLock { state -> SQSAnswer? in
                guard state.life == call.life else { return .error("ServiceUnavailable") }
                guard state.exists else { return .error("QueueDoesNotExist") }
                let found = state.receive(limit, for: .seconds(visibility), attempt: attempt, at: .now)
                return found.isEmpty ? nil : SQSAnswer(#"{"Messages":[\#(found.joined(separator: ","))]}"#)
            }
            if let answer { return answer }
            if ContinuousClock.now >= end || self.server.withLock({ $0 == nil }) { return SQSAnswer("{}") }
            _ = BoundedWait.until(within: .milliseconds(5)) { false }
        }
    }
}

/// What a ``ScriptedSQS`` has seen, and how it stands.
package struct SQSQueueFigures: Sendable {
    /// Requests by operation.
    package internal(set) var calls: [String: Int] = [:]

    /// Receives under way.
    package internal(set) var receiving = 0

    /// The most receives that there were at a time.
    package internal(set) var receivingMost = 0

    /// Messages delivered, each delivery counted.
    package internal(set) var deliveries = 0

    /// Messages deleted.
    package internal(set) var deleted = 0

    /// The seconds that receives asked to wait, in order.
    package internal(set) var waits: [Int] = []

    /// The most that one receive asked for.
    package internal(set) var askedMost = 0

    /// Messages in flight now.
    package internal(set) var inFlight = 0

    /// The seconds that visibility was changed to, in order.
    package internal(set) var visibilities: [Int] = []

    /// Messages that were sent to it by its clients: body, group and deduplication id.
    package internal(set) var sent: [[String]] = []
}

/// A request's operation and its parameters.
struct SQSCall {
    var operation: String
    var body: [String: Any]
    /// Of the server that it came to.
    var life: Int

    func text(_ name: String) -> String? { self.body[name] as? String }
    func number(_ name: String) -> Int? { self.body[name] as? Int }
    var entries: [[String: Any]] { self.body["Entries"] as? [[String: Any]] ?? [] }
}

/// What is answered.
struct SQSAnswer {
    var status = 200
    var body: String

    init(_ body: String) {
        self.body = body
    }

    static func error(_ code: String) -> SQSAnswer {
        var answer = SQSAnswer(#"{"__type":"com.amazonaws.sqs#\#(code)","message":"refused"}"#)
        answer.status = 400
        return answer
    }
}
