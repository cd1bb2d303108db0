// SPDX-License-Identifier: Apache-2.0

package import Logging
package import PenstockConfiguration
package import PenstockCore
package import PenstockStore
package import Reactor
import Synchronization

/// What the product can speak: each connector and each kind of function, once.
///
/// `penstock/` holds the one list. Two of the same name are a programming error.
package struct Registry: Sendable {
    /// Connectors in the order in which they are documented.
    package let connectors: [any Connector.Type]

    /// Kinds of functions in the order in which they are documented.
    package let functionKinds: [any FunctionKind.Type]

    /// A registry of these.
    package init(connectors: [any Connector.Type], functionKinds: [any FunctionKind.Type]) {
        precondition(
            Set(connectors.map { $0.kind }).count == connectors.count,
            "two connectors have the same name"
        )
        precondition(
            Set(functionKinds.map { $0.kind }).count == functionKinds.count,
            "two kinds have the same name"
        )
        self.connectors = connectors
        self.functionKinds = functionKinds
    }
}

/// The code for one external system: its source, and its destination if it has one.
package protocol Connector: SendableMetatype {
    /// The key in `source:`, `on_failure:` and `on_success:`, such as `kafka`.
    static var kind: String { get }

    /// Reads the source under that key; nil for a connector that has none.
    static var source: Alternative<SourcePlan>? { get }

    /// Reads the destination under that key; nil for a connector that has none.
    static var destination: Alternative<DestinationPlan>? { get }

    /// Reads the destination of results under that key; nil for a connector that has none, which is the default.
    static var results: Alternative<ResultPlan>? { get }
}

extension Connector {
    /// None.
    package static var results: Alternative<ResultPlan>? { nil }
}

/// A kind of function: `local`, `lambda`, `http`.
package protocol FunctionKind: SendableMetatype {
    /// The key under a function's name.
    static var kind: String { get }

    /// Reads the function under that key.
    static var alternative: Alternative<FunctionPlan> { get }
}

/// What parts are made with.
package struct RuntimeContext: Sendable {
    /// The I/O thread.
    package var reactor: Reactor

    /// Says which trigger or function it is in its metadata.
    package var logger: Logger

    /// Where sources that cannot redeliver keep what they received; nil where no trigger runs.
    package var journal: (any JournalStore)?

    /// Where the trigger's checkpoints are kept, those of other members too; nil where no trigger runs.
    package var checkpoints: (any CheckpointStore)?

    /// What a source must hold to read a partition; nil where one process has them all.
    package var partitionLeases: PartitionLeases?

    /// Whether the trigger's lease is held now; nil where nothing is leased.
    ///
    /// Another member that had it must do nothing more.
    package var holdsLease: (@Sendable () -> Bool)?

    /// Names those that share the store, this process among them; nil where the store is not shared.
    package var cluster: String?

    /// What parts of one process have in common; contexts that are copies of each other have the same.
    package let shared = SharedParts()

    /// A context.
    package init(reactor: Reactor, logger: Logger, journal: (any JournalStore)? = nil) {
        self.reactor = reactor
        self.logger = logger
        self.journal = journal
    }
}

/// What several parts of one process have in common, such as what reads one upstream for several triggers: one of each type.
package final class SharedParts: Sendable {
    private let parts = Mutex<[ObjectIdentifier: any Sendable]>([:])

    /// The part of that type, made when it is asked for first; it lives as long as this does.
    ///
    /// Any thread.
    package func part<Part: Sendable>(_ make: @Sendable () -> Part) -> Part {
        self.parts.withLock { parts in
            let key = ObjectIdentifier(Part.self)
            if let part = parts[key] as? Part { return part }
            let part = make()
            parts[key] = part
            return part
        }
    }
}

/// A source as configured, before it is connected.
package struct SourcePlan: Sendable {
    /// The connector's name.
    package var kind: String

    /// What can be asked of it.
    package var capabilities: SourceCapabilities

    /// What only one trigger can have whole, for people: `topic orders as group g`; validation warns when two have it.
    package var exclusive: [String]

    /// Whether it reads what a destination writes to.
    package var reads: @Sendable (_ outlet: Outlet) -> Bool

    /// How its records look in a Lambda event.
    package var format: any EventFormat

    /// What filters can look at in its records.
    package var fields: RecordFields

    /// The lease of what several triggers read together, such as a replication slot; nil when each is by itself.
    ///
    /// They all run on the same member of a cluster.
    package var sharedLease: String?

    /// Makes the partition of that name as the format needs it: for a redrive, which has no source.
    package var partition: @Sendable (_ id: PartitionID, _ name: String) -> Partition

    /// Makes the source; connects nothing yet.
    package var make:
        @Sendable (_ trigger: String, _ context: RuntimeContext) throws(SourceError) -> any Source

    /// The position that operators mean by this text, such as a message's id; nil for none.
    ///
    /// Decimal numbers, unless the connector has names of its own.
    package var position: @Sendable (_ text: String) -> Position?

    /// What a partition of that name is called in keys of objects that have the trigger's name, too: a shard by its id.
    ///
    /// The name itself, unless the connector has a shorter one.
    package var shard: @Sendable (_ partition: String) -> String = { $0 }

    /// What it adds to failure documents; nil for nothing.
    package var batchInfo: FailureBatchInfo?

    /// What a record of it is like where a test of the configuration does not say.
    package var sample: RecordSample

    /// The same source as a trigger on these terms needs it; nil when they make no difference to it.
    package var fit: (@Sendable (TriggerTerms) -> SourcePlan)?

    /// What it reads, for people: `kafka topics orders (group penstock-orders)`.
    package var summary: String

    /// How `penstock doctor` looks at it; nil when there is nothing to look at.
    package var examine: SourceExamination?

    /// How it is written when it is a schedule, whose source is a ``FiringSource``; nil for others.
    package var schedule: ScheduleFacts?

    /// The schedules of which it is made, when it is a set of them; nil for others.
    package var scheduleMembers: ScheduleMembers?

    /// Makes its feed when it is a schedule, to be asked when it fires next where its trigger does not run; nil for others.
    package var feed: (@Sendable (_ trigger: String) -> any JournalFeed)?

    /// What makes its records belong together when order is kept by key and no other key is configured.
    package var orderingKey: any OrderingKey = RecordKey()

    /// Called when a trigger with this source is configured, before any source is made: what it returns is released when
    /// the trigger is configured no more, running or not; nil for sources that need no such thing.
    package var claim: (@Sendable (_ trigger: String, _ context: RuntimeContext) -> (any SourceClaim)?)?

    /// Why no position can be chosen and what to do instead, behind "cannot seek: "; nil for what its capabilities tell.
    ///
    /// For sources without ``SourceCapabilities/canSeek``; the others are a ``SeekableSource``.
    package var seekAdvice: String?

    /// Stands for the contents of files that it was read from besides the configuration; nil for none.
    ///
    /// A trigger for which it differs after a reload has changed. The same within one process only.
    package var filesHash: Int?

    /// A source as configured.
    package init(
        kind: String,
        summary: String,
        capabilities: SourceCapabilities,
        exclusive: [String] = [],
        reads: @escaping @Sendable (_ outlet: Outlet) -> Bool = { _ in false },
        format: any EventFormat,
        fields: RecordFields,
        partition: @escaping @Sendable (_ id: PartitionID, _ name: String) -> Partition,
        position: @escaping @Sendable (_ text: String) -> Position? = { Position($0) },
        batchInfo: FailureBatchInfo? = nil,
        sample: RecordSample = RecordSample(),
        make:
            @escaping @Sendable (_ trigger: String, _ context: RuntimeContext) throws(SourceError) ->
            any Source
    ) {
        self.kind = kind
        self.summary = summary
        self.capabilities = capabilities
        self.exclusive = exclusive
        self.reads = reads
        self.format = format
        self.fields = fields
        self.partition = partition
        self.position = position
        self.batchInfo = batchInfo
        self.sample = sample
        self.make = make
    }
}

/// What a source keeps for a trigger as long as that is configured: between two runs, and while it fails or waits.
package protocol SourceClaim: Sendable {
    /// The trigger is no longer configured.
    ///
    /// Once; any thread.
    func release()
}

/// What a trigger says that a source may have to know: how long it leases records, and what its events look like.
package struct TriggerTerms: Sendable, Equatable {
    /// How long an invocation may take.
    package var functionTimeout: Duration

    /// How long a batch may wait for more records.
    package var batchWindow: Duration

    /// Records of an invocation at most.
    package var batchSize: Int

    /// Terms of a trigger.
    package init(functionTimeout: Duration, batchWindow: Duration, batchSize: Int = 1) {
        self.functionTimeout = functionTimeout
        self.batchWindow = batchWindow
        self.batchSize = batchSize
    }
}

/// What a made-up record of a source is like.
package struct RecordSample: Sendable {
    /// The name of its partition, such as `orders-0`.
    package var partition: String

    /// The source's tag on it (see ``RecordEntry/tag``).
    package var tag: UInt8

    /// A record of that partition.
    package init(partition: String = "partition-0", tag: UInt8 = 0) {
        self.partition = partition
        self.tag = tag
    }
}

/// What a source can keep; validation refuses configurations that need more.
package struct SourceCapabilities: Sendable, Equatable {
    /// How records are settled.
    package enum Settlement: Sendable, Equatable {
        /// One by one, under a lease; the source is a ``LeaseSource``.
        case lease(LeasePolicy)
        /// By a watermark.
        case cursor
        /// In the journal; upstream cannot redeliver.
        case journaled
    }

    /// Which records upstream has an order for.
    package enum Order: Sendable, Equatable {
        /// Those of a partition.
        case partition
        /// Those of a partition with the same key: message groups.
        case group
        /// None.
        case none
    }

    /// How records are settled.
    package var settlement: Settlement

    /// Which records upstream has an order for.
    package var order: Order

    /// When the wait for a full batch begins.
    package var windowStart: WindowStart

    /// Whether a position can be chosen.
    package var canSeek: Bool

    /// Whether upstream forgets what was acknowledged.
    package var prunesOnAcknowledge: Bool

    /// Whether each record is an invocation of its own.
    package var takesSingleRecords = false

    /// Whether each record is an invocation of its own unless the trigger says something of batches.
    package var batchesOnRequest = false

    /// Whether records are invoked one after the other, whatever the trigger says.
    package var needsOrder = false

    /// How several Penstocks share it.
    package enum Sharing: Sendable, Equatable {
        /// Each reads it: upstream gives every one its part, as a consumer group or a queue does.
        case upstream
        /// One of them reads it, under a lease of the trigger.
        case trigger
        /// Each partition is read by one of them, under a lease of its own; see ``RuntimeContext/partitionLeases``.
        case partitions
    }

    /// How several Penstocks share it.
    package var sharing: Sharing

    /// The capabilities of a source.
    package init(
        settlement: Settlement,
        order: Order = .partition,
        windowStart: WindowStart = .firstRecord,
        canSeek: Bool,
        prunesOnAcknowledge: Bool
    ) {
        self.settlement = settlement
        self.order = order
        self.windowStart = windowStart
        self.canSeek = canSeek
        self.prunesOnAcknowledge = prunesOnAcknowledge
        self.sharing = if case .lease = settlement { .upstream } else { .trigger }
    }

    /// How records are leased; nil when they are not.
    package var lease: LeasePolicy? {
        if case .lease(let policy) = self.settlement { policy } else { nil }
    }
}

/// What a destination writes to and a source may read: a topic, a queue.
///
/// Validation warns when a trigger reads what it writes.
package struct Outlet: Sendable, Equatable {
    /// The connector's name.
    package var kind: String

    /// Where it is: brokers, an account.
    package var hosts: Set<String>

    /// Its name there.
    package var name: String

    /// An outlet.
    package init(kind: String, hosts: Set<String>, name: String) {
        self.kind = kind
        self.hosts = hosts
        self.name = name
    }
}

/// A destination as configured, before it is connected.
package struct DestinationPlan: Sendable {
    /// The connector's name.
    package var kind: String

    /// What it is, for people: `kafka topic orders-failed`.
    package var summary: String

    /// What it writes to, where a source could read it.
    package var outlet: Outlet?

    /// How `penstock doctor` looks at it; nil when there is nothing to look at.
    package var examine: Examination?

    /// Makes the destination for records of a source; connects nothing yet.
    package var make:
        @Sendable (_ context: RuntimeContext, _ source: SourcePlan) async throws(DestinationError) ->
            any Destination

    /// A destination as configured.
    package init(
        kind: String,
        summary: String,
        outlet: Outlet? = nil,
        make:
            @escaping @Sendable (_ context: RuntimeContext, _ source: SourcePlan)
            async throws(DestinationError)
            -> any Destination
    ) {
        self.kind = kind
        self.summary = summary
        self.outlet = outlet
        self.make = make
    }
}

/// A destination of results as configured, before it is connected.
package struct ResultPlan: Sendable {
    /// What it is, for people: `kafka topic orders-done`.
    package var summary: String

    /// What it writes to, where a source could read it.
    package var outlet: Outlet?

    /// How `penstock doctor` looks at it; nil when there is nothing to look at.
    package var examine: Examination?

    /// Makes the destination; connects nothing yet.
    package var make:
        @Sendable (_ context: RuntimeContext) async throws(DestinationError) -> any ResultDestination

    /// A destination as configured.
    package init(
        summary: String,
        outlet: Outlet? = nil,
        make:
            @escaping @Sendable (_ context: RuntimeContext) async throws(DestinationError) ->
            any ResultDestination
    ) {
        self.summary = summary
        self.outlet = outlet
        self.make = make
    }
}

/// A function as configured, before it is started.
package struct FunctionPlan: Sendable {
    /// The kind's name.
    package var kind: String

    /// Invocations side by side.
    package var concurrency: Int

    /// How long an invocation may take.
    package var timeout: Duration

    /// Whether it takes one record at a time, so that `batch.size` must be 1.
    package var takesSingleRecords: Bool

    /// Bytes of an invocation's body at most.
    package var requestBytes: Int

    /// Whether its answer can say what came of the records; false when an invocation is accepted and never answered.
    package var answers: Bool

    /// Whether it gets the source's own events, as Lambda functions do, and not single records or another form.
    package var takesEvents: Bool

    /// How `penstock doctor` looks at it; nil when there is nothing to look at.
    package var examine: Examination?

    /// Makes the function; starts nothing yet.
    package var make: @Sendable (_ name: String, _ context: RuntimeContext) throws -> any Function

    /// A function as configured.
    package init(
        kind: String,
        concurrency: Int,
        timeout: Duration,
        takesSingleRecords: Bool = false,
        requestBytes: Int = InvocationLimit.requestBytes,
        answers: Bool = true,
        takesEvents: Bool = true,
        make: @escaping @Sendable (_ name: String, _ context: RuntimeContext) throws -> any Function
    ) {
        self.kind = kind
        self.concurrency = concurrency
        self.timeout = timeout
        self.takesSingleRecords = takesSingleRecords
        self.requestBytes = requestBytes
        self.answers = answers
        self.takesEvents = takesEvents
        self.make = make
    }
}
