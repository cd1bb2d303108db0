// SPDX-License-Identifier: Apache-2.0

import AWSDestination
package import PenstockConfiguration
package import PenstockRuntime

/// Amazon S3: a bucket as a destination of dead letters and of results.
package enum S3Connector: Connector {
    package static let kind = "s3"

    package static var source: Alternative<SourcePlan>? { nil }

    package static var destination: Alternative<DestinationPlan>? {
        S3DestinationConfiguration.destination(Self.kind)
    }

    package static var results: Alternative<ResultPlan>? {
        S3DestinationConfiguration.results(Self.kind, "Puts an object for each invocation into a bucket.")
    }
}
