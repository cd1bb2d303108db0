// SPDX-License-Identifier: Apache-2.0

import AWSDestination

/// Amazon EventBridge: an event bus as a destination of dead letters and of results.
package enum EventBridgeConnector: DocumentConnector {
    package typealias Table = EventBridgeDestinationConfiguration

    package static let kind = "eventbridge"
    package static let resultSummary = "Puts an event for each invocation onto a bus."
}
