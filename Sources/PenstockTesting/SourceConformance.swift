// SPDX-License-Identifier: Apache-2.0

import PenstockCore
package import PenstockRuntime
package import Reactor

/// What every `Source` of the cursor and journaled families owes, as checks that any test framework can run.
///
/// Each check gets an upstream of its own, and throws ``Violation`` when a source of it breaks its contract. `checks` lists
/// them all, so that a new check reaches each connector. What only one upstream has (a group's sessions, a retention that
/// removes records) stays with that connector's tests.
package enum SourceConformance {
    /// A promise that a source did not keep.
    package struct Violation: Error, CustomStringConvertible {
        /// What was promised, and what was seen.
        package var description: String
    }

    /// A check with its name, a sentence of behaviour.
    package struct Check: Sendable, CustomStringConvertible {
        /// The promise.
        package var description: String
        /// Records that each partition of the upstream must have.
        package var records: Int
        /// Whether it needs ``Upstream/takeBack``; skip it where there is none.
        package var needsRebalance: Bool
        /// Throws ``Violation`` when the sources of the upstream do not keep it.
        package var run: @Sendable (Upstream) async throws -> Void

        init(
            _ description: String,
            records: Int = 20,
            needsRebalance: Bool = false,
            _ run: @escaping @Sendable (Upstream) async throws -> Void
        ) {
            self.description = description
            self.records = records
            self.needsRebalance = needsRebalance
            self.run = run
        }
    }

    /// Partitions full of records, and sources that read them one after the other, as restarts of one trigger.
    package struct Upstream: Sendable {
        /// The loop of its sources.
        package var loop: any EventLoop
        /// The names of its partitions; each has as many records as the check asks for, all of one size.
        package var partitions: [String]
        /// Makes a source that was not started; what earlier ones committed holds.
        package var makeSource: @Sendable () async throws -> any Source
        /// Lets the group ask a running source for partitions, and returns what lets them come back to it; nil where no
        /// partition ever goes.
        package var takeBack: (@Sendable () async throws -> @Sendable () async throws -> Void)?
        /// Whether sources know how far they are behind.
        package var tellsLag = true
        /// How long nothing must come for a check to believe that nothing does.
        package var quiet = Duration.milliseconds(300)

        /// An upstream.
        package init(
            loop: any EventLoop,
            partitions: [String],
            makeSource: @escaping @Sendable () async throws -> any Source
        ) {
            self.loop = loop
            self.partitions = partitions
            self.makeSource = makeSource
        }

        /// A source that was started, with what looks at it.
        func start(checkpoints: [String: Position] = [:]) async throws -> SourceProbe {
            let source = try await self.makeSource()
            try await source.start(checkpoints: checkpoints)
            // Until the check stops it; not on Swift's pool, which other tests may block.
            Task(executorPreference: self.loop) { await source.run() }
            return SourceProbe(source, self)
        }
    }

    /// All checks.
    package static let checks: [Check] = [
        Check("Nothing is handed out before the first grant, then everything", Self.firstGrant),
        Check(
            "Records of a partition come in order, each once, however small the grants",
            records: 200,
            Self.order
        ),
        Check("A grant bounds the records that are handed out", Self.recordBudget),
        Check("A grant bounds the bytes of keys, bodies and headers, up to the last record", Self.byteBudget),
        Check("A grant replaces the one before", Self.replacedGrant),
        Check("A partition that is held brings nothing, and goes on where it was", Self.held),
        Check("The next source begins behind what was committed, and at nothing before it", Self.commit),
        Check("Nothing is acknowledged but by a commit", Self.stopCommitsNothing),
        Check(
            "A commit of partitions that are not owned changes nothing, and does not say otherwise",
            Self.foreignCommit
        ),
        Check("A later commit holds, and one that is repeated does no harm", Self.repeatedCommit),
        Check("Lag tells of owned partitions and of what was committed", Self.lag),
        Check("A receive that is cancelled ends, and loses nothing", Self.cancelledReceive),
        Check("A stop ends the receive that waits, and may come twice", Self.stop),
        Check("A source that was never started can be stopped", Self.neverStarted),
        Check(
            "A partition that is asked back hands out nothing more, and comes back anew behind the answer",
            records: 40,
            needsRebalance: true,
            Self.revocation
        ),
        Check(
            "An answer without positions acknowledges nothing",
            needsRebalance: true,
            Self.emptyRevocation
        ),
    ]

    static func isTrue(_ condition: Bool, _ promise: @autoclosure () -> String) throws(Violation) {
        guard condition else { throw Violation(description: promise()) }
    }
}

/// Drives a source as a pipeline does, and keeps what it told.
///
/// Of one task.
final class SourceProbe {
    let source: any Source
    private let upstream: SourceConformance.Upstream

    /// The partitions owned now, by id, and all that ever were.
    private(set) var owned: [PartitionID: Partition] = [:]
    private(set) var known: Set<PartitionID> = []
    /// The positions received, by ownership.
    private(set) var positions: [PartitionID: [Position]] = [:]
    private(set) var revocations: [Revocation] = []
    /// The bytes of the records received.
    private(set) var bytes = 0

    /// How long what must come may take.
    private static let patience = Duration.seconds(30)

    init(_ source: any Source, _ upstream: SourceConformance.Upstream) {
        self.source = source
        self.upstream = upstream
    }

    /// Records received in all.
    var count: Int { self.positions.values.reduce(0) { $0 + $1.count } }

    /// The ownership of a partition by its name.
    func id(_ name: String) throws -> PartitionID {
        guard let id = self.owned.first(where: { $0.value.name == name })?.key else {
            throw SourceConformance.Violation(description: "\(name) is owned")
        }
        return id
    }

    /// What was received of a partition under its present owner.
    func received(_ name: String) throws -> [Position] { self.positions[try self.id(name)] ?? [] }

    /// The position of a partition's record at a place.
    func settled(_ name: String, _ place: Int) throws -> PartitionPosition {
        let id = try self.id(name)
        guard let position = self.positions[id]?.dropFirst(place).first else {
            throw SourceConformance.Violation(description: "\(name) has \(place + 1) records")
        }
        return PartitionPosition(partition: id, name: name, position: position)
    }

    func grant(records: Int, bytes: Int = 64 << 20, held: Set<PartitionID> = []) {
        self.source.grant(ReceiveBudget(records: records, bytes: bytes, held: held))
    }

    /// Receives until all partitions are owned.
    func assigned() async throws {
        let names = Set(self.upstream.partitions)
        try await self.receive(until: "all partitions are assigned") {
            Set($0.owned.values.map(\.name)) == names
        }
    }

    /// Receives until so many records have come in all.
    func records(_ count: Int) async throws {
        try await self.receive(until: "\(count) records come") { $0.count >= count }
        try SourceConformance.isTrue(self.count == count, "\(count) records come, not \(self.count)")
    }

    /// Receives until a condition holds.
    func receive(until what: String, _ condition: (SourceProbe) throws -> Bool) async throws {
        let deadline = self.upstream.loop.now + Self.patience
        while try !condition(self) {
            guard self.upstream.loop.now < deadline else {
                throw SourceConformance.Violation(description: "\(what): \(self.summary)")
            }
            // In short looks, because not all that is waited for comes as an event.
            try await self.receiveOnce(until: self.upstream.loop.now + .milliseconds(100))
        }
    }

    /// Receives for a while, whatever comes.
    func linger() async throws {
        let deadline = self.upstream.loop.now + self.upstream.quiet
        while self.upstream.loop.now < deadline { try await self.receiveOnce(until: deadline) }
    }

    /// One receive, which is cancelled as soon as it has begun and `act` has happened.
    func receiveCancelled(_ act: () -> Void) async throws {
        for event in try await self.source.receiveCancelled(act) { try self.note(event) }
    }

    /// One receive, which is cancelled at the deadline.
    private func receiveOnce(until deadline: Instant) async throws {
        for event in try await self.source.receive(until: deadline, on: self.upstream.loop) {
            try self.note(event)
        }
    }

    private func note(_ event: SourceEvent) throws(SourceConformance.Violation) {
        switch event {
        case .assigned(let partitions):
            for partition in partitions {
                let isNew = self.known.insert(partition.id).inserted
                try SourceConformance.isTrue(isNew, "each ownership has an id of its own")
                self.owned[partition.id] = partition
            }
        case .records(let block):
            try SourceConformance.isTrue(block.lease == nil, "records of a cursor are not leased")
            self.bytes += block.byteCount
            for index in 0..<block.count { try self.note(block, index) }
        case .revoking(let revocation):
            for id in revocation.partitions {
                try SourceConformance.isTrue(self.owned[id] != nil, "only what is owned is asked back")
            }
            self.revocations.append(revocation)
        case .lost(let ids), .ended(let ids): for id in ids { self.owned[id] = nil }
        case .advanced(let positions), .readOut(let positions):
            for position in positions {
                try SourceConformance.isTrue(
                    self.owned[position.partition] != nil,
                    "only what is owned advances, not \(position.name)"
                )
            }
        case .forgotten(let names):
            try SourceConformance.isTrue(
                !self.owned.values.contains { names.contains($0.name) },
                "what is owned is not forgotten: \(names)"
            )
        case .gap(let gap):
            throw SourceConformance.Violation(description: "nothing is missing, but: \(gap.detail)")
        case .status, .overtaken: break
        }
    }

    private func note(_ block: RecordBlock, _ index: Int) throws(SourceConformance.Violation) {
        let (partition, position) = (block.partition(at: index), block.entries[index].position)
        try SourceConformance.isTrue(
            self.owned[partition.id] != nil,
            "records come of partitions that are owned, not of \(partition.name)"
        )
        let isLeaving = self.revocations.contains { $0.partitions.contains(partition.id) }
        try SourceConformance.isTrue(!isLeaving, "nothing comes of \(partition.name), which was asked back")
        if let last = self.positions[partition.id]?.last {
            try SourceConformance.isTrue(
                last < position,
                "records of \(partition.name) come in order, but \(position) after \(last)"
            )
        }
        self.positions[partition.id, default: []].append(position)
    }

    /// Answers a revocation, and forgets its partitions.
    func answer(_ revocation: Revocation, _ positions: [PartitionPosition]) {
        self.source.finishRevocation(revocation.id, positions: positions)
        for id in revocation.partitions { self.owned[id] = nil }
    }

    private var summary: String {
        let counts = self.positions.map { "\($0.key): \($0.value.count)" }.sorted()
        return
            "\(counts) records, owned \(self.owned.values.map(\.name).sorted()), \(self.revocations.count) asked back"
    }
}
