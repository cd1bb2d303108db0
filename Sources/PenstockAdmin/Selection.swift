// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
package import PenstockConfiguration
import PenstockCore
package import PenstockStore

/// Which dead letters an operator means, as the API and the command line say it.
package struct Selection: Sendable, Equatable {
    /// The conditions, all together.
    package var query: DeadLetterQuery
    /// Of those, only these; nil for all.
    package var ids: [DeadLetterID]?
    /// Whether all letters are meant when there is no condition.
    package var all: Bool

    /// No condition; nothing is meant unless `all` is set.
    package init() {
        self.query = DeadLetterQuery()
        self.all = false
    }

    /// From a query string.
    init(parameters: [(name: String, value: String)]) throws(AdminError) {
        self.init()
        for (name, value) in parameters { try self.set(name, value) }
    }

    /// From the body of a POST.
    init(order: JSONValue) throws(AdminError) {
        self.init()
        for member in order.members ?? [] {
            switch (member.key, member.value) {
            case ("to", .string), ("like", .string), ("rate", .integer), ("rate", .number),
                ("concurrency", .integer):
                break
            case ("ids", .array(let values)):
                let ids = values.compactMap(\.integerValue).map { DeadLetterID(Int64($0)) }
                guard ids.count == values.count else { throw Self.bad("ids", "must be a list of numbers") }
                self.ids = ids
            case ("all", .boolean(let all)): self.all = all
            case ("limit", .integer(let value)): try self.set("limit", "\(value)")
            case ("after", .integer(let value)): try self.set("after", "\(value)")
            case (let key, .string(let value)): try self.set(key, value)
            default: throw Self.bad(member.key, "is not known here, or has a value of another type")
            }
        }
    }

    private mutating func set(_ name: String, _ value: String) throws(AdminError) {
        switch name {
        case "trigger": self.query.trigger = value
        case "error": self.query.error = value
        case "key": self.query.key = Array(value.utf8)
        case "since":
            guard let since = Timestamp(configurationText: value) else {
                throw Self.bad(name, "must be a time like 2026-01-31T08:00:00Z")
            }
            self.query.since = since
        case "limit":
            guard let limit = Int(value), limit > 0 else { throw Self.bad(name, "must be a number above 0") }
            self.query.limit = limit
        case "after":
            guard let after = Int64(value) else { throw Self.bad(name, "must be an id: a number") }
            self.query.after = DeadLetterID(after)
        default:
            throw Self.bad(name, "is not known; there are trigger, since, error, key, limit and after")
        }
    }

    private static func bad(_ name: String, _ text: String) -> AdminError {
        AdminError.badParameter(name, text)
    }

    /// Whether anything says which letters are meant.
    package var hasScope: Bool {
        self.all || self.ids != nil || self.query.trigger != nil || self.query.since != nil
            || self.query.error != nil
            || self.query.key != nil
    }

    func requireScope() throws(AdminError) {
        guard !self.hasScope else { return }
        throw AdminError(
            .badRequest,
            "no-selection",
            "say which letters: \"ids\", \"trigger\", \"since\", \"error\", \"key\", or \"all\": true"
        )
    }

    /// The ids asked for that the store does not have.
    package func missing(in store: any StateStore) async throws(StoreError) -> [DeadLetterID] {
        guard let ids = self.ids else { return [] }
        var query = DeadLetterQuery()
        query.ids = Set(ids)
        let found = Set(try await store.deadLetters(matching: query).map(\.id))
        return ids.filter { !found.contains($0) }
    }

    func requireIDs(in store: any StateStore) async throws -> Set<DeadLetterID>? {
        let missing = try await self.missing(in: store)
        guard missing.isEmpty else {
            let list = missing.prefix(20).map { "\($0.rawValue)" }.joined(separator: ", ")
            throw AdminError(.notFound, "no-such-letter", "there is no dead letter \(list)")
        }
        return self.ids.map { Set($0) }
    }

    /// Removes the letters that there are now, page by page; returns how many there were.
    package func drop(from store: any StateStore) async throws(StoreError) -> Int {
        var query = self.query
        query.ids = self.ids.map { Set($0) }
        let all = try await store.countDeadLetters(matching: query)
        guard let last = all.last else { return 0 }
        var (left, dropped) = (all.count, 0)
        while left > 0 {
            query.limit = min(Self.pageSize, left)
            let page = try await store.deadLetters(matching: query).map(\.id)
            dropped += try await store.removeDeadLetters(page.filter { $0 <= last })
            left -= page.count
            query.after = page.last
            if page.last.map({ $0 >= last }) ?? true { break }
        }
        return dropped
    }

    /// Letters that are looked at at once.
    private static let pageSize = 1000

    /// The selection as the body of a POST.
    package var document: JSONValue {
        .document(
            ("trigger", self.query.trigger.map { .string($0) }),
            ("since", self.query.since.map { .string($0.configurationText) }),
            ("error", self.query.error.map { .string($0) }),
            ("key", self.query.key.map { .string(String(decoding: $0, as: UTF8.self)) }),
            ("limit", self.query.limit.map { .integer($0) }),
            ("after", self.query.after.map { .integer(Int($0.rawValue)) }),
            ("ids", self.ids.map { .array($0.map { .integer(Int($0.rawValue)) }) }),
            ("all", self.all ? .boolean(true) : nil)
        )
    }
}
