// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// A source as one trigger reads it: dumb I/O over partitions.
///
/// Everything hard (order, batches, retries, dead letters, watermarks) is the pipeline's.
///
/// This is the protocol of the *cursor* family: partitions are ordered, and settling moves a watermark;
/// ``LeaseSource`` is that of the other. What a source owes:
/// - It hands out nothing beyond the budget, and never drops what it handed out or still holds.
/// - Records of one ``Partition`` come in order of position, each once. A partition that is lost and assigned again is
///   a new ``Partition`` with a new id, beginning behind the last commit.
/// - It acknowledges nothing upstream on its own; only ``commit(_:)`` and ``finishRevocation(_:positions:)`` do.
/// - A lost connection is not an error: it reconnects, and says so by ``SourceEvent/status(_:)``. It throws only what
///   cannot heal without an operator or a restart.
///
/// `SourceConformance` in PenstockTesting is this contract, run by each source of the family.
///
/// All calls may come from any isolation; none blocks the caller's thread. One task calls ``receive()`` at a time.
package protocol Source: Sendable {
    /// How this source's records look in a Lambda event.
    var format: any EventFormat { get }

    /// Connects and begins to read. `checkpoints` are the last settled positions by partition name; a source whose
    /// upstream keeps positions itself (a Kafka group) uses them only where the upstream has none.
    func start(checkpoints: [String: Position]) async throws(SourceError)

    /// Does the source's own work beside ``receive()``, such as calls that are under way for long: from ``start(checkpoints:)``
    /// to ``stop()``, or until the task is cancelled. Once.
    func run() async

    /// Sets how much may be handed out from now on; it replaces the budget before. A source hands out nothing before
    /// the first grant, which comes after ``start(checkpoints:)``. Any thread; never waits.
    func grant(_ budget: ReceiveBudget)

    /// Waits until there is something to tell and returns all of it, in order.
    ///
    /// Returns an empty array when the source was stopped or the task cancelled; what was not returned comes with the next
    /// call.
    func receive() async throws(SourceError) -> [SourceEvent]

    /// Acknowledges upstream: everything up to and including these positions. Returns those that upstream has accepted:
    /// positions of partitions no longer owned are left out, because somebody else settles these now.
    func commit(_ positions: [PartitionPosition]) async throws(SourceError) -> [PartitionPosition]

    /// Answers a ``SourceEvent/revoking(_:)``: its partitions are drained, these positions are to be committed, and
    /// the partitions are given up. After the revocation's deadline the source goes on without an answer.
    func finishRevocation(_ id: RevocationID, positions: [PartitionPosition])

    /// How far the settled positions are behind the upstream's ends, as far as known.
    func lag() -> [PartitionLag]

    /// Leaves the group, closes connections, frees everything; at most a few seconds. Idempotent, also before a start. No
    /// records come out of ``receive()`` any more. Uncommitted positions are lost, so the pipeline commits before.
    func stop() async
}

extension Source {
    /// Nothing: most sources work while they are asked.
    package func run() async {}
}

/// How much a source may hand out from now on.
package struct ReceiveBudget: Sendable, Equatable {
    /// Records.
    package var records: Int

    /// Bytes of keys, bodies and headers; the last record may go over it.
    package var bytes: Int

    /// Partitions to leave alone for now: they are blocked, and must not eat the budget of the others.
    package var held: Set<PartitionID>

    /// A budget.
    package init(records: Int, bytes: Int, held: Set<PartitionID> = []) {
        self.records = records
        self.bytes = bytes
        self.held = held
    }

    /// Nothing may be handed out.
    package static let none = ReceiveBudget(records: 0, bytes: 0)
}

/// What a source tells its pipeline, in order.
package enum SourceEvent: Sendable {
    /// These partitions are owned from now on.
    case assigned([Partition])

    /// Records of owned partitions.
    case records(RecordBlock)

    /// These partitions are about to be given up: finish what is in flight, then call
    /// ``Source/finishRevocation(_:positions:)``.
    case revoking(Revocation)

    /// These partitions are gone already: whatever is in flight cannot be committed any more.
    case lost([PartitionID])

    /// Nothing else comes in these partitions up to these positions: once what was handed out before is settled, they are
    /// kept and committed as if a record stood there. What is not a record is kept so: where a reader began.
    case advanced([PartitionPosition])

    /// These partitions are read to their end, which are these positions: like ``advanced(_:)``, and windows that are open in
    /// them end before that is committed. ``ended(_:)`` follows when it is.
    case readOut([PartitionPosition])

    /// These partitions have come to their end, and their last position is committed.
    case ended([PartitionID])

    /// These partitions, by name, have come to their end, are not owned, and never come again: nobody needs their
    /// checkpoints.
    case forgotten([String])

    /// Records are missing upstream: a position fell out of retention, a topic was cut.
    case gap(SourceGap)

    /// Later records took the place of some that were handed out: ``FiringSource/isOvertaken(_:)`` tells which.
    case overtaken

    /// The connection's state changed.
    case status(SourceStatus)
}

extension [SourceEvent] {
    /// How much of a budget these use up: the records in them, and their bytes.
    package var received: (records: Int, bytes: Int) {
        var (records, bytes) = (0, 0)
        for case .records(let block) in self {
            records += block.count
            bytes += block.byteCount
        }
        return (records, bytes)
    }
}

/// Partitions to be given up, and how long that may take.
package struct Revocation: Sendable {
    /// Names this revocation in the answer.
    package var id: RevocationID

    /// The partitions.
    package var partitions: [PartitionID]

    /// How long the source waits for the answer.
    package var within: Duration

    /// A revocation.
    package init(id: RevocationID, partitions: [PartitionID], within: Duration) {
        self.id = id
        self.partitions = partitions
        self.within = within
    }
}

/// Names a revocation of one source.
package struct RevocationID: Hashable, Sendable {
    /// The number.
    package var rawValue: UInt64

    /// The id with this number.
    package init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }
}

/// Records that upstream no longer has.
package struct SourceGap: Sendable, Equatable {
    /// The upstream's name of the partition.
    package var partition: String

    /// What happened, in one sentence.
    package var detail: String

    /// A gap.
    package init(partition: String, detail: String) {
        self.partition = partition
        self.detail = detail
    }
}

/// Whether a source can reach its upstream.
package enum SourceStatus: Sendable, Equatable {
    /// Connected, and reading what it owns.
    case connected
    /// Connected, and reading; the text says what will go wrong unless somebody does something.
    case warned(String)
    /// Not reachable; the source keeps trying. The text says what failed and what to do.
    case disconnected(String)

    /// Whether it reads.
    package var isConnected: Bool {
        if case .disconnected = self { false } else { true }
    }
}

/// How far behind a partition is.
package struct PartitionLag: Sendable, Equatable {
    /// The upstream's name of the partition.
    package var partition: String

    /// The last committed position; nil when none was.
    package var committed: Position?

    /// Records between the committed position and the upstream's end; nil when unknown.
    package var records: Int64?

    /// Bytes between the committed position and the upstream's end, where upstream counts in these; nil when unknown.
    package var bytes: Int64?

    /// Whether upstream may have records that were not handed out yet; true when that is unknown.
    package var isBehind = false

    /// A lag.
    package init(partition: String, committed: Position?, records: Int64?) {
        self.partition = partition
        self.committed = committed
        self.records = records
    }
}

/// Why a source gave up.
package struct SourceError: Error, Sendable, CustomStringConvertible {
    /// What went wrong, for a program.
    package enum Code: String, Sendable {
        /// Not reachable.
        case unreachable
        /// The credentials were refused.
        case unauthorized
        /// Something configured does not exist upstream, such as a topic.
        case notFound
        /// Upstream refused the configuration or a request.
        case rejected
        /// The source was stopped.
        case closed
    }

    /// What went wrong, for a program.
    package var code: Code

    /// What happened, with what, and what to do; no payload, no credentials.
    package var detail: String

    /// A source error.
    package init(_ code: Code, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    package var description: String { self.detail }
}
