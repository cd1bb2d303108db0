// SPDX-License-Identifier: Apache-2.0

import Foundation
package import PenstockCore

/// Whether a function's answer says what came of single records.
package enum ItemReports: Sendable, Equatable {
    /// Every answer is success.
    case ignored
    /// An answer may name records; one that names none is success.
    case accepted
    /// An answer must say which records failed, if only by an empty list.
    case required
}

/// What a function's answer means for each record of its batch: AWS's partial batch response (esm-spec section 4), and
/// `recordResults`, a list with a word for each record.
package enum ResponseContract {
    /// The verdict of an invocation, and the state that it answered in a tumbling window.
    ///
    /// There, success needs a state of at most `stateMax` bytes, so that the next call has room for it; but the final
    /// call, which has no records, succeeds with any answer.
    package static func judge(
        _ result: InvocationResult,
        batch: Batch,
        format: any EventFormat,
        itemReports: ItemReports,
        stateMax: Int
    ) -> (verdict: BatchVerdict, state: [UInt8]?) {
        let isFinal = batch.window?.isFinal == true
        let reports = isFinal ? .ignored : itemReports
        let verdict = Self.verdict(of: result, batch: batch, format: format, itemReports: reports)
        guard batch.window != nil, !isFinal, case .responded(let body) = result else { return (verdict, nil) }
        switch verdict {
        case .failed, .poison, .throttled, .cancelled: return (verdict, nil)
        case .succeeded, .partial: break
        }
        guard let state = Self.state(in: body) else {
            return (Self.malformed("the answer has no state, and the trigger has a tumbling_window"), nil)
        }
        guard state.count <= stateMax else {
            let text =
                "the state in the answer has \(state.count) bytes; the largest that can be passed on has \(stateMax)"
            return (Self.malformed(text), nil)
        }
        return (verdict, state)
    }

    /// The member `state` of an answer, as it is written there; nil when it is no object, or there is none.
    package static func state(in body: [UInt8]) -> [UInt8]? {
        let state = unsafe body.withUnsafeBytes { bytes in
            unsafe JSONScanner.member("state", of: bytes).map { unsafe [UInt8](bytes[$0]) }
        }
        return state?.first == UInt8(ascii: "{") ? state : nil
    }

    /// The verdict of an invocation.
    package static func verdict(
        of result: InvocationResult,
        batch: Batch,
        format: any EventFormat,
        itemReports: ItemReports
    ) -> BatchVerdict {
        switch result {
        case .responded(let body):
            guard itemReports != .ignored else { return .succeeded }
            return Self.verdict(ofResponse: body, batch: batch, format: format, itemReports)
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

    /// The failure of records for which the function gave the word `retry` or `drop`.
    package static let refused = Failure(
        type: "Penstock.ReportedItemFailure",
        message: "the function answered retry or drop for the record"
    )

    private static func verdict(
        ofResponse body: [UInt8],
        batch: Batch,
        format: any EventFormat,
        _ itemReports: ItemReports
    ) -> BatchVerdict {
        let answer: PartialResponse
        do {
            answer =
                body.isEmpty
                ? .nothing : try JSONDecoder().decode(PartialResponse.self, from: Data(body))
        } catch let error as PartialResponse.Malformed {
            return Self.malformed(error.reason)
        } catch {
            return Self.malformed("the answer is not JSON, or not an object with a list of batchItemFailures")
        }
        switch answer {
        case .nothing:
            guard itemReports == .required else { return .succeeded }
            return Self.malformed(
                "the answer has no list of batchItemFailures, and require_item_failures is set"
            )
        case .failures(let named):
            return Self.verdict(failed: named, batch: batch, format: format)
        case .results(let words):
            return Self.verdict(results: words, batch: batch)
        }
    }

    private static func verdict(
        failed named: [ItemIdentifier],
        batch: Batch,
        format: any EventFormat
    ) -> BatchVerdict {
        guard !named.isEmpty else { return .succeeded }
        var verdicts = [Verdict](repeating: .succeeded, count: batch.count)
        let deliveries = RepeatedDeliveries(in: batch)
        for item in named {
            guard let index = format.index(of: item, in: batch) else {
                return Self.malformed("batchItemFailures names a record that is not in the batch")
            }
            verdicts[index] = .failed
            for other in deliveries.places(of: index) { verdicts[other] = .failed }
        }
        return .partial(verdicts, Self.reported)
    }

    private static func verdict(results words: [PartialResponse.Word], batch: Batch) -> BatchVerdict {
        guard words.count == batch.count else {
            return Self.malformed("recordResults has \(words.count) entries for \(batch.count) records")
        }
        guard words.contains(where: { $0 != .success }) else { return .succeeded }
        let verdicts = words.map { word -> Verdict in
            switch word {
            case .success: .succeeded
            case .retry: .failed
            case .drop: .poison
            }
        }
        return .partial(verdicts, Self.refused)
    }

    /// A malformed answer fails the whole batch.
    private static func malformed(_ reason: String) -> BatchVerdict {
        .failed(Failure(type: "Penstock.MalformedResponse", message: reason))
    }
}

/// The records that a batch has more than once: a queue may deliver one twice, and both in one batch.
private struct RepeatedDeliveries {
    private struct Record: Hashable {
        var partition: String
        var position: Position
    }

    private var places: [Int: [Int]] = [:]

    init(in batch: Batch) {
        guard batch.runs.contains(where: { $0.admitted.block.lease != nil }) else { return }
        let records = batch.runs.flatMap { run in
            run.indices.map {
                Record(partition: run.partition.name, position: run.admitted.block.entries[$0].position)
            }
        }
        for same in Dictionary(grouping: records.indices, by: { records[$0] }).values where same.count > 1 {
            for place in same { self.places[place] = same }
        }
    }

    /// Where all deliveries of the record at a place are; empty for one that came once.
    func places(of place: Int) -> [Int] { self.places[place] ?? [] }
}

/// `{"batchItemFailures": [{"itemIdentifier": …}]}`, `{"recordResults": ["success", …]}`, or one of the answers that say
/// nothing about records.
private enum PartialResponse: Decodable {
    case nothing
    case failures([ItemIdentifier])
    case results([Word])

    struct Malformed: Error {
        let reason: String
    }

    enum Word: String, Decodable {
        case success, retry, drop
    }

    private enum CodingKeys: String, CodingKey {
        case batchItemFailures, recordResults
    }

    init(from decoder: any Decoder) throws {
        if let value = try? decoder.singleValueContainer() {
            let isEmptyText = (try? value.decode(String.self))?.isEmpty == true
            if value.decodeNil() || isEmptyText {
                self = .nothing
                return
            }
        }
        let answer = try decoder.container(keyedBy: CodingKeys.self)
        let items = try answer.decodeIfPresent([Item].self, forKey: .batchItemFailures)
        let words = try Self.words(answer)
        switch (items, words) {
        case (let items?, nil): self = .failures(items.map(\.identifier))
        case (nil, let words?): self = .results(words)
        case (nil, nil): self = .nothing
        case (_?, _?): throw Malformed(reason: "the answer has both batchItemFailures and recordResults")
        }
    }

    private static func words(_ answer: KeyedDecodingContainer<CodingKeys>) throws -> [Word]? {
        do {
            return try answer.decodeIfPresent([Word].self, forKey: .recordResults)
        } catch {
            throw Malformed(reason: "recordResults must be a list of success, retry and drop")
        }
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

extension TriggerPolicy {
    /// Bytes of a window's state at most: the rest of an invocation is for records, and for what is around them.
    package var windowStateMax: Int { self.bodyBytesMax / 2 }
}
