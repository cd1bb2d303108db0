// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting

/// One broker and one `penstock run` with many triggers, each with a topic and a Python handler of its own; Lambda's
/// Python runtime runs all handlers.
final class DeliveryWorld: Sendable {
    /// A trigger, its topic and its consumer group, which have the same name.
    struct Trigger: Sendable {
        var name: String
        /// The body of a Python function of `records` and `context`: what the handler does with a batch.
        var handler: String
        var records: [Record]
        /// Records that ``DeliveryWorld/produceLater(_:)`` adds.
        var later: [Record] = []
        var partitions = 1
        /// The function to invoke.
        var function = "app"
        /// Further lines of the trigger, each `key: value`.
        var options: [String] = []
    }

    /// A record of a topic.
    struct Record: Sendable {
        var partition = 0
        var key: String?
        /// The value, or how many bytes it shall have.
        var value = "{}"
        var bytes = 0
        /// How old it is.
        var age: Duration = .zero
    }

    let broker: TestKafkaBroker
    let triggers: [Trigger]
    let adminPort = FreePort.pick()
    private let home: TemporaryFolder
    private let configuration: String
    private static var python: URL { TestEnvironment.python }

    /// Makes the topics, with their records, and the files; starts nothing but the broker.
    ///
    /// `functions` are lines of YAML for more functions beside `app`, which has two processes. In them and in options of
    /// triggers, HOME, PYTHON, BROKER and HANDLER, the command of `app`, are filled in.
    init(_ triggers: [Trigger], functions: [String] = [], sessionTimeout: String = "6s") throws {
        self.triggers = triggers
        self.home = try TemporaryFolder()
        self.broker = try TestKafkaBroker()
        let address = self.broker.address
        let entries = triggers.flatMap { trigger in
            [
                "  \(trigger.name):",
                "    source:",
                "      kafka:",
                "        { brokers: [\"\(address)\"], topics: [\(trigger.name)], group: \(trigger.name), "
                    + "session_timeout: \(sessionTimeout), properties: { heartbeat.interval.ms: \"300\" } }",
                "    function: \(trigger.function)",
            ] + trigger.options.map { "    \($0)" }
        }
        let app = """
            state: "sqlite:\(self.home.url.path)/penstock.db"
            admin: { listen: "127.0.0.1:\(self.adminPort)" }
            functions:
              app:
                local: { command: \(Self.handlerCommand), directory: "\(self.home.url.path)", concurrency: 2 }
            """
        let lines = functions.map { "  " + $0.replacing("HANDLER", with: Self.handlerCommand) }
        let text = ([app] + lines + ["triggers:"] + entries).joined(separator: "\n")
        self.configuration = text.replacing("HOME", with: self.home.url.path)
            .replacing("PYTHON", with: Self.python.path).replacing("BROKER", with: address)
        try self.write("app.py", DeliveryScripts.handler(triggers))
        try self.write("absent.py", DeliveryScripts.absent)
        try self.write("connectors.yaml", self.configuration)
        try self.produce(triggers.map { ($0, $0.records) })
    }

    private static var handlerCommand: String { "[\"\(Self.python.path)\", -m, awslambdaric, app.handler]" }

    func file(_ name: String) -> URL { self.home.url.appendingPathComponent(name) }

    func write(_ name: String, _ text: String) throws {
        try text.write(to: self.file(name), atomically: true, encoding: .utf8)
    }

    /// Starts Penstock; a second member of the groups has a folder, a store and a port of its own.
    func start(member: Int = 1) throws -> PenstockProcess {
        let folder = self.folder(of: member)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let configuration =
            member == 1
            ? self.configuration
            : self.configuration.replacing("penstock.db", with: "penstock-\(member).db")
                .replacing("127.0.0.1:\(self.adminPort)", with: "127.0.0.1:\(FreePort.pick())")
        return try PenstockProcess(in: folder, configuration: configuration)
    }

    private func folder(of member: Int) -> URL {
        member == 1 ? self.home.url : self.file("member-\(member)")
    }

    func command(_ arguments: [String], member: Int = 1) throws -> CommandRun {
        try CommandRun(arguments, in: self.folder(of: member))
    }

    func lines(_ name: String) throws -> [[UInt8]] {
        try String(contentsOf: self.file(name), encoding: .utf8).split(separator: "\n").map { Array($0.utf8) }
    }

    // MARK: - Kafka

    /// Adds a trigger's later records to its topic.
    func produceLater(_ name: String) throws {
        try self.produce(self.triggers.filter { $0.name == name }.map { ($0, $0.later) })
    }

    /// Adds records to the topics of triggers, which are made when they are missing.
    private func produce(_ records: [(trigger: Trigger, records: [Record])]) throws {
        let now = Date().timeIntervalSince1970
        let topics = records.map { trigger, records -> [String: Any] in
            let records = records.map { record -> [Any] in
                let value = record.bytes == 0 ? record.value : String(repeating: "x", count: record.bytes)
                let time = Int((now - record.age / .seconds(1)) * 1000)
                return [record.partition, record.key.map { $0 as Any } ?? NSNull(), value, time]
            }
            return ["name": trigger.name, "partitions": trigger.partitions, "records": records]
        }
        let json = try JSONSerialization.data(withJSONObject: topics)
        try json.write(to: self.file("records.json"))
        _ = try self.run(DeliveryScripts.producer, [self.file("records.json").path])
    }

    /// What each trigger's group has committed, by partition; 0 for nothing.
    func committed() throws -> [String: [Int]] {
        let groups = self.triggers.flatMap { [$0.name, "\($0.partitions)"] }
        let output = try self.run(DeliveryScripts.committed, groups)
        guard let offsets = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: [Int]]
        else { throw PenstockProcess.Failure("no offsets: \(output)") }
        return offsets
    }

    /// The messages of a topic.
    func messages(of topic: String) throws -> [TestKafkaReader.Message] {
        try TestKafkaReader.messages(of: topic, on: self.broker.address)
    }

    private func run(_ script: String, _ arguments: [String]) throws -> String {
        try ForeignProcess.answer(of: Self.python, ["-c", script, self.broker.address] + arguments)
    }

    // MARK: - What came of it

    /// The invocations of each trigger's handler, in order: which records each got.
    var invocations: [String: [[String]]] {
        let text = (try? String(contentsOf: self.file("arrived"), encoding: .utf8)) ?? ""
        var found: [String: [[String]]] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            found[words[0], default: []].append(Array(words.dropFirst()))
        }
        return found
    }

    /// All dead letters in a member's store.
    func letters(member: Int = 1) throws -> [Letter] {
        let command = ["dlq", "list", "--limit", "1000", "--format", "json"]
        let list = try self.command(command, member: member).document()
        let result = list["result"] as? [String: Any] ?? [:]
        return (result["dead_letters"] as? [[String: Any]] ?? []).map(Letter.init)
    }

    /// A letter whole, as `dlq show` has it.
    func show(_ letter: Letter) throws -> [String: Any] {
        let shown = try self.command(["dlq", "show", "\(letter.id)", "--format", "json"]).document()
        return shown["result"] as? [String: Any] ?? [:]
    }

    /// What a running Penstock says of each trigger.
    func status(member: Int = 1) throws -> [String: [String: Any]] {
        let list = try self.command(["triggers", "list", "--format", "json"], member: member).document()
        let triggers = (list["result"] as? [String: Any])?["triggers"] as? [[String: Any]] ?? []
        return Dictionary(uniqueKeysWithValues: triggers.map { ($0["name"] as? String ?? "", $0) })
    }

    /// One of the counts of a trigger's records or invocations.
    func count(_ name: String, _ trigger: String) throws -> Int {
        let status = try self.status()[trigger] ?? [:]
        let counts = ["records", "invocations"].compactMap { (status[$0] as? [String: Int])?[name] }
        return counts.first ?? 0
    }

    /// Waits until all records are settled, those of some triggers excepted.
    func waitUntilSettled(_ penstock: PenstockProcess, except: Set<String> = []) throws {
        var open: [String] = []
        let isDone = BoundedWait.until(within: .seconds(60)) {
            let status = (try? self.status()) ?? [:]
            open = self.triggers.filter { !except.contains($0.name) }.filter { trigger in
                let records = status[trigger.name]?["records"] as? [String: Int] ?? [:]
                let count = trigger.records.count + trigger.later.count
                return records["received", default: 0] < count || records["in_flight"] != 0
            }.map(\.name)
            return open.isEmpty
        }
        guard isDone else { throw PenstockProcess.Failure("not settled: \(open); log:\n\(penstock.logTail)") }
    }

    /// Waits until a condition holds.
    func wait(for what: String, _ penstock: PenstockProcess, _ condition: () throws -> Bool) throws {
        let holds = BoundedWait.until(within: .seconds(60)) { (try? condition()) == true }
        guard holds else { throw PenstockProcess.Failure("waited for \(what); log:\n\(penstock.logTail)") }
    }

    /// A dead letter in a list.
    struct Letter: Sendable {
        var id: Int
        var trigger: String
        /// As invocations have it.
        var record: String
        var reason: String
        var attempts: Int
        /// The type of the last error.
        var error: String

        fileprivate init(_ document: [String: Any]) {
            self.id = document["id"] as? Int ?? 0
            self.trigger = document["trigger"] as? String ?? ""
            let partition = (document["partition"] as? String ?? "").split(separator: "-").last ?? ""
            let position = document["position"] as? String ?? ""
            self.record = partition == "0" ? position : "\(partition)/\(position)"
            self.reason = document["reason"] as? String ?? ""
            self.attempts = document["attempts"] as? Int ?? 0
            self.error = (document["last_error"] as? [String: Any])?["type"] as? String ?? ""
        }
    }
}
