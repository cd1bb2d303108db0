// SPDX-License-Identifier: Apache-2.0

import Hummingbird
package import PenstockConfiguration
import PenstockCore
package import PenstockRuntime
import PenstockStore

extension AdminResponder {
    /// What is known of one record; `at` is its address, `orders-3:1042`.
    func trace(_ request: Request, _ name: String) async throws -> Response {
        var address: RecordAddress?
        for (key, value) in request.uri.queryParameters.map({ (String($0.key), String($0.value)) }) {
            guard key == "at" else { throw AdminError.badParameter(key, "is not known; there is at") }
            address = RecordAddress(value)
            guard address != nil else { throw AdminError.badParameter(key, RecordAddress.form) }
        }
        guard let address else { throw AdminError.badParameter("at", "is missing; it \(RecordAddress.form)") }
        do {
            guard let trace = try await self.operations.trace(address, of: name) else {
                throw await self.noTrigger(name)
            }
            return Self.json(trace.document)
        } catch let error as RecordTraceError {
            throw AdminError(error)
        }
    }
}

extension RecordAddress {
    /// How it is written, behind the name of what holds it.
    package static let form = "must be a partition and a position like orders-3:1042"
}

extension AdminError {
    fileprivate init(_ error: RecordTraceError) {
        let isBad = if case .noPosition = error { true } else { false }
        self.init(isBad ? .badRequest : .notFound, error.code, error.message)
    }
}

extension RecordTraceError {
    /// In kebab-case, safe to match on.
    package var code: String {
        switch self {
        case .noPartition: "no-such-partition"
        case .whichPartition: "which-partition"
        case .noPosition: "bad-position"
        }
    }

    /// What happened and what to do.
    package var message: String {
        switch self {
        case .noPartition(let name, let known) where known.isEmpty:
            "nothing is known of a partition \"\(name.prefix(100))\": no record was received, and the store has no checkpoint"
        case .noPartition(let name, let known):
            AdminError.unknown("partition", name, among: known).message
        case .noPosition(let text):
            "\"\(text.prefix(100))\" is no position of this source; a record \(RecordAddress.form)"
        case .whichPartition(let known) where known.isEmpty: "no partition is known yet"
        case .whichPartition(let known):
            "say which partition, as in \(known[0]):1042; there are \(known.prefix(20).joined(separator: ", "))"
        }
    }
}

extension RecordTrace {
    /// The record as `/api/v1/triggers/{name}/trace` tells of it; no body.
    package var document: JSONValue {
        .document(
            ("trigger", .string(self.trigger)),
            ("partition", .string(self.partition)),
            ("position", .string(self.position.description)),
            ("state", .string(self.state.rawValue)),
            ("detail", .string(self.detail)),
            ("seen", .boolean(self.isSeen)),
            ("received", self.receivedAt.map { .string($0.configurationText) }),
            ("timestamp", self.timestamp.map { .string($0.configurationText) }),
            ("key", self.timestamp.map { _ in .bytes(self.key) }),
            ("filter", self.filtering.document),
            ("attempts", self.attempts.map { .integer($0) }),
            ("history", .array(self.history.map(\.document))),
            ("invocations", .array(self.invocations.map(\.document))),
            ("invocations_forgotten", self.forgotten.map { .string($0.configurationText) }),
            (
                "dead_letter",
                self.letter.map { StoredDeadLetter.Summary(id: $0.id, letter: $0.letter).document }
            ),
            ("positions", self.positionsDocument),
            ("running", .boolean(self.isRunning))
        )
    }

    private var positionsDocument: JSONValue {
        let text = { (position: Position?) in position.map { JSONValue.string($0.description) } }
        return .document(
            ("owned", .boolean(self.positions != nil)),
            ("first_received", text(self.positions?.received?.lowerBound)),
            ("last_received", text(self.positions?.received?.upperBound)),
            ("settled", text(self.positions?.settled)),
            ("checkpoint", text(self.checkpoint))
        )
    }
}

extension RecordTrace.Filtering {
    /// Nothing for a trigger without filters; null when the record is not at hand.
    fileprivate var document: JSONValue? {
        switch self {
        case .unfiltered: nil
        case .unknown: .null
        case .passed: .document(("passes", .boolean(true)))
        case .filtered(let misses):
            .document(("passes", .boolean(false)), ("misses", .array(misses.map(\.document))))
        }
    }
}

extension InvocationLog.Mention {
    fileprivate var document: JSONValue {
        .document(
            ("request_id", .string(self.id)),
            ("at", .string(self.at.sortableText)),
            ("duration_ms", self.duration.map { .number($0.inSeconds * 1000) }),
            ("attempt", .integer(self.attempt)),
            ("records", .integer(self.batch.reduce(0) { $0 + $1.count })),
            ("batch", .array(self.batch.map(\.document))),
            ("verdict", self.word.map { .string($0.rawValue) }),
            ("error", self.failure?.document)
        )
    }
}

extension InvocationLog.Stretch {
    fileprivate var document: JSONValue {
        .document(
            ("partition", .string(self.partition)),
            ("first", .string(self.positions.lowerBound.description)),
            ("last", .string(self.positions.upperBound.description)),
            ("records", .integer(self.count))
        )
    }
}
