// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
package import PenstockCore

/// What AWS's event source mappings write to an `OnFailure` destination (esm-spec 3.2 and 3.3), for one record: why it was
/// given up, where it stood, and in `payload` the whole event with it.
///
/// `requestContext.functionArn` is the function's name here. `responseContext` is null when the function was never asked
/// about the record, and left out when the record grew too old.
package struct FailureDocument: Sendable {
    private let source: SourcePlan
    private let exhausted: String

    /// Documents of records of this source; `exhausted` is the condition of those whose retries are used up.
    package init(
        _ source: SourcePlan,
        exhausted: String = DeadLetterReason.retriesExhausted.rawValue
    ) {
        self.source = source
        self.exhausted = exhausted
    }

    /// The document of a letter, as one line of JSON.
    package func json(of letter: DeadLetter) -> [UInt8] {
        let partition = self.source.partition(PartitionID(0), letter.partition)
        let batch = letter.batch(in: partition, format: self.source.format, receivedAt: .start)
        let event = EventBuffer()
        event.write(batch, as: self.source.format)
        var document = Array("{\"requestContext\":{".utf8)
        document += JSONText.member("requestId", letter.invocation)
        document += Array(",".utf8) + JSONText.member("functionArn", letter.function)
        let condition = letter.reason == .retriesExhausted ? self.exhausted : letter.reason.rawValue
        document += Array(",".utf8) + JSONText.member("condition", condition)
        document += Array(",\"approximateInvokeCount\":\(letter.attemptCount)}".utf8)
        document += Self.response(letter)
        document += Array(",\"version\":\"1.0\",".utf8) + JSONText.member("timestamp", letter.at.sortableText)
        document += Array(",".utf8) + JSONText.member("trigger", letter.trigger)
        if let info = self.source.batchInfo {
            document += Array(",".utf8) + JSONText.escaped(info.name) + Array(":".utf8)
            document += info.json(letter, event.count)
        }
        document += Array(",\"payload\":".utf8)
        unsafe document += event.bytes
        document.append(UInt8(ascii: "}"))
        return document
    }

    private static func response(_ letter: DeadLetter) -> [UInt8] {
        if letter.reason == .ageExceeded { return [] }
        guard let failure = letter.attempts.last?.failure else {
            return Array(",\"responseContext\":null".utf8)
        }
        // What the function reported, or reported badly, is not an error of the function (esm-spec section 4).
        let isReport = failure.type.hasPrefix("Penstock.")
        let error = isReport ? Array("null".utf8) : JSONText.escaped("Unhandled")
        return Array(
            ",\"responseContext\":{\"statusCode\":200,\"executedVersion\":\"$LATEST\",\"functionError\":".utf8
        )
            + error + Array(",".utf8) + JSONText.member("errorType", failure.type) + Array(",".utf8)
            + JSONText.member("errorMessage", failure.message) + Array("}".utf8)
    }
}

/// What a source adds to a failure document: `KafkaBatchInfo`.
package struct FailureBatchInfo: Sendable {
    /// The member's name.
    package var name: String

    /// Its value for a letter whose event has so many bytes.
    package var json: @Sendable (_ letter: DeadLetter, _ payloadSize: Int) -> [UInt8]

    /// A member of the document.
    package init(
        name: String,
        json: @escaping @Sendable (_ letter: DeadLetter, _ payloadSize: Int) -> [UInt8]
    ) {
        self.name = name
        self.json = json
    }
}
