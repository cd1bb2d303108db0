// SPDX-License-Identifier: Apache-2.0

import HTTPEndpoints
package import PenstockConfiguration
package import PenstockRuntime

/// HTTP endpoints: a destination of dead letters and of results, a document in each POST.
package enum HTTPConnector: Connector {
    package static let kind = "http"

    package static var source: Alternative<SourcePlan>? { nil }

    package static var destination: Alternative<DestinationPlan>? {
        .key(Self.kind, HTTPDestinationConfiguration.table.summary, .table(HTTPDestinationConfiguration.self))
        { configuration in
            var plan = DestinationPlan(
                kind: Self.kind,
                summary: configuration.summary,
                make: { context, source throws(DestinationError) in
                    try HTTPDestination(configuration, FailureDocument(source), reactor: context.reactor)
                }
            )
            plan.examine = { [await configuration.endpoint.examine($0)] }
            return plan
        }
    }

    package static var results: Alternative<ResultPlan>? {
        .key(Self.kind, "POSTs a document for each invocation.", .table(HTTPDestinationConfiguration.self)) {
            configuration in
            var plan = ResultPlan(
                summary: configuration.summary,
                make: { context throws(DestinationError) in
                    try HTTPDestination(configuration, nil, reactor: context.reactor)
                }
            )
            plan.examine = { [await configuration.endpoint.examine($0)] }
            return plan
        }
    }
}
