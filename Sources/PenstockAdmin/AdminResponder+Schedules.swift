// SPDX-License-Identifier: Apache-2.0

import Hummingbird
package import PenstockConfiguration
import PenstockCore
import PenstockRuntime
package import PenstockStore

extension AdminResponder {
    /// Below `/api/v1/schedules`.
    func schedules(_ request: Request, _ path: [String]) async throws -> Response? {
        switch (path.count, path.last) {
        case (1, _): return try await self.get(request) { try await self.listSchedules() }
        case (2, _): return try await self.get(request) { try await self.listMembers(request, path[1]) }
        case (3, "history"): return try await self.get(request) { try await self.history(request, path[1]) }
        case (3, "fire"): return try await self.post(request) { try await self.fire($0, path[1]) }
        case (3, "backfill"): return try await self.post(request) { try await self.backfill($0, path[1]) }
        default: return nil
        }
    }

    private func listSchedules() async throws -> Response {
        let schedules = try await self.operations.schedules()
        return Self.json(.document(("schedules", .array(schedules.map(\.document)))))
    }

    /// The schedules of a set in the order of their names: at most `limit`, from the name `from` on; `next` is the name to
    /// go on from.
    private func listMembers(_ request: Request, _ trigger: String) async throws -> Response {
        var (from, limit) = ("", 100)
        for (key, value) in request.uri.queryParameters.map({ (String($0.key), String($0.value)) }) {
            switch key {
            case "from": from = value
            case "limit":
                // One more is asked for, to know where to go on.
                guard let number = Int(value), (1...Self.pageMax).contains(number) else {
                    throw AdminError.badParameter(key, "must be 1 to \(Self.pageMax)")
                }
                limit = number
            default: throw AdminError.badParameter(key, "is not known; there are from and limit")
            }
        }
        guard let page = await self.operations.scheduleMembers(of: trigger, from: from, limit: limit + 1)
        else {
            let names = await self.operations.scheduleNames()
            guard names.contains(trigger) else { throw AdminError.unknown("schedule", trigger, among: names) }
            throw AdminError.badParameter(
                "path",
                "names \"\(trigger)\", which is one schedule and no set of them"
            )
        }
        let next = page.members.count > limit ? page.members.last?.name : nil
        return Self.json(
            .document(
                ("schedules", .array(page.members.prefix(limit).map(\.document))),
                ("next", next.map { .string($0) })
            )
        )
    }

    /// The fire log, the latest first; `limit` lines before the one of the number `before`.
    private func history(_ request: Request, _ name: String) async throws -> Response {
        var (before, limit) = (nil as UInt64?, 100)
        for (key, value) in request.uri.queryParameters.map({ (String($0.key), String($0.value)) }) {
            switch key {
            case "before":
                before = UInt64(value)
                if before == nil { throw AdminError.badParameter(key, "must be the number of a line") }
            case "limit":
                guard let number = Int(value), (1...Self.pageMax).contains(number) else {
                    throw AdminError.badParameter(key, "must be 1 to \(Self.pageMax)")
                }
                limit = number
            default: throw AdminError.badParameter(key, "is not known; there are before and limit")
            }
        }
        let address = try await self.requireSchedule(name)
        let fires = try await self.store.fires(
            of: address.trigger,
            member: address.member,
            before: before,
            limit: limit
        )
        return Self.json(.history(of: fires, limit: limit))
    }

    private func fire(_ order: JSONValue, _ name: String) async throws -> Response {
        try Self.requireMembers(order, [])
        let receipt = try await self.carryOut(.now, name)
        return Self.json(.document(("key", receipt.keys.first.map { .string($0) })))
    }

    /// Lets up to a thousand times fire; `rest` is where the next order has to begin.
    private func backfill(_ order: JSONValue, _ name: String) async throws -> Response {
        try Self.requireMembers(order, ["from", "to"])
        func time(_ member: String) throws(AdminError) -> Timestamp {
            guard let time = order[member]?.stringValue.flatMap({ Timestamp(configurationText: $0) }) else {
                throw .badParameter(member, "must be a time with an offset, such as 2026-11-20T13:00:00Z")
            }
            return time
        }
        let (from, to) = (try time("from"), try time("to"))
        guard from <= to else { throw AdminError.badParameter("from", "must not be after \"to\"") }
        guard to <= self.now() else {
            throw AdminError.badParameter("to", "must not be in the future: those times fire by themselves")
        }
        let receipt = try await self.carryOut(.times(from: from, through: to), name)
        let document = JSONValue.document(
            ("fired", .integer(receipt.fired)),
            ("known", .integer(receipt.keys.count - receipt.fired)),
            ("rest", receipt.rest.map { .string($0.configurationText) })
        )
        return Self.json(document)
    }

    private static func requireMembers(_ order: JSONValue, _ known: [String]) throws(AdminError) {
        guard let other = order.members?.first(where: { !known.contains($0.key) }) else { return }
        throw .badParameter(
            other.key,
            "is not known; there \(known.isEmpty ? "is nothing to say" : "are " + known.joined(separator: " and "))"
        )
    }

    private func carryOut(_ order: FireOrder, _ name: String) async throws -> FireReceipt {
        let address = try await self.requireSchedule(name)
        if let receipt = try await self.operations.fire(order, schedule: address) { return receipt }
        if let trigger = await self.operations.snapshot(of: address.trigger), trigger.state == .standby {
            throw AdminError(
                .serviceUnavailable,
                "standby",
                "the schedule \"\(name)\" \(trigger.detail ?? "is another member's"); ask that one "
                    + "(`penstock members` tells where its admin API is)"
            )
        }
        throw AdminError(
            .serviceUnavailable,
            "not-running",
            "the trigger of schedule \"\(name)\" is not running now; `penstock triggers show` tells why"
        )
    }

    private func requireSchedule(_ name: String) async throws -> ScheduleAddress {
        let address = ScheduleAddress(name)
        if await self.operations.hasSchedule(address) { return address }
        let names = await self.operations.scheduleNames()
        guard names.contains(address.trigger) else {
            throw AdminError.unknown("schedule", address.trigger, among: names)
        }
        let first = await self.operations.scheduleMembers(of: address.trigger, from: "", limit: 1)
        guard let first, let example = first.members.first else {
            throw AdminError.unknown("schedule", name, among: names)
        }
        guard address.member != nil else {
            throw AdminError.badParameter(
                "schedule",
                "is \"\(name)\", a set of schedules; name one of them, such as \(name)/\(example.name)"
            )
        }
        throw AdminError.unknown("schedule", name, among: ["\(address.trigger)/\(example.name)"])
    }
}

extension ScheduleStatus {
    /// The schedule as `/api/v1/schedules` tells of it.
    fileprivate var document: JSONValue {
        func count(_ outcome: ScheduleFire.Outcome) -> JSONValue {
            .integer(self.count.outcomes[outcome] ?? 0)
        }
        return .document(
            ("name", .string(self.name)),
            ("expression", .string(self.facts.expression)),
            ("description", .string(self.facts.words)),
            ("timezone", .string(self.facts.zone)),
            ("schedules", self.members.map { .integer($0) }),
            ("next", self.next.map { .string($0.configurationText) }),
            ("last", self.count.last.map { .string($0.configurationText) }),
            ("waiting", count(.waiting)),
            ("missed", count(.missed)),
            ("skipped", count(.skipped)),
            ("cancelled", count(.cancelled))
        )
    }
}

extension ScheduleMember {
    /// The schedule as `/api/v1/schedules/NAME` tells of it.
    fileprivate var document: JSONValue {
        .document(
            ("name", .string(self.name)),
            ("expression", .string(self.facts.expression)),
            ("description", .string(self.facts.words)),
            ("timezone", .string(self.facts.zone)),
            ("next", self.next.map { .string($0.configurationText) })
        )
    }
}

extension JSONValue {
    /// A page of a fire log; `next` is the number to go on before when there may be more.
    package static func history(of fires: [StoredFire], limit: Int) -> JSONValue {
        let lines = fires.map { stored -> JSONValue in
            let fire = stored.fire
            return .document(
                ("number", .integer(Int(clamping: stored.number))),
                ("key", .string(fire.key)),
                ("scheduled", .string(fire.scheduled.configurationText)),
                ("actual", .string(fire.at.configurationText)),
                ("late_ms", .integer(Int(fire.at.milliseconds - fire.scheduled.milliseconds))),
                ("outcome", .string(fire.outcome.rawValue)),
                ("settled", fire.settled.map { .string($0.configurationText) }),
                ("ordered", .boolean(fire.isOrdered))
            )
        }
        return .document(
            ("fires", .array(lines)),
            ("next", fires.count < limit ? nil : fires.last.map { .integer(Int(clamping: $0.number)) })
        )
    }
}
