// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
package import PenstockRuntime

/// `local:` — processes that speak the Lambda Runtime API.
package enum LocalFunctionKind: FunctionKind {
    package static let kind = "local"

    package static var alternative: Alternative<FunctionPlan> {
        .key(Self.kind, LocalFunctionConfiguration.table.summary, .table(LocalFunctionConfiguration.self)) {
            configuration in
            FunctionPlan(
                kind: Self.kind,
                summary: configuration.command.joined(separator: " "),
                concurrency: configuration.concurrency,
                make: { name, context in
                    LocalFunction(name: name, configuration: configuration, reactor: context.reactor)
                }
            )
        }
    }
}
