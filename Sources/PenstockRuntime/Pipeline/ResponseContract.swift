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
        let named: [ItemIdentifier]
        do {
            named = try JSONDecoder().decode(PartialResponse.self, from: Data(body)).failures
        } catch let error as PartialResponse.Malformed {
            return Self.malformed(error.reason)
        } catch {
            return Self.malformed("the answer is not JSON, or not an object with a list of batchItemFailures")
        }
        guard !named.isEmpty else { return .succeeded }
        var verdicts = [Verdict](repeating: .succeeded, count: batch.count)
        for item in named {
            guard let index = format.index(of: item, in: batch) else {
                return Self.malformed("batchItemFailures names a record that is not in the batch")
            }
            verdicts[index] = .failed
        }
        return .partial(verdicts, Self.reported)
    }

    /// A malformed answer fails the whole batch.
    private static func malformed(_ reason: String) -> BatchVerdict {
        .failed(Failure(type: "Penstock.MalformedResponse", message: reason))
    }
}

/// `{"batchItemFailures": [{"itemIdentifier": …}]}`, or one of the answers that name nothing.
private struct PartialResponse: Decodable {
    struct Malformed: Error {
        let reason: String
    }

    private enum CodingKeys: String, CodingKey {
        case batchItemFailures
    }

    let failures: [ItemIdentifier]

    init(from decoder: any Decoder) throws {
        if let value = try? decoder.singleValueContainer() {
            let isEmptyText = (try? value.decode(String.self))?.isEmpty == true
            if value.decodeNil() || isEmptyText {
                self.failures = []
                return
            }
        }
        let items = try decoder.container(keyedBy: CodingKeys.self)
            .decodeIfPresent([Item].self, forKey: .batchItemFailures)
        self.failures = (items ?? []).map(\.identifier)
    }

    private struct Item: Decodable {
        private enum CodingKeys: String, CodingKey {
            case itemIdentifier
        }

        let identifier: ItemIdentifier

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            if let text = try? container.decode(String.self, forKey: .itemIdentifier), !text.isEmpty {
                self.identifier = .text(text)
            } else if let place = try? container.decode(Place.self, forKey: .itemIdentifier) {
                self.identifier = .offset(partition: place.partition, offset: place.offset)
            } else {
                throw Malformed(reason: "an entry of batchItemFailures has no valid itemIdentifier")
            }
        }
    }

    private struct Place: Decodable {
        let partition: String
        let offset: UInt64
    }
}
