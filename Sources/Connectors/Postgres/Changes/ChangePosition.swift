// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient

/// Positions of a slot: where a transaction was committed, and which of its changes it is.
///
/// The last ten digits are the number of the change in its transaction, from 1, and the digits before them the place of
/// the commit in the log. Number 0 stands for the place alone: everything before it is settled. Transactions come in the order
/// of their commits, so that positions grow. Rows of an initial snapshot stand right before the place as of which they are:
/// behind what was committed before it, and before what was committed at it or later. Records of the log begin at multiples of
/// eight, so that no commit is there.
enum ChangePosition {
    /// More changes than a transaction can have.
    static let changesMax: UInt64 = 10_000_000_000

    /// A change of the transaction that was committed there.
    static func change(_ commit: LogSequenceNumber, _ index: UInt64) -> Position {
        Position(wide: UInt128(commit.rawValue) * UInt128(Self.changesMax) + UInt128(index))
    }

    /// A row of the snapshot as of a place, by its number from 1; 0 for before the first one.
    static func row(_ place: LogSequenceNumber, _ index: UInt64) -> Position {
        Self.change(LogSequenceNumber(place.rawValue - 1), index)
    }

    /// The place in the log of a position; nil for a number that is none.
    static func parts(_ position: Position) -> (commit: LogSequenceNumber, index: UInt64)? {
        guard let number = position.wide else { return nil }
        let (commit, index) = number.quotientAndRemainder(dividingBy: UInt128(Self.changesMax))
        guard let commit = UInt64(exactly: commit) else { return nil }
        return (LogSequenceNumber(commit), UInt64(truncatingIfNeeded: index))
    }

    /// The place of a snapshot, given where its rows stand; nil where a transaction was committed.
    static func snapshot(_ commit: LogSequenceNumber) -> LogSequenceNumber? {
        commit.rawValue & 7 == 7 && commit.rawValue < .max ? LogSequenceNumber(commit.rawValue + 1) : nil
    }

    /// What the event calls it: `0/16B3748-3`, and `snapshot-0/16B3748-17` for a row of a snapshot.
    static func text(_ position: Position) -> String {
        guard let (commit, index) = Self.parts(position) else { return "\(position)" }
        guard let place = Self.snapshot(commit) else { return "\(commit)-\(index)" }
        return "\(Self.prefix)\(place)-\(index)"
    }

    static let prefix = "snapshot-"

    /// Reads what ``text(_:)`` writes, a place alone, and decimal numbers.
    static func read(_ text: String) -> Position? {
        let isRow = text.hasPrefix(Self.prefix)
        let rest = isRow ? text.dropFirst(Self.prefix.count) : text[...]
        let parts = rest.split(separator: "-", omittingEmptySubsequences: false)
        guard let first = parts.first, parts.count <= 2, var commit = LogSequenceNumber(String(first)) else {
            return isRow ? nil : Position(text)
        }
        if isRow {
            guard commit.rawValue > 0, commit.rawValue & 7 == 0 else { return nil }
            commit.rawValue -= 1
        }
        guard parts.count == 2 else { return Self.change(commit, 0) }
        guard let index = UInt64(parts[1]), index < Self.changesMax else { return nil }
        return Self.change(commit, index)
    }
}

/// What happened to a row; the tag of its record.
enum ChangeKind: UInt8, Sendable, CaseIterable {
    case insert, update, delete, truncate, read

    /// As the event has it.
    var name: String {
        switch self {
        case .insert: "INSERT"
        case .update: "UPDATE"
        case .delete: "DELETE"
        case .truncate: "TRUNCATE"
        case .read: "READ"
        }
    }

    /// The same with quotes.
    var quoted: StaticString {
        switch self {
        case .insert: #""INSERT""#
        case .update: #""UPDATE""#
        case .delete: #""DELETE""#
        case .truncate: #""TRUNCATE""#
        case .read: #""READ""#
        }
    }
}

/// What a record of a change has besides its body, the row as it is now.
enum ChangeAttribute {
    static let schema: StaticString = "schema"
    static let table: StaticString = "table"
    /// Where the change itself stands in the log.
    static let lsn: StaticString = "lsn"
    /// The number of its transaction.
    static let transaction: StaticString = "xid"
    /// The row as it was, or its key.
    static let old: StaticString = "old"
    /// The names of columns that were not sent because they did not change, as a list.
    static let unchanged: StaticString = "unchanged"
}
