// SPDX-License-Identifier: Apache-2.0

package import AWSClient
package import PenstockConfiguration
package import PenstockRuntime

/// What stands under a destination of AWS's: a service, and how to call it.
package protocol DocumentDestinationTable: ConfigurationTable {
    associatedtype Service: DocumentService

    /// The service as configured.
    var service: Service { get }

    /// Where it is, and as whom it is called.
    var options: AWSOptions { get }
}

extension DocumentDestinationTable {
    /// Under `on_failure`.
    package static func destination(_ kind: String) -> Alternative<DestinationPlan> {
        .key(kind, Self.table.summary, .table(Self.self)) { configuration in
            var plan = DestinationPlan(
                kind: kind,
                summary: configuration.service.summary,
                make: { context, source throws(DestinationError) in
                    try DocumentDestination(
                        configuration.service,
                        FailureDocument(source, as: Service.form),
                        options: configuration.options.sharing(context.shared.part { CredentialPool() }),
                        reactor: context.reactor
                    )
                }
            )
            plan.examine = { await configuration.examine($0) }
            return plan
        }
    }

    /// Under `on_success`; `summary` says what it does with an invocation.
    package static func results(_ kind: String, _ summary: String) -> Alternative<ResultPlan> {
        .key(kind, summary, .table(Self.self)) { configuration in
            var plan = ResultPlan(
                summary: configuration.service.summary,
                make: { context throws(DestinationError) in
                    try DocumentDestination(
                        configuration.service,
                        nil,
                        options: configuration.options.sharing(context.shared.part { CredentialPool() }),
                        reactor: context.reactor
                    )
                }
            )
            plan.examine = { await configuration.examine($0) }
            return plan
        }
    }

    /// For `penstock doctor`.
    private func examine(_ context: RuntimeContext) async -> [Diagnosis] {
        do throws(DestinationError) {
            let destination = try DocumentDestination(
                self.service,
                nil,
                options: self.options.sharing(context.shared.part { CredentialPool() }),
                reactor: context.reactor
            )
            let found = await destination.examine()
            await destination.close()
            return found
        } catch {
            return [.error("destination", error.detail)]
        }
    }
}
