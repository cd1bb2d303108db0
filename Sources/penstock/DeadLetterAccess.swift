// SPDX-License-Identifier: Apache-2.0

import CurlClient
import Foundation
import Logging
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import Reactor

/// Dead letters through the admin API, or straight from the store when no Penstock answers.
///
/// A file of SQLite is locked by whoever has it open, so a Penstock that runs and does not answer is noticed. A Postgres
/// database may be used by others at the same time.
struct DeadLetterAccess {
    let plan: Plan

    /// Where a redrive sends letters.
    struct Route {
        /// Another function than the triggers' own.
        var function: String?
        /// For letters of a trigger that is not configured any more: one whose events look alike.
        var model: String?
    }

    /// How fast a redrive goes.
    struct Pace {
        /// Invocations at most; nil for no limit.
        var rate: RedriveRate?
        /// Letters side by side.
        var concurrency: Int
    }

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
        return try await self.plan.withStore { store in
            let letters = try await store.deadLetters(matching: query)
            var all = query
            all.limit = nil
            all.after = nil
            let count = try await store.countDeadLetters(matching: all)
            let now = Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
            let warning = try await self.plan.deadLetters.warning(in: store, now: now)
            return JSONValue.page(of: letters, count, limit: query.limit, warning: warning)
        }
    }

    /// One letter.
    func show(_ id: DeadLetterID) async throws -> JSONValue {
        if let bytes = try await self.call(.get, "\(Self.path)/\(id.rawValue)") {
            return try Self.parsed(bytes)
        }
        return try await self.plan.withStore { store in
            guard let letter = try await store.deadLetter(id) else { throw Self.noLetter(id) }
            return letter.document
        }
    }

    /// The request body that a redrive of a letter would send.
    func event(_ id: DeadLetterID) async throws -> [UInt8] {
        if let bytes = try await self.call(.get, "\(Self.path)/\(id.rawValue)/event") { return bytes }
        return try await self.plan.withStore { store in
            guard try await store.deadLetter(id) != nil else { throw Self.noLetter(id) }
            return try await self.withFunctions(store, Route()) { redriver in
                guard let event = try await redriver.event(of: id) else {
                    throw CommandFailure(
                        .failed,
                        "no-such-trigger",
                        "the letter's trigger is not configured any more"
                    )
                }
                return event.body
            }
        }
    }

    /// Deletes letters.
    func drop(_ selection: Selection) async throws -> JSONValue {
        if let bytes = try await self.call(.post, "\(Self.path)/drop", selection.document) {
            return try Self.parsed(bytes)
        }
        return try await self.plan.withStore { store in
            .document(("dropped", .integer(try await selection.drop(from: store))))
        }
    }

    /// Sends letters again, and tells what becomes of each as it happens, on any thread.
    ///
    /// - Throws: ``CommandFailure`` when it stopped before all were tried.
    func redrive(
        _ selection: Selection,
        by route: Route,
        at pace: Pace,
        report: @escaping @Sendable (JSONValue) -> Void
    ) async throws {
        if let function = route.function, self.plan.function(function) == nil {
            throw CommandFailure.noFunction(function, self.plan)
        }
        if let model = route.model, !self.plan.triggers.contains(where: { $0.name == model }) {
            throw CommandFailure.noTrigger(model, self.plan)
        }
        var members = selection.document.members ?? []
        if let function = route.function { members.append(.init("to", .string(function))) }
        if let model = route.model { members.append(.init("like", .string(model))) }
        if let rate = pace.rate { members.append(.init("rate", .number(rate.perSecond))) }
        // Left out where it says nothing, so that an older Penstock understands.
        if pace.concurrency > 1 { members.append(.init("concurrency", .integer(pace.concurrency))) }
        let lines = JSONLines { if $0["id"] != nil { report($0) } }
        let answer = try await self.call(.post, "\(Self.path)/redrive", .object(members)) { lines.add($0) }
        if answer != nil { return try lines.requireEnd() }
        try await self.plan.withStore { store in
            let missing = try await selection.missing(in: store)
            if let id = missing.first { throw Self.noLetter(id) }
            try await self.withFunctions(store, route) { redriver in
                let order = Redriver.Order(
                    query: selection.query,
                    ids: selection.ids.map { Set($0) },
                    rate: pace.rate,
                    concurrency: pace.concurrency
                )
                try await redriver.run(order) { event, total in
                    report(event.document(total: total))
                    return true
                }
            }
        }
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
        _ body: JSONValue? = nil,
        arrived: (@Sendable ([UInt8]) -> Void)? = nil
    ) async throws -> [UInt8]? {
        try await AdminClient.with(self.plan.admin) {
            try await $0.call(method, path, body: body, arrived: arrived)
        }
    }

    /// Makes the plan's functions for as long as `body` takes.
    private func withFunctions<Value>(
        _ store: any StateStore,
        _ route: Route,
        _ body: (Redriver) async throws -> Value
    ) async throws -> Value {
        let reactor = try Reactor()
        defer { reactor.stop() }
        let context = RuntimeContext(
            reactor: reactor,
            logger: Logger(label: "penstock") { _ in LineLog(isJSON: false) }
        )
        let functions = try await self.plan.makeFunctions(self.plan.functions.map(\.name), context)
        let result: Result<Value, any Error>
        do {
            let redriver = Redriver(
                store: store,
                loop: reactor,
                route: self.plan.routes(functions, to: route.function, like: route.model)
            )
            result = .success(try await body(redriver))
        } catch {
            result = .failure(error)
        }
        for function in functions.values { await function.shutdown() }
        return try result.get()
    }
}

extension Plan {
    /// Opens the store for as long as `body` takes; nobody else may have a file of SQLite open.
    ///
    /// - Throws: ``CommandFailure`` when the file is not there: a look makes none, which would pass for a store without
    ///   dead letters where the path is wrong.
    func withStore<Value>(_ body: (any StateStore) async throws -> Value) async throws -> Value {
        if case .sqlite(let path) = self.state, !FileManager.default.fileExists(atPath: path) {
            throw CommandFailure(
                .environment,
                "no-store",
                "no Penstock answers on \(self.admin.listen), and there is no store at "
                    + "\(URL(fileURLWithPath: path).path); start it with `penstock run`, or name another config with --config"
            )
        }
        let reactor = try Reactor()
        defer { reactor.stop() }
        let store: any StateStore =
            switch self.state {
            case .sqlite(let path): try SQLiteStore.open(path: path)
            case .postgres(let location): try await PostgresStore.open(location, on: reactor)
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
}
