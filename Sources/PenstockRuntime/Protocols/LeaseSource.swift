// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// A source of the *lease* family: its records are leased to us and settled one by one, as those of a queue or of an
/// outbox table.
///
/// What it owes beyond ``Source``, instead of what is said there of positions and commits:
/// - Each ``RecordBlock`` has a ``BlockLease`` that says until when nobody else gets its records. The source reckons it
///   from before its request left, so that it is never too long.
/// - A record's ``Position`` is the same in each of its deliveries, and no other record of the partition has it: attempts
///   are counted by it. It need not tell an order. What names the single delivery (a receipt handle) is the source's,
///   which finds it by the block and the record's index.
/// - Where its upstream keeps order in groups, the group is the record's key, and the source hands out the records of a
///   group in order, and none that overtakes one that is leased.
/// - It settles nothing on its own, and extends no lease but in ``extend(_:)``.
/// - Of the bytes of a budget, its last receive may go over them, where upstream counts records alone.
///
/// `LeaseSourceConformance` in PenstockTesting is this contract, run by each source of the family.
///
/// The engine sends at most one request at a time about a delivery, but for acknowledgements, which may leave while an
/// extension is under way.
package protocol LeaseSource: Source {
    /// Tells upstream what becomes of deliveries; returns which of them were not settled.
    ///
    /// An error means that nobody knows what was settled: all of it comes again while its lease lasts, and must do no harm
    /// then. A settlement whose lease was lost must not touch a newer delivery of the record.
    func settle(_ settlements: [Settlement]) async throws(SourceError) -> SettlementOutcome

    /// Makes leases longer; an error means that the old end holds.
    func extend(_ ticket: LeaseTicket) async throws(SourceError) -> LeaseExtension
}

extension LeaseSource {
    /// Nothing: leased records have no watermark.
    package func commit(_ positions: [PartitionPosition]) async throws(SourceError) -> [PartitionPosition] {
        []
    }

    /// Nothing: what is under way was settled one by one.
    package func finishRevocation(_ id: RevocationID, positions: [PartitionPosition]) {}
}
