// SPDX-License-Identifier: Apache-2.0

import AWSDestination
package import PenstockConfiguration
package import PenstockRuntime

/// Amazon EventBridge: an event bus as a destination of dead letters and of results.
package enum EventBridgeConnector: Connector {
    package static let kind = "eventbridge"

    package static var source: Alternative<SourcePlan>? { nil }

    package static var destination: Alternative<DestinationPlan>? {
        EventBridgeDestinationConfiguration.destination(Self.kind)
    }

    package static var results: Alternative<ResultPlan>? {
        EventBridgeDestinationConfiguration.results(
            Self.kind,
            "Puts an event for each invocation onto a bus."
        )
    }
}
