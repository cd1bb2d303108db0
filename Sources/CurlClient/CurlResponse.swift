// SPDX-License-Identifier: Apache-2.0

/// An answer with its body, whatever its status.
package struct CurlResponse: Sendable, Equatable {
    /// The status code.
    package var status: Int

    /// The version of the protocol.
    package var version: Version

    /// The body as it was sent.
    package var body: [UInt8]

    /// What `Retry-After` says, from now on, whether it was seconds or a date; nil when it is absent or past.
    package var retryAfter: Duration?

    /// From the call to the last byte.
    package var duration: Duration

    private let headers: [Header]

    /// Versions of HTTP.
    package enum Version: Sendable {
        /// HTTP/1.0 or 1.1.
        case http1
        /// HTTP/2.
        case http2
    }

    struct Header: Sendable, Equatable {
        var name: String
        var value: String
    }

    init(status: Int, version: Version, body: [UInt8], duration: Duration, headers: [Header]) {
        self.status = status
        self.version = version
        self.body = body
        self.duration = duration
        self.headers = headers
    }

    /// The value of a header that the request named in ``CurlRequest/wantedHeaders`` or
    /// ``CurlRequest/wantedFailureHeaders``, by the name used there; the last one when there are several.
    package func header(_ name: String) -> String? {
        self.headers.first { $0.name == name }?.value
    }
}

/// Why there is no answer.
package struct CurlError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kinds of failure.
    package enum Code: String, Sendable {
        /// The URL or an option is not usable.
        case invalidRequest
        /// The host's name has no address.
        case unresolved
        /// No connection was made.
        case unreachable
        /// The TLS handshake failed, or a certificate file cannot be used.
        case tls
        /// The time was up.
        case timedOut
        /// The connection ended before the answer did.
        case connectionLost
        /// The answer has more bytes than allowed.
        case tooLarge
        /// The calling task was cancelled.
        case cancelled
        /// The client is closed.
        case closed
        /// Anything else.
        case failed
    }

    /// The kind.
    package var code: Code

    /// Whether any byte of the request was written: false means that the server has not seen it.
    package var sent: Bool

    /// What an operator needs, without the URL's credentials and without payload.
    package var detail: String

    package var description: String { self.detail }

    init(_ code: Code, sent: Bool = false, _ detail: String) {
        self.code = code
        self.sent = sent
        self.detail = detail
    }
}
