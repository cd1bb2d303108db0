// SPDX-License-Identifier: Apache-2.0

import CurlClient
package import HTTPEndpoints
package import PenstockConfiguration
import PenstockCore
import PenstockRuntime

/// What stands under `http:` of a function.
package struct HTTPFunctionConfiguration: ConfigurationTable {
    /// How records look in the request.
    package enum Format: String, CaseIterable, Sendable {
        /// The source's own event, as AWS Lambda would get it.
        case lambda
        /// A batch of CloudEvents 1.0 in JSON.
        case cloudevents
        /// The record's own bytes, one record a request.
        case raw
    }

    /// What a client error (4xx other than 408 and 429) means.
    package enum ClientErrorPolicy: String, CaseIterable, Sendable {
        /// The function refused the records for good.
        case poison
        /// The function failed; it is tried again.
        case retry
    }

    private static let endpointFields = HTTPEndpoint.Fields(
        url: "Where invocations are POSTed.",
        timeout: "How long one invocation may take."
    )
    static let format = Field.choice(
        "format",
        "How records look in the request: the source's Lambda event, CloudEvents, or the record's own bytes.",
        default: Format.lambda
    )
    static let concurrency = Field.integer(
        "concurrency",
        "Requests in flight at most; more wait in order.",
        default: 16,
        in: 1...1000
    )
    static let onClientError = Field.choice(
        "on_client_error",
        "What 4xx means (other than 408 and 429): poison gives the records up, retry tries them again.",
        default: ClientErrorPolicy.poison
    )
    static let maxResponse = Field.size(
        "max_response",
        "Bytes of an answer at most; a longer one is a failure.",
        default: InvocationLimit.responseBytes,
        in: 0...(64 << 20)
    )
    static let eventType = Field.string("event_type", "The type of CloudEvents.", default: "penstock.record")
    static let dataContentType = Field.string(
        "data_content_type",
        "The content type of record bodies, for cloudevents and raw; JSON is embedded in a CloudEvent as it is."
    ).optional

    /// The fields under `http:`.
    package static let table = FieldTable(
        "http",
        "An HTTP endpoint as a function.",
        [
            Self.endpointFields.url, Self.format, HTTPEndpoint.headersField, Self.endpointFields.timeout,
            Self.concurrency, Self.onClientError, HTTPEndpoint.tlsField, HTTPEndpoint.http2Field,
            Self.maxResponse, Self.eventType, Self.dataContentType,
        ]
    )

    /// Where to POST, and how.
    package var endpoint: HTTPEndpoint
    /// How records look in the request.
    package var format: Format
    /// Requests in flight at most.
    package var concurrency: Int
    /// What 4xx means.
    package var onClientError: ClientErrorPolicy
    /// Bytes of an answer at most.
    package var maxResponse: Int
    /// The type of CloudEvents.
    package var eventType: String
    /// The content type of record bodies.
    package var dataContentType: String?

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        self.endpoint = HTTPEndpoint(&reader, Self.endpointFields)
        self.format = reader[Self.format]
        self.concurrency = reader[Self.concurrency]
        self.onClientError = reader[Self.onClientError]
        self.maxResponse = reader[Self.maxResponse]
        self.eventType = reader[Self.eventType]
        self.dataContentType = reader[Self.dataContentType]
        let contentType = self.dataContentType ?? ""
        reader.require(
            contentType.isEmpty || CurlHeader("content-type", contentType) != nil,
            at: Self.dataContentType,
            code: .badValue,
            "must be a content type such as application/json"
        )
        reader.require(!self.eventType.isEmpty, at: Self.eventType, code: .badValue, "must not be empty")
    }

    /// The most records that one invocation may carry; nil when the format sets no limit.
    ///
    /// Validation refuses a trigger with a larger `batch.size`.
    package var batchSizeMax: Int? { self.format == .raw ? 1 : nil }
}
