// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import PostgresClient
import Reactor
import Synchronization
import Testing

@testable import PostgresConnector

/// Runs a source of an outbox table, and keeps what it tells.
final class OutboxReader: Sendable {
    private struct State {
        var blocks: [RecordBlock] = []
        var problems: [String] = []
        var isConnected = false
    }

    let source: OutboxSource
    let reactor: Reactor
    private let state = Mutex(State())
    private let running: Task<Void, Never>

    init(_ yaml: String, records: Int = 10_000) throws {
        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(OutboxConfiguration.self)
        let configuration = try #require(read.value, "\(read.findings)")
        let address = try #require(configuration.address)
        let reactor = try Reactor(name: "outbox-test")
        let terms = TriggerTerms(functionTimeout: .seconds(30), batchWindow: .zero)
        let source = OutboxSource(
            OutboxSettings(configuration, address, terms),
            format: PostgresEventFormat(kind: .outbox),
            reactor: reactor
        )
        self.source = source
        self.reactor = reactor
        self.running = Task(executorPreference: reactor) { await source.run() }
        source.grant(ReceiveBudget(records: records, bytes: 64 << 20))
        Task(executorPreference: reactor) { [weak self] in
            while let events = try? await source.receive(), !events.isEmpty { self?.note(events) }
        }
    }

    private func note(_ events: [SourceEvent]) {
        self.state.withLock { state in
            for event in events {
                switch event {
                case .records(let block): state.blocks.append(block)
                case .status(.connected): state.isConnected = true
                case .status(.disconnected(let text)):
                    state.isConnected = false
                    state.problems.append(text)
                default: break
                }
            }
        }
    }

    var blocks: [RecordBlock] { self.state.withLock { $0.blocks } }
    var isConnected: Bool { self.state.withLock { $0.isConnected } }

    /// What is in a record, by name; the body as `payload`, the key as `group`.
    var records: [[String: String]] {
        self.blocks.flatMap { block in
            (0..<block.count).map { index in
                var record: [String: String] = [:]
                unsafe block.forEachAttribute(at: index) { name, value in
                    let name = unsafe String(decoding: name, as: UTF8.self)
                    record[name] = unsafe value.map { unsafe String(decoding: $0, as: UTF8.self) }
                }
                record["payload"] = unsafe block.body(at: index).map {
                    unsafe String(decoding: $0, as: UTF8.self)
                }
                record["group"] = unsafe block.key(at: index).map {
                    unsafe String(decoding: $0, as: UTF8.self)
                }
                return record
            }
        }
    }

    var payloads: [String] { self.records.map { $0["payload"] ?? "NULL" } }

    func wait(
        for what: String,
        _ condition: (OutboxReader) throws -> Bool,
        sourceLocation: SourceLocation = #_sourceLocation
    ) rethrows {
        let holds = try BoundedWait.until(within: .seconds(90)) { try condition(self) }
        let (problems, count) = (self.state.withLock { $0.problems }, self.records.count)
        #expect(holds, "\(what): \(count) records, \(problems)", sourceLocation: sourceLocation)
    }

    /// Waits for a problem with these words.
    func wait(problem: String, sourceLocation: SourceLocation = #_sourceLocation) {
        self.wait(
            for: problem,
            { reader in reader.state.withLock { $0.problems.contains { $0.contains(problem) } } },
            sourceLocation: sourceLocation
        )
    }

    func stop() async {
        await self.source.stop()
        await self.running.value
        self.reactor.stop()
    }
}
