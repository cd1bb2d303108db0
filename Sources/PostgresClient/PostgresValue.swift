// SPDX-License-Identifier: Apache-2.0

/// A parameter of a statement.
package enum PostgresValue: Sendable, Hashable {
    /// SQL's NULL.
    case null
    /// A value in its text form; the server takes it for the type that the statement needs.
    case text(String)
    /// A value in its binary form, such as the bytes of a `bytea`.
    case bytes([UInt8])

    /// A whole number.
    package static func integer(_ value: Int64) -> Self { .text(String(value)) }

    /// A Boolean.
    package static func boolean(_ value: Bool) -> Self { .text(value ? "t" : "f") }

    /// An array of texts, or of anything by its text form (Postgres: "Array Input and Output Syntax").
    package static func array(_ elements: [String?]) -> Self { .text(Self.arrayText(elements)) }

    /// The text form of such an array.
    package static func arrayText(_ elements: [String?]) -> String {
        var text = "{"
        for element in elements {
            if text.utf8.count > 1 { text += "," }
            guard let element else {
                text += "NULL"
                continue
            }
            text += "\""
            for character in element.unicodeScalars {
                if character == "\"" || character == "\\" { text += "\\" }
                text.unicodeScalars.append(character)
            }
            text += "\""
        }
        return text + "}"
    }
}

/// Whether values come as text or in the server's binary form.
package enum PostgresFormat: Int32, Sendable {
    /// As text.
    case text = 0
    /// In network byte order.
    case binary = 1
}

/// A statement with its parameters.
package struct PostgresQuery: Sendable, Hashable {
    /// One statement with `$1`, `$2`, …; or a script of several, see ``isScript``.
    package var sql: String

    /// The parameters.
    package var parameters: [PostgresValue]

    /// How the values of the result come.
    package var format: PostgresFormat

    /// Whether the text may hold several statements, which have no parameters and run as one transaction unless they say
    /// otherwise (Postgres: "Simple Query").
    package var isScript: Bool

    /// A statement.
    package init(_ sql: String, _ parameters: [PostgresValue] = [], format: PostgresFormat = .text) {
        self.sql = sql
        self.parameters = parameters
        self.format = format
        self.isScript = false
    }

    /// A script.
    package init(script: String) {
        self.init(script)
        self.isScript = true
    }
}

/// What a NOTIFY brought to a session that listens.
package struct PostgresNotification: Sendable, Hashable {
    /// The channel.
    package var channel: String
    /// The text, which is empty when there was none; below 8,000 bytes.
    package var payload: [UInt8]
    /// The server process that notified.
    package var backend: Int32

    /// A notification.
    package init(channel: String, payload: [UInt8], backend: Int32) {
        self.channel = channel
        self.payload = payload
        self.backend = backend
    }
}
