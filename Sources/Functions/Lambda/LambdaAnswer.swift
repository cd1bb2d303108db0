// SPDX-License-Identifier: Apache-2.0

import AWSClient
import PenstockCore
import PenstockRuntime

/// What an answer of the Invoke API means for an invocation (AWS Lambda API Reference, "Invoke").
///
/// Pure.
enum LambdaAnswer {
    /// A function ran: it returned, or it failed when `functionError` (`X-Amz-Function-Error`) says so.
    static func result(body: [UInt8], functionError: String?, logTail: String?) -> InvocationResult {
        guard let functionError else { return .responded(body) }
        var failure = FunctionErrorBody(body).failure(header: nil, unknown: "Function.\(functionError)")
        if let logTail, !logTail.isEmpty {
            failure = Failure(type: failure.type, message: "\(failure.message)\n\(logTail)")
        }
        return .failed(failure)
    }

    /// The call failed.
    ///
    /// Only what is wrong with the request itself gives its records up. A function that is missing, forbidden, broken or
    /// busy has not tried them: they wait, at no cost of attempts, and the trigger says why.
    static func result(_ error: AWSError) -> InvocationResult {
        let id = error.requestID.map { " (request \($0))" } ?? ""
        let failure = Failure(type: "Lambda.\(error.code)", message: error.message + id)
        switch error.kind {
        case .throttled(let retryAfter):
            return .throttled(retryAfter: retryAfter.map { min($0, InvocationLimit.retryAfter) }, failure)
        case .noCredentials, .unreachable:
            return .unavailable(failure)
        case .noAnswer:
            // It may have run.
            return .failed(failure)
        case .refused:
            return Self.requestErrors.contains(error.code) ? .rejected(failure) : .unavailable(failure)
        }
    }

    private static let requestErrors: Set<String> = [
        "InvalidRequestContentException", "RequestTooLargeException", "UnsupportedMediaTypeException",
    ]
}
