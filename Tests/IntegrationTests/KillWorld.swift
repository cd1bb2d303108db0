// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting

/// A broker with records, a function that writes down what arrives, and Penstocks between them.
final class KillWorld {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    static let partitions = 8
    static let batch = 1000

    let records: Int
    let folder: URL
    let farEnd: FarEnd
    let broker: TestKafkaBroker
    let proxy: TestProxy
    private let python = TestKafkaBroker.environment.appendingPathComponent("bin/python")

    init(records: Int) throws {
        self.records = records
        let temporary = FileManager.default.temporaryDirectory
        self.folder = temporary.appendingPathComponent("penstock-kill-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        let scripts = [
            ("function", KillScripts.function), ("producer", KillScripts.producer),
            ("committed", KillScripts.committed),
        ]
        for (name, text) in scripts {
            let file = self.folder.appendingPathComponent("\(name).py")
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        self.farEnd = FarEnd(
            self.folder.appendingPathComponent("arrived"),
            partitions: Self.partitions,
            recordsPerPartition: records / Self.partitions
        )
        // The broker tells clients to come through the proxy, so that the proxy can cut them off.
        let port = FreePort.pick()
        self.proxy = try TestProxy(to: port)
        self.broker = try TestKafkaBroker(port: port, advertisedPort: self.proxy.port)
        try self.broker.createTopic("kill", partitions: Self.partitions)
        _ = try self.run("producer", ["kill", "\(Self.partitions)", "\(records)"])
    }

    deinit {
        self.proxy.stop()
        self.broker.stop()
        try? FileManager.default.removeItem(at: self.folder)
    }

    /// Starts a Penstock with a store of its own.
    func start(_ name: String = "first") throws -> PenstockProcess {
        let home = self.folder.appendingPathComponent(name)
        try FileManager.default.createDirectory(at: home, withIntermediateDirectories: true)
        let script = self.folder.appendingPathComponent("function.py").path
        let output = self.folder.appendingPathComponent("arrived").path
        let configuration = """
            state: sqlite:\(home.path)/penstock.db
            admin: { listen: "127.0.0.1:0" }
            functions:
              sink:
                local:
                  command: ["\(self.python.path)", "\(script)", "\(output)"]
                  concurrency: 2
                  timeout: 20s
            triggers:
              kill:
                source:
                  kafka:
                    brokers: ["127.0.0.1:\(self.proxy.port)"]
                    topics: [kill]
                    group: killers
                    session_timeout: 2s
                    properties: { heartbeat.interval.ms: "300" }
                function: sink
                batch: { size: \(Self.batch), window: 50ms }
                failure: { retries: 100, backoff: { initial: 50ms, max: 500ms } }
            """
        return try PenstockProcess(in: home, configuration: configuration)
    }

    /// Waits until so many lines have arrived, or every record has.
    func wait(arrivals: Int, _ penstock: PenstockProcess) throws {
        let came = BoundedWait.until(within: .seconds(60)) {
            self.farEnd.read() >= arrivals || self.farEnd.distinct == self.records
        }
        guard came else { throw self.stuck("\(arrivals) arrivals", penstock) }
    }

    /// Waits until every record has arrived.
    func waitForAll(_ penstock: PenstockProcess) throws {
        let came = BoundedWait.until(within: .seconds(90)) {
            self.farEnd.read()
            return self.farEnd.distinct == self.records
        }
        guard came else { throw self.stuck("all records", penstock) }
    }

    private func stuck(_ what: String, _ penstock: PenstockProcess) -> Failure {
        let state = "\(self.farEnd.distinct) of \(self.records) arrived, next \(self.farEnd.next)"
        return Failure(description: "waited too long for \(what): \(state); log:\n\(penstock.logTail)")
    }

    /// How much has arrived and is not committed, once no function is left: what is sent again at most.
    func uncommitted() throws -> Int {
        guard self.farEnd.waitForWriters() else {
            throw Failure(description: "a function outlived its Penstock")
        }
        let text = try self.run("committed", ["kill", "\(Self.partitions)", "killers"])
        let committed = text.split(separator: "\n").compactMap { Int($0) }
        guard committed.count == Self.partitions else { throw Failure(description: "no offsets: \(text)") }
        self.farEnd.read()
        return zip(self.farEnd.next, committed).reduce(0) { $0 + max(0, $1.0 - $1.1) }
    }

    private func run(_ script: String, _ arguments: [String]) throws -> String {
        let file = self.folder.appendingPathComponent("\(script).py").path
        let process = try ForeignProcess(self.python, [file, "127.0.0.1:\(self.proxy.port)"] + arguments)
        guard process.status(within: .seconds(90)) == 0 else {
            throw Failure(description: "\(script) failed: \(process.output)")
        }
        return process.output
    }
}
