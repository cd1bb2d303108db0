// SPDX-License-Identifier: Apache-2.0

import CLibpq

/// Where a database is, and as whom to connect: libpq's connection parameters (Postgres: "Parameter Key Words").
///
/// Passwords are in it, and in none of its descriptions.
package struct PostgresAddress: Sendable, Hashable {
    /// By libpq's key words.
    private var parameters: [String: String]

    /// Reads `postgresql://user@host:5432/database?sslmode=verify-full`, or `host=… dbname=… sslmode=…`.
    ///
    /// What is left out comes from libpq's environment variables and its password file, when a connection is made.
    ///
    /// - Throws: ``PostgresError`` with `invalid`; its text shows nothing of what was given, which may hold a password.
    package init(_ text: String) throws(PostgresError) {
        var message: UnsafeMutablePointer<CChar>?
        guard let options = unsafe PQconninfoParse(text, &message) else {
            unsafe PQfreemem(message)
            throw PostgresError(.invalid, Self.form)
        }
        defer { unsafe PQconninfoFree(options) }
        var parameters: [String: String] = [:]
        var index = 0
        while let keyword = unsafe options[index].keyword {
            if let value = unsafe options[index].val {
                parameters[unsafe String(cString: keyword)] = unsafe String(cString: value)
            }
            index += 1
        }
        self.parameters = parameters
        // A password that holds one of /@: as it stands makes parts of it the host, the port or the database, which are shown.
        let isURI = text.hasPrefix("postgres://") || text.hasPrefix("postgresql://")
        guard Self.list(parameters["port"]).allSatisfy({ $0.utf8.allSatisfy { 0x30...0x39 ~= $0 } }),
            !Self.list(parameters["host"]).contains(where: { $0.contains("@") }),
            !isURI || parameters["dbname"]?.contains("@") != true
        else { throw PostgresError(.invalid, Self.form) }
    }

    private static let form =
        "is no connection string; write postgresql://user@host:5432/database, or host=… dbname=…, and other than plain "
        + "characters of a user or a password as %XX"

    /// The value of one of libpq's key words; nil when it is not set.
    package subscript(_ keyword: String) -> String? {
        get { self.parameters[keyword] }
        set { self.parameters[keyword] = newValue }
    }

    /// Whether a password is in it.
    package var hasPassword: Bool { self.parameters["password"] != nil }

    /// The database by its name, as far as it is said here: libpq takes that of the user otherwise.
    package var database: String { self.parameters["dbname"] ?? self.parameters["user"] ?? "postgres" }

    /// What to try, one after the other: libpq takes lists of hosts, each with its port or one for all.
    var attempts: [[String: String]] {
        let hosts = Self.list(self.parameters["host"])
        let addresses = Self.list(self.parameters["hostaddr"])
        let ports = Self.list(self.parameters["port"])
        let count = max(hosts.count, addresses.count, 1)
        guard count > 1 else { return [self.filled(self.parameters)] }
        return (0..<count).map { index in
            var parameters = self.parameters
            parameters["host"] = hosts.count > index ? hosts[index] : nil
            parameters["hostaddr"] = addresses.count > index ? addresses[index] : nil
            parameters["port"] = ports.count > index ? ports[index] : ports.first
            return self.filled(parameters)
        }
    }

    private static func list(_ text: String?) -> [String] {
        text?.split(separator: ",", omittingEmptySubsequences: false).map(String.init) ?? []
    }

    /// A peer that vanished without a word is noticed within half a minute, also by a session that only listens.
    private func filled(_ parameters: [String: String]) -> [String: String] {
        let defaults = [
            "application_name": "penstock", "client_encoding": "UTF8", "keepalives_idle": "15",
            "keepalives_interval": "5", "keepalives_count": "3", "tcp_user_timeout": "30000",
        ]
        return parameters.merging(defaults) { own, _ in own }
    }
}

extension PostgresAddress: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// `orders at db.example.com:5432 as app`.
    package var description: String {
        let hosts = Self.list(self.parameters["host"] ?? self.parameters["hostaddr"])
        let ports = Self.list(self.parameters["port"])
        let places = hosts.enumerated().map { index, host in
            let port = ports.count > index ? ports[index] : ports.first ?? "5432"
            return host.hasPrefix("/") ? host : "\(host):\(port)"
        }
        let user = self.parameters["user"].map { " as \($0)" } ?? ""
        return "\(self.database)\(places.isEmpty ? "" : " at " + places.joined(separator: ", "))\(user)"
    }

    package var debugDescription: String { self.description }
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
