// SPDX-License-Identifier: Apache-2.0

import AWSClient
package import PenstockConfiguration
import PenstockCore
package import PenstockRuntime

/// Amazon SQS: a queue as a source, and as a destination of dead letters and of results.
package enum SQSConnector: Connector {
    package static let kind = "sqs"

    package static var source: Alternative<SourcePlan>? {
        .key(Self.kind, SQSSourceConfiguration.table.summary, .table(SQSSourceConfiguration.self)) {
            configuration in
            // Until the trigger says what its function and its batches are like.
            let terms = TriggerTerms(functionTimeout: .seconds(30), batchWindow: .zero)
            var plan = Self.plan(configuration, terms)
            plan.fit = { Self.plan(configuration, $0) }
            return plan
        }
    }

    package static var destination: Alternative<DestinationPlan>? {
        .key(Self.kind, SQSDestinationConfiguration.table.summary, .table(SQSDestinationConfiguration.self)) {
            configuration in
            var plan = DestinationPlan(
                kind: Self.kind,
                summary: configuration.summary,
                outlet: Self.outlet(configuration.queue, configuration.options),
                make: { context, source throws(DestinationError) in
                    let configuration = configuration.sharing(context.shared.part { CredentialPool() })
                    return try SQSDestination(
                        configuration,
                        FailureDocument(source),
                        reactor: context.reactor
                    )
                }
            )
            plan.examine = { await Self.examine(configuration, $0) }
            return plan
        }
    }

    package static var results: Alternative<ResultPlan>? {
        .key(
            Self.kind,
            "Sends a message for each invocation to a queue.",
            .table(SQSDestinationConfiguration.self)
        ) { configuration in
            var plan = ResultPlan(
                summary: configuration.summary,
                outlet: Self.outlet(configuration.queue, configuration.options),
                make: { context throws(DestinationError) in
                    let configuration = configuration.sharing(context.shared.part { CredentialPool() })
                    return try SQSDestination(configuration, nil, reactor: context.reactor)
                }
            )
            plan.examine = { await Self.examine(configuration, $0) }
            return plan
        }
    }

    /// Names a queue wherever it is read or written.
    private static func outlet(_ queue: SQSQueueName, _ options: AWSOptions) -> Outlet {
        let own = AWSEndpoint.url(service: "sqs", region: options.region)
        let endpoint = options.endpoint ?? own
        return Outlet(kind: Self.kind, hosts: ["\(endpoint) \(options.region)"], name: queue.name)
    }

    private static func plan(_ configuration: SQSSourceConfiguration, _ terms: TriggerTerms) -> SourcePlan {
        let queue = configuration.queue
        let format = SQSEventFormat(batchWindow: terms.batchWindow, form: configuration.event)
        let settings = SQSSettings(configuration, terms)
        let region = configuration.options.region
        let outlet = Self.outlet(queue, configuration.options)
        let own = AWSEndpoint.url(service: "sqs", region: region)
        let elsewhere = configuration.options.endpoint.flatMap { $0 == own ? nil : " at \($0)" } ?? ""
        let arn = SQSQueueARN(region: region, account: queue.account, name: queue.name)
        var plan = SourcePlan(
            kind: Self.kind,
            summary: "sqs queue \(queue.name) in \(region)",
            capabilities: SourceCapabilities(
                settlement: .lease(settings.lease),
                order: queue.isFIFO ? .group : .none,
                windowStart: .lastInvocation,
                canSeek: false,
                prunesOnAcknowledge: true
            ),
            exclusive: ["queue \(queue.name) in \(region)\(elsewhere)"],
            reads: { $0 == outlet },
            format: format,
            fields: SQSEventFormat.fields,
            partition: { SQSEventFormat.partition($0, name: $1) },
            position: { Position($0) ?? SQSMessageID.position(of: $0.utf8) },
            sample: RecordSample(partition: arn.description),
            make: { _, context throws(SourceError) in
                let options = configuration.options.sharing(context.shared.part { CredentialPool() })
                do throws(AWSError) {
                    return try SQSSource(
                        settings,
                        format: format,
                        client: SQSClient(options, reactor: context.reactor),
                        reactor: context.reactor
                    )
                } catch {
                    throw SourceError(.rejected, "sqs queue \(queue.name): \(error)")
                }
            }
        )
        plan.seekAdvice =
            "an SQS queue has no positions, and forgets what is settled; send the messages to it again, or dead letters by "
            + "`penstock dlq redrive`; to skip what waits, purge the queue"
        plan.examine = { trigger, function, context in
            await Self.examine(queue, configuration.options, context) {
                await $0.source(trigger, function, settings)
            }
        }
        return plan
    }

    private static func examine(
        _ configuration: SQSDestinationConfiguration,
        _ context: RuntimeContext
    ) async -> [Diagnosis] {
        await Self.examine(configuration.queue, configuration.options, context) {
            await $0.destination(configuration.messageSize)
        }
    }

    /// Looks at a queue with a client of its own.
    private static func examine(
        _ queue: SQSQueueName,
        _ options: AWSOptions,
        _ context: RuntimeContext,
        _ body: (SQSExamination) async -> [Diagnosis]
    ) async -> [Diagnosis] {
        do throws(AWSError) {
            let options = options.sharing(context.shared.part { CredentialPool() })
            let client = try SQSClient(options, reactor: context.reactor)
            let isAWS = [queue.url, options.endpoint].allSatisfy {
                AWSEndpoint.isAWS($0, region: options.region)
            }
            let found = await body(SQSExamination(client: client, queue: queue, isAWS: isAWS))
            await client.close()
            return found
        } catch {
            return [.error("queue", "\(queue.name): \(error)")]
        }
    }
}

/// What a source does by: its configuration, on the terms of its trigger.
struct SQSSettings: Sendable {
    let queue: SQSQueueName
    let region: String
    let release: SQSSourceConfiguration.Release
    let pollers: Int

    /// Seconds for which a message is received.
    let visibility: Int

    /// Beyond the function and the batch's window (esm-spec section 2).
    private static let spare = Duration.seconds(30)

    init(_ configuration: SQSSourceConfiguration, _ terms: TriggerTerms) {
        self.queue = configuration.queue
        self.region = configuration.options.region
        self.release = configuration.release
        self.pollers = configuration.pollers
        let wanted = configuration.visibility ?? terms.functionTimeout + terms.batchWindow + Self.spare
        let seconds = (wanted.wholeMilliseconds + 999) / 1000
        self.visibility = Int(min(Int64(SQSClient.visibilityMax), seconds))
    }

    /// Seconds to wait for messages: a part of the visibility, which may begin with the poll, must be left at its end.
    var wait: Int { min(SQSClient.waitMax, max(1, self.visibility * 2 / 3)) }

    /// What the engine may count on.
    ///
    /// SQS counts its twelve hours from the receipt, of which we know only that it came after the request left.
    var lease: LeasePolicy {
        LeasePolicy(
            length: .seconds(self.visibility),
            longest: .seconds(SQSClient.visibilityMax - 2 * SQSClient.waitMax),
            longestDelay: .seconds(SQSClient.visibilityMax)
        )
    }
}
