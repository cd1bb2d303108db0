// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
package import PenstockRuntime

/// Files: dead letters and results as lines of JSON.
package enum FileConnector: Connector {
    package static let kind = "file"

    package static var source: Alternative<SourcePlan>? { nil }

    package static var destination: Alternative<DestinationPlan>? {
        .key(Self.kind, FileDestinationConfiguration.table.summary, .table(FileDestinationConfiguration.self))
        {
            configuration in
            DestinationPlan(
                kind: Self.kind,
                summary: "file \(configuration.path)",
                make: { _, source throws(DestinationError) in
                    try FileDestination(path: configuration.path, document: FailureDocument(source))
                }
            )
        }
    }
}

extension FileConnector {
    package static var results: Alternative<ResultPlan>? {
        .key(
            Self.kind,
            "A file: a line of JSON for each invocation.",
            .table(FileDestinationConfiguration.self)
        ) {
            configuration in
            ResultPlan(
                summary: "file \(configuration.path)",
                make: { _ throws(DestinationError) in try FileResultDestination(path: configuration.path) }
            )
        }
    }
}

/// `on_failure.file:` and `on_success.file:` of a trigger.
package struct FileDestinationConfiguration: ConfigurationTable {
    static let pathField = Field.string(
        "path",
        "The file, made when it does not exist; lines are added at its end."
    )
    package static let table = FieldTable(
        "file",
        "A file: lines of JSON, each on disk before its records are settled.",
        [pathField]
    )

    /// The file.
    package let path: String

    package init(_ reader: inout ConfigurationReader) {
        self.path = reader[Self.pathField]
    }
}
