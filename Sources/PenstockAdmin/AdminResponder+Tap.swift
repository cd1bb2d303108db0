// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import PenstockConfiguration
import PenstockCore
import PenstockRuntime

extension AdminResponder {
    /// Streams a line of JSON for each record that a trigger receives; `{"skipped":n}` between them tells of records left
    /// out, and comes every few seconds anyhow; `{"done":true}` ends it, or `{"ended":true}` when the trigger did.
    func tap(_ request: Request, _ name: String) async throws -> Response {
        var isFiltered = false
        var limit: Int?
        for (key, value) in request.uri.queryParameters.map({ (String($0.key), String($0.value)) }) {
            switch (key, value) {
            case ("filtered", "true"), ("filtered", "false"): isFiltered = value == "true"
            case ("limit", _):
                guard let number = Int(value), number > 0 else {
                    throw Self.bad(key, "must be a number above 0")
                }
                limit = number
            case ("filtered", _): throw Self.bad(key, "must be true or false")
            default: throw Self.bad(key, "is not known; there are filtered and limit")
            }
        }
        guard let hasFilters = await self.operations.hasFilters(name) else {
            throw await self.noTrigger(name)
        }
        guard hasFilters || !isFiltered else {
            throw AdminError(
                .conflict,
                "no-filters",
                "the trigger \"\(name)\" has no filters: every record passes"
            )
        }
        let (operations, kind, most) = (self.operations, isFiltered ? Tap.Kind.filtered : .passing, limit)
        return Response(
            status: .ok,
            headers: [.contentType: "application/x-ndjson", .cacheControl: "no-store"],
            body: ResponseBody { writer in
                let lines = TapWriter(writer)
                try await operations.tap(name, kind) { try await lines.stream($0, limit: most) }
                try await lines.finish()
            }
        )
    }

    private static func bad(_ name: String, _ text: String) -> AdminError {
        AdminError.badParameter(name, text)
    }
}

/// Writes what a tap tells.
///
/// @unchecked: made and used by the one task that writes the response.
private final class TapWriter: @unchecked Sendable {
    private var writer: any ResponseBodyWriter

    init(_ writer: any ResponseBodyWriter) {
        self.writer = writer
    }

    /// Ends at the limit, with the trigger, or when nobody reads any more.
    func stream(_ tap: Tap, limit: Int?) async throws {
        var left = limit ?? .max
        // The reader knows that it listens.
        try await self.write(.document(("skipped", .integer(0))))
        while true {
            let news = await tap.next()
            let shown = news.entries.prefix(left)
            for entry in shown { try await self.write(entry.document(misses: tap.misses(of: entry))) }
            left -= shown.count
            let skipped = JSONValue.integer(news.skipped)
            if left == 0 {
                return try await self.write(.document(("skipped", skipped), ("done", .boolean(true))))
            }
            if news.isEnded {
                return try await self.write(.document(("skipped", skipped), ("ended", .boolean(true))))
            }
            if news.skipped > 0 || news.entries.isEmpty {
                try await self.write(.document(("skipped", skipped)))
            }
        }
    }

    private func write(_ document: JSONValue) async throws {
        try await self.writer.write(ByteBuffer(string: document.text + "\n"))
    }

    func finish() async throws {
        try await self.writer.finish(nil)
    }
}

extension Tap.Entry {
    /// The record with why it passes no filter.
    fileprivate func document(misses: [FilterMiss]) -> JSONValue {
        let headers = self.record.attributes.map { attribute in
            JSONValue.document(("name", .string(attribute.name)), ("value", .bytes(attribute.value)))
        }
        return .document(
            ("received", .string(self.receivedAt.configurationText)),
            ("partition", .string(self.record.partition)),
            ("position", .string(self.record.position.description)),
            ("timestamp", .string(self.record.timestamp.configurationText)),
            ("key", .bytes(self.record.key)),
            ("headers", .array(headers)),
            ("body", .bytes(self.record.body)),
            ("misses", misses.isEmpty ? nil : .array(misses.map(\.document)))
        )
    }
}
