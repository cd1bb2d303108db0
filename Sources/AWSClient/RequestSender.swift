// SPDX-License-Identifier: Apache-2.0

package import CurlClient
import PenstockCore

/// One call of a service.
package struct AWSCall: Sendable {
    /// The method.
    package var method: CurlRequest.Method

    /// The path, each segment encoded once (``PercentEncoding``).
    package var path: String

    /// The query, not encoded.
    package var query: [(name: String, value: String)] = []

    /// Headers; all are signed.
    package var headers: [(name: String, value: String)] = []

    /// The body.
    package var body: CurlBody

    /// How long the whole exchange may take.
    package var timeout = Duration.seconds(30)

    /// Bytes of the answer at most.
    package var responseLimit = 1 << 20

    /// Whether it changes nothing, or the same however often it is made, so that the client may repeat it by itself.
    package var isRepeatable = false

    /// Headers of the answer that the caller wants to see.
    package var wantedHeaders: [StaticString] = []

    /// Texts in it that no error may show, besides the credentials.
    var secrets: [String] = []

    /// A call.
    package init(method: CurlRequest.Method, path: String, body: CurlBody = .none) {
        self.method = method
        self.path = path
        self.body = body
    }
}

/// Signs calls and sends them to one endpoint.
struct RequestSender {
    private let client: CurlClient
    private let signer: RequestSigner
    /// Scheme and authority.
    private let base: String
    private let host: String
    /// What the endpoint has before each path; without a slash at its end.
    private let prefix: String
    /// The URL of `/`, which is the path of most calls.
    private let root: String

    /// - Throws: ``AWSError`` when the endpoint is no http or https URL.
    init(client: CurlClient, endpoint: String, signer: RequestSigner) throws(AWSError) {
        guard let scheme = ["https://", "http://"].first(where: { endpoint.lowercased().hasPrefix($0) })
        else {
            throw AWSError(
                .unreachable,
                code: "Client.Endpoint",
                message: "the endpoint must begin with https:// or http://"
            )
        }
        let rest = endpoint.dropFirst(scheme.count)
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let path = rest.dropFirst(authority.count).prefix { $0 != "?" && $0 != "#" }
        let port = scheme == "https://" ? ":443" : ":80"
        self.client = client
        self.signer = signer
        self.base = scheme + authority
        // As libcurl sends it: without the scheme's own port.
        self.host = String(authority.hasSuffix(port) ? authority.dropLast(port.count) : authority)
        self.prefix = String(path.hasSuffix("/") ? path.dropLast() : path)
        self.root = self.base + self.prefix + "/"
    }

    /// Sends the call once; the answer may have any status.
    ///
    /// - Parameters:
    ///   - call: what to send.
    ///   - credentials: whose signature it carries; nil for none.
    ///   - now: the time that is signed.
    /// - Returns: the answer.
    /// - Throws: ``AWSError`` when there is none.
    func send(
        _ call: AWSCall,
        as credentials: AWSCredentials?,
        at now: Timestamp
    ) async throws(AWSError) -> CurlResponse {
        let path = self.prefix + call.path
        let isRoot = call.path == "/" && call.query.isEmpty
        var request = CurlRequest(url: isRoot ? self.root : self.base + path + Self.text(of: call.query))
        request.method = call.method
        request.body = call.body
        request.timeout = call.timeout
        request.connectTimeout = min(call.timeout, .seconds(10))
        request.responseLimit = call.responseLimit
        request.wantedHeaders = call.wantedHeaders
        request.wantedFailureHeaders = AWSAnswer.wantedHeaders
        // One connection for each call: services of AWS speak HTTP/1.1, and a call must not wait for another one's.
        request.http2 = false
        var headers = call.headers
        if let credentials {
            let hash = Self.hash(of: call.body)
            if self.signer.isObjectStore { headers.append(("X-Amz-Content-SHA256", hash)) }
            let signed = SignedRequest(
                method: call.method.rawValue,
                host: self.host,
                path: path,
                query: call.query,
                headers: headers,
                bodyHash: hash
            )
            headers += self.signer.sign(signed, as: credentials, at: now)
        }
        request.headers = try headers.map { (name, value) throws(AWSError) in
            guard let header = CurlHeader(name, value) else {
                throw AWSError(
                    .noCredentials,
                    code: "Client.Header",
                    message: "the header \(name) has characters that no header may have"
                )
            }
            return header
        }
        do throws(CurlError) {
            return try await self.client.perform(request)
        } catch {
            throw Self.error(error)
        }
    }

    private static func text(of query: [(name: String, value: String)]) -> String {
        guard !query.isEmpty else { return "" }
        let members = query.map { "\(PercentEncoding.encode($0.name))=\(PercentEncoding.encode($0.value))" }
        return "?" + members.joined(separator: "&")
    }

    private static func hash(of body: CurlBody) -> String {
        switch body {
        case .none: SignedRequest.hashOfNothing
        case .bytes(let bytes): unsafe bytes.withUnsafeBytes { unsafe SignedRequest.hash(of: $0) }
        case .buffer(let buffer, let skip):
            unsafe SignedRequest.hash(of: UnsafeRawBufferPointer(rebasing: buffer.bytes.dropFirst(skip)))
        }
    }

    private static func error(_ error: CurlError) -> AWSError {
        let code =
            switch error.code {
            case .timedOut: "Client.Timeout"
            case .tooLarge: "Client.ResponseTooLarge"
            case .unresolved: "Client.Unresolved"
            case .tls: "Client.TLS"
            case .unreachable: "Client.Unreachable"
            case .connectionLost: "Client.ConnectionLost"
            case .cancelled, .closed: "Client.Closed"
            case .invalidRequest, .failed: "Client.Failed"
            }
        return AWSError(error.sent ? .noAnswer : .unreachable, code: code, message: error.detail)
    }
}
