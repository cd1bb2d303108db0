// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockRuntime
package import Reactor

/// What every ``LeaseSource`` owes, as checks that any test framework can run; what ``SourceConformance`` is for the other
/// families.
///
/// Each check gets an upstream of its own, and throws ``SourceConformance/Violation`` when a source of it breaks its
/// contract. `checks` lists them all, so that a new check reaches each connector.
package enum LeaseSourceConformance {
    /// A check with its name, a sentence of behaviour.
    package struct Check: Sendable, CustomStringConvertible {
        /// The promise.
        package var description: String
        /// Records that the upstream must have.
        package var records: Int
        /// In how many groups they are to be, in turn, where the upstream keeps order in groups; nil for one each.
        package var groups: Int?
        /// Throws ``SourceConformance/Violation`` when the sources of the upstream do not keep it.
        package var run: @Sendable (Upstream) async throws -> Void

        /// Whether it is about groups; skip it where there are none.
        package var needsGroups: Bool { self.groups != nil }

        init(
            _ description: String,
            records: Int = 20,
            groups: Int? = nil,
            _ run: @escaping @Sendable (Upstream) async throws -> Void
        ) {
            self.description = description
            self.records = records
            self.groups = groups
            self.run = run
        }
    }

    /// Records that wait, and sources that read them one after the other, as restarts of one trigger.
    package struct Upstream: Sendable {
        /// The loop of its sources.
        package var loop: any EventLoop
        /// How many records there are.
        package var records: Int
        /// How long a receive leases them.
        package var lease: Duration
        /// Makes a source that was not started.
        package var makeSource: @Sendable () async throws -> any LeaseSource
        /// The number of a record in the order in which all were put in, from 0.
        package var number: @Sendable (_ block: RecordBlock, _ index: Int) -> Int?
        /// How long nothing must come for a check to believe that nothing does.
        package var quiet = Duration.milliseconds(300)

        /// An upstream.
        package init(
            loop: any EventLoop,
            records: Int,
            lease: Duration,
            makeSource: @escaping @Sendable () async throws -> any LeaseSource,
            number: @escaping @Sendable (_ block: RecordBlock, _ index: Int) -> Int?
        ) {
            self.loop = loop
            self.records = records
            self.lease = lease
            self.makeSource = makeSource
            self.number = number
        }

        /// Runs a source for as long as `body` takes, and stops it then.
        func read<Value>(_ body: (LeaseProbe) async throws -> Value) async throws -> Value {
            let source = try await self.makeSource()
            try await source.start(checkpoints: [:])
            async let running: Void = source.run()
            let result: Result<Value, any Error>
            do {
                let probe = LeaseProbe(source, self)
                try await probe.assigned()
                result = .success(try await body(probe))
            } catch {
                result = .failure(error)
            }
            await source.stop()
            await running
            return try result.get()
        }
    }

    /// All checks.
    package static let checks: [Check] = [
        Check("Nothing is handed out before the first grant, then everything", Self.firstGrant),
        Check("Each record comes once while it is leased, however small the grants", records: 60, Self.once),
        Check("A grant bounds the records that are handed out", Self.recordBudget),
        Check("A grant bounds the bytes, up to the last receive", records: 60, Self.byteBudget),
        Check("A grant replaces the one before", Self.replacedGrant),
        Check(
            "Nothing is settled by a stop, and nothing comes again before its lease ends",
            Self.stopSettlesNothing
        ),
        Check("What was acknowledged never comes again, and the rest does", Self.acknowledge),
        Check("A released record comes again as it was, when it is told to", Self.release),
        Check("A longer lease holds, and ends when it says", Self.extend),
        Check("What an earlier delivery is told does not touch a later one", records: 1, Self.lateSettlement),
        Check("A settlement that is repeated does no harm", Self.repeated),
        Check(
            "Records of a group come in order, and none overtakes one that is leased",
            groups: 3,
            Self.order
        ),
        Check("What was released comes before what follows it in its group", groups: 2, Self.releasedOrder),
        Check("A receive that is cancelled ends, and loses nothing", Self.cancelledReceive),
        Check("A stop ends the receive that waits, and may come twice", Self.stop),
        Check("A source that was never started can be stopped", Self.neverStarted),
    ]
}

/// Drives a source of leased records as a pipeline does, and keeps what it told.
///
/// Of one task.
final class LeaseProbe {
    /// What a record is called in each of its deliveries.
    struct Name: Hashable, CustomStringConvertible {
        var partition: String
        var position: Position
        var description: String { "\(self.partition)@\(self.position)" }
    }

    /// One receipt of a record.
    struct Delivery {
        var record: Name
        var run: Run
        /// When it came, and until when it is leased.
        var at: Instant
        var until: Instant
        /// The number and the group of the record.
        var number: Int
        var group: [UInt8]?
    }

    let source: any LeaseSource
    private let upstream: LeaseSourceConformance.Upstream
    private var owned: Set<PartitionID> = []
    /// What came, in order.
    private(set) var deliveries: [Delivery] = []
    /// Deliveries that were not settled.
    private var open: [Name: Delivery] = [:]
    private var acknowledged: Set<Name> = []

    /// How long what must come may take, beside leases.
    private static let patience = Duration.seconds(30)

    init(_ source: any LeaseSource, _ upstream: LeaseSourceConformance.Upstream) {
        self.source = source
        self.upstream = upstream
    }

    var count: Int { self.deliveries.count }

    func grant(_ records: Int, bytes: Int = 64 << 20) {
        self.source.grant(ReceiveBudget(records: records, bytes: bytes))
    }

    /// Receives until partitions are owned.
    func assigned() async throws {
        try await self.receive(until: "partitions are assigned") { !$0.owned.isEmpty }
    }

    /// Receives until so many deliveries have come in all.
    func records(_ count: Int) async throws {
        try await self.receive(until: "\(count) records come") { $0.count >= count }
        try SourceConformance.isTrue(self.count == count, "\(count) records come, not \(self.count)")
    }

    /// Receives until a condition holds.
    func receive(until what: String, _ condition: (LeaseProbe) -> Bool) async throws {
        let loop = self.upstream.loop
        let deadline = loop.now + Self.patience + self.upstream.lease
        while !condition(self) {
            try SourceConformance.isTrue(loop.now < deadline, "\(what), but \(self.count) records came")
            try self.note(try await self.source.receive(until: loop.now + .milliseconds(100), on: loop))
        }
    }

    /// Receives for a while, whatever comes.
    func linger(until deadline: Instant? = nil) async throws {
        let loop = self.upstream.loop
        let deadline = deadline ?? loop.now + self.upstream.quiet
        while loop.now < deadline { try self.note(try await self.source.receive(until: deadline, on: loop)) }
    }

    func note(_ events: [SourceEvent]) throws(SourceConformance.Violation) {
        for event in events {
            switch event {
            case .assigned(let partitions): self.owned.formUnion(partitions.map(\.id))
            case .records(let block): try self.note(block)
            case .status: break
            case .revoking, .lost, .advanced, .readOut, .ended, .forgotten, .gap, .overtaken:
                throw SourceConformance.Violation(description: "partitions of leased records stay: \(event)")
            }
        }
    }

    private func note(_ block: RecordBlock) throws(SourceConformance.Violation) {
        let now = self.upstream.loop.now
        guard let lease = block.lease?.until else {
            throw SourceConformance.Violation(description: "each block has a lease that ends")
        }
        try SourceConformance.isTrue(
            lease <= now + self.upstream.lease,
            "a lease is no longer than upstream's, reckoned from before the request left"
        )
        let admitted = AdmittedBlock(
            block: block,
            firstDelivery: 0,
            receivedAt: now,
            sizes: Array(repeating: 0, count: block.count + 1)
        )
        for index in 0..<block.count {
            let partition = block.partition(at: index)
            try SourceConformance.isTrue(
                self.owned.contains(partition.id),
                "records come of owned partitions"
            )
            let name = Name(partition: partition.name, position: block.entries[index].position)
            if let open = self.open[name] {
                try SourceConformance.isTrue(open.until <= now, "\(name) is leased, and does not come again")
            }
            try SourceConformance.isTrue(
                !self.acknowledged.contains(name),
                "\(name) was acknowledged, and is gone"
            )
            guard let number = self.upstream.number(block, index) else {
                throw SourceConformance.Violation(description: "\(name) is one of the upstream's records")
            }
            let delivery = Delivery(
                record: name,
                run: Run(admitted: admitted, range: index..<index + 1),
                at: now,
                until: lease,
                number: number,
                group: unsafe block.key(at: index).map { unsafe [UInt8]($0) }
            )
            self.open[name] = delivery
            self.deliveries.append(delivery)
        }
    }

    // MARK: - Settling

    /// Settles deliveries; what is told to be settled is so from now on.
    @discardableResult
    func settle(_ all: [(kind: Settlement.Kind, deliveries: [Delivery])]) async throws -> SettlementOutcome {
        for (kind, deliveries) in all {
            for delivery in deliveries {
                // A later delivery is not settled by what an earlier one is told.
                guard let open = self.open[delivery.record], Self.isSame(open, delivery) else { continue }
                self.open[delivery.record] = nil
                if kind == .acknowledge { self.acknowledged.insert(delivery.record) }
            }
        }
        let settlements = all.map { Settlement(kind: $0.kind, runs: $0.deliveries.map(\.run)) }
        return try await self.source.settle(settlements)
    }

    /// Settles deliveries that are leased, all of them.
    func settle(_ kind: Settlement.Kind, _ deliveries: some Sequence<Delivery>) async throws {
        let outcome = try await self.settle([(kind, Array(deliveries))])
        try SourceConformance.isTrue(
            outcome.refused.isEmpty && outcome.lost.isEmpty,
            "what is leased can be settled"
        )
    }

    func extend(_ deliveries: [Delivery], by length: Duration) async throws -> LeaseExtension {
        let ticket = LeaseTicket(id: .init(rawValue: 1), runs: deliveries.map(\.run), length: length)
        let outcome = try await self.source.extend(ticket)
        for delivery in deliveries { self.open[delivery.record]?.until = outcome.until }
        return outcome
    }

    private static func isSame(_ one: Delivery, _ other: Delivery) -> Bool {
        one.run.admitted === other.run.admitted && one.run.range == other.run.range
    }
}
