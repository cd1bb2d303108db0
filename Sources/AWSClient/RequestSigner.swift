// SPDX-License-Identifier: Apache-2.0

import Crypto
package import PenstockCore

/// Signature Version 4 (AWS General Reference, "Signing AWS API requests"), headers only.
///
/// Pure. libcurl's own signature is wrong for paths that hold an encoded character, as function ARNs do.
package struct RequestSigner: Sendable {
    /// Such as `eu-west-1`.
    package var region: String

    /// The service's signing name, such as `lambda`.
    package var service: String

    /// S3 takes the path as it is sent, and wants the body's hash in a header.
    package var isObjectStore: Bool { self.service == "s3" }

    /// A signer for one service in one region.
    package init(region: String, service: String) {
        self.region = region
        self.service = service
    }

    /// The headers that make the request authentic; they go beside those that were signed.
    ///
    /// - Parameters:
    ///   - request: as it is sent; its path and query are encoded already.
    ///   - credentials: who sends it.
    ///   - now: the time that the service will compare with its own; it allows five minutes.
    /// - Returns: `X-Amz-Date`, `X-Amz-Security-Token` for temporary keys, and `Authorization`.
    package func sign(
        _ request: SignedRequest,
        as credentials: AWSCredentials,
        at now: Timestamp
    ) -> [(
        name: String, value: String
    )] {
        let time = SigningTime(now)
        var added = [("X-Amz-Date", time.full)]
        if let token = credentials.sessionToken { added.append(("X-Amz-Security-Token", token)) }
        var headers = request.headers.map { ($0.name.lowercased(), Self.trimmed($0.value)) }
        headers += added.map { ($0.0.lowercased(), $0.1) }
        headers.append(("host", request.host))
        headers.sort { $0.0 < $1.0 }
        let names = headers.map(\.0).joined(separator: ";")
        let canonical = [
            request.method,
            self.isObjectStore ? request.path : Self.encodedAgain(request.path),
            Self.sorted(request.query),
            headers.map { "\($0.0):\($0.1)\n" }.joined(),
            names,
            request.bodyHash,
        ].joined(separator: "\n")
        let scope = "\(time.day)/\(self.region)/\(self.service)/aws4_request"
        let text =
            "AWS4-HMAC-SHA256\n\(time.full)\n\(scope)\n\(Hexadecimal.text(SHA256.hash(data: Array(canonical.utf8))))"
        let signature = Hexadecimal.text(Self.code(text, key: self.key(credentials, day: time.day)))
        let authorization =
            "AWS4-HMAC-SHA256 Credential=\(credentials.accessKeyID)/\(scope), "
            + "SignedHeaders=\(names), Signature=\(signature)"
        return added.map { (name: $0.0, value: $0.1) } + [(name: "Authorization", value: authorization)]
    }

    /// The key of a day, region and service.
    private func key(_ credentials: AWSCredentials, day: String) -> SymmetricKey {
        var key = SymmetricKey(data: Array("AWS4\(credentials.secretAccessKey)".utf8))
        for part in [day, self.region, self.service, "aws4_request"] {
            key = SymmetricKey(data: Self.code(part, key: key))
        }
        return key
    }

    private static func code(_ text: String, key: SymmetricKey) -> HMAC<SHA256>.MAC {
        HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key)
    }

    /// Blanks around a value do not count, and several in a row count as one.
    private static func trimmed(_ value: String) -> String {
        value.split { $0 == " " || $0 == "\t" }.joined(separator: " ")
    }

    /// The canonical path: each segment of the sent one encoded once more (all services but S3).
    private static func encodedAgain(_ path: String) -> String {
        path.split(separator: "/", omittingEmptySubsequences: false)
            .map { PercentEncoding.encode(String($0)) }
            .joined(separator: "/")
    }

    /// The canonical query: by name, then by value, compared byte by byte after encoding.
    private static func sorted(_ query: [(name: String, value: String)]) -> String {
        query.map { (PercentEncoding.encode($0.name), PercentEncoding.encode($0.value)) }
            .sorted { $0 < $1 }
            .map { "\($0.0)=\($0.1)" }
            .joined(separator: "&")
    }
}

/// A request as its signature sees it.
package struct SignedRequest: Sendable {
    /// Such as `POST`.
    package var method: String

    /// The host header as it is sent: with the port where it is not the scheme's own.
    package var host: String

    /// The path as it is sent, each segment encoded once.
    package var path: String

    /// The query's names and values, not encoded.
    package var query: [(name: String, value: String)]

    /// Headers to be signed, besides the host.
    package var headers: [(name: String, value: String)]

    /// The SHA-256 of the body in hexadecimal digits: ``hash(of:)``.
    package var bodyHash: String

    /// A request.
    package init(
        method: String,
        host: String,
        path: String,
        query: [(name: String, value: String)] = [],
        headers: [(name: String, value: String)] = [],
        bodyHash: String = Self.hashOfNothing
    ) {
        self.method = method
        self.host = host
        self.path = path
        self.query = query
        self.headers = headers
        self.bodyHash = bodyHash
    }

    /// The hash of no body.
    package static let hashOfNothing = Hexadecimal.text(SHA256.hash(data: []))

    /// The SHA-256 of a body in hexadecimal digits.
    package static func hash(of body: UnsafeRawBufferPointer) -> String {
        var hash = SHA256()
        unsafe hash.update(bufferPointer: body)
        return Hexadecimal.text(hash.finalize())
    }
}

/// Percent-encoding as AWS wants it: all but letters, digits and `-._~` (RFC 3986 section 2.3), in upper case.
package enum PercentEncoding {
    /// The encoded text.
    package static func encode(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                bytes.append(byte)
            default:
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// A time in the two forms of a signature: `20150830T123600Z` and `20150830`.
struct SigningTime {
    let full: String
    let day: String

    init(_ time: Timestamp) {
        // 2015-08-30T12:36:00Z, perhaps with a fraction of a second.
        let digits = time.configurationText.prefix(19).filter { $0 != "-" && $0 != ":" }
        self.full = digits + "Z"
        self.day = String(digits.prefix(8))
    }
}
