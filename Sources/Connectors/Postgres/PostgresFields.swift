// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PostgresClient

/// The keys by which each part of the connector says where its database is.
enum PostgresFields {
    static let urlField = Field<Secret>(
        "url",
        "Where the database is: postgresql://user@host:5432/database?sslmode=verify-full, or host=… dbname=…. Never shown, because it may hold the password.",
        .hidden { (try? PostgresAddress($0))?.hasPassword ?? false }
    )
    static let passwordField = Field.secret("password", "The password, when it is not in `url`.").optional

    static let all: [any AnyField] = [urlField, passwordField]

    /// Reads them; records what is wrong with them.
    static func address(_ reader: inout ConfigurationReader) -> PostgresAddress? {
        let url = reader[Self.urlField].reveal()
        let password = reader[Self.passwordField]
        do {
            var address = try PostgresAddress(url)
            reader.require(
                password == nil || !address.hasPassword,
                at: Self.passwordField,
                "is in \"url\" already",
                suggestion: "keep one of them"
            )
            if let password { address["password"] = password.reveal() }
            return address
        } catch {
            reader.require(false, at: Self.urlField, code: .badValue, error.detail)
            return nil
        }
    }
}
