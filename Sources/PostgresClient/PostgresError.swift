// SPDX-License-Identifier: Apache-2.0

/// Why Postgres did not do what was asked.
package struct PostgresError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What went wrong, for a program.
    package enum Code: String, Sendable {
        /// What was given cannot be used: a connection string, a text that holds a NUL.
        case invalid
        /// No server answers there, or it takes no connections now.
        case unreachable
        /// The server refused the user or the password.
        case unauthorized
        /// It took too long.
        case timedOut
        /// The connection broke; nobody knows what became of a statement under way.
        case connectionLost
        /// The server refused the statement.
        case rejected
        /// The task was cancelled, or the server was told to give up the statement.
        case cancelled
        /// The connection was closed on our side.
        case closed
    }

    /// What went wrong, for a program.
    package var code: Code

    /// The server's own code of five characters (Postgres: Appendix A); nil when the server said nothing.
    package var sqlState: String?

    /// What happened, in one sentence; no values of rows or parameters, no password.
    package var detail: String

    /// An error of ours.
    package init(_ code: Code, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    /// An error of the server.
    ///
    /// - Parameters:
    ///   - sqlState: Its code.
    ///   - message: Its primary message; what may be a value in it is left out.
    ///   - hint: What it advises.
    package init(sqlState: String, message: String, hint: String?) {
        self.code = Self.code(of: sqlState)
        self.sqlState = sqlState
        guard Self.namesOnly.contains(where: { sqlState.hasPrefix($0) }) else {
            self.detail = Self.withoutValues(message)
            return
        }
        self.detail = message + (hint.flatMap { $0.isEmpty ? nil : " (\($0))" } ?? "")
    }

    /// An error that a function of the database raised by itself, in words of its own, which may hold values of rows.
    ///
    /// - Parameters:
    ///   - sqlState: Its code, which the function chose.
    ///   - place: Where that was, such as `PL/pgSQL function note() line 2 at RAISE`; empty when that is not known.
    package init(raised sqlState: String, at place: String) {
        self.code = Self.code(of: sqlState)
        self.sqlState = sqlState
        self.detail =
            "\(place.isEmpty ? "a function of the database" : place) refused it; the server's log says why"
    }

    /// The classes of errors whose primary messages hold names of things, and nothing of what rows or parameters hold.
    ///
    /// Postgres: Appendix A. Not 22, data exceptions; nor what comes with extensions and functions.
    private static let namesOnly = [
        "08", "0A", "21", "23", "24", "25", "26", "28", "2B", "2D", "34", "3B", "3D", "3F", "40", "42", "44",
        "53", "54",
        "55", "57", "58",
    ]

    /// What is left of a message such as `invalid input syntax for type integer: "…"`, `value "…" is out of range for type
    /// integer` or `invalid byte sequence for encoding "UTF8": 0xff`.
    private static func withoutValues(_ message: String) -> String {
        var text = message
        // Quotes within a value are not marked.
        if let first = text.firstIndex(of: "\""), let last = text.lastIndex(of: "\""), first < last {
            text.replaceSubrange(text.index(after: first)..<last, with: "…")
        }
        if let end = text.firstRange(of: ": \"…\"") { text = String(text[..<end.lowerBound]) }
        return text.replacing(/0x[0-9A-Fa-f]+(?: 0x[0-9A-Fa-f]+)*/, with: "…")
    }

    /// Whether the same may well go well a little later: the server starts or stops, has no room, or chose this
    /// transaction among several to give up.
    package var isTransient: Bool {
        switch self.code {
        case .unreachable, .timedOut, .connectionLost: return true
        case .invalid, .unauthorized, .closed, .cancelled: return false
        case .rejected: break
        }
        guard let state = self.sqlState else { return false }
        return ["08", "40", "53", "57", "58"].contains { state.hasPrefix($0) } || state == "55P03"
    }

    package var description: String {
        self.sqlState.map { "\(self.detail) (SQLSTATE \($0))" } ?? self.detail
    }

    private static func code(of state: String) -> Code {
        switch state {
        case "57014": return .cancelled
        // The server stops, has crashed, starts, or its database is dropped.
        case "57P01", "57P02", "57P03", "57P04", "53300": return .unreachable
        default: break
        }
        if state.hasPrefix("28") { return .unauthorized }
        if state.hasPrefix("08") { return .connectionLost }
        return .rejected
    }
}
