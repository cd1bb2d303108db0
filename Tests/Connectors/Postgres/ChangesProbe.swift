// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Synchronization
import Testing

@testable import PostgresConnector

extension PostgresServer {
    /// A server that can replicate.
    static func replicating(_ settings: String...) throws -> PostgresServer {
        try PostgresServer(
            settings: ["wal_level=logical", "max_replication_slots=50", "max_wal_senders=50"] + settings
        )
    }

    /// Makes a table `NAME (id int primary key, v text)` with its publication and slot, all of that name.
    func makeSlot(_ name: String, table: String? = nil) throws {
        try self.run(table ?? "CREATE TABLE \(name) (id int PRIMARY KEY, v text)")
        try self.run("CREATE PUBLICATION \(name) FOR TABLE \(name)")
        try self.run("SELECT pg_create_logical_replication_slot('\(name)', 'pgoutput')")
    }

    /// The place up to which a slot is acknowledged.
    func confirmed(_ slot: String) throws -> String {
        try self.run("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '\(slot)'")
    }

    /// Whether everything that was written up to now is acknowledged by a slot.
    func isAllAcknowledged(_ slot: String, since place: String) throws -> Bool {
        try self.run(
            "SELECT confirmed_flush_lsn >= '\(place)' FROM pg_replication_slots WHERE slot_name = '\(slot)'"
        ) == "t"
    }

    /// The end of the log.
    func walEnd() throws -> String { try self.run("SELECT pg_current_wal_lsn()") }
}

/// A source of changes, driven as a pipeline drives it, and what it told.
final class ChangesProbe: Sendable {
    /// A record as its function would get it.
    struct Record: Sendable {
        var position: Position
        var kind: ChangeKind
        var key: String?
        var new: String?
        var attributes: [String: String]
        var time: Timestamp

        var old: String? { self.attributes["old"] }
        var table: String { self.attributes["table"] ?? "" }
        /// The number after `"id":` in the row or in the key.
        var id: Int? {
            let text = self.new ?? self.key ?? ""
            return text.firstMatch(of: /"id":(\d+)/).flatMap { Int($0.output.1) }
        }
    }

    private struct State {
        var records: [Record] = []
        var positions: [PartitionPosition] = []
        var gaps: [String] = []
        var statuses: [SourceStatus] = []
        var isAssigned = false
        var bytes = 0
        var count = 0
    }

    let reactor: Reactor
    let source: any Source
    private let ownsReactor: Bool
    private let state = Mutex(State())
    private let settlesAll: Bool
    private let grant: Int
    private let running: Task<Void, Never>
    private let keepsRecords: Bool

    /// Reads what stands under `changes:` in YAML, and begins behind the checkpoint.
    ///
    /// With `settlesAll` it settles whatever comes at once, and otherwise nothing but by ``settle(_:)``. With a cluster it holds
    /// the slot's lease in that.
    init(
        _ yaml: String,
        checkpoint: Position? = nil,
        trigger: String = "t",
        on reactor: Reactor? = nil,
        grant: Int = 100_000,
        settlesAll: Bool = false,
        keepsRecords: Bool = true,
        journal: (any JournalStore)? = nil,
        cluster: String? = nil
    ) async throws {
        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(ChangesConfiguration.self)
        let configuration = try #require(read.value, "\(read.findings)")
        let own = try reactor ?? Reactor(name: "changes-test")
        self.ownsReactor = reactor == nil
        self.reactor = own
        self.grant = grant
        self.settlesAll = settlesAll
        self.keepsRecords = keepsRecords
        var context = RuntimeContext(reactor: own, logger: Logger(label: "test"), journal: journal)
        context.cluster = cluster
        // As if it had just got the lease.
        if cluster != nil { context.holdsLease = { true } }
        let plan = PostgresConnector.plan(configuration)
        let source = try plan.make(trigger, context)
        self.source = source
        try await source.start(checkpoints: checkpoint.map { [configuration.slot: $0] } ?? [:])
        // As a pipeline does it: begun before, it could find that there is nothing to do.
        self.running = Task(executorPreference: own) { await source.run() }
        if grant > 0 { source.grant(ReceiveBudget(records: grant, bytes: 64 << 20)) }
        Task(executorPreference: own) { [weak self] in
            while let events = try? await source.receive(), !events.isEmpty {
                guard let self else { return }
                await self.note(events)
            }
        }
    }

    private func note(_ events: [SourceEvent]) async {
        var settled: [PartitionPosition] = []
        self.state.withLock { state in
            for event in events {
                switch event {
                case .assigned: state.isAssigned = true
                case .records(let block):
                    state.bytes += block.byteCount
                    state.count += block.count
                    for index in 0..<block.count {
                        if self.keepsRecords { state.records.append(Self.record(block, index)) }
                        let partition = block.partition(at: index)
                        let position = block.entries[index].position
                        state.positions.append(
                            PartitionPosition(
                                partition: partition.id,
                                name: partition.name,
                                position: position
                            )
                        )
                    }
                case .advanced(let positions): state.positions += positions
                case .gap(let gap): state.gaps.append(gap.detail)
                case .status(let status): state.statuses.append(status)
                default: break
                }
            }
            if self.settlesAll {
                settled = Array(state.positions.suffix(1))
                if !self.keepsRecords { state.positions.removeFirst(max(0, state.positions.count - 1)) }
            }
        }
        if !settled.isEmpty { _ = try? await self.source.commit(settled) }
        if self.grant > 0, events.received.records > 0, self.grant < .max {
            self.source.grant(ReceiveBudget(records: self.grant, bytes: 64 << 20))
        }
    }

    private static func record(_ block: RecordBlock, _ index: Int) -> Record {
        var attributes: [String: String] = [:]
        unsafe block.forEachAttribute(at: index) { name, value in
            let name = unsafe String(decoding: name, as: UTF8.self)
            attributes[name] = unsafe value.map { unsafe String(decoding: $0, as: UTF8.self) }
        }
        let entry = block.entries[index]
        return Record(
            position: entry.position,
            kind: ChangeKind(rawValue: entry.tag) ?? .insert,
            key: unsafe block.key(at: index).map { unsafe String(decoding: $0, as: UTF8.self) },
            new: unsafe block.body(at: index).map { unsafe String(decoding: $0, as: UTF8.self) },
            attributes: attributes,
            time: entry.timestamp
        )
    }

    var records: [Record] { self.state.withLock { $0.records } }
    var gaps: [String] { self.state.withLock { $0.gaps } }
    var isAssigned: Bool { self.state.withLock { $0.isAssigned } }
    var problems: [String] {
        self.state.withLock { state in
            state.statuses.compactMap { if case .disconnected(let text) = $0 { text } else { nil } }
        }
    }
    var warnings: [String] {
        self.state.withLock { state in
            state.statuses.compactMap { if case .warned(let text) = $0 { text } else { nil } }
        }
    }
    var isConnected: Bool { self.state.withLock { $0.statuses.last == .connected } }
    /// The last position that was told, of a record or without one.
    var last: PartitionPosition? { self.state.withLock { $0.positions.last } }

    var count: Int { self.state.withLock { $0.count } }

    /// Settles all that came, or all up to a position.
    func settle(_ position: Position? = nil) async throws {
        let positions = self.state.withLock { state in
            state.positions.filter { position == nil || $0.position <= position ?? $0.position }
        }
        guard let last = positions.last else { return }
        _ = try await self.source.commit([last])
    }

    /// Waits until a condition holds.
    func wait(
        for what: String,
        within limit: Duration = .seconds(90),
        sourceLocation: SourceLocation = #_sourceLocation,
        _ condition: (ChangesProbe) throws -> Bool
    ) rethrows {
        let holds = try BoundedWait.until(within: limit) { try condition(self) }
        let state = self.state.withLock { "\($0.records.count) records, \($0.gaps), \($0.statuses)" }
        #expect(holds, "\(what): \(state)", sourceLocation: sourceLocation)
    }

    /// Ends as a restart does; commits nothing.
    func stop() async {
        await self.source.stop()
        await self.running.value
        if self.ownsReactor { self.reactor.stop() }
    }
}
