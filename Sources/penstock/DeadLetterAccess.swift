// SPDX-License-Identifier: Apache-2.0

import CurlClient
import Logging
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import Reactor

/// Dead letters through the admin API, or straight from the store when no Penstock answers.
///
/// The store is locked by whoever has it open, so a Penstock that runs and does not answer is noticed.
struct DeadLetterAccess {
    let plan: Plan

    private static let path = "/api/v1/dead-letters"

    /// A page of letters.
    func list(_ query: DeadLetterQuery) async throws -> JSONValue {
        let members: [(String, String?)] = [
            ("trigger", query.trigger), ("error", query.error), ("since", query.since?.configurationText),
            ("key", query.key.map { String(decoding: $0, as: UTF8.self) }),
            ("limit", query.limit.map(String.init)),
            ("after", query.after.map { "\($0.rawValue)" }),
        ]
        let text = members.compactMap { name, value in value.map { "\(name)=\(AdminClient.escaped($0))" } }
        let path = "\(Self.path)?\(text.joined(separator: "&"))"
        if let bytes = try await self.call(.get, path) { return try Self.parsed(bytes) }
        return try await self.withStore { store in
            let letters = try await store.deadLetters(matching: query)
            var all = query
            all.limit = nil
            all.after = nil
            let count = try await store.countDeadLetters(matching: all)
            return JSONValue.page(of: letters, total: count.count, limit: query.limit)
        }
    }

    /// One letter.
    func show(_ id: DeadLetterID) async throws -> JSONValue {
        if let bytes = try await self.call(.get, "\(Self.path)/\(id.rawValue)") {
            return try Self.parsed(bytes)
        }
        return try await self.withStore { store in
            guard let letter = try await store.deadLetter(id) else { throw Self.noLetter(id) }
            return letter.document
        }
    }

    /// The request body that a redrive of a letter would send.
    func event(_ id: DeadLetterID) async throws -> [UInt8] {
        if let bytes = try await self.call(.get, "\(Self.path)/\(id.rawValue)/event") { return bytes }
        return try await self.withStore { store in
            try await self.withFunctions(store, to: nil) { redriver in
                guard let event = try await redriver.event(of: id) else { throw Self.noLetter(id) }
                return event.body
            }
        }
    }

    /// Deletes letters.
    func drop(_ selection: Selection) async throws -> JSONValue {
        if let bytes = try await self.call(.post, "\(Self.path)/drop", selection.document) {
            return try Self.parsed(bytes)
        }
        return try await self.withStore { store in
            .document(("dropped", .integer(try await selection.drop(from: store))))
        }
    }

    /// Sends letters again; returns what became of each.
    func redrive(_ selection: Selection, to function: String?, rate: Double?) async throws -> [JSONValue] {
        if let function, self.plan.function(function) == nil {
            throw CommandFailure(.invalid, "no-such-function", "there is no function \"\(function)\"")
        }
        var members = selection.document.members ?? []
        if let function { members.append(.init("to", .string(function))) }
        if let rate { members.append(.init("rate", .number(rate))) }
        if let bytes = try await self.call(.post, "\(Self.path)/redrive", .object(members)) {
            return try Self.outcomes(bytes)
        }
        return try await self.withStore { store in
            let missing = try await selection.missing(in: store)
            if let id = missing.first { throw Self.noLetter(id) }
            return try await self.withFunctions(store, to: function) { redriver in
                let order = Redriver.Order(
                    query: selection.query,
                    ids: selection.ids.map { Set($0) },
                    rate: rate
                )
                var outcomes: [JSONValue] = []
                try await redriver.run(order) { outcome, total in
                    outcomes.append(outcome.document(total: total))
                    return true
                }
                return outcomes
            }
        }
    }

    /// The lines of a redrive; the last one says whether it came to its end.
    private static func outcomes(_ bytes: [UInt8]) throws -> [JSONValue] {
        var lines = bytes.split(separator: 0x0A).compactMap { JSONValue(parsing: Array($0)) }
        let last = lines.popLast()
        if let error = last?["error"], last?["id"] == nil {
            throw CommandFailure(
                .failed,
                "redrive-stopped",
                error["message"]?.stringValue ?? "the redrive stopped"
            )
        }
        guard last?["done"] == .boolean(true) else {
            throw CommandFailure(
                .failed,
                "redrive-stopped",
                "Penstock stopped before the redrive was done; look with `penstock dlq list`"
            )
        }
        return lines
    }

    private static func parsed(_ bytes: [UInt8]) throws -> JSONValue {
        if let value = JSONValue(parsing: bytes) { return value }
        throw CommandFailure(
            .environment,
            "not-penstock",
            "what answers on the admin address is not Penstock"
        )
    }

    private static func noLetter(_ id: DeadLetterID) -> CommandFailure {
        CommandFailure(.failed, "no-such-letter", "there is no dead letter \(id.rawValue)")
    }

    private func call(
        _ method: CurlRequest.Method,
        _ path: String,
        _ body: JSONValue? = nil
    ) async throws -> [UInt8]? {
        try await AdminClient.with(self.plan.admin) { try await $0.call(method, path, body: body) }
    }

    private func withStore<Value>(_ body: (SQLiteStore) async throws -> Value) async throws -> Value {
        let store: SQLiteStore =
            switch self.plan.state {
            case .sqlite(let path): try SQLiteStore.open(path: path)
            }
        do {
            let value = try await body(store)
            await store.close()
            return value
        } catch {
            await store.close()
            throw error
        }
    }

    /// Makes the plan's functions for as long as `body` takes.
    private func withFunctions<Value>(
        _ store: any StateStore,
        to function: String?,
        _ body: (Redriver) async throws -> Value
    ) async throws -> Value {
        let reactor = try Reactor()
        defer { reactor.stop() }
        let context = RuntimeContext(
            reactor: reactor,
            logger: Logger(label: "penstock") { _ in LineLog(isJSON: false) }
        )
        var functions: [String: any Function] = [:]
        for function in self.plan.functions {
            functions[function.name] = try function.value.make(function.name, context)
        }
        let result: Result<Value, any Error>
        do {
            let redriver = Redriver(
                store: store,
                loop: reactor,
                route: self.plan.routes(functions, to: function)
            )
            result = .success(try await body(redriver))
        } catch {
            result = .failure(error)
        }
        for function in functions.values { await function.shutdown() }
        return try result.get()
    }
}
