// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient

/// Positions of a slot: where a transaction was committed, and which of its changes it is.
///
/// The last ten digits are the number of the change in its transaction, from 1, and the digits before them the place of
/// the commit in the log. Number 0 stands for the place alone: everything before it is settled. Transactions come in the order
/// of their commits, so that positions grow. Rows of the initial snapshot are numbered from 1 on, far below any place in
/// the log of a real server, which begins at 16 MiB.
enum ChangePosition {
    /// More changes than a transaction can have.
    static let changesMax: UInt64 = 10_000_000_000

    /// Below it are rows of the initial snapshot.
    private static let snapshotEnd = UInt128(1 << 20) * UInt128(Self.changesMax)

    /// A change of the transaction that was committed there.
    static func change(_ commit: LogSequenceNumber, _ index: UInt64) -> Position {
        Position(wide: UInt128(commit.rawValue) * UInt128(Self.changesMax) + UInt128(index))
    }

    /// The place in the log of a position; nil for a row of the snapshot.
    static func parts(_ position: Position) -> (commit: LogSequenceNumber, index: UInt64)? {
        guard let number = position.wide, number >= Self.snapshotEnd else { return nil }
        let (commit, index) = number.quotientAndRemainder(dividingBy: UInt128(Self.changesMax))
        return (LogSequenceNumber(UInt64(truncatingIfNeeded: commit)), UInt64(truncatingIfNeeded: index))
    }

    /// What the event calls it: `0/16B3748-3`, and `snapshot-17` for a row of the snapshot.
    static func text(_ position: Position) -> String {
        guard let (commit, index) = Self.parts(position) else { return "snapshot-\(position)" }
        return "\(commit)-\(index)"
    }

    /// Reads what ``text(_:)`` writes, a place alone, and decimal numbers.
    static func read(_ text: String) -> Position? {
        if text.hasPrefix("snapshot-") { return Position(String(text.dropFirst(9))) }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard let first = parts.first, parts.count <= 2, let commit = LogSequenceNumber(String(first)) else {
            return Position(text)
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
