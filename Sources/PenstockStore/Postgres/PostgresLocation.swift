// SPDX-License-Identifier: Apache-2.0

import PostgresClient

/// Where a Postgres store is: a database, and the schema in it that holds the store's tables.
///
/// The password is in it, and in none of its descriptions.
package struct PostgresLocation: Sendable, Hashable {
    /// The schema when none is named.
    package static let standardSchema = "penstock"

    /// The database.
    var address: PostgresAddress

    /// The schema, as the catalog has it.
    package let schema: String

    /// Whether a text is meant to be one.
    package static func matches(_ text: String) -> Bool {
        text.hasPrefix("postgres://") || text.hasPrefix("postgresql://")
    }

    /// Reads `postgres://user@host:5432/database?sslmode=verify-full&schema=penstock`.
    ///
    /// - Throws: ``StoreError`` with `cannotOpen`; its text shows nothing of what was given, which may hold a password.
    package init(_ text: String) throws(StoreError) {
        var schema = Self.standardSchema
        var parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).map(
            String.init
        )
        if parts.count == 2 {
            var kept: [Substring] = []
            for parameter in parts[1].split(separator: "&") {
                if parameter.hasPrefix("schema=") {
                    schema = String(parameter.dropFirst("schema=".count))
                } else {
                    kept.append(parameter)
                }
            }
            parts[1] = kept.joined(separator: "&")
        }
        guard PostgresName.isValid(schema), schema.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" }),
            !schema.hasPrefix("pg_")
        else {
            throw StoreError(
                .cannotOpen,
                "names no schema; write schema= and a name of letters, digits and underscores, such as schema=penstock"
            )
        }
        self.schema = schema
        do {
            self.address = try PostgresAddress(parts.filter { !$0.isEmpty }.joined(separator: "?"))
        } catch {
            throw StoreError(.cannotOpen, error.detail)
        }
    }

    /// Whether the password is in the text that it was read from.
    package var hasPassword: Bool { self.address.hasPassword }

    /// Whether its server is on another machine, as far as the text says.
    var isElsewhere: Bool {
        guard let host = self.address["host"] ?? self.address["hostaddr"] else { return false }
        return !host.hasPrefix("/") && !host.hasPrefix("127.") && host != "localhost" && host != "::1"
    }

    /// The schema for SQL.
    var quotedSchema: String { PostgresName.quoted(self.schema) }
}

extension PostgresLocation: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// `postgres orders at db.example.com:5432 as app`.
    package var description: String {
        let schema = self.schema == Self.standardSchema ? "" : ", schema \(self.schema)"
        return "postgres \(self.address)\(schema)"
    }

    package var debugDescription: String { self.description }
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
