// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
package import PenstockRuntime

/// `lambda:` — functions in AWS Lambda.
package enum LambdaFunctionKind: FunctionKind {
    package static let kind = "lambda"

    /// Bytes of an asynchronous request: 1 MiB (AWS Lambda quotas).
    private static let eventBytes = 1_048_576

    package static var alternative: Alternative<FunctionPlan> {
        .key(Self.kind, LambdaFunctionConfiguration.table.summary, .table(LambdaFunctionConfiguration.self)) {
            configuration in
            FunctionPlan(
                kind: Self.kind,
                summary:
                    "AWS Lambda \(configuration.target.path)\(configuration.target.qualifier.map { ":\($0)" } ?? "")",
                concurrency: configuration.concurrency,
                timeout: configuration.timeout,
                requestBytes: configuration.invocation == .event
                    ? Self.eventBytes : InvocationLimit.requestBytes,
                answers: configuration.invocation == .wait,
                make: { name, context in
                    try LambdaFunction(name: name, configuration: configuration, reactor: context.reactor)
                }
            )
        }
    }
}
