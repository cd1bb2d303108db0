// SPDX-License-Identifier: Apache-2.0

import Crypto
package import PenstockCore
import Synchronization

/// Signature Version 4 (AWS General Reference, "Signing AWS API requests"), headers only.
///
/// Pure. libcurl's own signature is wrong for paths that hold an encoded character, as function ARNs do.
package struct RequestSigner: Sendable {
    /// Such as `eu-west-1`.
    package var region: String

    /// The service's signing name, such as `lambda`.
    package var service: String

    /// Shared by copies of the signer.
    private let kept = SignatureForms()

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
        let form = self.kept.form(of: request, as: credentials, at: now) { key in
            self.form(of: request, as: credentials, at: now, &key)
        }
        return form.headers + [("Authorization", form.authorization(bodyHash: request.bodyHash))]
    }

    /// What the signatures of all requests have in common that are alike but for their bodies.
    private func form(
        of request: SignedRequest,
        as credentials: AWSCredentials,
        at now: Timestamp,
        _ kept: inout SigningKey?
    ) -> SignatureForm {
        let time = SigningTime(now)
        var added = [(name: "X-Amz-Date", value: time.full)]
        if let token = credentials.sessionToken { added.append(("X-Amz-Security-Token", token)) }
        var headers = (request.headers + added).map { ($0.name.lowercased(), Self.trimmed($0.value)) }
        headers.append(("host", request.host))
        headers.sort { $0.0 < $1.0 }
        let names = headers.map(\.0).joined(separator: ";")
        let scope = "\(time.day)/\(self.region)/\(self.service)/aws4_request"
        var canonical = SHA256()
        canonical.update(data: self.canonical(request, headers, names))
        if kept?.scope != scope || kept?.secret != credentials.secretAccessKey {
            kept = SigningKey(
                secret: credentials.secretAccessKey,
                scope: scope,
                code: self.key(credentials, day: time.day)
            )
        }
        var code = kept?.code ?? self.key(credentials, day: time.day)
        code.add(Array("AWS4-HMAC-SHA256\n\(time.full)\n\(scope)\n".utf8))
        return SignatureForm(
            headers: added,
            canonical: canonical,
            code: code,
            authorization: "AWS4-HMAC-SHA256 Credential=\(credentials.accessKeyID)/\(scope), "
                + "SignedHeaders=\(names), Signature="
        )
    }

    /// What is hashed of a request, in lines, but for the body's hash.
    private func canonical(
        _ request: SignedRequest,
        _ headers: [(String, String)],
        _ names: String
    ) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(1024)
        func line(_ part: String) {
            text.append(contentsOf: part.utf8)
            text.append(UInt8(ascii: "\n"))
        }
        line(request.method)
        line(self.isObjectStore ? request.path : Self.encodedAgain(request.path))
        line(Self.sorted(request.query))
        for (name, value) in headers {
            text.append(contentsOf: name.utf8)
            text.append(UInt8(ascii: ":"))
            line(value)
        }
        text.append(UInt8(ascii: "\n"))
        line(names)
        return text
    }

    /// The key of a day, region and service.
    private func key(_ credentials: AWSCredentials, day: String) -> MessageCode {
        var key = MessageCode(key: Array("AWS4\(credentials.secretAccessKey)".utf8))
        for part in [day, self.region, self.service, "aws4_request"] {
            key = MessageCode(key: unsafe Array(part.utf8).withUnsafeBytes { unsafe Array(key.code(of: $0)) })
        }
        return key
    }

    /// Blanks around a value do not count, and several in a row count as one.
    private static func trimmed(_ value: String) -> String {
        // Most values have none.
        guard value.utf8.contains(where: { $0 == 0x20 || $0 == 0x09 }) else { return value }
        return value.split { $0 == " " || $0 == "\t" }.joined(separator: " ")
    }

    /// The canonical path: each segment of the sent one encoded once more (all services but S3).
    private static func encodedAgain(_ path: String) -> String {
        guard path != "/" else { return path }
        return path.split(separator: "/", omittingEmptySubsequences: false)
            .map { PercentEncoding.encode(String($0)) }
            .joined(separator: "/")
    }

    /// The canonical query: by name, then by value, compared byte by byte after encoding.
    private static func sorted(_ query: [(name: String, value: String)]) -> String {
        guard !query.isEmpty else { return "" }
        return query.map { (PercentEncoding.encode($0.name), PercentEncoding.encode($0.value)) }
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

    /// Whether another request differs in its body alone.
    func isAlike(_ other: SignedRequest) -> Bool {
        self.method == other.method && self.host == other.host && self.path == other.path
            && self.query.elementsEqual(other.query, by: ==)
            && self.headers.elementsEqual(other.headers, by: ==)
    }

    /// The hash of no body.
    package static let hashOfNothing = Hexadecimal.text(SHA256.hash(data: []))

    /// The SHA-256 of a body in hexadecimal digits.
    package static func hash(of body: UnsafeRawBufferPointer) -> String {
        var hash = SHA256()
        unsafe hash.update(bufferPointer: body)
        return unsafe hash.finalize().withUnsafeBytes { unsafe Hexadecimal.text($0) }
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
        let text = time.sortableText
        // 2015-08-30T12:36:00.000Z
        let digits = text.utf8.prefix(19).filter { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: ":") }
        self.full = String(decoding: digits, as: UTF8.self) + "Z"
        self.day = String(decoding: digits.prefix(8), as: UTF8.self)
    }
}

/// The key of a day, region and service: it is made by five codes.
private struct SigningKey {
    var secret: String
    var scope: String
    var code: MessageCode
}

/// What the signatures of requests have in common that differ in their bodies alone, and are signed in the same second by
/// the same credentials.
private struct SignatureForm {
    /// Headers that go with the request besides `Authorization`.
    let headers: [(name: String, value: String)]
    /// The hash of the canonical request, up to the body's hash.
    let canonical: SHA256
    /// The code of the text that is signed, up to the hash of the canonical request.
    let code: MessageCode
    /// The value of `Authorization`, up to the signature.
    let authorization: String

    /// The value of `Authorization` for a body.
    func authorization(bodyHash: String) -> String {
        var canonical = self.canonical
        var bodyHash = bodyHash
        bodyHash.withUTF8 { unsafe canonical.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        var hash = unsafe canonical.finalize().withUnsafeBytes { unsafe Hexadecimal.text($0) }
        let code = hash.withUTF8 { unsafe self.code.code(of: UnsafeRawBufferPointer($0)) }
        return self.authorization + (unsafe code.withUnsafeBytes { unsafe Hexadecimal.text($0) })
    }
}

/// The latest forms of signatures, and the key of the day: a client repeats few kinds of calls, many times a second.
private final class SignatureForms: Sendable {
    private struct Kept {
        var request: SignedRequest
        var credentials: AWSCredentials
        var second: Int64
        var form: SignatureForm
    }

    private struct State {
        var key: SigningKey?
        var latest: [Kept] = []
    }

    /// Kinds of calls at most: sources make two or three.
    private static let countMax = 4

    private let state = Mutex(State())

    /// The form of a request, which `make` makes when none is kept that fits; it may use and replace the key.
    func form(
        of request: SignedRequest,
        as credentials: AWSCredentials,
        at now: Timestamp,
        _ make: (inout SigningKey?) -> SignatureForm
    ) -> SignatureForm {
        let second = now.milliseconds / 1000
        return self.state.withLock { state in
            let place = state.latest.indices.first { state.latest[$0].request.isAlike(request) }
            if let place, state.latest[place].second == second, state.latest[place].credentials == credentials
            {
                return state.latest[place].form
            }
            let form = make(&state.key)
            let kept = Kept(request: request, credentials: credentials, second: second, form: form)
            if let place {
                state.latest[place] = kept
            } else {
                if state.latest.count == Self.countMax { state.latest.removeFirst() }
                state.latest.append(kept)
            }
            return form
        }
    }
}

/// HMAC-SHA256 (RFC 2104) with one key, of which both hashes are begun once for all texts.
struct MessageCode: Sendable {
    private var inner = SHA256()
    private var outer = SHA256()

    /// The codes with a key.
    init(key: [UInt8]) {
        var block = key.count > SHA256.blockByteCount ? Array(SHA256.hash(data: key)) : key
        block += Array(repeating: 0, count: SHA256.blockByteCount - block.count)
        self.inner.update(data: block.map { $0 ^ 0x36 })
        self.outer.update(data: block.map { $0 ^ 0x5C })
    }

    /// Begins all texts with this one.
    mutating func add(_ text: [UInt8]) {
        unsafe text.withUnsafeBytes { unsafe self.inner.update(bufferPointer: $0) }
    }

    /// The code of a text.
    func code(of text: UnsafeRawBufferPointer) -> SHA256.Digest {
        var (inner, outer) = (self.inner, self.outer)
        unsafe inner.update(bufferPointer: text)
        unsafe inner.finalize().withUnsafeBytes { unsafe outer.update(bufferPointer: $0) }
        return outer.finalize()
    }
}
