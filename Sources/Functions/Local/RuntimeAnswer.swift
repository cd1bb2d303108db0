// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime

/// What the Runtime API answers, as bytes on the wire.
///
/// Pure.
enum RuntimeAnswer {
    /// 202: the response or error was taken.
    static let accepted = Self.json("202 Accepted", #"{"status":"OK"}"#)

    /// 400: the id is not that of this process's invocation.
    static let wrongRequestID = Self.error("400 Bad Request", "InvalidRequestID", "Invalid request ID")

    /// 403: the call does not fit the state.
    static func wrongState(_ message: String) -> [UInt8] {
        Self.error("403 Forbidden", "InvalidStateTransition", message)
    }

    /// 404: no such call.
    static let unknown = Self.error("404 Not Found", "NotFound", "The Runtime API has no such call")

    /// 413: the response was too large.
    static let tooLarge = Self.error(
        "413 Payload Too Large",
        "RequestEntityTooLarge",
        "Exceeded maximum allowed payload size (\(InvocationLimit.responseBytes) bytes)."
    )

    /// The answer to a connection that cannot go on; it is closed behind it.
    static func fault(_ fault: HTTPRequestParser.Fault) -> [UInt8] {
        switch fault {
        case .malformed(let detail):
            Self.error("400 Bad Request", "BadRequest", "Not an HTTP/1.1 request: \(detail)", closes: true)
        case .headersTooLarge:
            Self.error(
                "431 Request Header Fields Too Large",
                "RequestHeaderFieldsTooLarge",
                "Exceeded maximum size of headers (\(HTTPRequestParser.headerBytesMax) bytes).",
                closes: true
            )
        case .bodyTooLarge: Self.tooLarge
        }
    }

    /// The interim answer to `Expect: 100-continue`.
    static let goOn = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)

    private static func error(
        _ status: String,
        _ type: String,
        _ message: String,
        closes: Bool = false
    ) -> [UInt8] {
        let text = String(decoding: JSONText.escaped(message), as: UTF8.self)
        return Self.json(status, #"{"errorMessage":\#(text),"errorType":"\#(type)"}"#, closes: closes)
    }

    private static func json(_ status: String, _ body: String, closes: Bool = false) -> [UInt8] {
        let connection = closes ? "Connection: close\r\n" : ""
        let head = "HTTP/1.1 \(status)\r\nContent-Type: application/json\r\n\(connection)"
        return Array((head + "Content-Length: \(body.utf8.count)\r\n\r\n" + body).utf8)
    }

    /// The head of an event.
    ///
    /// `fixed` are the headers that are the same for each event of a function.
    static func eventHead(
        _ invocation: Invocation,
        wallDeadline: Timestamp,
        traceID: [UInt8],
        fixed: [UInt8]
    ) -> [UInt8] {
        var head: [UInt8] = []
        head.reserveCapacity(512)
        head.append(contentsOf: fixed)
        Self.append(invocation.contentType, behind: "Content-Type: ", to: &head)
        Self.append(invocation.id, behind: "\r\nLambda-Runtime-Aws-Request-Id: ", to: &head)
        Self.append(String(wallDeadline.milliseconds), behind: "\r\nLambda-Runtime-Deadline-Ms: ", to: &head)
        head.append(contentsOf: "\r\nLambda-Runtime-Trace-Id: ".utf8)
        head.append(contentsOf: traceID)
        Self.append(String(invocation.body.count), behind: "\r\nContent-Length: ", to: &head)
        head.append(contentsOf: "\r\n\r\n".utf8)
        return head
    }

    /// The part of ``eventHead(_:wallDeadline:traceID:fixed:)`` that never changes.
    static func fixedEventHead(arn: String) -> [UInt8] {
        Array("HTTP/1.1 200 OK\r\nLambda-Runtime-Invoked-Function-Arn: \(arn)\r\n".utf8)
    }

    private static func append(_ value: String, behind name: String, to head: inout [UInt8]) {
        head.append(contentsOf: name.utf8)
        // A line end in a value would begin a header of its own.
        for byte in value.utf8 where byte >= 0x20 { head.append(byte) }
    }

    /// An X-Ray trace id made from the request id: `Root=1-8hex-24hex;Parent=16hex;Sampled=0`.
    static func traceID(requestID: String, at time: Timestamp) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        var hex: [UInt8] = []
        hex.reserveCapacity(40)
        for byte in requestID.utf8 where digits.contains(byte) { hex.append(byte) }
        while hex.count < 24 { hex.append(UInt8(ascii: "0")) }
        var trace: [UInt8] = []
        trace.reserveCapacity(80)
        trace.append(contentsOf: "Root=1-".utf8)
        let seconds = UInt32(truncatingIfNeeded: time.milliseconds / 1000)
        for shift in stride(from: 28, through: 0, by: -4) {
            trace.append(digits[Int((seconds >> UInt32(shift)) & 15)])
        }
        trace.append(UInt8(ascii: "-"))
        trace.append(contentsOf: hex.suffix(24))
        trace.append(contentsOf: ";Parent=".utf8)
        trace.append(contentsOf: hex.prefix(16))
        trace.append(contentsOf: ";Sampled=0".utf8)
        return trace
    }
}
