// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// One HTTP request.
///
/// Redirects are not followed and cookies not kept.
package struct CurlRequest: Sendable {
    /// The method; those other than GET and HEAD send the body.
    package enum Method: String, Sendable {
        /// Asks for a resource.
        case get = "GET"
        /// Asks for a resource's headers.
        case head = "HEAD"
        /// Sends the body.
        case post = "POST"
        /// Sends the body.
        case put = "PUT"
        /// Sends the body.
        case patch = "PATCH"
        /// Sends the body.
        case delete = "DELETE"
    }

    /// The method.
    package var method: Method = .post

    /// An absolute http or https URL.
    ///
    /// A user and a password in it become Basic authentication.
    package var url: String

    /// Headers besides those that HTTP itself needs.
    package var headers: [CurlHeader] = []

    /// The body.
    package var body: CurlBody = .none

    /// How long the whole exchange may take; at least a millisecond.
    package var timeout: Duration = .seconds(30)

    /// How long name resolution, connecting and the TLS handshake may take together.
    package var connectTimeout: Duration = .seconds(10)

    /// Bytes of the answer's body at most; the connection is cut when more come.
    package var responseLimit = 6_291_556

    /// Names of the headers of the answer that the caller wants to see, in any case.
    package var wantedHeaders: [StaticString] = []

    /// Names of those that the caller wants to see besides when the answer is no success (2xx).
    package var wantedFailureHeaders: [StaticString] = []

    /// Is called on the reactor's thread with each piece of a success's body as it arrives; the answer has no body then,
    /// and no limit holds.
    package var bodyArrived: (@Sendable ([UInt8]) -> Void)?

    /// For https.
    package var tls = CurlTLS()

    /// Offers HTTP/2 on https connections (ALPN).
    ///
    /// Plain http is always HTTP/1.1.
    package var http2 = true

    /// A POST to this URL.
    package init(url: String) {
        self.url = url
    }
}

/// What a request sends.
package enum CurlBody: Sendable {
    /// Nothing.
    case none

    /// These bytes, copied once.
    case bytes([UInt8])

    /// The buffer's bytes behind the first `skip`, without a copy.
    ///
    /// Nobody writes the buffer until the call returns.
    case buffer(EventBuffer, skip: Int = 0)
}

/// A header that is safe to send.
package struct CurlHeader: Sendable, Equatable {
    /// The text or number of a header: a number needs no text of its own.
    enum Value: Sendable, Equatable {
        case text(String)
        case number(Int64)
    }

    let name: String
    let value: Value

    /// Whether the value says nothing.
    let isBlank: Bool

    /// A header with a number.
    ///
    /// The name is the caller's own, and a token.
    package init(_ name: String, number: Int64) {
        self.name = name
        self.value = .number(number)
        self.isBlank = false
    }

    /// A header; nil when the name is not a token (RFC 9110 section 5.6.2), or when the value holds control
    /// characters, with which one header could smuggle in another.
    package init?(_ name: String, _ value: String) {
        var (name, value) = (name, value)
        guard !name.isEmpty, name.withUTF8({ unsafe $0.allSatisfy(Self.isTokenByte) }) else { return nil }
        let (isSendable, isBlank) = value.withUTF8 { text in
            var (isSendable, isBlank) = (true, true)
            // Without an exit, so that many bytes are looked at together.
            for index in 0..<text.count {
                let byte = unsafe text[index]
                let isSpace = byte == 0x20 || byte == 0x09
                if !isSpace { isBlank = false }
                if byte < 0x20 && !isSpace || byte == 0x7F { isSendable = false }
            }
            return (isSendable, isBlank)
        }
        guard isSendable else { return nil }
        self.name = name
        self.value = .text(value)
        self.isBlank = isBlank
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
            true
        default: Self.tokenMarks.contains(byte)
        }
    }

    private static let tokenMarks: [UInt8] = Array("!#$%&'*+.^_`|~".utf8)
}

/// How an https connection is made and checked.
package struct CurlTLS: Sendable, Equatable {
    /// A PEM file with the authorities to trust; nil for the system's.
    package var authorities: String?

    /// A PEM file with the certificate to present, and its chain.
    package var certificate: String?

    /// A PEM file with the certificate's key.
    package var key: String?

    /// Whether the server's certificate and name are checked.
    package var verify: Bool

    /// The system's authorities, checked, and no certificate of our own.
    package init(
        authorities: String? = nil,
        certificate: String? = nil,
        key: String? = nil,
        verify: Bool = true
    ) {
        self.authorities = authorities
        self.certificate = certificate
        self.key = key
        self.verify = verify
    }
}
