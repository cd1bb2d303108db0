// SPDX-License-Identifier: Apache-2.0

/// Names of tables, columns and channels as SQL needs them.
package enum PostgresName {
    /// Bytes of a name at most (Postgres: NAMEDATALEN).
    package static let bytesMax = 63

    /// The name in quotes, so that it is taken as it stands (Postgres: "Identifiers and Key Words").
    package static func quoted(_ name: String) -> String {
        "\"" + Self.doubling([UInt8(ascii: "\"")], in: name) + "\""
    }

    /// The text as a literal in quotes.
    package static func literal(_ text: String) -> String {
        let (quote, backslash) = (UInt8(ascii: "'"), UInt8(ascii: "\\"))
        return text.utf8.contains(backslash)
            ? " E'" + Self.doubling([quote, backslash], in: text) + "'"
            : "'" + Self.doubling([quote], in: text) + "'"
    }

    /// The text as a literal of a command of the replication protocol, which knows no escapes by backslash.
    package static func replicationLiteral(_ text: String) -> String {
        "'" + Self.doubling([UInt8(ascii: "'")], in: text) + "'"
    }

    /// The text with these bytes twice.
    ///
    /// By bytes, as the server reads them: a quote with an accent behind it is one Character, which is no quote.
    private static func doubling(_ marks: [UInt8], in text: String) -> String {
        guard text.utf8.contains(where: { marks.contains($0) }) else { return text }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count + 8)
        for byte in text.utf8 {
            if marks.contains(byte) { bytes.append(byte) }
            bytes.append(byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Whether it can be a name: not empty, no NUL, not longer than ``bytesMax``.
    package static func isValid(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= Self.bytesMax && !name.utf8.contains(0)
    }
}

/// A table in its schema.
package struct PostgresTable: Sendable, Hashable, CustomStringConvertible {
    /// The schema, as the catalog has it.
    package var schema: String

    /// The table, as the catalog has it.
    package var name: String

    /// A table by its name, in the schema `public`, or by `schema.table`; nil when it is no name.
    ///
    /// Names are taken as they stand, without folding their case.
    package init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 2, parts.allSatisfy({ PostgresName.isValid($0) }), let name = parts.last else {
            return nil
        }
        self.schema = parts.count == 2 ? parts[0] : "public"
        self.name = name
    }

    /// A table of that name in that schema.
    package init(schema: String, name: String) {
        self.schema = schema
        self.name = name
    }

    /// In quotes, for SQL.
    package var quoted: String { PostgresName.quoted(self.schema) + "." + PostgresName.quoted(self.name) }

    package var description: String { "\(self.schema).\(self.name)" }
}
