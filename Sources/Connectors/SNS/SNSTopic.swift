// SPDX-License-Identifier: Apache-2.0

package import AWSClient
import AWSConfiguration
package import AWSDestination
import CurlClient
package import PenstockConfiguration
import PenstockCore

/// What stands under `sns:` of a destination.
package struct SNSDestinationConfiguration: DocumentDestinationTable {
    static let topicField = Field.string(
        "topic",
        "The topic's ARN; in one that ends in .fifo, letters of one key are in order."
    )

    /// The fields under `sns:`.
    package static let table = FieldTable(
        "sns",
        "Publishes a message to a topic for each letter: AWS's failure document with the record in it.",
        [Self.topicField] + AWSFields.all
    )

    package let service: SNSTopic
    package let options: AWSOptions

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        let topic = reader[Self.topicField]
        let arn = AWSResourceName(topic, service: "sns")
        reader.require(
            arn != nil,
            at: Self.topicField,
            code: .badValue,
            "\"\(topic.prefix(160))\" is not a topic's ARN",
            suggestion: "write it like arn:aws:sns:eu-west-1:123456789012:orders-failed"
        )
        self.options = AWSOptions(
            &reader,
            region: arn?.region,
            connections: DocumentDestination<SNSTopic>.connections
        )
        self.service = SNSTopic(arn: topic, region: self.options.region)
    }
}

/// A topic: the call `Publish` (AWS SNS API Reference).
package struct SNSTopic: DocumentService {
    package static let signingName = "sns"
    package static let permission = "sns:Publish"
    package static let missingCode = "NotFound"

    /// Bytes of a message: 256 KiB (Amazon SNS quotas).
    package var sizeMax: Int { 262_144 }

    let arn: String
    let region: String

    private var name: String { self.arn.split(separator: ":").last.map(String.init) ?? self.arn }

    package var summary: String { "sns topic \(self.name) in \(self.region)" }

    package func advice(_ code: String) -> String? {
        code.hasPrefix("NotFound") ? "create the topic, or check \"topic\", \"region\" and \"endpoint\"" : nil
    }

    package func isTooLarge(_ error: AWSError) -> Bool {
        error.code.hasPrefix("InvalidParameter") && error.message.contains("too long")
    }

    /// `PublishBatch` needs `sns:Publish`; without messages it is refused (`EmptyBatchRequest`).
    package var probes: DocumentProbes {
        func call(_ action: String) -> AWSCall {
            Self.call([("Action", action), ("Version", "2010-03-31"), ("TopicArn", self.arn)])
        }
        return DocumentProbes(
            target: (call("GetTopicAttributes"), "sns:GetTopicAttributes"),
            sending: call("PublishBatch")
        )
    }

    package func call(_ document: OutgoingDocument) -> AWSCall {
        var fields = [
            ("Action", "Publish"), ("Version", "2010-03-31"), ("TopicArn", self.arn),
            ("Message", String(decoding: MessageText.escaped(document.json), as: UTF8.self)),
        ]
        if self.arn.hasSuffix(".fifo") {
            fields.append(("MessageGroupId", StableID.group(document.group)))
            fields.append(("MessageDeduplicationId", StableID.digest(Array(document.identity.utf8))))
        }
        return Self.call(fields)
    }

    private static func call(_ fields: [(String, String)]) -> AWSCall {
        let form = fields.map { "\($0)=\(PercentEncoding.encode($1))" }.joined(separator: "&")
        var call = AWSCall(method: .post, path: "/", body: .bytes(Array(form.utf8)))
        call.headers = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
        return call
    }
}
