// SPDX-License-Identifier: Apache-2.0

import CLibcurl
import PenstockCore

/// One easy handle with all that a request needs while it runs; used again for the next request.
///
/// Options stay set between requests and are set again only when they differ.
@safe
final class CurlTransfer: @unchecked Sendable {
    // @unchecked: touched on the reactor's thread only.

    typealias Outcome = Result<CurlResponse, CurlError>
    typealias Continuation = UnsafeContinuation<Outcome, Never>

    let easy: UnsafeMutableRawPointer

    /// Counts the requests of this handle, so that a late cancellation does not hit the next one.
    private(set) var serial: UInt64 = 0

    /// Its place among those in flight.
    var activeIndex = -1

    /// Who waits.
    var continuation: Continuation?

    private var applied: CurlRequest?
    private let headerLines = CurlHeaderLines()
    private let errorText: UnsafeMutablePointer<CChar>
    private var sentBody: EventBuffer?
    private var sendsLargeBodies = false
    private var received: [UInt8] = []
    /// The last short answer: most answers of a function are alike, and share its memory.
    private var lastShort: [UInt8] = []
    private var isTooLarge = false
    private var responseLimit = 0
    private var announcedLimit = 0
    private var bodyArrived: (@Sendable ([UInt8]) -> Void)?
    private var wantedHeaders: [StaticString] = []
    private var wantedFailureHeaders: [StaticString] = []
    /// Bytes of the longest answer, and of libcurl's buffer for answers.
    private var longestAnswer = 0
    private var bufferSize = CurlTransfer.defaultBuffer

    init?() {
        guard let easy = unsafe curl_easy_init() else { return nil }
        unsafe self.easy = unsafe easy
        unsafe self.errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        unsafe self.errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        self.setConstants()
    }

    deinit {
        unsafe curl_easy_cleanup(self.easy)
        unsafe self.errorText.deallocate()
    }

    private func setConstants() {
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe penstock_curl_set_pointer(self.easy, CURLOPT_PRIVATE, context)
        unsafe penstock_curl_set_pointer(self.easy, CURLOPT_WRITEDATA, context)
        unsafe penstock_curl_set_write(self.easy) { bytes, size, count, context in
            guard let bytes = unsafe bytes, let context = unsafe context else { return 0 }
            let transfer = unsafe Unmanaged<CurlTransfer>.fromOpaque(context).takeUnretainedValue()
            return unsafe transfer.receive(UnsafeRawBufferPointer(start: bytes, count: size * count))
        }
        unsafe penstock_curl_set_pointer(self.easy, CURLOPT_ERRORBUFFER, self.errorText)
        unsafe penstock_curl_set_long(self.easy, CURLOPT_NOSIGNAL, 1)
        unsafe penstock_curl_set_long(self.easy, CURLOPT_FOLLOWLOCATION, 0)
        unsafe penstock_curl_set_long(self.easy, CURLOPT_TCP_KEEPALIVE, 1)
        unsafe penstock_curl_set_string(self.easy, CURLOPT_PROTOCOLS_STR, "http,https")
        // No proxy for any host; without this, libcurl looks through the environment for each request.
        unsafe penstock_curl_set_string(self.easy, CURLOPT_NOPROXY, "*")
        unsafe penstock_curl_set_string(self.easy, CURLOPT_USERAGENT, "penstock")
        unsafe penstock_curl_set_long(self.easy, CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
    }

    private func receive(_ bytes: UnsafeRawBufferPointer) -> Int {
        if let bodyArrived,
            (200..<300).contains(unsafe penstock_curl_long(self.easy, CURLINFO_RESPONSE_CODE))
        {
            unsafe bodyArrived([UInt8](bytes))
            return bytes.count
        }
        guard bytes.count <= self.responseLimit - self.received.count else {
            self.isTooLarge = true
            return 0
        }
        if self.received.isEmpty {
            // A long answer is not copied as it grows.
            let announced = unsafe penstock_curl_offset(self.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T)
            if announced > bytes.count { self.received.reserveCapacity(min(announced, self.responseLimit)) }
        }
        unsafe self.received.append(contentsOf: bytes)
        return bytes.count
    }

    // MARK: - Before

    /// Sets the handle up for `request`; the body is kept until ``outcome(_:)``.
    func prepare(_ request: CurlRequest) throws(CurlError) {
        self.serial += 1
        self.isTooLarge = false
        self.responseLimit = request.responseLimit
        self.bodyArrived = request.bodyArrived
        self.wantedHeaders = request.wantedHeaders
        self.wantedFailureHeaders = request.wantedFailureHeaders
        let last = self.applied
        if last?.url != request.url { try self.setURL(request.url) }
        // Those of no two requests are alike: one of them is an id or a signature.
        self.headerLines.write(request.headers)
        unsafe penstock_curl_set_list(self.easy, CURLOPT_HTTPHEADER, self.headerLines.list)
        // libcurl takes 0 as no limit, and would hold any other against the announced length of a success.
        let limit = request.bodyArrived == nil ? request.responseLimit : 0
        if limit != self.announcedLimit {
            unsafe penstock_curl_set_offset(self.easy, CURLOPT_MAXFILESIZE_LARGE, limit)
            self.announcedLimit = limit
        }
        if last?.timeout != request.timeout {
            unsafe penstock_curl_set_long(self.easy, CURLOPT_TIMEOUT_MS, Self.milliseconds(request.timeout))
        }
        if last?.connectTimeout != request.connectTimeout {
            let limit = Self.milliseconds(request.connectTimeout)
            unsafe penstock_curl_set_long(self.easy, CURLOPT_CONNECTTIMEOUT_MS, limit)
        }
        if last?.tls != request.tls || last?.http2 != request.http2 { self.setConnection(request) }
        self.setBody(request, isNewMethod: last?.method != request.method)
        self.growBuffer()
        self.applied = request
        // The body is held by `sentBody`, and let go when the request ends; the headers' memory is the caller's again.
        self.applied?.body = .none
        self.applied?.headers = []
        self.applied?.bodyArrived = nil
    }

    /// libcurl receives an answer in pieces of its own buffer, 16 KiB unless told; each piece is a call of the kernel.
    private static let defaultBuffer = 16_384
    private static let largestBuffer = 131_072
    /// The head stands before an answer.
    private static let headSize = 2048

    private func growBuffer() {
        let wanted = min(self.longestAnswer + Self.headSize, Self.largestBuffer)
        guard wanted > self.bufferSize else { return }
        // Answers of one kind are of about the same length: some room is left for longer ones.
        self.bufferSize = min((wanted + wanted / 8 + 4095) & ~4095, Self.largestBuffer)
        unsafe penstock_curl_set_long(self.easy, CURLOPT_BUFFERSIZE, self.bufferSize)
    }

    /// libcurl takes 0 as no limit at all.
    private static func milliseconds(_ duration: Duration) -> Int {
        max(1, min(Int(duration.wholeMilliseconds), Int(Int32.max)))
    }

    private func setURL(_ url: String) throws(CurlError) {
        guard !url.utf8.contains(0) else { throw CurlError(.invalidRequest, "the URL holds a zero byte") }
        guard unsafe penstock_curl_set_string(self.easy, CURLOPT_URL, url) == CURLE_OK else {
            throw CurlError(.invalidRequest, "the URL cannot be used: it is too long")
        }
    }

    private func setConnection(_ request: CurlRequest) {
        let tls = request.tls
        unsafe penstock_curl_set_string(self.easy, CURLOPT_CAINFO, tls.authorities ?? Self.defaultAuthorities)
        unsafe penstock_curl_set_string(self.easy, CURLOPT_SSLCERT, tls.certificate)
        unsafe penstock_curl_set_string(self.easy, CURLOPT_SSLKEY, tls.key)
        unsafe penstock_curl_set_long(self.easy, CURLOPT_SSL_VERIFYPEER, tls.verify ? 1 : 0)
        unsafe penstock_curl_set_long(self.easy, CURLOPT_SSL_VERIFYHOST, tls.verify ? 2 : 0)
        let version = request.http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1
        unsafe penstock_curl_set_long(self.easy, CURLOPT_HTTP_VERSION, Int(version))
        // With HTTP/2 the first calls wait for one connection and share it, instead of opening one each.
        let waits = request.http2 && request.url.lowercased().hasPrefix("https:")
        unsafe penstock_curl_set_long(self.easy, CURLOPT_PIPEWAIT, waits ? 1 : 0)
    }

    /// What libcurl was built with; setting the option to NULL would mean no authority at all.
    private static let defaultAuthorities: String? = {
        guard let path = unsafe penstock_curl_default_authorities() else { return nil }
        return unsafe String(cString: path)
    }()

    private func setBody(_ request: CurlRequest, isNewMethod: Bool) {
        switch request.body {
        case .none: self.setFields(nil, skip: 0)
        case .bytes(let bytes):
            let buffer = EventBuffer()
            buffer.write(upTo: bytes.count) { $0.raw(bytes) }
            self.setFields(buffer, skip: 0)
        case .buffer(let buffer, let skip): self.setFields(buffer, skip: skip)
        }
        // POSTFIELDS makes the method POST, so GET and HEAD come after it each time.
        switch request.method {
        case .get: unsafe penstock_curl_set_long(self.easy, CURLOPT_HTTPGET, 1)
        case .head: unsafe penstock_curl_set_long(self.easy, CURLOPT_NOBODY, 1)
        case .post, .put, .patch, .delete: unsafe penstock_curl_set_long(self.easy, CURLOPT_POST, 1)
        }
        guard isNewMethod else { return }
        switch request.method {
        case .get, .head, .post: unsafe penstock_curl_set_string(self.easy, CURLOPT_CUSTOMREQUEST, nil)
        case .put, .patch, .delete:
            unsafe penstock_curl_set_string(self.easy, CURLOPT_CUSTOMREQUEST, request.method.rawValue)
        }
    }

    /// libcurl sends a body in pieces of its own buffer, 64 KiB unless told; each piece is a call of the kernel.
    private static let smallBody = 65_536
    private static let largeBuffer = 262_144

    private func setFields(_ buffer: EventBuffer?, skip: Int) {
        self.sentBody = buffer
        let count = max(0, (buffer?.count ?? 0) - skip)
        unsafe penstock_curl_set_offset(self.easy, CURLOPT_POSTFIELDSIZE_LARGE, count)
        if count > Self.smallBody, !self.sendsLargeBodies {
            self.sendsLargeBodies = true
            unsafe penstock_curl_set_long(self.easy, CURLOPT_UPLOAD_BUFFERSIZE, Self.largeBuffer)
        }
        guard let buffer, count > 0, let start = unsafe buffer.bytes.baseAddress else {
            unsafe penstock_curl_set_string(self.easy, CURLOPT_POSTFIELDS, Self.empty)
            return
        }
        unsafe penstock_curl_set_pointer(self.easy, CURLOPT_POSTFIELDS, start + skip)
    }

    /// Never freed: libcurl keeps the pointer.
    nonisolated(unsafe) private static let empty: UnsafePointer<CChar> = {
        let byte = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
        unsafe byte.initialize(to: 0)
        return unsafe UnsafePointer(byte)
    }()

    // MARK: - After

    /// What came of the request, and lets go of its body and its answer.
    func outcome(_ code: CURLcode) -> Outcome {
        let body = self.takeReceived()
        self.sentBody = nil
        self.bodyArrived = nil
        guard code == CURLE_OK else { return .failure(self.error(code)) }
        let status = unsafe penstock_curl_long(self.easy, CURLINFO_RESPONSE_CODE)
        var headers = self.headers(self.wantedHeaders)
        if !(200..<300).contains(status) { headers += self.headers(self.wantedFailureHeaders) }
        let version = unsafe penstock_curl_long(self.easy, CURLINFO_HTTP_VERSION)
        var response = CurlResponse(
            status: status,
            version: version == Int(CURL_HTTP_VERSION_2_0) ? .http2 : .http1,
            body: body,
            duration: .microseconds(unsafe penstock_curl_offset(self.easy, CURLINFO_TOTAL_TIME_T)),
            headers: headers
        )
        if response.status >= 300 {
            let seconds = unsafe penstock_curl_offset(self.easy, CURLINFO_RETRY_AFTER)
            response.retryAfter = seconds > 0 ? .seconds(seconds) : nil
        }
        return .success(response)
    }

    private func headers(_ names: [StaticString]) -> [CurlResponse.Header] {
        names.compactMap { name in
            let text = unsafe UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
            guard let value = unsafe penstock_curl_header(self.easy, text) else { return nil }
            return CurlResponse.Header(name: name.description, value: unsafe String(cString: value))
        }
    }

    /// Bytes of an answer up to which it is copied, so that the memory it was received in is used again.
    private static let shortAnswer = 1024

    private func takeReceived() -> [UInt8] {
        guard self.received.count <= Self.shortAnswer else {
            defer { self.received = [] }
            self.longestAnswer = max(self.longestAnswer, self.received.count)
            return self.received
        }
        defer { self.received.removeAll(keepingCapacity: true) }
        if self.received != self.lastShort {
            // By way of the bytes: a copy of the list would share its memory.
            self.lastShort = unsafe self.received.withUnsafeBytes { unsafe [UInt8]($0) }
        }
        return self.lastShort
    }

    /// The error for a request that ends without libcurl: cancelled or closed.
    func abandoned(_ code: CurlError.Code, _ detail: String) -> Outcome {
        self.sentBody = nil
        self.bodyArrived = nil
        self.received = []
        return .failure(CurlError(code, sent: self.wasSent, detail))
    }

    private var wasSent: Bool {
        unsafe penstock_curl_long(self.easy, CURLINFO_REQUEST_SIZE) > 0
    }

    private func error(_ code: CURLcode) -> CurlError {
        let kind = self.isTooLarge ? .tooLarge : CurlError.Code(code)
        if kind == .tooLarge {
            return CurlError(kind, sent: true, "the answer has more than \(self.responseLimit) bytes")
        }
        let text = unsafe String(cString: self.errorText)
        let detail = text.isEmpty ? unsafe String(cString: curl_easy_strerror(code)) : text
        return CurlError(kind, sent: self.wasSent, detail)
    }
}

extension CurlError.Code {
    /// The kind of a libcurl result (libcurl-errors(3)).
    init(_ code: CURLcode) {
        switch code {
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL, CURLE_BAD_FUNCTION_ARGUMENT:
            self = .invalidRequest
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: self = .unresolved
        case CURLE_COULDNT_CONNECT: self = .unreachable
        case CURLE_OPERATION_TIMEDOUT: self = .timedOut
        case CURLE_FILESIZE_EXCEEDED: self = .tooLarge
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER,
            CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_CRL_BADFILE,
            CURLE_SSL_ENGINE_INITFAILED:
            self = .tls
        case CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_GOT_NOTHING, CURLE_PARTIAL_FILE, CURLE_HTTP2,
            CURLE_HTTP2_STREAM, CURLE_WEIRD_SERVER_REPLY:
            self = .connectionLost
        default: self = .failed
        }
    }
}
