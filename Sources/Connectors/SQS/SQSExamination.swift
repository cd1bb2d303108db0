// SPDX-License-Identifier: Apache-2.0

import AWSClient
import PenstockConfiguration
import PenstockCore
import PenstockRuntime

/// What a queue says of itself (AWS SQS API Reference, `GetQueueAttributes`), as far as it matters here.
struct SQSQueueFacts: Sendable, Equatable {
    /// Receives after which the queue gives a message to its own dead-letter queue; nil when it has none.
    var receivesMax: Int?

    /// How long a message is kept.
    var retention: Duration?

    /// Bytes of a message at most.
    var messageSize: Int?

    /// Messages that may be received now, about.
    var visible: Int?

    /// Reads the attributes.
    init(_ attributes: [String: String]) {
        self.retention = attributes["MessageRetentionPeriod"].flatMap { Int64($0) }.map { .seconds($0) }
        self.messageSize = attributes["MaximumMessageSize"].flatMap { Int($0) }
        self.visible = attributes["ApproximateNumberOfMessages"].flatMap { Int($0) }
        self.receivesMax = attributes["RedrivePolicy"].flatMap { Self.receives(in: $0) }
    }

    /// `maxReceiveCount` of a redrive policy, which is JSON: a number, or a text as AWS takes it, too.
    private static func receives(in policy: String) -> Int? {
        var count: Int?
        var cursor = JSONCursor(Array(policy.utf8))
        do throws(JSONCursor.Malformed) {
            try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
                let value = cursor.bytes[try cursor.value()].filter { $0 != UInt8(ascii: "\"") }
                if cursor.isEqual(name, "maxReceiveCount") {
                    count = Int(String(decoding: value, as: UTF8.self))
                }
            }
        } catch {
            return nil
        }
        return count
    }
}

/// Looks at a queue for `penstock doctor`.
struct SQSExamination {
    let client: SQSClient
    let queue: SQSQueueName

    /// Whether the queue is AWS's, which is known to refuse a receive of no messages; an emulator may take it for one.
    let isAWS: Bool

    /// What is found of a queue that is read; settles nothing, and receives nothing.
    func source(
        _ trigger: TriggerPlan,
        _ function: FunctionPlan,
        _ settings: SQSSettings
    ) async -> [Diagnosis] {
        let actions = (self.isAWS ? ["ReceiveMessage"] : []) + ["DeleteMessage", "ChangeMessageVisibility"]
        let (url, found) = await self.find()
        guard let url else { return found }
        let permissions = await self.permissions(actions, url)
        let policy = trigger.policy(function: function)
        let terms = Self.visibility(settings, function, window: policy.batchWindow)
        guard let facts = await self.facts(url) else { return found + [permissions, terms, Self.unknown] }
        return found + [permissions, terms] + Self.judge(facts, policy.retry)
    }

    /// What is found of a queue that letters or results are sent to; sends nothing.
    func destination(_ messageSize: Int) async -> [Diagnosis] {
        let (url, found) = await self.find()
        guard let url else { return found }
        let permissions = await self.permissions(["SendMessage"], url)
        guard let facts = await self.facts(url) else { return found + [permissions, Self.unknown] }
        return found + [permissions, Self.size(facts, messageSize)]
    }

    // MARK: - Asking

    private func find() async -> (url: String?, found: [Diagnosis]) {
        do throws(AWSError) {
            var url = self.queue.url
            if url == nil {
                url = try await self.client.url(of: self.queue.name, account: self.queue.account)
            }
            return (url, [.ok("queue", "\(self.queue.name) is at \(url ?? "")")])
        } catch {
            let advice = SQSErrorCode.advice(error.code, allowing: "sqs:GetQueueUrl")
            return (nil, [.error("queue", "\(self.queue.name): \(error)\(advice)")])
        }
    }

    /// Nil when the queue may not be asked.
    private func facts(_ url: String) async -> SQSQueueFacts? {
        do throws(AWSError) {
            return SQSQueueFacts(try await self.client.attributes(of: url))
        } catch {
            return nil
        }
    }

    /// Calls that cannot do anything, because they name no message: a permission is looked at first.
    private func permissions(_ actions: [String], _ url: String) async -> Diagnosis {
        var denied: [String] = []
        for action in actions {
            do throws(AWSError) {
                try await self.client.tryNothing(action, on: url)
            } catch {
                switch error.kind {
                case .refused where AWSError.isDenial(SQSErrorCode.bare(error.code)):
                    denied.append("sqs:\(action)")
                case .refused where Self.empty.contains(SQSErrorCode.bare(error.code)): break
                case .refused, .noCredentials, .unreachable, .noAnswer, .throttled:
                    let advice = SQSErrorCode.advice(error.code, allowing: "")
                    return .error("permissions", "\(self.queue.name): \(error)\(advice)")
                }
            }
        }
        guard denied.isEmpty else {
            return .error("permissions", "\(denied.joined(separator: ", ")) is denied; allow it")
        }
        let isWhole = self.isAWS || actions == ["SendMessage"]
        let rest =
            isWhole ? "" : "; sqs:ReceiveMessage is asked of AWS alone, elsewhere it could take a message"
        return .ok("permissions", "\(actions.map { "sqs:\($0)" }.joined(separator: ", ")) allowed\(rest)")
    }

    /// What is said of a call that is allowed, and about nothing.
    private static let empty: Set<String> = [
        "EmptyBatchRequest", "InvalidParameterValue", "InvalidParameterValueException", "MissingParameter",
        "MissingRequiredParameterException", "ReadCountOutOfRange", "ValidationError", "ValidationException",
    ]

    // MARK: - Judging

    private static let unknown = Diagnosis.warning(
        "attributes",
        "sqs:GetQueueAttributes is denied or failed, so retention, size and redrive policy are not known; allow it"
    )

    /// Whether messages stay ours for as long as a function may take.
    static func visibility(_ settings: SQSSettings, _ function: FunctionPlan, window: Duration) -> Diagnosis {
        let length = Duration.seconds(settings.visibility)
        let needed = function.timeout + window
        let text =
            "messages are received for \(length.configurationText); a batch and its function may take "
            + needed.configurationText
        return length >= needed
            ? .ok("visibility", text)
            : .warning(
                "visibility",
                "\(text): when Penstock is cut off, others get them meanwhile; raise visibility"
            )
    }

    /// What the queue does on its own against what the trigger is to do.
    static func judge(_ facts: SQSQueueFacts, _ retry: RetryPolicy) -> [Diagnosis] {
        var diagnoses: [Diagnosis] = []
        if let most = facts.receivesMax {
            let tries = retry.retries.map { $0 + 1 }
            let text =
                "the queue takes a message away after \(most) receives, and failure.retries allows "
                + (tries.map { "\($0) tries" } ?? "any number of tries")
            diagnoses.append(
                tries.map { $0 < most } ?? false
                    ? .ok("redrive policy", text)
                    : .warning(
                        "redrive policy",
                        "\(text): it goes to the queue's own dead-letter queue before; raise maxReceiveCount, or lower "
                            + "failure.retries"
                    )
            )
        } else {
            diagnoses.append(
                .ok("redrive policy", "the queue has none: what is given up goes to on_failure alone")
            )
        }
        guard let retention = facts.retention else { return diagnoses }
        let kept = "the queue keeps messages for \(retention.configurationText)"
        guard let age = retry.maxAge, age > retention else {
            diagnoses.append(.ok("retention", kept))
            return diagnoses
        }
        let text =
            "\(kept), and failure.max_age is \(age.configurationText): they vanish before they are given up"
        diagnoses.append(.warning("retention", "\(text); raise the retention, or lower max_age"))
        return diagnoses
    }

    /// Whether the queue takes what is sent to it.
    static func size(_ facts: SQSQueueFacts, _ messageSize: Int) -> Diagnosis {
        guard let most = facts.messageSize else { return .ok("size", "messages of \(messageSize) bytes") }
        let text = "the queue takes messages of \(most) bytes, and message_size is \(messageSize)"
        return messageSize <= most
            ? .ok("size", text)
            : .warning("size", "\(text): larger ones are refused; set message_size to \(most)")
    }
}
