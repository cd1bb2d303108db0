// SPDX-License-Identifier: Apache-2.0

import Foundation
package import PenstockCore

/// What a function's answer means for each record of its batch: AWS's partial batch response (esm-spec section 4).
package enum ResponseContract {
    /// The verdict of an invocation.
    ///
    /// `batchItemFailures` is looked at only when `reportsItemFailures` is set; otherwise every answer is
    /// success.
    package static func verdict(
        of result: InvocationResult,
        batch: Batch,
        format: any EventFormat,
        reportsItemFailures: Bool
    ) -> BatchVerdict {
        switch result {
        case .responded(let body):
            guard reportsItemFailures else { return .succeeded }
            return Self.verdict(ofResponse: body, batch: batch, format: format)
        case .failed(let failure):
            return .failed(failure)
        case .throttled(let retryAfter, let failure):
            return .throttled(retryAfter: retryAfter, failure)
        case .unavailable(let failure):
            return .throttled(retryAfter: nil, failure)
        case .rejected(let failure):
            return .poison(failure)
        }
    }

    /// The failure of records that the function itself named.
    package static let reported = Failure(
        type: "Penstock.ReportedItemFailure",
        message: "the function listed the record in batchItemFailures"
    )

    private static func verdict(
        ofResponse body: [UInt8],
        batch: Batch,
        format: any EventFormat
    ) -> BatchVerdict {
        // The common answers, without a parser.
        if body.isEmpty || body.elementsEqual("null".utf8) || body.elementsEqual("{}".utf8) {
            return .succeeded
        }
        guard let value = try? JSONSerialization.jsonObject(with: Data(body), options: .fragmentsAllowed)
        else {
            return Self.malformed("the answer is not JSON")
        }
        if value is NSNull { return .succeeded }
        if let text = value as? String, text.isEmpty { return .succeeded }
        guard let object = value as? [String: Any] else {
            return Self.malformed("the answer is not a JSON object")
        }
        guard let list = object["batchItemFailures"], !(list is NSNull) else { return .succeeded }
        guard let items = list as? [Any] else { return Self.malformed("batchItemFailures is not an array") }
        guard !items.isEmpty else { return .succeeded }
        var verdicts = [Verdict](repeating: .succeeded, count: batch.count)
        for item in items {
            guard let identifier = Self.identifier(item) else {
                return Self.malformed("an entry of batchItemFailures has no valid itemIdentifier")
            }
            guard let index = format.index(of: identifier, in: batch) else {
                return Self.malformed("batchItemFailures names a record that is not in the batch")
            }
            verdicts[index] = .failed
        }
        return .partial(verdicts, Self.reported)
    }

    private static func identifier(_ item: Any) -> ItemIdentifier? {
        guard let entry = item as? [String: Any] else { return nil }
        switch entry["itemIdentifier"] {
        case let text as String:
            return text.isEmpty ? nil : .text(text)
        case let place as [String: Any]:
            guard let partition = place["partition"] as? String else { return nil }
            // A Boolean is an NSNumber, too.
            guard let number = place["offset"] as? NSNumber, !(place["offset"] is Bool) else { return nil }
            guard number.int64Value >= 0, number == NSNumber(value: number.int64Value) else { return nil }
            return .offset(partition: partition, offset: number.uint64Value)
        default:
            return nil
        }
    }

    /// A malformed answer fails the whole batch.
    private static func malformed(_ reason: String) -> BatchVerdict {
        .failed(Failure(type: "Penstock.MalformedResponse", message: reason))
    }
}
