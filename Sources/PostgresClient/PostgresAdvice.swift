// SPDX-License-Identifier: Apache-2.0

/// What operators are told of a database that does not do what is needed.
package enum PostgresAdvice {
    /// What went wrong, with what, and what to do.
    ///
    /// - Parameters:
    ///   - error: What went wrong.
    ///   - address: The database.
    ///   - key: The key of the configuration that says where the database is.
    /// - Returns: One sentence, without the password.
    package static func text(
        _ error: PostgresError,
        _ address: PostgresAddress,
        key: String = "url"
    ) -> String {
        let advice =
            switch error.sqlState {
            case "25006": "; the server is a standby, and takes reads only: connect to the primary"
            case "3D000": "; name another database in \"\(key)\", or make it"
            case "53300": "; raise max_connections, or end sessions that nobody needs"
            case "42P01", "42703": "; make it, or name another one"
            case "42501": "; grant it to the user"
            default:
                error.code == .unauthorized
                    ? "; check user and password of \"\(key)\", and the server's pg_hba.conf" : ""
            }
        return "postgres \(address): \(error)\(advice)"
    }

    /// A standby was found.
    ///
    /// - Parameters:
    ///   - address: The database.
    ///   - what: What can not be done there, such as `nothing can listen`.
    ///   - key: The key of the configuration that says where the database is.
    /// - Returns: One sentence.
    package static func standby(
        _ address: PostgresAddress,
        where what: String = "nothing can listen",
        key: String = "url"
    ) -> String {
        "postgres \(address): the server is a standby in recovery, where \(what); connect to the primary, or name "
            + "all hosts in \"\(key)\" with target_session_attrs=read-write"
    }

    /// A pooler was found that gives each transaction another session.
    package static func pooler(_ address: PostgresAddress) -> String {
        "postgres \(address): notifications do not arrive through the pooler that stands before the server, such as PgBouncer "
            + "in transaction mode; connect to the server itself, or to a pool in session mode"
    }
}
