// SPDX-License-Identifier: Apache-2.0

import AWSDestination
package import PenstockConfiguration
package import PenstockRuntime

/// Amazon SNS: a topic as a destination of dead letters and of results.
package enum SNSConnector: Connector {
    package static let kind = "sns"

    package static var source: Alternative<SourcePlan>? { nil }

    package static var destination: Alternative<DestinationPlan>? {
        SNSDestinationConfiguration.destination(Self.kind)
    }

    package static var results: Alternative<ResultPlan>? {
        SNSDestinationConfiguration.results(Self.kind, "Publishes a message for each invocation to a topic.")
    }
}
