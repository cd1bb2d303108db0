// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
package import PenstockCore
package import PenstockRuntime
import Reactor
import Synchronization

/// A source of a ``ScriptedWorld``: owns every partition that records are delivered of.
package final class ScriptedSource: SeekableSource {
    private let world: ScriptedWorld
    private let mailbox = Mailbox<SourceEvent>()
    private let partitions = Mutex<[String: Partition]>([:])

    init(_ world: ScriptedWorld) {
        self.world = world
    }

    package var format: any EventFormat { LineFormat() }

    package func start(checkpoints: [String: Position]) async throws(SourceError) {
        try self.world.started(self, checkpoints)
    }

    package func grant(_ budget: ReceiveBudget) {}

    package func receive() async throws(SourceError) -> [SourceEvent] {
        await self.mailbox.takeAll()
    }

    package func commit(_ positions: [PartitionPosition]) async throws(SourceError) -> [PartitionPosition] {
        if let error = self.world.commitError {
            self.world.note("commit refused")
            throw error
        }
        for position in positions { self.world.note("committed \(position.name)@\(position.position)") }
        return positions
    }

    package func finishRevocation(_ id: RevocationID, positions: [PartitionPosition]) {
        self.world.note("revoked")
    }

    /// `earliest` is 0, `latest` is 100, and a position is itself.
    package func moves(for order: SeekOrder) async throws(SeekError) -> [SeekMove] {
        self.world.note("asked for moves")
        if let error = self.world.seekRefusals.moves { throw error }
        let names = order.partitions ?? self.partitions.withLock { $0.keys.sorted() }
        let next: UInt64 =
            switch order.target {
            case .earliest: 0
            case .latest, .time: 100
            case .position(let text): UInt64(text) ?? 0
            }
        return names.map {
            let checkpoint = next > 0 ? Position(next - 1) : nil
            return SeekMove(partition: $0, from: nil, to: "\(next)", checkpoint: checkpoint)
        }
    }

    package func follow(_ moves: [SeekMove]) async throws(SourceError) -> Set<String> {
        for move in moves { self.world.note("follows to \(move.partition)@\(move.to)") }
        if let error = self.world.seekRefusals.follow { throw error }
        return Set(moves.map(\.partition)).subtracting(self.world.seekRefusals.lost)
    }

    package func lag() -> [PartitionLag] {
        self.partitions.withLock { partitions in
            partitions.keys.sorted().map { PartitionLag(partition: $0, committed: Position(1), records: 2) }
        }
    }

    package func stop() async {
        self.mailbox.close()
        self.world.note("source stopped")
    }

    func deliver(_ name: String, _ offsets: Range<UInt64>) {
        let (partition, isNew) = self.partitions.withLock { partitions in
            if let known = partitions[name] { return (known, false) }
            let partition = Partition(id: PartitionID(UInt32(partitions.count + 1)), name: name)
            partitions[name] = partition
            return (partition, true)
        }
        if isNew { self.mailbox.put(.assigned([partition])) }
        var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: offsets.count)
        let index = builder.add(partition)
        for offset in offsets {
            unsafe builder.append(
                position: Position(offset),
                timestamp: VirtualLoop.epoch,
                tag: 0,
                partitionIndex: index,
                payload: RecordPayload(key: nil, body: nil)
            )
        }
        self.mailbox.put(.records(builder.finish()))
    }

    /// Ends by itself.
    func end() {
        self.mailbox.close()
    }

    func tell(_ status: SourceStatus) {
        self.mailbox.put(.status(status))
    }

    func tell(_ event: SourceEvent) {
        self.mailbox.put(event)
    }
}

/// A function of a ``ScriptedWorld``.
package final class ScriptedFunction: Function {
    package let name: String
    private let world: ScriptedWorld

    /// A function of that name.
    package init(_ name: String, _ world: ScriptedWorld) {
        self.name = name
        self.world = world
    }

    package var arn: String? { self.world.version?.arn }
    package var concurrency: Int { 4 }
    package var timeout: Duration { .seconds(5) }

    package func format(for source: any EventFormat, trigger: String) -> any EventFormat { source }

    package func invoke(_ invocation: Invocation) async -> InvocationResult {
        let records = LineFormat.records(in: invocation.body).map { "\($0.partition)@\($0.offset)" }
        return await self.world.invoked(self.name, records)
    }

    package func answer(_ invocation: Invocation) async -> InvocationAnswer {
        InvocationAnswer(
            result: await self.invoke(invocation),
            executedVersion: self.world.version?.executed
        )
    }

    package func stopAdmitting() async {
        self.world.note("\(self.name) admits nothing")
    }

    package func shutdown() async {
        self.world.note("\(self.name) shut down")
    }
}

/// A destination of a ``ScriptedWorld``.
package final class ScriptedDestination: Destination {
    private let world: ScriptedWorld

    init(_ world: ScriptedWorld) {
        self.world = world
    }

    package var name: String { "scripted" }

    package func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        for letter in letters {
            let version = letter.attempts.last?.executedVersion.map { " version \($0)" } ?? ""
            let function = letter.functionARN.map { " of \($0)\(version)" } ?? ""
            self.world.note("dead letter \(letter.partition)@\(letter.position)\(function)")
        }
    }

    package func close() async {
        self.world.note("destination closed")
    }
}

/// A destination of results of a ``ScriptedWorld``.
package final class ScriptedResultDestination: ResultDestination {
    private let world: ScriptedWorld

    init(_ world: ScriptedWorld) {
        self.world = world
    }

    package var name: String { "scripted results" }

    package func deliver(_ record: InvocationRecord) async throws(DestinationError) {
        if let error = self.world.resultError {
            self.world.note("result refused")
            throw error
        }
        if let limit = self.world.resultBytes, record.json.count > limit {
            self.world.note("result too large")
            throw DestinationError("\(record.json.count) bytes, of which it takes \(limit)", isTooLarge: true)
        }
        self.world.note("result \(String(decoding: record.json, as: UTF8.self))")
    }

    package func close() async {
        self.world.note("results closed")
    }
}

/// What stands under `scripted:`.
struct ScriptedConfiguration: ConfigurationTable {
    static let world = Field<ScriptedWorld?>(
        "world",
        "The name of a world.",
        .parsed("the name of a world", placeholder: nil) { ScriptedWorld.named($0) }
    )
    static let label = Field.string("label", "Anything, to make two alike differ.", default: "")
    static let table = FieldTable("scripted", "Parts of a scripted world.", [world, label])

    let world: ScriptedWorld?
    let label: String

    init(_ reader: inout ConfigurationReader) {
        self.world = reader[Self.world]
        self.label = reader[Self.label]
    }
}

/// `scripted: { world: NAME }` as a source and as a destination.
package enum ScriptedConnector: Connector {
    package static let kind = "scripted"

    package static var source: Alternative<SourcePlan>? {
        .key(Self.kind, "A scripted source.", .table(ScriptedConfiguration.self)) { configuration in
            SourcePlan(
                kind: Self.kind,
                summary: "scripted",
                capabilities: SourceCapabilities(
                    settlement: .cursor,
                    canSeek: configuration.label == "seekable",
                    prunesOnAcknowledge: false
                ),
                format: LineFormat(),
                fields: RecordFields([RecordFields.Field("offset", .position)]),
                partition: { id, name in Partition(id: id, name: name) },
                make: { _, _ throws(SourceError) in
                    guard let world = configuration.world else { throw SourceError(.notFound, "no world") }
                    return ScriptedSource(world)
                }
            )
        }
    }

    package static var destination: Alternative<DestinationPlan>? {
        .key(Self.kind, "A scripted destination.", .table(ScriptedConfiguration.self)) { configuration in
            DestinationPlan(
                kind: Self.kind,
                summary: "scripted",
                make: { _, _ throws(DestinationError) in
                    guard let world = configuration.world else { throw DestinationError("no world") }
                    return ScriptedDestination(world)
                }
            )
        }
    }
}

extension ScriptedConnector {
    package static var results: Alternative<ResultPlan>? {
        .key(Self.kind, "A scripted destination of results.", .table(ScriptedConfiguration.self)) {
            configuration in
            ResultPlan(
                summary: "scripted",
                make: { _ throws(DestinationError) in
                    guard let world = configuration.world, configuration.label != "broken" else {
                        throw DestinationError("these results cannot be kept")
                    }
                    return ScriptedResultDestination(world)
                }
            )
        }
    }
}

/// `scripted: { world: NAME }` as a function; with the label `broken` it cannot be made.
package enum ScriptedFunctionKind: FunctionKind {
    package static let kind = "scripted"

    package static var alternative: Alternative<FunctionPlan> {
        .key(Self.kind, "A scripted function.", .table(ScriptedConfiguration.self)) { configuration in
            FunctionPlan(
                kind: Self.kind,
                concurrency: 4,
                timeout: .seconds(3),
                make: { name, _ in
                    guard let world = configuration.world, configuration.label != "broken" else {
                        throw SourceError(.rejected, "this function cannot be made")
                    }
                    world.note("\(name) made")
                    return ScriptedFunction(name, world)
                }
            )
        }
    }
}

/// Plans of scripted parts.
package enum ScriptedPlan {
    /// Why a test's own configuration could not be read.
    package struct Malformed: Error {
        /// The findings.
        package let findings: [String]
    }

    /// The plan of a configuration in YAML, which may name these connectors beside the scripted one.
    package static func read(_ text: String, connectors: [any Connector.Type] = []) throws -> Plan {
        let registry = Registry(
            connectors: [ScriptedConnector.self] + connectors,
            functionKinds: [ScriptedFunctionKind.self]
        )
        let document = ConfigurationLoader.process.parse(text)
        let result = PlanReader(registry).read(document)
        guard let plan = result.value else { throw Malformed(findings: result.findings.map(\.description)) }
        return plan
    }
}
