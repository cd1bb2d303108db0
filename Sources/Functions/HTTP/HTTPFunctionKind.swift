// SPDX-License-Identifier: Apache-2.0

import HTTPEndpoints
package import PenstockConfiguration
package import PenstockRuntime

/// `http:` — endpoints that take a POST.
package enum HTTPFunctionKind: FunctionKind {
    package static let kind = "http"

    package static var alternative: Alternative<FunctionPlan> {
        .key(Self.kind, HTTPFunctionConfiguration.table.summary, .table(HTTPFunctionConfiguration.self)) {
            configuration in
            var plan = FunctionPlan(
                kind: Self.kind,
                concurrency: configuration.concurrency,
                timeout: configuration.endpoint.timeout,
                takesSingleRecords: configuration.batchSizeMax == 1,
                takesEvents: configuration.format == .lambda,
                make: { name, context in
                    try HTTPFunction(name: name, configuration: configuration, reactor: context.reactor)
                }
            )
            plan.examine = { [await configuration.endpoint.examine($0)] }
            return plan
        }
    }
}
