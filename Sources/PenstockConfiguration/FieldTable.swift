// SPDX-License-Identifier: Apache-2.0

/// The fields of one mapping of a configuration, in the order in which they are documented and explained.
package struct FieldTable: Sendable {
    /// What findings call the mapping: `unknown key "queue_ulr" in sqs`.
    package let title: String

    /// One sentence on what the mapping is for.
    package let summary: String
    package let fields: [any AnyField]

    /// Names must be different; two the same is a programming error.
    package init(_ title: String, _ summary: String, _ fields: [any AnyField]) {
        precondition(Set(fields.map(\.name)).count == fields.count, "\(title): two fields have the same name")
        self.title = title
        self.summary = summary
        self.fields = fields
    }

    /// Whether a field must be given, so that the mapping cannot be left out.
    package var isRequired: Bool {
        self.fields.contains { $0.isRequired }
    }

    /// The field of that name.
    package subscript(name: String) -> (any AnyField)? {
        self.fields.first { $0.name == name }
    }
}

/// A type that is read from a mapping by a table of fields.
package protocol ConfigurationTable: Sendable {
    /// The fields of the mapping.
    static var table: FieldTable { get }

    /// Reads each field; what is wrong is recorded in the reader, never thrown.
    init(_ reader: inout ConfigurationReader)
}
