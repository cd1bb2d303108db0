// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockTesting

/// A broker with records, a function that writes down what arrives, and Penstocks between them.
final class KillWorld {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    static let partitions = 8
    static let batch = 1000
    /// How many processes run a Penstock's function, which is how many batches can be in flight.
    static let processes = 2
    /// Most records that are in flight.
    static let inFlight = processes * batch

    let records: Int
    /// The function refuses each record whose value this divides; 0 for none.
    var refusedEvery = 0
    /// Where the store is, when not in the Penstock's own folder.
    var state: String?
    /// Where dead letters go, as the configuration has it.
    var onFailure = "dead_letters"
    /// Where the first Penstock's admin API listens.
    let adminPort = FreePort.pick()
    let folder: URL
    let farEnd: FarEnd
    let broker: TestKafkaBroker
    let proxy: TestProxy
    private let python = TestEnvironment.python

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

    /// Starts a Penstock with a store of its own; its functions work so long at each batch.
    func start(_ member: Int = 1, work: Duration = .zero) throws -> PenstockProcess {
        let home = self.folder.appendingPathComponent("\(member)")
        try FileManager.default.createDirectory(at: home, withIntermediateDirectories: true)
        let arguments = [
            self.folder.appendingPathComponent("function.py").path,
            self.folder.appendingPathComponent("arrived").path,
            self.lock(of: member).path, "\(member)", "\(work / .seconds(1))", "\(self.refusedEvery)",
        ]
        let command = ([self.python.path] + arguments).map { "\"\($0)\"" }.joined(separator: ", ")
        let configuration = """
            state: sqlite:\(self.state ?? "\(home.path)/penstock.db")
            admin: { listen: "127.0.0.1:\(member == 1 ? self.adminPort : FreePort.pick())" }
            functions:
              sink:
                local:
                  command: [\(command)]
                  concurrency: \(Self.processes)
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
                failure:
                  retries: \(self.refusedEvery == 0 ? 100 : 0)
                  backoff: { initial: 50ms, max: 500ms }
                  report_item_failures: \(self.refusedEvery != 0)
                on_failure: \(self.onFailure)
            """
        return try PenstockProcess(in: home, configuration: configuration)
    }

    private func lock(of member: Int) -> URL { self.folder.appendingPathComponent("lock-\(member)") }

    /// Waits until so many lines have arrived, or every record has.
    func wait(arrivals: Int, _ penstock: PenstockProcess) throws {
        let came = BoundedWait.until(within: .seconds(120)) {
            self.farEnd.read() >= arrivals || self.farEnd.distinct == self.records
        }
        guard came else { throw self.stuck("\(arrivals) arrivals", penstock) }
    }

    /// Waits until so many lines of one Penstock's functions have arrived.
    func wait(arrivals: Int, of member: Int, _ penstock: PenstockProcess) throws {
        let came = BoundedWait.until(within: .seconds(120)) {
            self.farEnd.read()
            return self.farEnd.byMember[member, default: 0] >= arrivals
                || self.farEnd.distinct == self.records
        }
        guard came, self.farEnd.distinct < self.records else {
            throw self.stuck("\(arrivals) arrivals of member \(member)", penstock)
        }
    }

    /// Waits until every record has arrived.
    func waitForAll(_ penstock: PenstockProcess) throws {
        let came = BoundedWait.until(within: .seconds(180)) {
            self.farEnd.read()
            return self.farEnd.distinct == self.records
        }
        guard came else { throw self.stuck("all records", penstock) }
    }

    private func stuck(_ what: String, _ penstock: PenstockProcess) -> Failure {
        let state = "\(self.farEnd.distinct) of \(self.records) arrived, next \(self.farEnd.next)"
        let status = (try? self.command(["triggers", "show", "kill"]))?.output ?? "no answer"
        return Failure(
            description: "waited too long for \(what): \(state); the first says:\n\(status)\n"
                + "log:\n\(penstock.logTail)"
        )
    }

    /// Waits until no function of this Penstock is left that could still write.
    func waitForWriters(of member: Int = 1) throws {
        try WriterLock.waitUntilFree(self.lock(of: member))
    }

    /// How much has arrived and is not committed, once no function is left: what is sent again at most.
    func uncommitted() throws -> Int {
        try self.waitForWriters()
        return self.farEnd.arrivals(behind: try self.committed())
    }

    /// What the group has committed, by partition.
    func committed() throws -> [Int] {
        let text = try self.run("committed", ["kill", "\(Self.partitions)", "killers"])
        let committed = text.split(separator: "\n").compactMap { Int($0) }
        guard committed.count == Self.partitions else { throw Failure(description: "no offsets: \(text)") }
        return committed
    }

    /// Runs a command beside the first Penstock, with its configuration.
    func command(_ arguments: [String]) throws -> CommandRun {
        let file = self.folder.appendingPathComponent("1/connectors.yaml")
        return try CommandRun(arguments, configuration: String(contentsOf: file, encoding: .utf8))
    }

    private func run(_ script: String, _ arguments: [String]) throws -> String {
        let file = self.folder.appendingPathComponent("\(script).py").path
        return try ForeignProcess.answer(
            of: self.python,
            [file, "127.0.0.1:\(self.proxy.port)"] + arguments
        )
    }
}
