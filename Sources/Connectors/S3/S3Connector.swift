// SPDX-License-Identifier: Apache-2.0

import AWSDestination

/// Amazon S3: a bucket as a destination of dead letters and of results.
package enum S3Connector: DocumentConnector {
    package typealias Table = S3DestinationConfiguration

    package static let kind = "s3"
    package static let resultSummary = "Puts an object for each invocation into a bucket."
}
