// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSConfiguration
package import PenstockConfiguration
import PenstockCore
import PenstockRuntime

/// What stands under `lambda:` of a function.
package struct LambdaFunctionConfiguration: ConfigurationTable {
    /// How AWS Lambda is asked to run it.
    package enum InvocationType: String, CaseIterable, Sendable {
        /// Wait for the answer: `RequestResponse`.
        case wait = "request_response"
        /// Put into AWS's own queue of the function: `Event`.
        case event
    }

    static let invocation = Field.choice(
        "invocation",
        "`request_response` waits for the answer; `event` leaves retries and failures to AWS: accepted is succeeded.",
        default: InvocationType.wait
    )
    static let timeout = Field.duration(
        "timeout",
        "How long to wait for an answer; the function's own time-out in AWS should be shorter.",
        default: .seconds(900),
        in: .seconds(1) ... .seconds(920)
    )
    static let concurrency = Field.integer(
        "concurrency",
        "Invocations side by side at most.",
        default: 10,
        in: 1...1000
    )
    static let logTail = Field.boolean(
        "log_tail",
        "Ask for the last 4 KB of the log with each invocation, and keep its end with a failure.",
        default: false
    )

    /// The fields under `lambda:`.
    package static let table = FieldTable(
        "lambda",
        "A function in AWS Lambda, or in anything with its API.",
        [
            LambdaTarget.functionField, LambdaTarget.qualifierField, Self.invocation,
        ] + AWSFields.all + [Self.timeout, Self.concurrency, Self.logTail]
    )

    let target: LambdaTarget
    let invocation: InvocationType
    let timeout: Duration
    let concurrency: Int
    let wantsLogTail: Bool
    private(set) var options: AWSOptions

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        self.target = LambdaTarget(&reader)
        self.invocation = reader[Self.invocation]
        self.timeout = reader[Self.timeout]
        self.concurrency = reader[Self.concurrency]
        self.wantsLogTail = reader[Self.logTail]
        reader.advise(
            self.invocation == .wait || !self.wantsLogTail,
            at: Self.logTail,
            "has no effect: AWS gives no log for `invocation: event`"
        )
        self.options = AWSOptions(&reader, region: self.target.region, connections: self.concurrency)
    }

    /// The same with credentials that others look for, too.
    func sharing(_ pool: CredentialPool) -> Self {
        var copy = self
        copy.options = self.options.sharing(pool)
        return copy
    }
}
