// SPDX-License-Identifier: Apache-2.0

import CHTTPParser
import PenstockRuntime

/// HTTP/1.1 requests of one connection, by Debian's http-parser (RFC 9112).
///
/// The raw layer: all use of the C parser is here.
///
/// Only what the Runtime API needs is kept: the route, the body up to its limit, two headers. Everything else
/// is read over, but counts against the limits.
@safe
final class HTTPRequestParser {
    /// Bytes of request line and headers.
    ///
    /// Not 64 KiB: awslambdaric sends its stack traces once more in the header
    /// `Lambda-Runtime-Function-XRay-Error-Cause`, up to 1 MiB of them.
    static let headerBytesMax: UInt32 = (1 << 20) + (64 << 10)

    /// Bytes of a body that is too large that are read and dropped, so that the client can read the 413.
    static let droppedBytesMax = 64 << 20

    /// Why a connection cannot go on.
    enum Fault: Error, Equatable {
        /// Not HTTP.
        case malformed(String)
        /// More than ``headerBytesMax`` of headers.
        case headersTooLarge
        /// Far more body than is allowed.
        case bodyTooLarge
    }

    private enum Header { case other, expect, errorType, errorBody }

    /// Requests read completely, oldest first.
    ///
    /// The connection takes them out.
    var requests: [RuntimeRequest] = []

    /// Whether the client waits for `100 Continue`.
    ///
    /// The connection answers and clears it.
    var awaitsContinue = false

    private let parser: UnsafeMutablePointer<http_parser>
    private var settings = http_parser_settings()
    private var request = RuntimeRequest()
    private var path: [UInt8] = []
    private var field: [UInt8] = []
    private var value: [UInt8] = []
    private var header: Header?
    private var bodyBytes = 0

    /// A parser at the beginning of a connection.
    init() {
        _ = Self.limitsHeaders
        unsafe self.parser = .allocate(capacity: 1)
        unsafe self.parser.initialize(to: http_parser())
        unsafe http_parser_init(self.parser, HTTP_REQUEST)
        unsafe self.parser.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        self.setCallbacks()
    }

    deinit {
        unsafe self.parser.deallocate()
    }

    /// The limit is one of the whole library.
    private static let limitsHeaders: Void = http_parser_set_max_header_size(HTTPRequestParser.headerBytesMax)

    /// Reads bytes; complete requests are in ``requests`` then.
    ///
    /// - Throws: ``Fault`` when the connection cannot go on; requests read before are valid.
    func feed(_ bytes: UnsafeRawBufferPointer) throws(Fault) {
        let count = unsafe http_parser_execute(
            self.parser,
            &self.settings,
            bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
            bytes.count
        )
        if self.bodyBytes > InvocationLimit.responseBytes + Self.droppedBytesMax { throw .bodyTooLarge }
        let code = unsafe http_errno(UInt32(self.parser.pointee.http_errno))
        if code == HPE_OK, unsafe self.parser.pointee.upgrade == 0, count == bytes.count { return }
        if code == HPE_HEADER_OVERFLOW { throw .headersTooLarge }
        if code == HPE_OK { throw .malformed("protocol upgrades are not supported") }
        throw unsafe .malformed(String(cString: http_errno_description(code)))
    }

    // MARK: - Callbacks

    private static func parser(_ parser: UnsafeMutablePointer<http_parser>?) -> HTTPRequestParser? {
        guard let data = unsafe parser?.pointee.data else { return nil }
        return unsafe Unmanaged<HTTPRequestParser>.fromOpaque(data).takeUnretainedValue()
    }

    private func setCallbacks() {
        unsafe self.settings.on_message_begin = { parser in
            unsafe HTTPRequestParser.parser(parser)?.messageBegan()
            return 0
        }
        unsafe self.settings.on_url = { parser, bytes, count in
            unsafe HTTPRequestParser.parser(parser)?.path(UnsafeRawBufferPointer(start: bytes, count: count))
            return 0
        }
        unsafe self.settings.on_header_field = { parser, bytes, count in
            unsafe HTTPRequestParser.parser(parser)?.headerField(
                UnsafeRawBufferPointer(start: bytes, count: count)
            )
            return 0
        }
        unsafe self.settings.on_header_value = { parser, bytes, count in
            unsafe HTTPRequestParser.parser(parser)?.headerValue(
                UnsafeRawBufferPointer(start: bytes, count: count)
            )
            return 0
        }
        unsafe self.settings.on_headers_complete = { parser in
            unsafe HTTPRequestParser.parser(parser)?.headersEnded()
            return 0
        }
        unsafe self.settings.on_body = { parser, bytes, count in
            guard let parser = unsafe HTTPRequestParser.parser(parser) else { return 1 }
            return unsafe parser.body(UnsafeRawBufferPointer(start: bytes, count: count)) ? 0 : 1
        }
        unsafe self.settings.on_message_complete = { parser in
            unsafe HTTPRequestParser.parser(parser)?.messageEnded()
            return 0
        }
    }

    private func messageBegan() {
        self.request = RuntimeRequest()
        self.path.removeAll(keepingCapacity: true)
        self.field.removeAll(keepingCapacity: true)
        self.value.removeAll(keepingCapacity: true)
        self.header = nil
        self.bodyBytes = 0
    }

    private func path(_ bytes: UnsafeRawBufferPointer) {
        unsafe self.path.append(contentsOf: bytes.prefix(RuntimeRoute.pathMax + 1 - self.path.count))
    }

    /// Longest header name that is looked at.
    private static let fieldMax = 64
    /// Longest header value that is kept.
    private static let valueMax = 16 << 10

    private func headerField(_ bytes: UnsafeRawBufferPointer) {
        if self.header != nil { self.endHeader() }
        unsafe self.field.append(contentsOf: bytes.prefix(Self.fieldMax + 1 - self.field.count))
    }

    private func headerValue(_ bytes: UnsafeRawBufferPointer) {
        let header = self.header ?? self.kindOfField()
        self.header = header
        guard header != .other else { return }
        unsafe self.value.append(contentsOf: bytes.prefix(Self.valueMax - self.value.count))
    }

    private func kindOfField() -> Header {
        switch self.field.count {
        case 6 where self.fieldEquals(Self.expect): .expect
        case 34 where self.fieldEquals(Self.errorType): .errorType
        case 34 where self.fieldEquals(Self.errorBody): .errorBody
        default: .other
        }
    }

    private static let expect = Array("expect".utf8)
    private static let errorType = Array("lambda-runtime-function-error-type".utf8)
    private static let errorBody = Array("lambda-runtime-function-error-body".utf8)

    /// ASCII case does not matter.
    private func fieldEquals(_ name: [UInt8]) -> Bool {
        self.field.elementsEqual(name) { $0 | ($0 >= 0x41 && $0 <= 0x5A ? 0x20 : 0) == $1 }
    }

    private func endHeader() {
        switch self.header {
        case .expect: self.awaitsContinue = true
        case .errorType: self.request.errorType = String(decoding: self.value, as: UTF8.self)
        case .errorBody: self.request.errorBody = String(decoding: self.value, as: UTF8.self)
        case .other, nil: break
        }
        self.header = nil
        self.field.removeAll(keepingCapacity: true)
        self.value.removeAll(keepingCapacity: true)
    }

    private func headersEnded() {
        if self.header != nil { self.endHeader() }
        let method = unsafe http_method(UInt32(self.parser.pointee.method))
        if method == HTTP_GET || method == HTTP_POST {
            self.request.route = RuntimeRoute(isPost: method == HTTP_POST, path: self.path)
        }
        // All ones mean that no length was announced.
        let length = unsafe self.parser.pointee.content_length
        if length <= UInt64(InvocationLimit.responseBytes) { self.request.body.reserveCapacity(Int(length)) }
    }

    /// False ends the connection.
    private func body(_ bytes: UnsafeRawBufferPointer) -> Bool {
        self.awaitsContinue = false
        self.bodyBytes += bytes.count
        if self.bodyBytes > InvocationLimit.responseBytes {
            self.request.isTooLarge = true
            self.request.body = []
            return self.bodyBytes <= InvocationLimit.responseBytes + Self.droppedBytesMax
        }
        unsafe self.request.body.append(contentsOf: bytes)
        return true
    }

    private func messageEnded() {
        // Trailers come as headers behind the body.
        if self.header != nil { self.endHeader() }
        self.awaitsContinue = false
        self.request.keepsAlive = unsafe http_should_keep_alive(self.parser) != 0
        self.requests.append(self.request)
        self.request = RuntimeRequest()
    }
}
