// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PostgresClient

extension PostgresConnector {
    /// Changes of rows as a source.
    static func plan(_ configuration: ChangesConfiguration) -> SourcePlan {
        let slot = configuration.slot
        let database = configuration.address.map { "\($0)" } ?? ""
        let name = configuration.address?.database ?? "postgres"
        var plan = SourcePlan(
            kind: Self.kind,
            summary: "postgres changes of slot \(slot) in \(database)",
            capabilities: SourceCapabilities(
                settlement: .cursor,
                order: .partition,
                canSeek: false,
                prunesOnAcknowledge: true
            ),
            format: ChangesEventFormat(),
            fields: ChangesEventFormat.fields,
            partition: { id, slot in ChangesEventFormat.partition(id, slot: slot, database: name) },
            position: { ChangePosition.read($0) },
            sample: RecordSample(partition: slot),
            make: { trigger, context throws(SourceError) in
                guard let address = configuration.address else {
                    throw SourceError(.rejected, "no database is configured")
                }
                guard configuration.snapshot.isEmpty || context.journal != nil else {
                    throw SourceError(.rejected, "a snapshot needs a store for its progress")
                }
                return ChangesSource(trigger: trigger, configuration, address, context: context)
            }
        )
        plan.seekAdvice =
            "a replication slot cannot go back: the server has let go of what was settled; for the rows that are there, read "
            + "another slot with \"snapshot\" under another trigger name"
        plan.sharedLease = "slot/\(slot) of \(name)"
        plan.claim = { trigger, context in
            SlotStream.claim(configuration, trigger: trigger, on: context.reactor)
        }
        plan.examine = { _, _, context in
            guard let address = configuration.address else { return [] }
            let found = await PostgresExamination.run(address, on: context.reactor) {
                await $0.changes(configuration)
            }
            guard !found.contains(where: { $0.check == "connection" && $0.grade == .error }) else {
                return found
            }
            return found + [await PostgresExamination.replication(address, on: context.reactor)]
        }
        return plan
    }
}
