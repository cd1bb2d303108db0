// SPDX-License-Identifier: Apache-2.0

import AWSClient
package import PenstockConfiguration
import PenstockCore
package import PenstockRuntime

/// Amazon DynamoDB: the stream of a table's changes as a source.
package enum DynamoDBConnector: Connector {
    package static let kind = "dynamodb"

    package static var source: Alternative<SourcePlan>? {
        .key(
            Self.kind,
            DynamoDBSourceConfiguration.table.summary,
            .table(DynamoDBSourceConfiguration.self)
        ) { Self.plan($0) }
    }

    package static var destination: Alternative<DestinationPlan>? { nil }

    static func plan(_ configuration: DynamoDBSourceConfiguration) -> SourcePlan {
        let region = configuration.options.region
        var plan = SourcePlan(
            kind: Self.kind,
            summary: "dynamodb \(configuration.summary) in \(region)",
            capabilities: SourceCapabilities(
                settlement: .cursor,
                windowStart: .lastInvocation,
                canSeek: true,
                prunesOnAcknowledge: false
            ),
            format: DynamoDBEventFormat(),
            fields: DynamoDBEventFormat.fields,
            partition: { DynamoDBEventFormat.partition($0, name: $1) },
            batchInfo: FailureBatchInfo(name: "DDBStreamBatchInfo") { letter, _, _ in
                DynamoDBEventFormat.batchInfo(of: letter)
            },
            sample: RecordSample(
                partition: Self.sample(configuration),
                tag: StreamChange.insert.rawValue
            ),
            make: { trigger, context throws(SourceError) in
                do throws(AWSError) {
                    let hubs = context.shared.part { StreamHubs() }
                    let options = configuration.options.sharing(context.shared.part { CredentialPool() })
                    let hub = try hubs.hub(options, reactor: context.reactor)
                    var share: ShardShare?
                    if let leases = context.partitionLeases, let store = context.checkpoints {
                        share = ShardShare(trigger: trigger, leases: leases, store: store)
                    }
                    return DynamoDBSource(configuration, hub: hub, share: share)
                } catch {
                    throw SourceError(.rejected, "dynamodb \(configuration.summary): \(error)")
                }
            }
        )
        plan.capabilities.sharing = .partitions
        plan.shard = { ShardName($0).shard }
        plan.examine = { trigger, function, context in
            do throws(AWSError) {
                let configuration = configuration.sharing(context.shared.part { CredentialPool() })
                let examination = try DynamoDBExamination(configuration, reactor: context.reactor)
                let found = await examination.source(trigger, function)
                await examination.close()
                return found
            } catch {
                return [.error("stream", "\(configuration.summary): \(error)")]
            }
        }
        return plan
    }

    /// The name of a partition, where nobody says one.
    private static func sample(_ configuration: DynamoDBSourceConfiguration) -> String {
        let stream =
            switch configuration.origin {
            case .stream(let stream): stream.arn
            case .table(let table):
                "arn:\(AWSEndpoint.partition(of: configuration.options.region)):dynamodb:"
                    + "\(configuration.options.region):000000000000:table/\(table)/stream/2026-01-01T00:00:00.000"
            }
        return "\(stream)/shardId-00000000000000000000-00000000"
    }
}
