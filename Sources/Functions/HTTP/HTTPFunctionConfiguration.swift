// SPDX-License-Identifier: Apache-2.0

import CurlClient
import PenstockCore
package import PenstockConfiguration
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

    static let url = Field.url("url", "Where invocations are POSTed.")
    static let format = Field.choice(
        "format",
        "How records look in the request: the source's Lambda event, CloudEvents, or the record's own bytes.",
        default: Format.lambda
    )
    static let headers = Field<[Named<Secret>]>(
        "headers",
        "Sent with each request; values are never shown, and secrets come from ${NAME}.",
        .map(of: .hidden, names: .any, count: 0...64),
        absence: .value([], shown: nil)
    )
    static let timeout = Field.duration(
        "timeout",
        "How long one invocation may take.",
        default: .seconds(30),
        in: .milliseconds(1) ... .seconds(900)
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
    static let tls = Field.table("tls", "How https connections are made.", of: HTTPFunctionTLS.self)
    static let http2 = Field.boolean("http2", "Offers HTTP/2 on https connections.", default: true)
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
            Self.url, Self.format, Self.headers, Self.timeout, Self.concurrency, Self.onClientError, Self.tls,
            Self.http2, Self.maxResponse, Self.eventType, Self.dataContentType,
        ]
    )

    /// Where to POST.
    package var url: ServiceURL
    /// How records look in the request.
    package var format: Format
    /// Sent with each request.
    package var headers: [(name: String, value: Secret)]
    /// How long one invocation may take.
    package var timeout: Duration
    /// Requests in flight at most.
    package var concurrency: Int
    /// What 4xx means.
    package var onClientError: ClientErrorPolicy
    /// How https connections are made.
    package var tls: HTTPFunctionTLS
    /// Whether HTTP/2 is offered.
    package var http2: Bool
    /// Bytes of an answer at most.
    package var maxResponse: Int
    /// The type of CloudEvents.
    package var eventType: String
    /// The content type of record bodies.
    package var dataContentType: String?

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        self.url = reader[Self.url]
        self.format = reader[Self.format]
        self.headers = reader[Self.headers].map { ($0.name, $0.value) }
        self.timeout = reader[Self.timeout]
        self.concurrency = reader[Self.concurrency]
        self.onClientError = reader[Self.onClientError]
        self.tls = reader[Self.tls]
        self.http2 = reader[Self.http2]
        self.maxResponse = reader[Self.maxResponse]
        self.eventType = reader[Self.eventType]
        self.dataContentType = reader[Self.dataContentType]
        for header in self.headers where CurlHeader(header.name, header.value.reveal()) == nil {
            reader.require(
                false,
                at: Self.headers,
                code: .badValue,
                "cannot send \"\(header.name.prefix(80))\": its name or value holds what headers must not have",
                suggestion: "remove line breaks and control characters"
            )
        }
        for header in self.headers where Self.isReserved(header.name) {
            reader.require(
                false,
                at: Self.headers,
                "must not set \"\(header.name)\", which Penstock sets itself"
            )
        }
        let contentType = self.dataContentType ?? ""
        reader.require(
            contentType.isEmpty || CurlHeader("content-type", contentType) != nil,
            at: Self.dataContentType,
            code: .badValue,
            "must be a content type such as application/json"
        )
        reader.require(!self.eventType.isEmpty, at: Self.eventType, code: .badValue, "must not be empty")
        reader.advise(
            self.url.scheme == "https" || !self.url.hasPassword,
            at: Self.url,
            "sends its password unencrypted",
            suggestion: "use https"
        )
    }

    /// The most records that one invocation may carry; nil when the format sets no limit.
    ///
    /// Validation refuses a trigger with a larger `batch.size`.
    package var batchSizeMax: Int? { self.format == .raw ? 1 : nil }

    private static func isReserved(_ name: String) -> Bool {
        let lower = name.lowercased()
        return ["content-length", "transfer-encoding", "connection", "expect"].contains(lower)
            || lower.hasPrefix("x-penstock-")
    }
}

/// What stands under `tls:`.
package struct HTTPFunctionTLS: ConfigurationTable {
    static let ca = Field.string("ca", "A PEM file with the authorities to trust, instead of the system's.")
        .optional
    static let certificate = Field.string("certificate", "A PEM file with the certificate to present.")
        .optional
    static let key = Field.string("key", "A PEM file with the certificate's key.").optional
    static let verify = Field.boolean("verify", "Whether the server's certificate is checked.", default: true)

    /// The fields under `tls:`.
    package static let table = FieldTable(
        "tls",
        "How https connections are made.",
        [Self.ca, Self.certificate, Self.key, Self.verify]
    )

    let options: CurlTLS

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        let certificate = reader[Self.certificate]
        let key = reader[Self.key]
        self.options = CurlTLS(
            authorities: reader[Self.ca],
            certificate: certificate,
            key: key,
            verify: reader[Self.verify]
        )
        reader.require(key == nil || certificate != nil, at: Self.key, "needs \"certificate\" beside it")
        reader.advise(
            self.options.verify,
            at: Self.verify,
            "is off: anybody on the way can read and change requests",
            suggestion: "name the authority in \"ca\" instead"
        )
    }
}
