// SPDX-License-Identifier: Apache-2.0

package import AWSClient
import AWSConfiguration
package import AWSDestination
package import CurlClient
import Foundation
package import PenstockConfiguration
import PenstockCore

/// What stands under `eventbridge:` of a destination.
package struct EventBridgeDestinationConfiguration: DocumentDestinationTable {
    static let busField = Field.string("bus", "The event bus's name or ARN.", default: "default")
    static let sourceField = Field.string(
        "source",
        "The events' `source`, for rules; AWS does not take one that begins with \"aws.\".",
        default: "lambda"
    )
    static let sizeField = Field.size(
        "event_size",
        "The largest event that the bus takes.",
        default: 256 << 10,
        in: 1024...1 << 20
    )

    /// The fields under `eventbridge:`.
    package static let table = FieldTable(
        "eventbridge",
        "Puts an event onto a bus for each letter, with AWS's failure document and the record in `detail`.",
        [Self.busField, Self.sourceField] + AWSFields.all + [Self.sizeField]
    )

    package let service: EventBus
    package let options: AWSOptions

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        let bus = reader[Self.busField]
        let source = reader[Self.sourceField]
        let arn = AWSResourceName(bus, service: "events")
        reader.require(
            arn != nil || !(bus.isEmpty || bus.hasPrefix("arn:")),
            at: Self.busField,
            code: .badValue,
            "\"\(bus.prefix(160))\" is neither a bus's name nor its ARN",
            suggestion: "write orders, or arn:aws:events:eu-west-1:123456789012:event-bus/orders"
        )
        reader.require(
            !source.isEmpty && !source.hasPrefix("aws."),
            at: Self.sourceField,
            code: .badValue,
            "must be a text that does not begin with \"aws.\", which is AWS's own"
        )
        self.options = AWSOptions(
            &reader,
            region: arn?.region,
            connections: DocumentDestination<EventBus>.connections
        )
        self.service = EventBus(
            bus: bus,
            source: source,
            region: self.options.region,
            eventSize: reader[Self.sizeField],
            isAWS: AWSEndpoint.isAWS(self.options.endpoint, region: self.options.region)
        )
    }
}

/// An event bus: the call `PutEvents` (Amazon EventBridge API Reference) with one event, in the form of AWS Lambda's
/// destinations (esm-spec section 6).
package struct EventBus: DocumentService {
    package static let signingName = "events"
    package static let permission = "events:PutEvents"
    package static let missingCode = "ResourceNotFoundException"

    let bus: String
    let source: String
    let region: String
    let eventSize: Int

    /// Whether the bus is AWS's, which is known to take no event that lacks what an event must have.
    let isAWS: Bool

    private static let failure = "Lambda Function Invocation Result - Failure"
    private static let success = "Lambda Function Invocation Result - Success"

    package var sizeMax: Int { self.eventSize }

    /// AWS counts the source, the detail type and the resources, too; `Failure` and `Success` are as long.
    package func size(of document: OutgoingDocument) -> Int {
        let resources = self.resources(of: document).reduce(0) { $0 + $1.utf8.count }
        return document.json.count + self.source.utf8.count + Self.failure.utf8.count + resources
    }

    package var summary: String {
        "event bus \(self.bus.split(separator: "/").last.map(String.init) ?? self.bus) in \(self.region)"
    }

    package func advice(_ code: String) -> String? {
        code == Self.missingCode
            ? "create the event bus, or check \"bus\", \"region\" and \"endpoint\"" : nil
    }

    package func call(_ document: OutgoingDocument) -> AWSCall {
        let type = document.kind == .failure ? Self.failure : Self.success
        var body = Array("{\"Entries\":[{".utf8) + JSONText.member("Source", self.source)
        body += Array(",".utf8) + JSONText.member("DetailType", type)
        body += Array(",".utf8) + JSONText.member("EventBusName", self.bus)
        let resources = self.resources(of: document)
        if !resources.isEmpty {
            let list = resources.map { JSONText.escaped($0) }.joined(separator: Array(",".utf8))
            body += Array(",\"Resources\":[".utf8) + Array(list) + Array("]".utf8)
        }
        body += Array(",\"Detail\":".utf8)
        body += unsafe document.json.withUnsafeBytes { unsafe JSONText.escaped($0) }
        body += Array("}]}".utf8)
        return Self.call("PutEvents", body)
    }

    /// What AWS puts there: the bus and the function, by their ARNs, as far as they are known.
    private func resources(of document: OutgoingDocument) -> [String] {
        (self.bus.hasPrefix("arn:") ? [self.bus] : []) + (document.function.map { [$0] } ?? [])
    }

    /// `PutEvents` of an entry that names the bus, which what is allowed may depend on, and nothing else: AWS fails a request
    /// in which no entry has a source, a detail type and a detail (`PutEventsRequestEntry`).
    ///
    /// An emulator may take it for an event, and is asked without an entry.
    package var probes: DocumentProbes {
        let name = Array("{".utf8) + JSONText.member("Name", self.bus) + Array("}".utf8)
        let bare = Array("{".utf8) + JSONText.member("EventBusName", self.bus) + Array("}".utf8)
        let entries = Array("{\"Entries\":[".utf8) + (self.isAWS ? bare : []) + Array("]}".utf8)
        return DocumentProbes(
            target: (Self.call("DescribeEventBus", name), "events:DescribeEventBus"),
            sending: Self.call("PutEvents", entries)
        )
    }

    private static func call(_ operation: String, _ body: [UInt8]) -> AWSCall {
        var call = AWSCall(method: .post, path: "/", body: .bytes(body))
        call.headers = [
            ("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", "AWSEvents.\(operation)"),
        ]
        return call
    }

    package func refusal(in response: CurlResponse) -> String? {
        let object = try? JSONSerialization.jsonObject(with: Data(response.body)) as? [String: Any]
        guard let object, let failed = object["FailedEntryCount"] as? Int else {
            return "the answer to PutEvents is not the JSON of EventBridge"
        }
        guard failed > 0 else { return nil }
        let entry = (object["Entries"] as? [[String: Any]])?.first
        let words = [entry?["ErrorCode"], entry?["ErrorMessage"]].compactMap { $0 as? String }
        return words.isEmpty ? "the event was not taken" : words.joined(separator: ": ")
    }
}
