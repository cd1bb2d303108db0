// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Synchronization
import Testing

@testable import PostgresConnector

/// A source of notifications with a store of its own, and what it tells.
///
/// Restarted with the same store, as one trigger.
final class NotifyProbe: Sendable {
    /// A record as its function would get it.
    struct Record: Sendable {
        var position: Position
        var payload: String
        var event: [String: String]
    }

    private struct State {
        var records: [Record] = []
        var gaps: [String] = []
        var status: SourceStatus?
        var problems: [String] = []
    }

    let reactor: Reactor
    private let source: any Source
    private let store: SQLiteStore
    private let state = Mutex(State())
    private let running: Task<Void, Never>

    /// Reads what stands under `notify:` in YAML, and begins.
    init(_ yaml: String, store file: URL, records: Int = 10_000) async throws {
        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(NotifyConfiguration.self)
        let configuration = try #require(read.value, "\(read.findings)")
        let address = try #require(configuration.address)
        let reactor = try Reactor(name: "notify-test")
        let store = try SQLiteStore.open(path: file.path)
        let feed: any JournalFeed =
            configuration.catchUp.map { CatchUpFeed(configuration, $0, address, on: reactor) }
            ?? NotifyFeed(configuration, address, on: reactor)
        let source = JournalSource(
            journal: "t",
            partition: Partition(id: PartitionID(1), name: PostgresConnector.notifyPartition),
            format: PostgresEventFormat(kind: .notify),
            store: store,
            feed: feed,
            loop: reactor
        )
        self.reactor = reactor
        self.store = store
        self.source = source
        try await source.start(checkpoints: [:])
        source.grant(ReceiveBudget(records: records, bytes: 64 << 20))
        self.running = Task(executorPreference: reactor) { await source.run() }
        // Until the stop: then it gets nothing more.
        Task(executorPreference: reactor) { [weak self] in
            while let events = try? await source.receive(), !events.isEmpty { self?.note(events) }
        }
    }

    private func note(_ events: [SourceEvent]) {
        self.state.withLock { state in
            for event in events {
                switch event {
                case .records(let block): state.records += (0..<block.count).map { Self.record(block, $0) }
                case .gap(let gap): state.gaps.append(gap.detail)
                case .status(let status):
                    state.status = status
                    if case .disconnected(let text) = status { state.problems.append(text) }
                default: break
                }
            }
        }
    }

    private static func record(_ block: RecordBlock, _ index: Int) -> Record {
        var event: [String: String] = [:]
        unsafe block.forEachAttribute(at: index) { name, value in
            let name = unsafe String(decoding: name, as: UTF8.self)
            event[name] = unsafe value.map { unsafe String(decoding: $0, as: UTF8.self) }
        }
        let payload = unsafe block.body(at: index).map { unsafe String(decoding: $0, as: UTF8.self) }
        return Record(position: block.entries[index].position, payload: payload ?? "", event: event)
    }

    var records: [Record] { self.state.withLock { $0.records } }
    var payloads: [String] { self.records.map(\.payload) }
    var gaps: [String] { self.state.withLock { $0.gaps } }
    var problems: [String] { self.state.withLock { $0.problems } }
    var isConnected: Bool { self.state.withLock { $0.status == .connected } }

    /// Waits until a condition holds.
    func wait(
        for what: String,
        _ condition: (NotifyProbe) throws -> Bool,
        sourceLocation: SourceLocation = #_sourceLocation
    ) rethrows {
        let holds = try BoundedWait.until(within: .seconds(90)) { try condition(self) }
        let state = self.state.withLock { "\($0.records.count) records, \($0.gaps), \($0.problems)" }
        #expect(holds, "\(what): \(state)", sourceLocation: sourceLocation)
    }

    /// Commits everything, and ends as a restart does.
    func stop(settled: Int? = nil) async throws {
        let records = self.records
        if let last = records.prefix(settled ?? records.count).last {
            let position = PartitionPosition(
                partition: PartitionID(1),
                name: PostgresConnector.notifyPartition,
                position: last.position
            )
            _ = try await self.source.commit([position])
        }
        await self.source.stop()
        await self.running.value
        await self.store.close()
        self.reactor.stop()
    }
}

/// A file for a store, removed at the end.
final class StoreFile: Sendable {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).db")

    deinit {
        for end in ["", "-wal", "-shm"] {
            try? FileManager.default.removeItem(at: URL(fileURLWithPath: self.url.path + end))
        }
    }
}
