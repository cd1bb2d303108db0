// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient

/// A table as its rows are read: what the server last said of it, with what must be asked besides.
final class ReplicatedTable: Sendable {
    struct Column: Sendable {
        /// The name as a member of a JSON object: `"name":`.
        let member: [UInt8]
        /// The name as a JSON string.
        let quotedName: [UInt8]
        let shape: ValueShape
        /// Whether it is in the old image of a row of which only the key is sent.
        let isIdentity: Bool
        /// Whether it is in the primary key; with a replica identity by index, in that.
        let isKey: Bool
    }

    let name: PostgresTable
    let schema: [UInt8]
    let table: [UInt8]
    let columns: [Column]
    let hasKey: Bool

    init(_ message: RelationMessage, _ facts: TableFacts) {
        self.name = PostgresTable(schema: message.schema, name: message.table)
        self.schema = Array(message.schema.utf8)
        self.table = Array(message.table.utf8)
        let usesIdentity = Self.identityIsKey(message)
        self.columns = message.columns.map { column in
            let quoted = JSONText.escaped(column.name)
            return Column(
                member: quoted + [UInt8(ascii: ":")],
                quotedName: quoted,
                shape: ValueShape.builtIn(column.type) ?? facts.shapes[column.type] ?? .text,
                isIdentity: column.isKey,
                isKey: usesIdentity ? column.isKey : facts.primaryKey.contains(column.name)
            )
        }
        self.hasKey = self.columns.contains(where: \.isKey)
    }

    /// Whether the columns of the replica identity are those of a key.
    static func identityIsKey(_ message: RelationMessage) -> Bool {
        message.identity != UInt8(ascii: "f") && message.columns.contains(where: \.isKey)
    }
}

/// What a server must be asked about a table, because it is in no message.
struct TableFacts: Sendable, Equatable {
    /// The columns of the primary key.
    var primaryKey: Set<String> = []
    /// How values of types of its own are written, by the type's number.
    var shapes: [UInt32: ValueShape] = [:]

    /// What must be asked; nil for nothing.
    static func question(_ message: RelationMessage) -> PostgresQuery? {
        let types = Set(message.columns.map(\.type)).filter { ValueShape.builtIn($0) == nil }
        guard !types.isEmpty || !ReplicatedTable.identityIsKey(message) else { return nil }
        // A domain is what it is made of, an array what its elements are; both in any depth.
        let sql = """
            WITH RECURSIVE kinds AS (
              SELECT oid AS id, oid, typtype, typbasetype, typelem, typlen, typdelim, false AS is_array, ','::"char" AS delimiter
              FROM pg_type WHERE oid = ANY ($2::oid[])
              UNION ALL
              SELECT kinds.id, t.oid, t.typtype, t.typbasetype, t.typelem, t.typlen, t.typdelim,
                kinds.is_array OR kinds.typtype <> 'd',
                CASE WHEN kinds.typtype <> 'd' AND NOT kinds.is_array THEN t.typdelim ELSE kinds.delimiter END
              FROM kinds JOIN pg_type t ON t.oid = CASE
                WHEN kinds.typtype = 'd' THEN kinds.typbasetype
                WHEN kinds.typlen = -1 THEN kinds.typelem ELSE 0 END
            )
            SELECT 'type', id::text, oid::text, is_array::text, delimiter::text FROM kinds
            WHERE typtype <> 'd' AND NOT (typlen = -1 AND typelem <> 0)
            UNION ALL
            SELECT 'key', a.attname, NULL, NULL, NULL
            FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
            WHERE i.indrelid = $1::oid AND i.indisprimary
            """
        return PostgresQuery(
            sql,
            [.integer(Int64(message.id)), .array(types.sorted().map { String($0) })]
        )
    }

    init() {}

    /// Reads the answer.
    init(_ rows: PostgresResult) {
        for row in 0..<rows.rows {
            let name = rows.text(row, 1) ?? ""
            guard rows.text(row, 0) == "type" else {
                self.primaryKey.insert(name)
                continue
            }
            guard let type = UInt32(name), let base = rows.text(row, 2).flatMap({ UInt32($0) }) else {
                continue
            }
            var shape = ValueShape.builtIn(base) ?? .text
            shape.isArray = rows.text(row, 3) == "true"
            shape.delimiter = rows.text(row, 4)?.utf8.first ?? UInt8(ascii: ",")
            self.shapes[type] = shape
        }
    }
}
