// SPDX-License-Identifier: Apache-2.0

import AWSClient
import CurlClient
import PenstockCore
import Reactor

/// The calls of SQS that we make (AWS JSON 1.0).
///
/// Those that are about messages are made once: who calls knows what a repetition means. The others are repeated as AWS's
/// SDKs do.
struct SQSClient: Sendable {
    /// Entries of a batch call at most.
    static let batchMax = 10

    /// The longest time in seconds of a long poll.
    static let waitMax = 20

    /// The longest time in seconds for which a message can be invisible, in all its extensions together.
    static let visibilityMax = 43_200

    private let client: AWSClient

    /// - Throws: ``AWSError`` for an endpoint that is no URL, or when libcurl cannot be set up.
    init(_ options: AWSOptions, reactor: Reactor) throws(AWSError) {
        self.client = try AWSClient(service: "sqs", options: options, reactor: reactor)
    }

    /// Ends calls in flight and all connections.
    ///
    /// Idempotent.
    func close() async {
        await self.client.close()
    }

    // MARK: - Calls

    /// What is asked for with `ReceiveMessage`.
    struct Receive {
        /// Messages at most, to 10.
        var messages: Int
        /// Seconds to wait for the first of them.
        var wait: Int
        /// Seconds for which they are ours.
        var visibility: Int
        /// Names the attempt of a FIFO queue's receive: the same attempt gets the same messages.
        var attempt: String?
    }

    /// The URL of a queue by its name, and its account if it is not our own.
    func url(of name: String, account: String?) async throws(AWSError) -> String {
        var body = Array("{".utf8) + JSONText.member("QueueName", name)
        if let account { body += Array(",".utf8) + JSONText.member("QueueOwnerAWSAccountId", account) }
        let response = try await self.call("GetQueueUrl", body + Array("}".utf8), isRepeatable: true)
        var url: String?
        do {
            var cursor = JSONCursor(response.body)
            try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
                guard cursor.isEqual(name, "QueueUrl") else { return try cursor.skip() }
                url = try cursor.value(cursor.string())
            }
        } catch {
            throw Self.unreadable("GetQueueUrl", error)
        }
        guard let url else { throw Self.unreadable("GetQueueUrl", JSONCursor.Malformed(offset: 0)) }
        return url
    }

    /// What a queue says of itself, by AWS's names.
    func attributes(of queue: String) async throws(AWSError) -> [String: String] {
        let body = Array("{".utf8) + JSONText.member("QueueUrl", queue)
        let response = try await self.call(
            "GetQueueAttributes",
            body + Array(",\"AttributeNames\":[\"All\"]}".utf8),
            isRepeatable: true
        )
        var attributes: [String: String] = [:]
        do {
            var cursor = JSONCursor(response.body)
            try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
                guard cursor.isEqual(name, "Attributes") else { return try cursor.skip() }
                try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
                    attributes[try cursor.value(name)] = try cursor.value(cursor.string())
                }
            }
        } catch {
            throw Self.unreadable("GetQueueAttributes", error)
        }
        return attributes
    }

    /// Makes a call that is about no message, and so has no effect but its error: whether it is allowed.
    func tryNothing(_ operation: String, on queue: String) async throws(AWSError) {
        let head = Array("{".utf8) + JSONText.member("QueueUrl", queue)
        if operation == "ReceiveMessage" {
            // None: AWS refuses that once it has allowed the call. Others may take it for one message.
            let rest = ",\"MaxNumberOfMessages\":0,\"WaitTimeSeconds\":0,\"VisibilityTimeout\":0}"
            _ = try await self.call(operation, head + Array(rest.utf8))
        } else {
            _ = try await self.call("\(operation)Batch", head + Array(",\"Entries\":[]}".utf8))
        }
    }

    /// Receives messages from the queue of this URL, which is a string of JSON; the answer as it is.
    func receive(_ receive: Receive, from queue: [UInt8]) async throws(AWSError) -> [UInt8] {
        let attempt = receive.attempt.map { JSONText.escaped($0) }
        let body = EventBuffer()
        body.write(upTo: 256 + queue.count + (attempt?.count ?? 0)) { writer in
            writer.literal("{\"QueueUrl\":")
            writer.raw(queue)
            writer.literal(",\"MaxNumberOfMessages\":")
            writer.decimal(Int64(receive.messages))
            writer.literal(",\"WaitTimeSeconds\":")
            writer.decimal(Int64(receive.wait))
            writer.literal(",\"VisibilityTimeout\":")
            writer.decimal(Int64(receive.visibility))
            writer.literal(",\"MessageSystemAttributeNames\":[\"All\"],\"MessageAttributeNames\":[\"All\"]")
            if let attempt {
                writer.literal(",\"ReceiveRequestAttemptId\":")
                writer.raw(attempt)
            }
            writer.byte(UInt8(ascii: "}"))
        }
        let timeout = Duration.seconds(receive.wait + Self.patience)
        return try await self.call("ReceiveMessage", .buffer(body), timeout, Self.receiveBytes).body
    }

    /// Seconds beyond a long poll's own after which nobody waits for its answer.
    private static let patience = 15

    /// Ten messages of 1 MiB, of which each byte may be an escape of six.
    private static let receiveBytes = 64 << 20

    /// Entries of a batch call of which the same is asked.
    struct Entry {
        /// The messages' records, whose receipt handles name the deliveries.
        var run: Run
        /// Seconds from now for which they stay invisible; nil to delete them.
        var visibility: Int?
    }

    /// What came of one entry of a batch call.
    enum Outcome: Equatable, Sendable {
        /// Carried out.
        case done
        /// Not carried out, for the reason of this code; another time it may be.
        case refused(code: String)
        /// The delivery is no longer ours: its time is up, or the message is gone.
        case lost(code: String)
    }

    /// Deletes deliveries, or changes how long they stay invisible: at most ten, all of one kind.
    ///
    /// - Parameters:
    ///   - entries: the deliveries.
    ///   - queue: the queue's URL, as a string of JSON.
    /// - Returns: What came of each delivery, in order.
    /// - Throws: ``AWSError`` when nobody knows what came of any.
    func settle(_ entries: [Entry], of queue: [UInt8]) async throws(AWSError) -> [Outcome] {
        let isDeletion = entries.allSatisfy { $0.visibility == nil }
        let body = EventBuffer()
        var count = 0
        body.write(upTo: entries.reduce(64 + queue.count) { $0 + $1.sizeMax }) { writer in
            writer.literal("{\"QueueUrl\":")
            writer.raw(queue)
            writer.literal(",\"Entries\":[")
            for entry in entries { entry.write(&count, into: &writer) }
            writer.literal("]}")
        }
        let operation = isDeletion ? "DeleteMessageBatch" : "ChangeMessageVisibilityBatch"
        let response = try await self.call(operation, .buffer(body))
        do {
            return try SQSBatchAnswer.outcomes(response.body, count: count)
        } catch {
            throw Self.unreadable(operation, error)
        }
    }

    /// A message to be sent.
    struct Outgoing {
        /// Its body: not empty.
        var body: [UInt8]
        /// In a FIFO queue, what it is in order with.
        var group: String?
        /// In a FIFO queue, what tells it from others for five minutes.
        var deduplication: String?
    }

    /// Sends messages, at most ten and at most as large together as one may be.
    ///
    /// - Returns: Why each was refused; nil for one that is durable.
    /// - Throws: ``AWSError`` when nobody knows what came of any.
    func send(_ messages: [Outgoing], to queue: String) async throws(AWSError) -> [SQSRefusal?] {
        var body = Array("{".utf8) + JSONText.member("QueueUrl", queue) + Array(",\"Entries\":[".utf8)
        for (number, message) in messages.enumerated() {
            body += Array("\(number > 0 ? "," : ""){\"Id\":\"\(number)\",\"MessageBody\":".utf8)
            body += unsafe message.body.withUnsafeBytes { unsafe JSONText.escaped($0) }
            if let group = message.group {
                body += Array(",".utf8) + JSONText.member("MessageGroupId", group)
            }
            if let deduplication = message.deduplication {
                body += Array(",".utf8) + JSONText.member("MessageDeduplicationId", deduplication)
            }
            body.append(UInt8(ascii: "}"))
        }
        let response = try await self.call("SendMessageBatch", body + Array("]}".utf8))
        do {
            return try SQSBatchAnswer.refusals(response.body, count: messages.count)
        } catch {
            throw Self.unreadable("SendMessageBatch", error)
        }
    }

    // MARK: - The protocol

    func call(
        _ operation: String,
        _ body: [UInt8],
        isRepeatable: Bool = false
    ) async throws(AWSError) -> CurlResponse {
        try await self.call(operation, .bytes(body), isRepeatable: isRepeatable)
    }

    private func call(
        _ operation: String,
        _ body: CurlBody,
        _ timeout: Duration = .seconds(30),
        _ limit: Int = 1 << 20,
        isRepeatable: Bool = false
    ) async throws(AWSError) -> CurlResponse {
        var call = AWSCall(method: .post, path: "/", body: body)
        call.headers = [
            ("Content-Type", "application/x-amz-json-1.0"), ("X-Amz-Target", "AmazonSQS.\(operation)"),
        ]
        call.timeout = timeout
        call.responseLimit = limit
        call.isRepeatable = isRepeatable
        return try await self.client.call(call)
    }

    private static func unreadable(_ operation: String, _ error: JSONCursor.Malformed) -> AWSError {
        AWSError(
            .noAnswer,
            code: "Client.Malformed",
            message: "the answer to \(operation) is not the JSON of SQS, at byte \(error.offset)"
        )
    }
}

extension SQSClient.Entry {
    /// What a delivery has as one of a batch, besides its receipt handle.
    private static let around = 96

    /// The bytes of a receipt handle, valid while the block is alive; none for a record that did not come from a queue.
    @unsafe
    private func receiptHandle(at index: Int) -> UnsafeRawBufferPointer {
        var handle = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        unsafe self.run.admitted.block.forEachAttribute(at: index) { name, value in
            guard unsafe SQSAttribute.receiptHandle.isEqual(to: name), let value = unsafe value else {
                return
            }
            unsafe handle = unsafe value
        }
        return unsafe handle
    }

    /// Bytes that ``write(_:into:)`` writes at most.
    fileprivate var sizeMax: Int {
        self.run.indices.reduce(0) { size, index in
            size + Self.around + (unsafe EventWriter.stringSize(of: self.receiptHandle(at: index)))
        }
    }

    /// Writes the deliveries as entries, whose ids count on from `count`.
    fileprivate func write(_ count: inout Int, into writer: inout EventWriter) {
        for index in self.run.indices {
            if count > 0 { writer.byte(UInt8(ascii: ",")) }
            writer.literal("{\"Id\":\"")
            writer.decimal(Int64(count))
            writer.literal("\",\"ReceiptHandle\":")
            unsafe writer.string(self.receiptHandle(at: index))
            if let visibility = self.visibility {
                writer.literal(",\"VisibilityTimeout\":")
                writer.decimal(Int64(visibility))
            }
            writer.byte(UInt8(ascii: "}"))
            count += 1
        }
    }
}

/// The answer to a batch call: each entry is among the successful or the failed ones.
enum SQSBatchAnswer {
    /// What came of each entry.
    static func outcomes(
        _ answer: [UInt8],
        count: Int
    ) throws(JSONCursor.Malformed) -> [SQSClient.Outcome] {
        try Self.refusals(answer, count: count).map { refusal in
            guard let code = refusal?.code else { return .done }
            return SQSErrorCode.lost.contains(SQSErrorCode.bare(code))
                ? .lost(code: code) : .refused(code: code)
        }
    }

    /// Why each entry was not carried out, nil for one that was; one that the answer does not name was not.
    static func refusals(_ answer: [UInt8], count: Int) throws(JSONCursor.Malformed) -> [SQSRefusal?] {
        var refusals = [SQSRefusal?](repeating: SQSRefusal(code: "Unanswered"), count: count)
        var cursor = JSONCursor(answer)
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            let isFailure = cursor.isEqual(name, "Failed")
            guard isFailure || cursor.isEqual(name, "Successful"), cursor.isNext(UInt8(ascii: "[")) else {
                return try cursor.skip()
            }
            try cursor.elements { (cursor) throws(JSONCursor.Malformed) in
                let (id, refusal) = try Self.entry(&cursor)
                guard let place = id, refusals.indices.contains(place) else { return }
                refusals[place] = isFailure ? refusal : nil
            }
        }
        return refusals
    }

    private static func entry(
        _ cursor: inout JSONCursor
    ) throws(JSONCursor.Malformed) -> (id: Int?, refusal: SQSRefusal) {
        var (id, refusal) = (Int?.none, SQSRefusal(code: ""))
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            if cursor.isEqual(name, "Id") {
                let digits = try cursor.string()
                id = unsafe cursor.withBytes(of: digits.range) { unsafe Self.number($0) }
            } else if cursor.isEqual(name, "Code") {
                refusal.code = try cursor.value(cursor.string())
            } else if cursor.isEqual(name, "Message"), cursor.isNext(UInt8(ascii: "\"")) {
                refusal.message = try cursor.value(cursor.string())
            } else if cursor.isEqual(name, "SenderFault") {
                refusal.isSendersFault = cursor.isNext(UInt8(ascii: "t"))
                try cursor.skip()
            } else {
                try cursor.skip()
            }
        }
        return (id, refusal)
    }

    /// The number of an entry, which has few digits; nil for anything else.
    private static func number(_ digits: UnsafeRawBufferPointer) -> Int? {
        guard (1...3).contains(digits.count) else { return nil }
        var number = 0
        for index in 0..<digits.count {
            let digit = unsafe digits[index]
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            number = 10 * number + Int(digit - UInt8(ascii: "0"))
        }
        return number
    }
}

/// Why an entry of a batch call was not carried out (AWS: BatchResultErrorEntry).
struct SQSRefusal: Equatable, CustomStringConvertible {
    var code: String
    var message = ""
    /// Whether the same entry will be refused again.
    var isSendersFault = false

    /// Whether it is for what is in the message, so that the queue will never take it.
    var isOfContent: Bool {
        self.isSendersFault
            && ["InvalidMessageContents", "InvalidParameterValue"].contains(SQSErrorCode.bare(self.code))
    }

    var description: String { self.message.isEmpty ? self.code : "\(self.code): \(self.message)" }
}

/// The error codes of SQS that mean something to us.
enum SQSErrorCode {
    /// Without what the older protocol put before it.
    static func bare(_ code: String) -> String {
        code.split(separator: ".").last.map(String.init) ?? code
    }

    /// A delivery is no longer ours: its visibility has ended, or its queue is gone.
    ///
    /// `InvalidParameterValue` is AWS's answer to a receipt handle that has expired.
    static let lost: Set<String> = [
        "ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue",
        "InvalidParameterValueException",
        "QueueDoesNotExist", "NonExistentQueue",
    ]

    /// The queue is not there.
    static let noQueue: Set<String> = ["QueueDoesNotExist", "NonExistentQueue", "QueueDeletedRecently"]

    /// What to do about a code, behind its message; empty when it speaks for itself.
    ///
    /// `actions` is what has to be allowed for what is done with the queue.
    static func advice(_ code: String, allowing actions: String) -> String {
        switch Self.bare(code) {
        case let code where Self.noQueue.contains(code):
            "; create the queue, or check \"queue\", \"region\" and \"endpoint\""
        case "AccessDenied", "AccessDeniedException": "; allow \(actions)"
        default: ""
        }
    }
}
