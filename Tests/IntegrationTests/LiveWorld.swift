// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// A folder with a function, records in a broker, and what is asked of the Penstock that runs in it.
struct LiveWorld {
    let home: TemporaryFolder
    let broker: TestKafkaBroker?
    /// The broker instead of the other one that knows times and ends.
    let offsetBroker: TestOffsetBroker?
    let brokerPort: UInt16

    private static var python: URL { TestEnvironment.python }

    /// With a broker that has the topics, or with none on the port that the configuration names.
    init(topics: [String]?) throws {
        self.home = try TemporaryFolder()
        let port = FreePort.pick()
        self.brokerPort = port
        self.offsetBroker = nil
        self.broker = try topics.map { _ in try TestKafkaBroker(port: port) }
        for topic in topics ?? [] { try self.broker?.createTopic(topic) }
        try self.writeScripts()
    }

    /// With a broker that knows times and ends, where `orders` has a record of each of these times (Unix milliseconds).
    init(times: [Int64]) throws {
        self.home = try TemporaryFolder()
        let broker = try TestOffsetBroker()
        try broker.makeTopic("orders", times: times)
        self.offsetBroker = broker
        self.broker = nil
        self.brokerPort = try #require(broker.address.split(separator: ":").last.flatMap { UInt16($0) })
        try self.writeScripts()
    }

    private func writeScripts() throws {
        try LiveScripts.function.write(to: self.file("function.py"), atomically: true, encoding: .utf8)
        try LiveScripts.producer.write(to: self.file("producer.py"), atomically: true, encoding: .utf8)
    }

    func file(_ name: String) -> URL { self.home.url.appendingPathComponent(name) }

    /// A function that writes down each record, and fails while there is a file `broken` beside it.
    func configuration(
        admin: String = "127.0.0.1:0",
        command: String? = nil,
        directory: String = ".",
        state: String = "penstock.db",
        more: String = ""
    ) -> String {
        let command =
            command
            ?? "[\"\(Self.python.path)\", \"\(self.file("function.py").path)\", \"\(self.home.url.path)\"]"
        return """
            state: "sqlite:\(state.hasPrefix("/") ? state : self.file(state).path)"
            admin: { listen: "\(admin)" }
            functions:
              sink:
                local:
                  command: \(command)
                  directory: "\(directory.hasPrefix("/") ? directory : self.home.url.path)"
                  concurrency: 1
            triggers:
              orders:
                source:
                  kafka:
                    brokers: ["127.0.0.1:\(self.brokerPort)"]
                    topics: [orders]
                    group: live
                    session_timeout: 6s
                function: sink
                batch: { size: 10, window: 20ms }
                failure: { retries: 0 }
            \(more)
            """
    }

    func start(_ configuration: String? = nil) throws -> PenstockProcess {
        try PenstockProcess(in: self.home.url, configuration: configuration ?? self.configuration())
    }

    /// The admin API's port, from the ready file.
    var adminPort: Int {
        get throws {
            let text = try String(contentsOf: self.file("ready"), encoding: .utf8)
            return try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        }
    }

    /// Produces so many records of that size to `orders`.
    func produce(_ count: Int, bytes: Int = 10) throws {
        let arguments = ["producer.py", "127.0.0.1:\(self.brokerPort)", "orders", "\(count)", "\(bytes)"]
        let script = self.file(arguments[0]).path
        _ = try ForeignProcess.answer(of: Self.python, [script] + arguments.dropFirst())
    }

    /// Moves all of the store's pages from its log into the file, as a backup tool would.
    func foldStore() throws {
        try self.editStore("PRAGMA wal_checkpoint(TRUNCATE)")
    }

    /// Runs a statement on the store while no Penstock does.
    func editStore(_ sql: String) throws {
        let script =
            "import sqlite3, sys; sqlite3.connect(sys.argv[1], isolation_level=None).execute(sys.argv[2])"
        _ = try ForeignProcess.answer(
            of: Self.python,
            ["-c", script, self.file("penstock.db").path, sql]
        )
    }

    /// The offsets that arrived at the function and were dealt with, in order.
    var arrived: [Int] {
        let text = (try? String(contentsOf: self.file("arrived"), encoding: .utf8)) ?? ""
        return text.split(separator: "\n").compactMap { Int($0) }
    }

    /// A path of the admin API; nil when nothing answers.
    func get(_ path: String) async throws -> (status: Int, document: [String: Any])? {
        guard let answer = await TestConnection.exchange("GET", path, port: try self.adminPort) else {
            return nil
        }
        let document = try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any]
        return (answer.status, document ?? [:])
    }

    /// Waits until the trigger is in a state, with these words in its detail; gives the detail.
    @discardableResult
    func wait(_ state: String, _ words: String = "", _ penstock: () -> String) async throws -> String {
        var last = ""
        for _ in 0..<1000 {
            let trigger = try await self.get("/api/v1/triggers/orders")?.document ?? [:]
            let detail = trigger["detail"] as? String ?? ""
            last = "\(trigger["state"] ?? "nothing"): \(detail)"
            if trigger["state"] as? String == state, words.isEmpty || detail.contains(words) { return detail }
            Self.pause()
        }
        throw PenstockProcess.Failure("waited for \(state) \(words), it is \(last); log:\n\(penstock())")
    }

    /// Waits until a condition holds.
    func wait(for what: String, _ penstock: PenstockProcess, _ condition: () throws -> Bool) throws {
        for _ in 0..<1000 {
            if try condition() { return }
            Self.pause()
        }
        throw PenstockProcess.Failure("waited for \(what); log:\n\(penstock.logTail)")
    }

    /// Between two looks at a process that sends no signal.
    private static func pause() {
        _ = BoundedWait.until(within: .milliseconds(20)) { false }
    }
}

/// The programs of a ``LiveWorld``.
enum LiveScripts {
    /// Writes each record's offset to `arrived` in the folder that is its argument; fails while `broken` is there.
    static let function = """
        import http.client, json, os, sys

        folder = sys.argv[1]
        api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        base = "/2018-06-01/runtime/invocation/"
        while True:
            api.request("GET", base + "next")
            answer = api.getresponse()
            event = json.loads(answer.read())
            id = answer.getheader("Lambda-Runtime-Aws-Request-Id")
            if os.path.exists(folder + "/broken"):
                api.request("POST", base + id + "/error",
                    '{"errorType":"Broken","errorMessage":"the file \\\\"broken\\\\" is there"}')
            else:
                with open(folder + "/arrived", "a") as out:
                    out.write("".join("%d\\n" % r["offset"] for rs in event["records"].values() for r in rs))
                api.request("POST", base + id + "/response", "null")
            api.getresponse().read()
        """

    /// Broker, topic, records, bytes of each.
    static let producer = """
        import sys
        from confluent_kafka import Producer

        broker, topic, count, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
        failures = []
        producer = Producer({"bootstrap.servers": broker, "linger.ms": 5})
        for number in range(count):
            producer.produce(topic, '{"id":%d,"fill":"%s"}' % (number, "x" * size), partition=0, key=str(number),
                headers={"source": "test"}, on_delivery=lambda error, _: error and failures.append(error))
        left = producer.flush(20)
        sys.exit(1 if failures or left else 0)
        """
}
