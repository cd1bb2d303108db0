// SPDX-License-Identifier: Apache-2.0

import PostgresClient

extension StoreError {
    /// What an error of Postgres means for the store there.
    ///
    /// The text names the database and the server's own message, never a value that was written, nor the password.
    init(_ error: PostgresError, _ location: PostgresLocation, opening: Bool = false) {
        let text = PostgresAdvice.text(error, location.address, key: "state")
        switch error.code {
        case .unauthorized: self.init(.cannotOpen, text)
        case .unreachable:
            let advice = error.sqlState == nil ? "; see that it runs and can be reached" : ""
            self.init(.unreachable, text + advice)
        case .connectionLost, .timedOut, .cancelled, .closed:
            self.init(.unreachable, "\(text); what was being written may have been kept or not")
        case .invalid: self.init(.inputOutput, text)
        case .rejected:
            switch error.sqlState {
            case "53100": self.init(.diskFull, "\(text); free some space on the server's disk")
            case "XX001", "XX002": self.init(.corrupt, "\(text); restore a backup")
            case "25006": self.init(.unreachable, text)
            case "42P01", "42883", "42703":
                let schema = "the store's tables in the schema \(location.schema)"
                self.init(
                    .inputOutput,
                    "postgres \(location.address): \(error); \(schema) are not whole: restore a backup"
                )
            default: self.init(opening ? .cannotOpen : .inputOutput, text)
            }
        }
    }

    /// The refusal of a store that was closed.
    static func closed(_ location: PostgresLocation) -> StoreError {
        StoreError(.closed, "\(location): the store was closed")
    }

    /// The server is one that takes no writes.
    static func standby(_ location: PostgresLocation) -> StoreError {
        let text = PostgresAdvice.standby(location.address, where: "nothing can be written", key: "state")
        return StoreError(.unreachable, text)
    }
}

extension PostgresError {
    /// What it says of a transaction that several writes share.
    enum Verdict {
        /// The server chose this transaction to give up, for another one's sake: the same may go well now.
        case again
        /// One of the writes was refused, and the others may succeed.
        case one
        /// A lease that the writes were made under has another epoch by now.
        case fenced
        /// All writes meet it alike.
        case all
        /// All writes meet it alike, and the session is of no more use.
        case lost
    }

    /// What it says of a transaction that several writes share.
    var verdict: Verdict {
        switch self.code {
        case .invalid: return .one
        case .unauthorized, .closed: return .all
        case .unreachable, .timedOut, .connectionLost, .cancelled: return .lost
        case .rejected: break
        }
        guard let state = self.sqlState else { return .all }
        if state == PostgresMigrations.fencedState { return .fenced }
        if state == "25006" { return .lost }
        // Two Penstocks that write the same lines at once find that out by the key of their order.
        if state.hasPrefix("40") || state == "23505" { return .again }
        // Whoever holds the lock holds up the others, too: they would wait for it one after the other.
        if state == "55P03" { return .all }
        if ["53", "57", "58", "XX"].contains(where: { state.hasPrefix($0) }) { return .all }
        return .one
    }
}
