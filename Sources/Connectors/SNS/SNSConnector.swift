// SPDX-License-Identifier: Apache-2.0

import AWSDestination

/// Amazon SNS: a topic as a destination of dead letters and of results.
package enum SNSConnector: DocumentConnector {
    package typealias Table = SNSDestinationConfiguration

    package static let kind = "sns"
    package static let resultSummary = "Publishes a message for each invocation to a topic."
}
