// SPDX-License-Identifier: Apache-2.0

import GRDB

extension StoreError {
    /// What an error of SQLite means for the store at `file`.
    ///
    /// The text names the file and SQLite's own message, never a value that was written.
    init(_ error: any Error, file: StoreFile, opening: Bool = false) {
        self.init(error, name: file.name, isDiskFull: file.isDiskFull, opening: opening)
    }

    /// The same for a store that an operator calls `name`.
    init(_ error: any Error, name: String, isDiskFull: @autoclosure () -> Bool, opening: Bool) {
        if let error = error as? StoreError {
            self = error
            return
        }
        guard let error = error as? DatabaseError else {
            self.init(.inputOutput, "\"\(name)\": \(error)")
            return
        }
        let reason = "\(error.message ?? "no message") (SQLite \(error.extendedResultCode.rawValue))"
        switch error.resultCode {
        case .SQLITE_FULL:
            self.init(.diskFull, "\"\(name)\" cannot grow, the disk is full: \(reason); free some space")
        case .SQLITE_IOERR where isDiskFull(), .SQLITE_CANTOPEN where isDiskFull():
            self.init(.diskFull, "\"\(name)\" cannot grow, the disk is full: \(reason); free some space")
        case .SQLITE_NOTADB:
            self.init(
                .corrupt,
                "\"\(name)\" is not a Penstock store: \(reason); "
                    + "give another state path, or restore a backup"
            )
        case .SQLITE_CORRUPT:
            self.init(.corrupt, "\"\(name)\" is damaged: \(reason); restore a backup, or move it away")
        case .SQLITE_BUSY, .SQLITE_LOCKED:
            self.init(
                .inputOutput,
                "\"\(name)\" is locked by another program: \(reason); close that program"
            )
        case .SQLITE_CANTOPEN where opening, .SQLITE_READONLY where opening, .SQLITE_PERM where opening:
            self.init(.cannotOpen, "\"\(name)\" cannot be opened: \(reason); check its permissions")
        default:
            self.init(.inputOutput, "\"\(name)\": \(reason)")
        }
    }

    /// The refusal of a store that was closed.
    static func closed(_ file: StoreFile) -> StoreError {
        StoreError(.closed, "\"\(file.name)\" was closed")
    }
}

extension DatabaseError {
    /// Whether the write itself was refused, and others of its group may still succeed.
    ///
    /// Everything else (disk, memory, locks, damage) is the store's state and meets every write alike.
    var isAboutOneWrite: Bool {
        switch self.resultCode {
        case .SQLITE_CONSTRAINT, .SQLITE_TOOBIG, .SQLITE_MISMATCH, .SQLITE_RANGE, .SQLITE_ERROR: true
        default: false
        }
    }
}
