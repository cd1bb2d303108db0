// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Filters between a real broker and a real function.
@Suite(.ownThreads, .timeLimit(.minutes(3)))
struct FilterTests {
    private static let producer = """
        import sys
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": sys.argv[1]})
        for number in range(100):
            body = "no JSON" if number == 50 else '{"number": %d, "status": "%s"}' % (number, ["open", "paid"][number % 2])
            producer.produce("orders", body, partition=0, headers={"region": "eu" if number < 60 else "us"})
        sys.exit(producer.flush(30))
        """

    private static let function = """
        import base64, http.client, json, os, sys

        api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        base = "/2018-06-01/runtime/invocation/"
        while True:
            api.request("GET", base + "next")
            answer = api.getresponse()
            event = json.loads(answer.read())
            with open(sys.argv[1], "a") as out:
                for records in event["records"].values():
                    out.writelines("%d\\n" % r["offset"] for r in records)
            api.request("POST", base + answer.getheader("Lambda-Runtime-Aws-Request-Id") + "/response", "null")
            api.getresponse().read()
        """

    @Test("Only records that match reach the function, and the committed offset moves past the others")
    func filters() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "filters-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, text) in [("p", Self.producer), ("f", Self.function), ("c", KillScripts.committed)] {
            let file = folder.appendingPathComponent("\(name).py")
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        let broker = try TestKafkaBroker()
        defer { broker.stop() }
        try broker.createTopic("orders")
        let python = TestEnvironment.python
        func run(_ script: String, _ arguments: [String]) throws -> String {
            let file = folder.appendingPathComponent("\(script).py").path
            return try ForeignProcess.answer(of: python, [file, broker.address] + arguments)
        }
        _ = try run("p", [])
        let output = folder.appendingPathComponent("arrived")
        let penstock = try PenstockProcess(
            in: folder,
            configuration: """
                state: sqlite:\(folder.path)/penstock.db
                admin: { listen: "127.0.0.1:0" }
                functions:
                  sink:
                    local: { command: ["\(python.path)", "\(folder.path)/f.py", "\(output.path)"] }
                triggers:
                  orders:
                    source:
                      kafka: { brokers: ["\(broker.address)"], topics: [orders], group: filters, start: earliest }
                    function: sink
                    batch: { size: 10, window: 50ms }
                    filters:
                      - { value: { status: [paid], number: [{ numeric: [">=", 40] }] }, headers: { region: [eu] } }
                """
        )
        // Odd numbers from 40 to 59, and what is no JSON: the header alone decides there.
        let expected = [41, 43, 45, 47, 49, 50, 51, 53, 55, 57, 59]
        func arrived() -> [Int] {
            let text = (try? String(contentsOf: output, encoding: .utf8)) ?? ""
            return text.split(separator: "\n").compactMap { Int($0) }
        }
        let hasAll = BoundedWait.until(within: .seconds(60)) { arrived().count >= expected.count }
        #expect(hasAll, "\(penstock.logTail)")
        try penstock.terminate()
        #expect(arrived() == expected)
        #expect(try run("c", ["orders", "1", "filters"]) == "100\n")
    }
}
