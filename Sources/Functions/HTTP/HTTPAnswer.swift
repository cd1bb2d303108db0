// SPDX-License-Identifier: Apache-2.0

import CurlClient
import HTTPEndpoints
import PenstockCore
import PenstockRuntime

/// What an answer, or its absence, means for an invocation.
///
/// Pure. Statuses are those of RFC 9110 section 15. Nothing of the request goes into a failure: neither URL
/// nor payload.
struct HTTPAnswer {
    var onClientError: HTTPFunctionConfiguration.ClientErrorPolicy

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
        Failure(type: "HTTP.\(response.status)", message: HTTPText.text(response.body))
    }

    private static func redirect(_ response: CurlResponse) -> Failure {
        Failure(type: "HTTP.\(response.status)", message: HTTPText.redirect(response))
    }
}
