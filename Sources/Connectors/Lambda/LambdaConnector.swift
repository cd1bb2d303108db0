// SPDX-License-Identifier: Apache-2.0

package import AWSClient
import AWSConfiguration
package import AWSDestination
import CurlClient
package import PenstockConfiguration

/// AWS Lambda: a function as a destination of dead letters and of results.
package enum LambdaConnector: DocumentConnector {
    package typealias Table = LambdaDestinationConfiguration

    package static let kind = "lambda"
    package static let resultSummary = "Invokes a function of AWS Lambda for each invocation."
}

/// What stands under `lambda:` of a destination.
package struct LambdaDestinationConfiguration: DocumentDestinationTable {
    /// The fields under `lambda:`.
    package static let table = FieldTable(
        "lambda",
        "Invokes a function of AWS Lambda, without waiting for it, for each letter: with AWS's failure document.",
        [LambdaTarget.functionField, LambdaTarget.qualifierField] + AWSFields.all
    )

    package let service: LambdaQueue
    package let options: AWSOptions

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        let target = LambdaTarget(&reader)
        self.options = AWSOptions(
            &reader,
            region: target.region,
            connections: DocumentDestination<LambdaQueue>.connections
        )
        self.service = LambdaQueue(target: target)
    }
}

/// The queue that AWS Lambda keeps of a function's events: the call `Invoke` of the type `Event` (AWS Lambda API
/// Reference).
///
/// What is accepted is durable there.
package struct LambdaQueue: DocumentService {
    package static let signingName = "lambda"
    package static let permission = "lambda:InvokeFunction"
    package static let missingCode = "ResourceNotFoundException"

    /// Bytes of an asynchronous request: 1 MiB.
    package var sizeMax: Int { LambdaTarget.eventBytes }

    let target: LambdaTarget

    package var summary: String { "AWS Lambda \(self.target)" }

    package func advice(_ code: String) -> String? {
        code == Self.missingCode
            ? "create the function, or check \"function\", \"region\" and \"endpoint\"" : nil
    }

    /// `DryRun` tells all: the function is there and may be invoked.
    package var probes: DocumentProbes {
        DocumentProbes(target: nil, sending: self.target.invocation("DryRun", body: .none), emptyCodes: [])
    }

    package func call(_ document: OutgoingDocument) -> AWSCall {
        self.target.invocation("Event", body: .bytes(document.json))
    }
}
