// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PostgresClient

/// How far the initial snapshot of a trigger is, as it is kept in the store beside the checkpoint.
///
/// Pure. Rows are read in pages; before a page is handed out, this says in the store behind which key of which table it begins, and
/// behind which position its rows come. After a crash, reading goes on with the page in which the first row is that is not
/// settled. Tables are by name, so that the configuration may change meanwhile.
struct SnapshotProgress: Codable, Equatable, Sendable {
    /// What was handed out of a table.
    enum State: String, Codable, Sendable {
        /// Nothing, neither rows nor changes: changes that come before its rows are in those.
        case untouched
        /// Something: no change of it may be missing any more.
        case seen
        /// All of its rows, and they are settled.
        case read
    }

    /// A table that is wanted.
    struct Table: Codable, Equatable, Sendable {
        var schema: String
        var table: String
        var state: State

        var name: PostgresTable { PostgresTable(schema: self.schema, name: self.table) }
    }

    /// Where rows of a table begin, or end.
    struct Page: Codable, Equatable, Sendable {
        /// What is handed out before it goes up to this position, by its text.
        var before: String
        var schema: String
        var table: String
        /// The key behind which it begins, by the texts of its values; nil for the beginning of the table.
        var after: [String]?
        /// What the key is made of, by ``SnapshotTable/by``.
        var by: [String]?
        /// Whether it is the end of the table.
        var isEnd = false

        var name: PostgresTable { PostgresTable(schema: self.schema, name: self.table) }

        /// Whether all before it is settled when that goes up to a position.
        func isReached(_ settled: Position?) -> Bool {
            guard let settled, let before = Position(self.before) else { return false }
            return before <= settled
        }
    }

    /// What is to be read of a table.
    struct Part: Equatable, Sendable {
        var table: PostgresTable
        /// Behind which key; nil for all of it.
        var after: [String]?
        /// What that key is made of: another one says nothing of where its rows stand.
        var by: [String]?
    }

    /// The slot that it is for.
    private(set) var slot: String
    private(set) var tables: [Table] = []
    /// Where pages begin of which rows may not be settled, oldest first.
    private(set) var pages: [Page] = []

    init(slot: String) {
        self.slot = slot
    }

    /// Reads what was kept for a slot; nil for anything else.
    init?(mark: String, slot: String) {
        guard let read = try? JSONDecoder().decode(Self.self, from: Data(mark.utf8)), read.slot == slot else {
            return nil
        }
        self = read
    }

    /// As it is kept.
    var mark: String {
        // Texts alone: it cannot fail.
        (try? JSONEncoder().encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// Tables of which nothing was handed out.
    var untouched: Set<PostgresTable> { Set(self.tables.filter { $0.state == .untouched }.map(\.name)) }

    /// Takes over which tables are wanted; whether that changes anything.
    ///
    /// A table that is no longer wanted is forgotten, and read anew when it is wanted again. `isFirst` says that the trigger has never
    /// run: of its tables nothing was handed out. Ask for ``unread(without:)`` before.
    mutating func want(_ wanted: [PostgresTable], isFirst: Bool) -> Bool {
        let before = self
        let known = Dictionary(self.tables.map { ($0.name, $0) }) { first, _ in first }
        self.tables = wanted.map { name in
            known[name]
                ?? Table(schema: name.schema, table: name.name, state: isFirst ? .untouched : .seen)
        }
        let names = Set(wanted)
        self.pages.removeAll { !names.contains($0.name) }
        return self != before
    }

    /// The tables that are no longer wanted before all of their rows were handed out and settled.
    func unread(without wanted: [PostgresTable]) -> [PostgresTable] {
        self.tables.filter { $0.state != .read && !wanted.contains($0.name) }.map(\.name)
    }

    /// Changes of all tables are handed out from here on, whenever their rows come.
    mutating func touchAll() {
        for table in self.untouched { self.touch(table) }
    }

    /// Begins all tables again: changes between them and what follows are missing.
    mutating func restart() {
        self.pages = []
        for index in self.tables.indices where self.tables[index].state == .read {
            self.tables[index].state = .seen
        }
    }

    /// A page of a table begins, behind a key, and behind what was handed out up to a position.
    mutating func begin(
        _ table: PostgresTable,
        after key: [String]?,
        by columns: [String]? = nil,
        behind position: Position
    ) {
        self.touch(table)
        self.pages.append(
            Page(
                before: "\(position)",
                schema: table.schema,
                table: table.name,
                after: key,
                by: key == nil ? nil : columns
            )
        )
    }

    /// All rows of a table are handed out, up to a position.
    mutating func end(_ table: PostgresTable, at position: Position) {
        self.touch(table)
        self.pages.append(
            Page(before: "\(position)", schema: table.schema, table: table.name, isEnd: true)
        )
    }

    private mutating func touch(_ table: PostgresTable) {
        for index in self.tables.indices where self.tables[index].name == table {
            if self.tables[index].state == .untouched { self.tables[index].state = .seen }
        }
    }

    /// All up to a position is settled: pages before the one in which the next row is are no longer needed.
    mutating func settle(_ position: Position?) {
        while let first = self.pages.first, first.isReached(position) {
            if first.isEnd {
                for index in self.tables.indices where self.tables[index].name == first.name {
                    self.tables[index].state = .read
                }
            } else {
                guard self.pages.count > 1, self.pages[1].isReached(position) else { return }
            }
            self.pages.removeFirst()
        }
    }

    /// What is left to read after a start, when all up to a position is settled.
    ///
    /// What was handed out and is not settled is read again.
    mutating func resume(behind position: Position?) -> [Part] {
        self.settle(position)
        let current = self.pages.first { !$0.isEnd }
        let first = current.map { [Part(table: $0.name, after: $0.after, by: $0.by)] } ?? []
        self.pages = current.map { [$0] } ?? []
        let others = self.tables.filter { $0.state != .read && $0.name != current?.name }
        return first + others.map { Part(table: $0.name, after: nil) }
    }
}
