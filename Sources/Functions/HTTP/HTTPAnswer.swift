// SPDX-License-Identifier: Apache-2.0

import CurlClient
import PenstockCore
import PenstockRuntime

/// What an answer, or its absence, means for an invocation.
///
/// Pure. Statuses are those of RFC 9110 section 15. Nothing of the request goes into a failure: neither URL
/// nor payload.
struct HTTPAnswer {
    var onClientError: HTTPFunctionConfiguration.ClientErrorPolicy

    /// Bytes of a failure's body that are kept.
    static let messageMax = 512

    /// What the answer means.
    func result(_ response: CurlResponse) -> InvocationResult {
        switch response.status {
        case 200..<300: return .responded(response.body)
        case 429, 503:
            let wait = response.retryAfter.map { min($0, InvocationLimit.retryAfter) }
            return .throttled(retryAfter: wait, Self.failure(response))
        case 300..<400: return .failed(Self.redirect(response))
        case 408: return .failed(Self.failure(response))
        case 400..<500:
            let failure = Self.failure(response)
            return self.onClientError == .poison ? .rejected(failure) : .failed(failure)
        default: return .failed(Self.failure(response))
        }
    }

    /// What it means that there is no answer.
    func result(_ error: CurlError) -> InvocationResult {
        let failure = Failure(type: "HTTP.\(Self.name(of: error.code))", message: error.detail)
        switch error.code {
        case .invalidRequest, .tooLarge: return .failed(failure)
        case .unresolved, .unreachable, .tls, .timedOut, .connectionLost, .cancelled, .closed, .failed:
            return error.sent ? .failed(failure) : .unavailable(failure)
        }
    }

    private static func name(of code: CurlError.Code) -> String {
        switch code {
        case .invalidRequest: "InvalidRequest"
        case .unresolved: "Unresolved"
        case .unreachable: "Unreachable"
        case .tls: "TLS"
        case .timedOut: "Timeout"
        case .connectionLost: "ConnectionLost"
        case .tooLarge: "ResponseTooLarge"
        case .cancelled: "Cancelled"
        case .closed: "Closed"
        case .failed: "Failed"
        }
    }

    private static func failure(_ response: CurlResponse) -> Failure {
        Failure(type: "HTTP.\(response.status)", message: Self.text(response.body))
    }

    private static func redirect(_ response: CurlResponse) -> Failure {
        let target = response.header("location").map { " to \(Self.withoutSecrets($0))" } ?? ""
        return Failure(
            type: "HTTP.\(response.status)",
            message:
                "the endpoint redirects\(target), and redirects are not followed; set the url to where it is"
        )
    }

    /// The first bytes of a body that is text; empty for anything else.
    static func text(_ body: [UInt8]) -> String {
        var prefix = body.prefix(Self.messageMax)
        // A character that the cut went through goes away whole.
        var cut = 0
        while prefix.count < body.count, cut < 3, String(validating: prefix, as: UTF8.self) == nil {
            prefix.removeLast()
            cut += 1
        }
        guard let text = String(validating: prefix, as: UTF8.self) else { return "" }
        let isText = text.utf8.allSatisfy {
            $0 >= 0x20 && $0 != 0x7F || $0 == 0x0A || $0 == 0x0D || $0 == 0x09
        }
        return isText ? text : ""
    }

    /// A URL without user, password, query and fragment, each of which may hold a secret.
    static func withoutSecrets(_ url: String) -> String {
        let bare = url.prefix { $0 != "?" && $0 != "#" }
        let printable = bare.filter {
            $0.isASCII && !$0.isWhitespace && $0.asciiValue.map { $0 > 0x20 } == true
        }
        guard let start = printable.firstRange(of: "//")?.upperBound else {
            return String(printable.prefix(256))
        }
        let authority = printable[start...].prefix { $0 != "/" }
        let host = authority.lastIndex(of: "@").map { authority[authority.index(after: $0)...] } ?? authority
        return String((printable[..<start] + host + printable[authority.endIndex...]).prefix(256))
    }
}
