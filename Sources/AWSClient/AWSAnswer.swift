// SPDX-License-Identifier: Apache-2.0

import CurlClient
import Foundation
import PenstockCore

/// What an answer of a service says went wrong: from the header and the body, in JSON or XML.
///
/// Pure.
enum AWSAnswer {
    /// Headers of an answer that is no success: they name the request, and the error.
    static let wantedHeaders: [StaticString] = [
        "x-amzn-requestid", "x-amz-request-id", "x-amzn-errortype", "date",
    ]

    /// The error in an answer whose status is no success.
    ///
    /// - Parameters:
    ///   - response: The answer.
    ///   - secrets: What the request held that nobody may see: services repeat requests that they cannot verify.
    /// - Returns: What went wrong.
    static func error(in response: CurlResponse, hiding secrets: [String]) -> AWSError {
        let (named, message) = Self.details(of: response.body)
        // The header may go on with `:http://…`, the body's type may begin with `com.amazonaws.sqs#`.
        let header = response.header("x-amzn-errortype").map { String($0.prefix { $0 != ":" }) }
        let code = Self.bare(header ?? named ?? "HTTP.\(response.status)")
        let isThrottled = response.status == 429 || AWSError.isThrottling(code)
        return AWSError(
            isThrottled ? .throttled(retryAfter: response.retryAfter) : .refused(status: response.status),
            code: code,
            message: ServiceMessage.shown(
                message ?? "the service answered with status \(response.status)",
                hiding: secrets
            ),
            requestID: response.header("x-amzn-requestid") ?? response.header("x-amz-request-id")
        )
    }

    private static func bare(_ code: String) -> String {
        let last = code.split(separator: "#").last.map(String.init) ?? code
        return String(last.prefix { $0 != ":" }.prefix(128))
    }

    private static func details(of body: [UInt8]) -> (code: String?, message: String?) {
        if let object = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any] {
            let code = object["__type"] ?? object["code"] ?? object["Code"]
            let reason = object["Reason"] as? String
            let message = (object["message"] ?? object["Message"] ?? object["errorMessage"]) as? String
            return (code as? String, [message, reason].compactMap(\.self).joined(separator: ": ").nonEmpty)
        }
        let text = String(decoding: body.prefix(4096), as: UTF8.self)
        return (XMLText.first("Code", in: text), XMLText.first("Message", in: text))
    }
}

/// What of a service's message may be shown.
///
/// Pure.
enum ServiceMessage {
    private static let lengthMax = 512

    /// Words before which a service begins to repeat the request that it got, with the headers that were signed.
    private static let repetitions = ["The Canonical String", "The String-to-Sign"]

    /// The header that carries temporary credentials.
    private static let tokenHeader = "x-amz-security-token:"

    /// Shorter ones are no secrets, but the keys of an emulator, such as `test`.
    private static let secretMin = 16

    /// The message without what it repeats of the request, and without these texts; cut to 512 characters.
    static func shown(_ message: String, hiding secrets: [String]) -> String {
        var text = message
        for words in Self.repetitions {
            if let found = text.firstRange(of: words) { text = String(text[..<found.lowerBound]) }
        }
        for secret in secrets where secret.utf8.count >= Self.secretMin {
            text = text.replacingOccurrences(of: secret, with: "[hidden]")
        }
        if let header = text.range(of: Self.tokenHeader, options: .caseInsensitive) {
            text = String(text[..<header.upperBound]) + "[hidden]"
        }
        return String(text.trimmingCharacters(in: .whitespacesAndNewlines).prefix(Self.lengthMax))
    }
}

/// The few texts that are wanted of STS's XML: the first element of a name, without its markup.
enum XMLText {
    static func first(_ name: String, in text: String) -> String? {
        guard let start = text.firstRange(of: "<\(name)>")?.upperBound,
            let end = text[start...].firstRange(of: "</\(name)>")?.lowerBound
        else { return nil }
        var value = String(text[start..<end])
        for (entity, character) in [
            ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&"),
        ] {
            value = value.replacingOccurrences(of: entity, with: character)
        }
        return value
    }
}

extension String {
    fileprivate var nonEmpty: String? { self.isEmpty ? nil : self }
}
