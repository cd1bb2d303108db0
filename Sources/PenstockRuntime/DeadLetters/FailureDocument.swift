// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
package import PenstockCore

/// What AWS's event source mappings write to an `OnFailure` destination (esm-spec 3.2 and 3.3), for one record: why it was
/// given up, where it stood, and in `payload` the whole event with it.
///
/// `responseContext` is null when the function was never asked about the record, and left out when the record grew too
/// old. Beside AWS's members there are `trigger`, and in `responseContext` what the function said: `errorType` and
/// `errorMessage`. A function without an ARN is named as it is in the configuration, and one without versions has AWS's
/// word for the only one.
package struct FailureDocument: Sendable {
    /// What AWS writes depends on the kind of destination.
    package enum Form: Sendable {
        /// To a queue, or a topic of SNS. AWS has no `payload` here; ours is the event as JSON.
        case message

        /// To a bucket of S3: `payload` is a text, with the event's JSON in it.
        case object

        /// To a topic of Kafka, a message for each record: `payload` is JSON, retries that are used up have another word,
        /// and the function's ARN has its version.
        case record
    }

    private let source: SourcePlan
    private let form: Form

    /// Documents of records of this source for a kind of destination.
    package init(_ source: SourcePlan, as form: Form = .message) {
        self.source = source
        self.form = form
    }

    /// What the partition of a letter is called in keys of objects; see ``SourcePlan/shard``.
    package func shard(of letter: DeadLetter) -> String { self.source.shard(letter.partition) }

    /// The document of a letter, as one line of JSON.
    package func json(of letter: DeadLetter) -> [UInt8] {
        let partition = self.source.partition(PartitionID(0), letter.partition)
        let batch = letter.batch(in: partition, format: self.source.format, receivedAt: .start)
        let event = EventBuffer()
        event.write(batch, as: self.source.format)
        var document = Array("{\"requestContext\":{".utf8)
        document += JSONText.member("requestId", letter.invocation)
        document += Array(",".utf8) + JSONText.member("functionArn", self.function(letter))
        document += Array(",".utf8) + JSONText.member("condition", self.condition(letter))
        document += Array(",\"approximateInvokeCount\":\(letter.attemptCount)}".utf8)
        document += Self.response(letter)
        document += Array(",\"version\":\"1.0\",".utf8) + JSONText.member("timestamp", letter.at.sortableText)
        document += Array(",".utf8) + JSONText.member("trigger", letter.trigger)
        if let info = self.source.batchInfo {
            document += Array(",".utf8) + JSONText.escaped(info.name) + Array(":".utf8)
            document += info.json(letter, event.count, self.form)
        }
        document += Array(",\"payload\":".utf8)
        switch self.form {
        case .message, .record: unsafe document += event.bytes
        case .object: unsafe document += JSONText.escaped(event.bytes)
        }
        document.append(UInt8(ascii: "}"))
        return document
    }

    private func function(_ letter: DeadLetter) -> String {
        guard let arn = letter.functionARN else { return letter.function }
        return self.form == .record ? FunctionARN.qualified(arn) : arn
    }

    private func condition(_ letter: DeadLetter) -> String {
        let isExhausted = letter.reason == .retriesExhausted
        return self.form == .record && isExhausted ? "RetriesExhausted" : letter.reason.rawValue
    }

    private static func response(_ letter: DeadLetter) -> [UInt8] {
        if letter.reason == .ageExceeded { return [] }
        guard let attempt = letter.attempts.last else {
            return Array(",\"responseContext\":null".utf8)
        }
        let failure = attempt.failure
        // What the function reported, or reported badly, is not an error of the function (esm-spec section 4).
        let isReport = failure.type.hasPrefix("Penstock.")
        let error = isReport ? Array("null".utf8) : JSONText.escaped("Unhandled")
        var response = Array(",\"responseContext\":{\"statusCode\":200,".utf8)
        response += JSONText.member("executedVersion", attempt.executedVersion ?? FunctionARN.latest)
        response += Array(",\"functionError\":".utf8) + error + Array(",".utf8)
        response += JSONText.member("errorType", failure.type) + Array(",".utf8)
        response += JSONText.member("errorMessage", failure.message)
        return response + Array("}".utf8)
    }
}

/// What a source adds to a failure document: `KafkaBatchInfo`.
package struct FailureBatchInfo: Sendable {
    /// Its value for a letter whose event has so many bytes, at a kind of destination.
    package typealias Value =
        @Sendable (_ letter: DeadLetter, _ payloadSize: Int, _ form: FailureDocument.Form) -> [UInt8]

    /// The member's name.
    package var name: String

    /// Its value.
    package var json: Value

    /// A member of the document.
    package init(name: String, json: @escaping Value) {
        self.name = name
        self.json = json
    }
}
