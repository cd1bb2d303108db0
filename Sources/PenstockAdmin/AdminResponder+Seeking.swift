// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import PenstockConfiguration
import PenstockCore
import PenstockRuntime

extension AdminResponder {
    /// Reads a trigger's source from other positions on: `to`, the `partitions` or all, and whether it is a `dry_run`.
    func seek(_ order: JSONValue, _ name: String) async throws -> Response {
        let (seek, isTrial) = try self.seekOrder(order)
        let report: SeekReport?
        do throws(SeekError) {
            report = try await self.operations.seek(seek, trigger: name, isTrial: isTrial)
        } catch {
            throw AdminError(error)
        }
        guard let report else { throw await self.noTrigger(name) }
        let document = JSONValue.document(
            ("trigger", .string(name)),
            ("dry_run", .boolean(isTrial)),
            ("partitions", .array(report.moves.map(\.document))),
            ("lost", .array(report.lost.map { .string($0) }))
        )
        return Self.json(document)
    }

    private func seekOrder(_ order: JSONValue) throws(AdminError) -> (SeekOrder, isTrial: Bool) {
        for member in order.members ?? [] where !["to", "partitions", "dry_run"].contains(member.key) {
            throw .badParameter(member.key, "is not known; there are to, partitions and dry_run")
        }
        let target = order["to"]?.stringValue.flatMap { SeekOrder.Target($0, now: self.now()) }
        guard let target else { throw .badParameter("to", SeekOrder.Target.form) }
        if case .time(let time) = target, time > self.now() {
            throw .badParameter("to", "must not be in the future; \"latest\" skips all there is")
        }
        var seek = SeekOrder(target)
        if let partitions = order["partitions"] {
            let names = partitions.arrayValue?.compactMap(\.stringValue) ?? []
            guard !names.isEmpty, names.count == partitions.arrayValue?.count else {
                throw .badParameter("partitions", "must be a list of names; without it all are meant")
            }
            seek.partitions = names
        }
        switch order["dry_run"] {
        case nil: return (seek, false)
        case .boolean(let isTrial): return (seek, isTrial)
        default: throw .badParameter("dry_run", "must be true or false")
        }
    }
}

extension SeekMove {
    /// Where one partition goes; `distance` is negative when records are read again.
    fileprivate var document: JSONValue {
        .document(
            ("partition", .string(self.partition)),
            ("from", self.from.map { .string($0) } ?? .null),
            ("to", .string(self.to)),
            ("distance", self.distance.map { .integer(Int($0)) } ?? .null)
        )
    }
}

extension AdminError {
    fileprivate init(_ error: SeekError) {
        switch error.code {
        case .cannotSeek: self.init(.conflict, "cannot-seek", error.detail)
        case .noPartition: self.init(.notFound, "no-such-partition", error.detail)
        case .readElsewhere: self.init(.conflict, "read-elsewhere", error.detail)
        case .badPosition: self.init(.badRequest, "bad-position", error.detail)
        case .busy: self.init(.conflict, "busy", error.detail)
        case .notRunning: self.init(.serviceUnavailable, "not-running", error.detail)
        case .standby: self.init(.serviceUnavailable, "standby", error.detail)
        case .upstream: self.init(.serviceUnavailable, "upstream", error.detail)
        case .store: self.init(.serviceUnavailable, "store", error.detail)
        }
    }
}
