// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSConfiguration
import AWSDestination
package import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import Reactor
import Synchronization

/// What stands under `sqs:` of a destination.
package struct SQSDestinationConfiguration: ConfigurationTable {
    static let queueField = Field<SQSQueueName?>(
        "queue",
        "The queue's URL, ARN or name; in one that ends in .fifo, letters of one key are in order.",
        SQSSourceConfiguration.queueField.kind
    )
    static let sizeField = Field.size(
        "message_size",
        "The largest message that the queue takes: its MaximumMessageSize; 256KiB where it is older than 2025.",
        default: 1 << 20,
        in: 1024...1 << 20
    )

    /// The fields under `sqs:`.
    package static let table = FieldTable(
        "sqs",
        "Sends a message to a queue for each letter: AWS's failure document with the record in it.",
        [Self.queueField] + AWSFields.all + [Self.sizeField]
    )

    let queue: SQSQueueName
    let messageSize: Int
    private(set) var options: AWSOptions

    /// Calls side by side at most.
    private static let connections = 8

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        self.queue = reader[Self.queueField] ?? SQSQueueName(bare: "queue")
        self.messageSize = reader[Self.sizeField]
        var options = AWSOptions(&reader, region: self.queue.region, connections: Self.connections)
        options.endpoint = options.endpoint ?? self.queue.endpoint
        self.options = options
    }

    /// The same with credentials that others look for, too.
    func sharing(_ pool: CredentialPool) -> Self {
        var copy = self
        copy.options = self.options.sharing(pool)
        return copy
    }

    /// For people.
    var summary: String { "sqs queue \(self.queue.name) in \(self.options.region)" }
}

/// Sends dead letters or results to a queue.
///
/// In a FIFO queue letters of one key (or partition, without one) are in order, and one that is sent again within five
/// minutes is taken once.
final class SQSDestination: Destination, ResultDestination {
    let name: String

    private let queue: SQSQueueName
    private let messageSize: Int
    private let document: FailureDocument?
    private let client: SQSClient
    private let url: Mutex<String?>

    /// Connects nothing yet; `document` writes letters, and is nil for a destination of results.
    init(
        _ configuration: SQSDestinationConfiguration,
        _ document: FailureDocument?,
        reactor: Reactor
    ) throws(DestinationError) {
        self.name = configuration.summary
        self.queue = configuration.queue
        self.messageSize = configuration.messageSize
        self.document = document
        self.url = Mutex(configuration.queue.url)
        do throws(AWSError) {
            self.client = try SQSClient(configuration.options, reactor: reactor)
        } catch {
            throw DestinationError("\(error)")
        }
    }

    func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        let messages = letters.map { letter in
            self.message(
                self.document?.json(of: letter) ?? [],
                group: letter.key ?? Array(letter.partition.utf8),
                identity: letter.identity
            )
        }
        try await self.send(messages)
    }

    func deliver(_ record: InvocationRecord) async throws(DestinationError) {
        let message = self.message(
            record.json,
            group: Array(record.trigger.utf8),
            identity: record.identity
        )
        try await self.send([message])
    }

    func close() async {
        await self.client.close()
    }

    private func message(_ json: [UInt8], group: [UInt8], identity: String) -> SQSClient.Outgoing {
        let body = MessageText.escaped(json)
        guard self.queue.isFIFO else { return SQSClient.Outgoing(body: body) }
        return SQSClient.Outgoing(
            body: body,
            group: StableID.group(group),
            deduplication: StableID.digest(Array(identity.utf8))
        )
    }

    // MARK: - Sending

    /// Sends messages in order, as many at a time as a call takes.
    private func send(_ messages: [SQSClient.Outgoing]) async throws(DestinationError) {
        let url = try await self.findURL()
        var delivered: [Int] = []
        for batch in SQSSendBatches.cut(messages, limit: self.messageSize) {
            if let large = batch.first(where: { messages[$0].body.count > self.messageSize }) {
                throw DestinationError(
                    "a document takes \(messages[large].body.count) bytes, and \"message_size\" is "
                        + "\(self.messageSize)",
                    delivered: delivered,
                    refused: [large],
                    isTooLarge: true
                )
            }
            let refusals: [SQSRefusal?]
            do throws(AWSError) {
                refusals = try await self.client.send(batch.map { messages[$0] }, to: url)
            } catch {
                // Of several messages nobody knows which; they come again with all that is left.
                let isTooLarge = batch.count == 1 && SQSErrorCode.bare(error.code) == "BatchRequestTooLong"
                throw DestinationError(
                    "\(error)\(self.advice(error.code))",
                    delivered: delivered,
                    refused: isTooLarge ? batch : [],
                    isTooLarge: isTooLarge
                )
            }
            delivered += zip(batch, refusals).compactMap { $1 == nil ? $0 : nil }
            let refused = zip(batch, refusals).compactMap { place, refusal in refusal.map { (place, $0) } }
            if let (_, refusal) = refused.first {
                throw DestinationError(
                    "a message was refused: \(refusal)",
                    delivered: delivered,
                    refused: refused.filter { $0.1.isOfContent }.map(\.0)
                )
            }
        }
    }

    private func findURL() async throws(DestinationError) -> String {
        if let url = self.url.withLock({ $0 }) { return url }
        do throws(AWSError) {
            let url = try await self.client.url(of: self.queue.name, account: self.queue.account)
            self.url.withLock { $0 = url }
            return url
        } catch {
            throw DestinationError("\(error)\(self.advice(error.code))")
        }
    }

    private func advice(_ code: String) -> String {
        SQSErrorCode.advice(code, allowing: "sqs:SendMessage and sqs:GetQueueUrl")
    }
}

/// Cuts messages into calls.
///
/// Pure.
enum SQSSendBatches {
    /// The places of the messages of each call, in order.
    ///
    /// At most ten, together not larger than the limit, and of each group at most one, so that none is taken while one
    /// before it is refused. What is larger by itself goes alone.
    static func cut(_ messages: [SQSClient.Outgoing], limit: Int) -> [[Int]] {
        var batches: [[Int]] = []
        var groups: Set<String> = []
        var size = 0
        for (place, message) in messages.enumerated() {
            let isSame = message.group.map { groups.contains($0) } ?? false
            let isFull = batches.last.map { $0.count == SQSClient.batchMax } ?? true
            if isFull || isSame || size + message.body.count > limit {
                batches.append([])
                groups = []
                size = 0
            }
            batches[batches.count - 1].append(place)
            if let group = message.group { groups.insert(group) }
            size += message.body.count
        }
        return batches
    }
}
