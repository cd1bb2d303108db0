// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSConfiguration
package import PenstockConfiguration
package import PenstockRuntime

/// `lambda:` — functions in AWS Lambda.
package enum LambdaFunctionKind: FunctionKind {
    package static let kind = "lambda"

    package static var alternative: Alternative<FunctionPlan> {
        .key(Self.kind, LambdaFunctionConfiguration.table.summary, .table(LambdaFunctionConfiguration.self)) {
            configuration in
            var plan = FunctionPlan(
                kind: Self.kind,
                concurrency: configuration.concurrency,
                timeout: configuration.timeout,
                requestBytes: configuration.invocation == .event
                    ? LambdaTarget.eventBytes : InvocationLimit.requestBytes,
                answers: configuration.invocation == .wait,
                make: { name, context in
                    let configuration = configuration.sharing(context.shared.part { CredentialPool() })
                    return try LambdaFunction(
                        name: name,
                        configuration: configuration,
                        reactor: context.reactor
                    )
                }
            )
            plan.examine = { context in
                do throws(AWSError) {
                    let function = try LambdaFunction(
                        name: "doctor",
                        configuration: configuration.sharing(context.shared.part { CredentialPool() }),
                        reactor: context.reactor
                    )
                    let diagnosis = await function.examine()
                    await function.shutdown()
                    return [diagnosis]
                } catch {
                    return [.error("invoke", "\(error)")]
                }
            }
            return plan
        }
    }
}
