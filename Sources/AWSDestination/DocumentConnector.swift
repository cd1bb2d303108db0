// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
package import PenstockRuntime

/// A service of AWS that is a destination of dead letters and of results, one document in a call, and no source.
package protocol DocumentConnector: Connector {
    /// What stands under its key.
    associatedtype Table: DocumentDestinationTable

    /// What it does with an invocation, for the documentation of `on_success`.
    static var resultSummary: String { get }
}

extension DocumentConnector {
    package static var source: Alternative<SourcePlan>? { nil }

    package static var destination: Alternative<DestinationPlan>? { Table.destination(Self.kind) }

    package static var results: Alternative<ResultPlan>? { Table.results(Self.kind, Self.resultSummary) }
}
