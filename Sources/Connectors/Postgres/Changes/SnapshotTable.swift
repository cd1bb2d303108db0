// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient

/// A table of which all rows are read, in the order of its key.
struct SnapshotTable: Sendable {
    let table: ReplicatedTable
    /// Which columns are the key by which it is read on, in its order; empty for a table without one.
    let key: [Int]
    /// What the key is made of: the names and types of its columns.
    let by: [String]
    private let names: [String]
    private let condition: String?
    private let isPartitioned: Bool

    /// Why a table cannot be read.
    struct Refusal: Error, Equatable {
        var detail: String
    }

    /// What must be asked about a table: its columns as they are published, its keys, and the condition on its rows.
    static func question(_ name: PostgresTable, publication: String, version: Int) -> PostgresQuery {
        // Lists of columns, and conditions on rows, are since version 15.
        let isList = version >= 150_000
        var columns = isList ? "(p.attnames IS NULL OR a.attname = ANY (p.attnames))" : "true"
        // Those that are generated are published since version 18 only, and in its list then.
        if version < 180_000 { columns += " AND a.attgenerated = ''" }
        func place(_ index: String) -> String {
            "array_position((\(index).indkey::int2[])[0:\(index).indnkeyatts - 1], a.attnum)::text"
        }
        return PostgresQuery(
            """
            SELECT c.oid::text, c.relkind::text, c.relreplident::text, a.attname, a.atttypid::text,
              \(place("k")), \(place("r")), \(isList ? "p.rowfilter" : "NULL"), p.pubname IS NOT NULL,
              k.indnkeyatts::text, r.indnkeyatts::text,
              coalesce(t.typtype = 'e' OR coalesce(b.typnamespace, t.typnamespace) = 'pg_catalog'::regnamespace, false)
            FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid
              LEFT JOIN pg_publication_tables p
                ON p.pubname = $3 AND p.schemaname = n.nspname AND p.tablename = c.relname
              LEFT JOIN pg_attribute a
                ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (\(columns))
              LEFT JOIN pg_type t ON t.oid = a.atttypid
              LEFT JOIN pg_type b ON b.oid = t.typbasetype
              LEFT JOIN pg_index k ON k.indrelid = c.oid AND k.indisprimary
              LEFT JOIN pg_index r ON r.indrelid = c.oid AND r.indisreplident
            WHERE n.nspname = $1 AND c.relname = $2
            ORDER BY a.attnum
            """,
            [.text(name.schema), .text(name.name), .text(publication)]
        )
    }

    /// The table as a message of the plugin would tell of it.
    static func message(
        _ name: PostgresTable,
        _ rows: PostgresResult,
        publication: String
    ) throws(Refusal) -> RelationMessage {
        guard rows.rows > 0, let id = rows.text(0, 0).flatMap({ UInt32($0) }) else {
            throw Refusal(detail: "there is no table \(name); make it, or change \"snapshot\"")
        }
        let kind = rows.text(0, 1) ?? ""
        guard kind == "r" || kind == "p" else {
            throw Refusal(detail: "\(name) is no table; take it out of \"snapshot\"")
        }
        guard rows.boolean(0, 8) == true else {
            let alter = "ALTER PUBLICATION \(PostgresName.quoted(publication))"
            throw Refusal(
                detail: kind == "p"
                    ? "\(name) is in parts, and its changes are published as those of the parts; run \(alter) SET "
                        + "(publish_via_partition_root = true), or name the parts"
                    : "the publication \(publication) has no table \(name); run \(alter) ADD TABLE \(name.quoted)"
            )
        }
        let identity = rows.text(0, 2)?.utf8.first ?? UInt8(ascii: "d")
        let place: Int? =
            identity == UInt8(ascii: "d") ? 5 : identity == UInt8(ascii: "i") ? 6 : nil
        let columns = Self.columns(rows).map { row in
            RelationMessage.Column(
                name: rows.text(row, 3) ?? "",
                type: rows.text(row, 4).flatMap { UInt32($0) } ?? 0,
                isKey: place.map { rows.text(row, $0) != nil } ?? false
            )
        }
        return RelationMessage(
            id: id,
            schema: name.schema,
            table: name.name,
            identity: identity,
            columns: columns
        )
    }

    /// The rows that tell of columns; a table without any has one that does not.
    private static func columns(_ rows: PostgresResult) -> [Int] {
        (0..<rows.rows).filter { rows.text($0, 3) != nil }
    }

    /// An index by which rows could be read on.
    private struct Index {
        /// Its columns that are published, in its order, by the rows that tell of them.
        var columns: [Int]
        /// How many it has.
        var count: Int

        /// Whether all of its columns are published: one that is not cannot be told.
        var isWhole: Bool { !self.columns.isEmpty && self.columns.count == self.count }

        /// Whether it is compared as it is ordered, for sure.
        ///
        /// So are types of the server itself, and enums; the operators of others need not be on the search path.
        func isOrdered(_ rows: PostgresResult) -> Bool {
            self.columns.allSatisfy { rows.boolean($0, 11) == true }
        }
    }

    /// The primary key, and the index that is the replica identity, as far as there are such.
    private static func indexes(_ rows: PostgresResult) -> [Index] {
        guard rows.rows > 0 else { return [] }
        return [(place: 5, count: 9), (place: 6, count: 10)].compactMap { index in
            guard let count = rows.text(0, index.count).flatMap({ Int($0) }) else { return nil }
            let columns = Self.columns(rows).compactMap { row in
                rows.text(row, index.place).flatMap { Int($0) }.map { (place: $0, row: row) }
            }
            return Index(columns: columns.sorted { $0.place < $1.place }.map(\.row), count: count)
        }
    }

    /// Why a snapshot of the table that is broken off cannot go on where it was, by the answer to
    /// ``question(_:publication:version:)``, and what to do; nil when it can.
    static func hindrance(_ rows: PostgresResult) -> String? {
        let indexes = Self.indexes(rows)
        guard !indexes.contains(where: { $0.isWhole && $0.isOrdered(rows) }) else { return nil }
        guard !indexes.isEmpty else { return "has no primary key; add one" }
        return indexes.contains(where: \.isWhole)
            ? "has a key of types that are neither the server's own nor enums; give it a unique index of such types as REPLICA IDENTITY"
            : "has a key of which only a part is published; publish all of its columns (generated ones cannot be), or give it a unique "
                + "index of columns that are published as REPLICA IDENTITY"
    }

    init(_ message: RelationMessage, _ rows: PostgresResult, _ facts: TableFacts) {
        self.table = ReplicatedTable(message, facts)
        self.names = message.columns.map(\.name)
        self.condition = rows.text(0, 7)
        self.isPartitioned = rows.text(0, 1) == "p"
        let key = Self.indexes(rows).first { $0.isWhole && $0.isOrdered(rows) }?.columns ?? []
        self.key = key
        self.by = key.map { "\(rows.text($0, 3) ?? "") \(rows.text($0, 4) ?? "")" }
    }

    /// A table of texts, whose key is known.
    init(columns: [String], key: [Int], of name: PostgresTable) {
        let message = RelationMessage(
            id: 0,
            schema: name.schema,
            table: name.name,
            identity: UInt8(ascii: "d"),
            columns: columns.enumerated().map { index, column in
                RelationMessage.Column(name: column, type: 25, isKey: key.contains(index))
            }
        )
        self.table = ReplicatedTable(message, TableFacts())
        self.names = columns
        self.key = key
        self.by = key.map { columns[$0] }
        self.condition = nil
        self.isPartitioned = false
    }

    /// The rows behind a key.
    func copy(behind key: [String]?) -> String {
        let columns = self.names.map { PostgresName.quoted($0) }
        let keys = self.key.map { columns[$0] }.joined(separator: ", ")
        var conditions = self.condition.map { ["(\($0))"] } ?? []
        if let key, key.count == self.key.count, !key.isEmpty {
            let values = key.map { PostgresName.literal($0) }.joined(separator: ", ")
            conditions.append("(\(keys)) > (\(values))")
        }
        let from = (self.isPartitioned ? "" : "ONLY ") + self.table.name.quoted
        let filter = conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ")
        let order = keys.isEmpty ? "" : " ORDER BY \(keys)"
        return "COPY (SELECT \(columns.joined(separator: ", ")) FROM \(from)\(filter)\(order)) TO STDOUT"
    }

    // MARK: - Rows

    /// A row as the output plugin would write it, from the text form of COPY; false for what is none.
    func message(_ row: ArraySlice<UInt8>, into bytes: inout [UInt8]) -> Bool {
        bytes.removeAll(keepingCapacity: true)
        bytes.append(UInt8(ascii: "I"))
        Self.append(0, 4, to: &bytes)
        bytes.append(UInt8(ascii: "N"))
        Self.append(self.names.count, 2, to: &bytes)
        guard !self.names.isEmpty else { return row.isEmpty }
        var place = row.startIndex
        for column in self.names.indices {
            if column > 0 {
                guard place < row.endIndex, row[place] == UInt8(ascii: "\t") else { return false }
                place += 1
            }
            Self.appendValue(row, &place, to: &bytes)
        }
        return place == row.endIndex
    }

    /// The value up to the next tab.
    private static func appendValue(_ row: ArraySlice<UInt8>, _ place: inout Int, to bytes: inout [UInt8]) {
        let backslash = UInt8(ascii: "\\")
        if row[place...].starts(with: [backslash, UInt8(ascii: "N")]) {
            place += 2
            return bytes.append(UInt8(ascii: "n"))
        }
        bytes.append(UInt8(ascii: "t"))
        let start = bytes.count
        Self.append(0, 4, to: &bytes)
        while place < row.endIndex, row[place] != UInt8(ascii: "\t") {
            var byte = row[place]
            place += 1
            if byte == backslash, place < row.endIndex {
                byte = Self.unescaped(row[place])
                place += 1
            }
            bytes.append(byte)
        }
        let count = bytes.count - start - 4
        for offset in 0..<4 {
            bytes[start + offset] = UInt8(truncatingIfNeeded: count >> (8 * (3 - offset)))
        }
    }

    /// What a letter behind a backslash stands for.
    private static func unescaped(_ byte: UInt8) -> UInt8 {
        switch byte {
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        case UInt8(ascii: "n"): 0x0A
        case UInt8(ascii: "r"): 0x0D
        case UInt8(ascii: "t"): 0x09
        case UInt8(ascii: "v"): 0x0B
        default: byte
        }
    }

    private static func append(_ number: Int, _ count: Int, to bytes: inout [UInt8]) {
        for place in (0..<count).reversed() {
            bytes.append(UInt8(truncatingIfNeeded: number >> (8 * place)))
        }
    }

    /// The key of a row that ``message(_:into:)`` wrote; nil for a table without one.
    func key(of message: [UInt8]) -> [String]? {
        guard !self.key.isEmpty else { return nil }
        let values = unsafe message.withUnsafeBytes { bytes -> [String] in
            guard case .insert(_, var tuple)? = try? unsafe PgoutputMessage(bytes) else { return [] }
            var values: [String] = []
            while let value = tuple.next() {
                if case .text(let text) = value {
                    values.append(unsafe String(decoding: text, as: UTF8.self))
                } else {
                    values.append("")
                }
            }
            return values
        }
        return values.count == self.names.count ? self.key.map { values[$0] } : nil
    }
}
