// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Glibc
import HTTPFunction
import KafkaConnector
import PenstockConfiguration
import PenstockRuntime
import PenstockStore
import PostgresClient
import PostgresConnector
import Reactor
import Synchronization

/// Notifications of Postgres: counted as they come, or through the real pipeline with its journal.
struct ListenBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "listen",
        abstract:
            "Receives notifications on the channel `bench`; prints a line when it listens, and its figures at the end."
    )

    /// What becomes of a notification.
    enum Target: String, ExpressibleByArgument {
        /// It is counted.
        case count
        /// It is durable in the store before a function that answers at once gets it.
        case discard
    }

    @Option(help: "A connection string.") var database: String
    @Option(help: "Notifications to wait for.") var notifications: Int
    @Option(help: "count or discard.") var function = Target.count
    @Option(help: "For discard: a store file, which must not be there.") var store: String?

    func validate() throws {
        if self.notifications < 1 { throw ValidationError("--notifications must be positive") }
        if self.function == .discard, self.store == nil {
            throw ValidationError("--function discard needs --store")
        }
    }

    func run() throws {
        let reactor = try Reactor(name: "bench")
        switch self.function {
        case .count:
            defer { reactor.stop() }
            try self.count(on: reactor).print()
        case .discard: try self.discard(on: reactor).print()
        }
    }

    private func tellReady() {
        print("{\"listening\": true}")
        fflush(nil)
    }

    // MARK: - Counting

    /// What has come; touched on the reactor only, and when it is over.
    private struct Count {
        var records = 0
        var bytes = 0
        var first: Reading?
        var last: Reading?
    }

    private func count(on reactor: Reactor) throws -> JSONLine {
        let address = try PostgresAddress(self.database)
        let expected = self.notifications
        let state = Mutex(Count())
        let end = Mailbox<Void>()
        try onReactor(reactor) {
            let link = try await withCheckedThrowingContinuation { continuation in
                PostgresLink.open(address, on: reactor, within: .seconds(10)) {
                    continuation.resume(with: $0)
                }
            }
            link.onLoss = { _ in end.put(()) }
            link.onNotifications = { notifications in
                let isDone = state.withLock { state in
                    if state.first == nil { state.first = .now }
                    state.records += notifications.count
                    for notification in notifications { state.bytes += notification.payload.count }
                    guard state.records >= expected else { return false }
                    state.last = .now
                    return true
                }
                if isDone { end.put(()) }
            }
            _ = try await withCheckedThrowingContinuation { continuation in
                link.send(PostgresQuery("LISTEN bench")) { continuation.resume(with: $0) }
            }
            self.tellReady()
            _ = await end.takeAll()
            link.close()
        }
        let seen = state.withLock { $0 }
        guard let first = seen.first, let last = seen.last, seen.records == expected else {
            throw BenchFailure("\(seen.records) of \(expected) notifications came")
        }
        let seconds = last.seconds(since: first)
        var line = JSONLine()
        line.add("records", seen.records)
        line.add("bytes", seen.bytes)
        line.add("seconds", seconds)
        line.add("records_per_second", (Double(seen.records) / seconds).rounded())
        line.add("cpu_us_per_record", last.cpu(since: first, per: seen.records))
        return line
    }

    // MARK: - The pipeline

    private func discard(on reactor: Reactor) throws -> JSONLine {
        let bench = PipelineBench(
            records: self.notifications,
            batch: 1000,
            concurrency: 8,
            store: self.store ?? ""
        )
        let store = try SQLiteStore.open(path: bench.store)
        let context = RuntimeContext(reactor: reactor, logger: PipelineBench.logger, journal: store)
        let source = try self.plan().make("bench", context)
        let function = NullFunction(encodes: false, concurrency: bench.concurrency)
        return try bench.run(source, function, store, on: reactor) { self.tellReady() }
    }

    /// The source as a configuration has it; its trigger's function is not made.
    private func plan() throws -> SourcePlan {
        let text = """
            functions: { none: { http: { url: "http://127.0.0.1:1/" } } }
            triggers:
              bench:
                function: none
                source:
                  postgres: { notify: { url: "\(self.database)", channels: [bench], buffer: 1000000 } }
            """
        let registry = Registry(
            connectors: [PostgresConnector.self, KafkaConnector.self],
            functionKinds: [HTTPFunctionKind.self]
        )
        let result = PlanReader(registry).read(ConfigurationLoader.process.parse(text, file: "--database"))
        guard let trigger = result.value?.triggers.first else { throw BenchFailure("\(result.findings)") }
        return trigger.value.source
    }
}
