// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore

extension AdminResponder {
    /// Letters in one answer at most, and when nothing is said.
    static let pageMax = 1000

    func deadLetters(_ request: Request) async throws -> Response {
        let parameters = request.uri.queryParameters.map { (String($0.key), String($0.value)) }
        var query = try Selection(parameters: parameters).query
        query.limit = min(query.limit ?? 100, Self.pageMax)
        let letters = try await self.store.deadLetters(matching: query)
        var all = query
        all.limit = nil
        all.after = nil
        let count = try await self.store.countDeadLetters(matching: all)
        let retention = await self.operations.retention().retention
        let warning = try await retention.warning(in: self.store, now: self.now())
        return Self.json(JSONValue.page(of: letters, count, limit: query.limit, warning: warning))
    }

    func deadLetter(_ text: String) async throws -> Response {
        guard let letter = try await self.store.deadLetter(Self.id(text)) else { throw Self.noLetter(text) }
        return Self.json(letter.document)
    }

    /// The body that a redrive of this letter would send.
    func event(_ text: String) async throws -> Response {
        let redriver = try await self.operations.requireRedriver(to: nil)
        let id = try Self.id(text)
        guard try await self.store.deadLetter(id) != nil else { throw Self.noLetter(text) }
        guard let event = try await redriver.event(of: id) else {
            throw AdminError(.conflict, "no-such-trigger", "the letter's trigger is not configured any more")
        }
        let response = Response(
            status: .ok,
            headers: [
                .contentType: event.contentType, .cacheControl: "no-store", .xContentTypeOptions: "nosniff",
            ],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: event.body))
        )
        return response
    }

    private static func id(_ text: String) throws(AdminError) -> DeadLetterID {
        guard let number = Int64(text) else {
            throw AdminError(
                .badRequest,
                "bad-id",
                "\"\(text.prefix(40))\" is not the id of a dead letter: a number"
            )
        }
        return DeadLetterID(number)
    }

    private static func noLetter(_ id: String) -> AdminError {
        AdminError(
            .notFound,
            "no-such-letter",
            "there is no dead letter \(id.prefix(40)); it may have been redriven"
        )
    }

    // MARK: - Drop

    func drop(_ order: JSONValue) async throws -> Response {
        let selection = try Selection(order: order)
        try selection.requireScope()
        let count = try await selection.drop(from: self.store)
        return Self.json(.document(("dropped", .integer(count))))
    }

    // MARK: - Redrive

    /// Streams one line for each letter as it happens, `{"id":…,"outcome":…,"total":…}`, and one with `waiting_ms` instead
    /// of `outcome` for each wait for a function without room; ends with `{"done":true}` when all was tried.
    func redrive(_ order: JSONValue) async throws -> Response {
        let selection = try Selection(order: order)
        try selection.requireScope()
        let redriver = try await self.operations.requireRedriver(
            to: order["to"]?.stringValue,
            like: order["like"]?.stringValue
        )
        let rate = try Self.rate(order)
        let ids = try await selection.requireIDs(in: self.store)
        let redrive = Redriver.Order(
            query: selection.query,
            ids: ids,
            rate: rate,
            concurrency: try Self.concurrency(order)
        )
        return Response(
            status: .ok,
            headers: [.contentType: "application/x-ndjson", .cacheControl: "no-store"],
            body: ResponseBody { writer in
                let lines = LineWriter(writer)
                try await lines.stream(redrive, redriver)
            }
        )
    }

    private static func concurrency(_ order: JSONValue) throws(AdminError) -> Int {
        let number = order["concurrency"]?.integerValue ?? 1
        let range = Redriver.Order.concurrencyRange
        if range.contains(number) { return number }
        let text = "concurrency must be from \(range.lowerBound) to \(range.upperBound)"
        throw AdminError(.badRequest, "bad-concurrency", text)
    }

    private static func rate(_ order: JSONValue) throws(AdminError) -> RedriveRate? {
        guard let number = order["rate"]?.numberValue else { return nil }
        if let rate = RedriveRate(perSecond: number) { return rate }
        throw AdminError(.badRequest, "bad-rate", "rate must be \(RedriveRate.rangeText)")
    }
}

/// Writes a redrive's outcomes as they happen.
///
/// @unchecked: made and used by the one task that writes the response.
private final class LineWriter: @unchecked Sendable {
    private var writer: any ResponseBodyWriter
    private var failure: (any Error)?

    init(_ writer: any ResponseBodyWriter) {
        self.writer = writer
    }

    func stream(_ order: Redriver.Order, _ redriver: Redriver) async throws {
        do {
            let isDone = try await redriver.run(order) { event, total in
                await self.write(event.document(total: total))
            }
            // Without it, whoever reads knows that something is left.
            if isDone { _ = await self.write(.document(("done", .boolean(true)))) }
        } catch {
            _ = await self.write(AdminError(error).document)
        }
        if let failure = self.failure { throw failure }
        try await self.writer.finish(nil)
    }

    /// False when nobody reads any more.
    private func write(_ document: JSONValue) async -> Bool {
        do {
            try await self.writer.write(ByteBuffer(string: document.text + "\n"))
            return true
        } catch {
            self.failure = error
            return false
        }
    }
}
