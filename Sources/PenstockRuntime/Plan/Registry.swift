// SPDX-License-Identifier: Apache-2.0

package import Logging
package import PenstockConfiguration
package import PenstockCore
package import Reactor

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
    /// The key in `source:` and `on_failure:`, such as `kafka`.
    static var kind: String { get }

    /// Reads the source under that key; nil for a connector that has none.
    static var source: Alternative<SourcePlan>? { get }

    /// Reads the destination under that key; nil for a connector that has none.
    static var destination: Alternative<DestinationPlan>? { get }
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

    /// A context.
    package init(reactor: Reactor, logger: Logger) {
        self.reactor = reactor
        self.logger = logger
    }
}

/// A source as configured, before it is connected.
package struct SourcePlan: Sendable {
    /// The connector's name.
    package var kind: String

    /// What can be asked of it.
    package var capabilities: SourceCapabilities

    /// How its records look in a Lambda event.
    package var format: any EventFormat

    /// Makes the partition of that name as the format needs it: for a redrive, which has no source.
    package var partition: @Sendable (_ id: PartitionID, _ name: String) -> Partition

    /// Makes the source; connects nothing yet.
    package var make:
        @Sendable (_ trigger: String, _ context: RuntimeContext) throws(SourceError) -> any Source

    /// What it reads, for people: `kafka topics orders (group penstock-orders)`.
    package var summary: String

    /// A source as configured.
    package init(
        kind: String,
        summary: String,
        capabilities: SourceCapabilities,
        format: any EventFormat,
        partition: @escaping @Sendable (_ id: PartitionID, _ name: String) -> Partition,
        make:
            @escaping @Sendable (_ trigger: String, _ context: RuntimeContext) throws(SourceError) ->
            any Source
    ) {
        self.kind = kind
        self.summary = summary
        self.capabilities = capabilities
        self.format = format
        self.partition = partition
        self.make = make
    }
}

/// What a source can keep; validation refuses configurations that need more.
package struct SourceCapabilities: Sendable, Equatable {
    /// How records are settled.
    package enum Settlement: String, Sendable {
        /// One by one, under a lease.
        case lease
        /// By a watermark.
        case cursor
        /// In the journal; upstream cannot redeliver.
        case journaled
    }

    /// How records are settled.
    package var settlement: Settlement

    /// Whether a position can be chosen.
    package var canSeek: Bool

    /// Whether upstream forgets what was acknowledged.
    package var prunesOnAcknowledge: Bool

    /// The capabilities of a source.
    package init(settlement: Settlement, canSeek: Bool, prunesOnAcknowledge: Bool) {
        self.settlement = settlement
        self.canSeek = canSeek
        self.prunesOnAcknowledge = prunesOnAcknowledge
    }
}

/// A destination as configured, before it is connected.
package struct DestinationPlan: Sendable {
    /// The connector's name.
    package var kind: String

    /// What it is, for people: `kafka topic orders-failed`.
    package var summary: String

    /// Makes the destination; connects nothing yet.
    package var make: @Sendable (_ context: RuntimeContext) async throws(DestinationError) -> any Destination

    /// A destination as configured.
    package init(
        kind: String,
        summary: String,
        make:
            @escaping @Sendable (_ context: RuntimeContext) async throws(DestinationError) -> any Destination
    ) {
        self.kind = kind
        self.summary = summary
        self.make = make
    }
}

/// A function as configured, before it is started.
package struct FunctionPlan: Sendable {
    /// The kind's name.
    package var kind: String

    /// What it is, for people: `python3 -m awslambdaric app.handler`.
    package var summary: String

    /// Invocations side by side.
    package var concurrency: Int

    /// Whether it takes one record at a time, so that `batch.size` must be 1.
    package var takesSingleRecords: Bool

    /// Makes the function; starts nothing yet.
    package var make: @Sendable (_ name: String, _ context: RuntimeContext) throws -> any Function

    /// A function as configured.
    package init(
        kind: String,
        summary: String,
        concurrency: Int,
        takesSingleRecords: Bool = false,
        make: @escaping @Sendable (_ name: String, _ context: RuntimeContext) throws -> any Function
    ) {
        self.kind = kind
        self.summary = summary
        self.concurrency = concurrency
        self.takesSingleRecords = takesSingleRecords
        self.make = make
    }
}
