// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// Why a call of an AWS service gave no answer.
package struct AWSError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What went wrong, for a program.
    package enum Kind: Sendable, Equatable {
        /// No source of credentials has any, or one that should have cannot give them; the call itself was not made.
        case noCredentials
        /// The service could not be reached; nothing was sent.
        case unreachable
        /// The request was sent, and no whole answer came.
        case noAnswer
        /// The service wants less (429, or an error code that says so), perhaps only after a while.
        case throttled(retryAfter: Duration?)
        /// The service refused: the HTTP status.
        case refused(status: Int)
    }

    /// What went wrong, for a program.
    package var kind: Kind

    /// The service's error code, such as `ResourceNotFoundException`, or one of ours, such as `Client.Timeout`.
    package var code: String

    /// What the service said, or what happened; no credentials, no payload.
    package var message: String

    /// The request's id, for AWS's support; nil when there was no answer.
    package var requestID: String?

    /// An error.
    package init(_ kind: Kind, code: String, message: String, requestID: String? = nil) {
        self.kind = kind
        self.code = code
        self.message = message
        self.requestID = requestID
    }

    package var description: String {
        let id = self.requestID.map { " (request \($0))" } ?? ""
        return "\(self.code): \(self.message)\(id)"
    }
}

extension AWSError {
    /// Codes that mean "less, please", whatever the status (AWS SDKs' list).
    private static let throttlingCodes: Set<String> = [
        "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException", "ProvisionedThroughputExceededException",
        "TransactionInProgressException",
        "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException", "SlowDown",
        "PriorRequestNotComplete", "EC2ThrottledException",
    ]

    /// Codes that mean that the two clocks differ.
    private static let clockCodes: Set<String> = [
        "RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", "InvalidSignatureException",
        "SignatureDoesNotMatch", "AuthFailure",
    ]

    /// Codes of temporary credentials that have ended.
    private static let expiredCodes: Set<String> = [
        "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired",
    ]

    /// Codes of keys that the service does not know, or not any more.
    private static let unknownKeyCodes: Set<String> = [
        "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException",
    ]

    /// Codes of calls that the credentials may not make.
    private static let denials: Set<String> = [
        "AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException",
        "UnauthorizedOperation",
    ]

    /// Whether a code says that the credentials may not make the call.
    package static func isDenial(_ code: String) -> Bool { self.denials.contains(code) }

    static func isThrottling(_ code: String) -> Bool { self.throttlingCodes.contains(code) }

    /// Codes of ours for a connection that another attempt may find better.
    private static let transientCodes: Set<String> = [
        "Client.Timeout", "Client.ConnectionLost", "Client.Unreachable", "Client.Unresolved",
    ]

    /// Codes of services that say no more than "again, please", whatever the status.
    private static let repeatCodes: Set<String> = [
        "RequestTimeout", "RequestTimeoutException", "InternalError", "InternalFailure",
        "InternalServerError",
    ]

    /// Whether the same call may succeed a moment later.
    var isTransient: Bool {
        switch self.kind {
        case .throttled: true
        case .unreachable, .noAnswer: Self.transientCodes.contains(self.code)
        case .refused(let status):
            [500, 502, 503, 504].contains(status) || Self.repeatCodes.contains(self.code)
        case .noCredentials: false
        }
    }

    /// Whether no answer came in time.
    var isTimeout: Bool { self.code == "Client.Timeout" || self.code.hasPrefix("RequestTimeout") }

    var mayBeClock: Bool { Self.clockCodes.contains(self.code) }

    var isExpired: Bool { Self.expiredCodes.contains(self.code) }

    var isOfUnknownKey: Bool { Self.unknownKeyCodes.contains(self.code) }
}
