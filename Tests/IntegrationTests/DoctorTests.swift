// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// `penstock doctor` in front of real things.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(5)))
struct DoctorTests {
    struct Check {
        var part: String
        var check: String
        var grade: String
        var detail: String
    }

    private static let libraries = ["LD_LIBRARY_PATH": TestEnvironment.libraries]

    static func examine(
        _ configuration: String,
        in home: URL
    ) throws -> (status: Int32, checks: [Check]) {
        try configuration.write(
            to: home.appendingPathComponent("connectors.yaml"),
            atomically: true,
            encoding: .utf8
        )
        let run = try CommandRun(["doctor", "--format", "json"], in: home, environment: Self.libraries)
        let result = try run.document()["result"] as? [String: Any]
        let checks = result?["checks"] as? [[String: String]] ?? []
        return (
            run.status,
            checks.map {
                Check(
                    part: $0["part"] ?? "",
                    check: $0["check"] ?? "",
                    grade: $0["grade"] ?? "",
                    detail: $0["detail"] ?? ""
                )
            }
        )
    }

    @Test("Where all is well it says so, thing by thing, also beside the Penstock that runs")
    func well() throws {
        let world = try LiveWorld(topics: ["orders"])
        let (status, checks) = try Self.examine(world.configuration(), in: world.home.url)
        #expect(status == 0)
        #expect(checks.allSatisfy { $0.grade == "ok" }, "\(checks)")
        #expect(
            checks.map { "\($0.part)/\($0.check)" } == [
                "store/store", "function sink/command", "function sink/guardian", "orders: source/brokers",
                "orders: source/topics", "orders: source/read", "orders: source/group",
            ]
        )
        #expect(checks.first?.detail.hasSuffix("is not there yet; the first start makes it") == true)
        #expect(!FileManager.default.fileExists(atPath: world.file("penstock.db").path))
        #expect(
            checks.last?.detail
                == "group \"live\" has offsets for 0 of 1 partitions; the others begin at earliest"
        )

        let port = FreePort.pick()
        let configuration = world.configuration(admin: "127.0.0.1:\(port)")
        let penstock = try world.start(configuration)
        let beside = try Self.examine(configuration, in: world.home.url)
        #expect(beside.status == 0)
        #expect(
            beside.checks.first?.detail.contains("is that of the Penstock that runs at 127.0.0.1:\(port)")
                == true
        )
        try penstock.terminate()
    }

    @Test("A store that would be refused is told, without touching it")
    func refusedStore() throws {
        let world = try LiveWorld(topics: nil)
        let store = world.file("penstock.db")
        let garbage = Data("this was never a database, and is long enough to be looked into\n".utf8)
        try garbage.write(to: store)
        let configuration = world.configuration(admin: "127.0.0.1:1")
        let garbled = try Self.examine(configuration, in: world.home.url)
        #expect(garbled.status == 1 && garbled.checks.first?.grade == "error")
        #expect(garbled.checks.first?.detail.contains("is not a Penstock store: ") == true, "\(garbled)")
        #expect(try Data(contentsOf: store) == garbage)
        let penstock = try { () -> PenstockProcess in
            try FileManager.default.removeItem(at: store)
            return try world.start()
        }()
        let used = try Self.examine(configuration, in: world.home.url)
        #expect(used.status == 1)
        #expect(used.checks.first?.detail.contains("in use by another Penstock (pid \(penstock.id))") == true)
        try penstock.terminate()
        let free = try Self.examine(configuration, in: world.home.url)
        #expect(free.checks.first?.detail.hasSuffix("is there, and may be written") == true, "\(free)")
        try world.editStore("INSERT INTO grdb_migrations (identifier) VALUES ('9999-from-the-future')")
        let newer = try Self.examine(configuration, in: world.home.url)
        #expect(newer.checks.first?.detail.contains("was written by a newer Penstock") == true, "\(newer)")
    }

    @Test("A function of AWS Lambda is asked for, and does not run")
    func dryRun() throws {
        let home = try TemporaryFolder()
        let aws = try TestAWS()
        let arn = try aws.createFunction("there", "def handler(event, context):\n    raise ValueError(event)")
        let denied = try TestHTTPServer { _, exchange in
            exchange.respond(403, [("x-amzn-ErrorType", "AccessDeniedException")], "{}")
        }
        defer { denied.stop() }
        let keys = "region: \(TestAWS.region), credentials: { access_key_id: test, secret_access_key: test }"
        let (status, checks) = try Self.examine(
            """
            state: "sqlite:\(home.url.path)/penstock.db"
            functions:
              there: { lambda: { function: "\(arn)", endpoint: "\(aws.endpoint)", \(keys) } }
              denied: { lambda: { function: f, endpoint: "\(denied.url(""))", invocation: event, \(keys) } }
            """,
            in: home.url
        )
        let lines = checks.filter { $0.check == "invoke" }
        #expect(status == 1 && lines.map(\.grade) == ["ok", "error"], "\(checks)")
        #expect(lines.first?.detail == "AWS Lambda would invoke \(arn)")
        #expect(lines.last?.detail.hasSuffix("; allow lambda:InvokeFunction") == true)
        #expect(denied.requests.map { $0.headers["x-amz-invocation-type"] } == ["DryRun"])
    }

    @Test("What would fail has a line with the way out, and exit code 1")
    func unwell() throws {
        let world = try LiveWorld(topics: ["others"])
        let aws = try TestAWS()
        let queue = try ScriptedSQS("work")
        defer { queue.stop() }
        queue.setFaults { $0 == "DeleteMessageBatch" ? .error(status: 403, code: "AccessDenied") : nil }
        let (closed, silent) = (FreePort.pick(), FreePort.pick())
        let keys = "region: \(TestAWS.region), credentials: { access_key_id: test, secret_access_key: test }"
        let (status, checks) = try Self.examine(
            """
            state: "sqlite:\(world.file("penstock.db").path)"
            functions:
              gone: { http: { url: "http://127.0.0.1:\(closed)/" } }
              bare: { http: { url: "https://127.0.0.1:\(world.brokerPort)/", tls: { ca: no-such.pem } } }
              nowhere: { lambda: { function: nowhere, endpoint: "\(aws.endpoint)", \(keys) } }
              typo: { local: { command: [pyhton3, handler.py], directory: "." } }
            triggers:
              missing:
                source: { kafka: { brokers: ["127.0.0.1:\(world.brokerPort)"], topics: [orders], group: g } }
                function: gone
                on_failure: { s3: { bucket: no-such-bucket, endpoint: "\(aws.endpoint)", \(keys) } }
                on_success: { sns: { topic: "arn:aws:sns:\(TestAWS.region):000000000000:none",
                                     endpoint: "\(aws.endpoint)", \(keys) } }
              down:
                source: { kafka: { brokers: ["127.0.0.1:\(silent)"], topics: [orders], group: g } }
                function: typo
              changes:
                source: { dynamodb: { table: nowhere, endpoint: "\(aws.endpoint)", \(keys) } }
                function: nowhere
              denied:
                source: { sqs: { queue: "\(queue.url)", \(keys) } }
                function: nowhere
            """,
            in: world.home.url
        )
        #expect(status == 1)
        func detail(_ part: String, _ check: String) -> String {
            checks.first { $0.part == part && $0.check == check && $0.grade == "error" }?.detail ?? ""
        }
        for (part, check, says) in [
            ("function gone", "endpoint", "start it, or correct url"),
            ("function bare", "endpoint", "; correct tls, or the server's certificate"),
            ("function nowhere", "invoke", "create the function"),
            ("function typo", "command", "no program \"pyhton3\" in PATH"),
            (
                "missing: source", "topics",
                "topic \"orders\" does not exist on 127.0.0.1:\(world.brokerPort); create it"
            ),
            ("missing: on_failure", "destination", "create the bucket"),
            ("missing: on_success", "destination", "create the topic"),
            ("down: source", "brokers", "check that they are up and brokers is right"),
            ("changes: source", "stream", "there is no table nowhere; create it"),
            ("denied: source", "permissions", "sqs:DeleteMessage is denied; allow it"),
        ] {
            #expect(detail(part, check).contains(says), "\(part): \(checks)")
        }
        #expect(!FileManager.default.fileExists(atPath: world.file("arrived").path))
    }
}
