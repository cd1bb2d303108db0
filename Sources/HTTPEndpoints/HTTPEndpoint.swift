// SPDX-License-Identifier: Apache-2.0

package import CurlClient
package import PenstockConfiguration

/// An HTTP endpoint as configured: where it is, and how it is talked to.
///
/// The tables of the HTTP function and of the HTTP destination have the same fields for it.
package struct HTTPEndpoint: Sendable {
    /// The fields of an endpoint that are said in each table's own words; the others are ``HTTPEndpoint/headers`` and so on.
    package struct Fields: Sendable {
        /// `url`.
        package let url: Field<ServiceURL>
        /// `timeout`.
        package let timeout: Field<Duration>

        /// The fields, with what they mean in one sentence each.
        package init(url: String, timeout: String) {
            self.url = Field.url("url", url)
            self.timeout = Field.duration(
                "timeout",
                timeout,
                default: .seconds(30),
                in: .milliseconds(1) ... .seconds(900)
            )
        }
    }

    /// `headers`.
    package static let headersField = Field<[Named<Secret>]>(
        "headers",
        "Sent with each request; values are never shown, and secrets come from ${NAME}.",
        .map(of: .hidden, names: .any, count: 0...64),
        absence: .value([], shown: nil)
    )
    /// `tls`.
    package static let tlsField = Field.table("tls", "How https connections are made.", of: HTTPTLS.self)
    /// `http2`.
    package static let http2Field = Field.boolean(
        "http2",
        "Offers HTTP/2 on https connections.",
        default: true
    )

    /// Where it is; its description hides a password.
    package let url: ServiceURL

    /// How long one exchange may take.
    package let timeout: Duration

    private let headers: [(name: String, value: Secret)]
    private let tls: HTTPTLS
    private let http2: Bool

    /// Reads the fields, which must be in the reader's table.
    package init(_ reader: inout ConfigurationReader, _ fields: Fields) {
        self.url = reader[fields.url]
        self.headers = reader[Self.headersField].map { ($0.name, $0.value) }
        self.timeout = reader[fields.timeout]
        self.tls = reader[Self.tlsField]
        self.http2 = reader[Self.http2Field]
        for header in self.headers where CurlHeader(header.name, header.value.reveal()) == nil {
            reader.require(
                false,
                at: Self.headersField,
                code: .badValue,
                "cannot send \"\(header.name.prefix(80))\": its name or value holds what headers must not have",
                suggestion: "remove line breaks and control characters"
            )
        }
        for header in self.headers where Self.isReserved(header.name) {
            reader.require(
                false,
                at: Self.headersField,
                "must not set \"\(header.name)\", which Penstock sets itself"
            )
        }
        reader.advise(
            self.url.scheme == "https" || !self.url.hasPassword,
            at: fields.url,
            "sends its password unencrypted",
            suggestion: "use https"
        )
    }

    private static func isReserved(_ name: String) -> Bool {
        let lower = name.lowercased()
        return ["content-length", "transfer-encoding", "connection", "expect"].contains(lower)
            || lower.hasPrefix("x-penstock-")
    }

    /// The configured headers, ready to be sent.
    package var curlHeaders: [CurlHeader] {
        self.headers.compactMap { CurlHeader($0.name, $0.value.reveal()) }
    }

    /// Whether the configuration says what bodies are.
    package var hasContentType: Bool { self.headers.contains { $0.name.lowercased() == "content-type" } }

    /// A POST without headers and body that may take so long.
    package func request(within timeout: Duration) -> CurlRequest {
        var request = CurlRequest(url: self.url.text)
        request.timeout = timeout
        request.connectTimeout = min(timeout, .seconds(10))
        request.tls = self.tls.options
        request.http2 = self.http2
        return request
    }
}

extension CurlRequest {
    /// Adds a header, if it is one that can be sent.
    package mutating func add(_ header: CurlHeader?) {
        if let header { self.headers.append(header) }
    }
}
