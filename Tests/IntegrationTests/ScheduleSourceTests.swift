// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Schedules in the built program, with its store and a function that answers over HTTP.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(3)))
struct ScheduleSourceTests {
    private static func configuration(
        _ schedule: String,
        _ home: TemporaryFolder,
        _ server: TestHTTPServer
    ) -> String {
        """
        state: "sqlite:\(home.url.path)/penstock.db"
        admin: { listen: "127.0.0.1:0" }
        functions:
          sink: { http: { url: "\(server.url())" } }
        triggers:
          tick:
            source: { schedule: { \(schedule) } }
            function: sink

        """
    }

    @Test("A fire sends the event of a scheduled rule, of Scheduler, or own JSON with its words replaced")
    func events() throws {
        let home = try TemporaryFolder()
        let server = try TestHTTPServer { _, exchange in exchange.respond() }
        defer { server.stop() }
        func first(_ more: String) throws -> [String: Any] {
            let before = server.requests.count
            let folder = home.url.appendingPathComponent("\(before)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let configuration = Self.configuration("expression: \"@every 1h\"\(more)", home, server)
                .replacingOccurrences(of: "penstock.db", with: "\(before)/penstock.db")
            let penstock = try PenstockProcess(in: folder, configuration: configuration)
            #expect(
                BoundedWait.until(within: .seconds(90)) { server.requests.count > before },
                "\(penstock.logTail)"
            )
            try penstock.terminate()
            #expect(server.requests.count == before + 1)
            let object = try JSONSerialization.jsonObject(with: Data(server.requests[before].body))
            return try #require(object as? [String: Any])
        }
        let rule = try first("")
        #expect(rule["source"] as? String == "aws.events")
        #expect(rule["detail-type"] as? String == "Scheduled Event")
        #expect(rule["detail"] as? [String: String] == [:])
        #expect(rule["resources"] as? [String] == ["arn:aws:events:local:000000000000:rule/tick"])
        #expect((rule["time"] as? String)?.hasSuffix("Z") == true)
        #expect((rule["id"] as? String)?.count == 36)

        let scheduler = try first(
            ", event: scheduler, arn: \"arn:aws:scheduler:eu-west-1:123456789012:schedule/default/x\""
        )
        #expect(scheduler["source"] as? String == "aws.scheduler")
        #expect(scheduler["detail"] as? String == "{}")
        #expect(scheduler["region"] as? String == "eu-west-1")
        #expect(scheduler["account"] as? String == "123456789012")

        let own = try first(
            ", input: '{\"at\": \"<aws.scheduler.scheduled-time>\", \"attempt\": <aws.scheduler.attempt-number>, \"name\": \"<schedule.name>\"}'"
        )
        #expect(own["attempt"] as? Int == 1)
        #expect(own["name"] as? String == "tick")
        #expect((own["at"] as? String)?.count == 20)
    }

    @Test(
        "Many schedules are sent in lists, and a list may fail in part; a file that changed is read at a reload"
    )
    func many() throws {
        let home = try TemporaryFolder()
        let file = home.url.appendingPathComponent("schedules.jsonl")
        func write(_ names: [String]) throws {
            let lines = names.map {
                #"{"name": "\#($0)", "expression": "@every 1h", "input": "{\"n\": \"<schedule.name>\", \"id\": \"<aws.scheduler.execution-id>\", \"try\": <aws.scheduler.attempt-number>}"}"#
            }
            try lines.joined(separator: "\n").write(to: file, atomically: true, encoding: .utf8)
        }
        /// Each list that arrived, as `name@attempt`.
        func lists(_ requests: [TestHTTPServer.Request]) -> [[String]] {
            requests.map { request in
                let list = try? JSONSerialization.jsonObject(with: Data(request.body)) as? [[String: Any]]
                return (list ?? []).map { "\($0["n"] as? String ?? "")@\($0["try"] as? Int ?? 0)" }
            }
        }
        let server = try TestHTTPServer { request, exchange in
            // What comes for the first time with "b" is not done.
            let list = try? JSONSerialization.jsonObject(with: Data(request.body)) as? [[String: Any]]
            let failed = (list ?? []).filter { $0["n"] as? String == "b" && $0["try"] as? Int == 1 }
            let items = failed.map { "{\"itemIdentifier\": \"\($0["id"] as? String ?? "")\"}" }
            exchange.respond(
                200,
                [("content-type", "application/json")],
                "{\"batchItemFailures\": [\(items.joined(separator: ","))]}"
            )
        }
        defer { server.stop() }
        try write(["a", "b", "c"])
        let configuration =
            Self.configuration("file: \(file.path)", home, server) + """
                    batch: { size: 10, window: 1s }
                    failure: { report_item_failures: true, backoff: { initial: 100ms } }

                """
        let penstock = try PenstockProcess(in: home.url, configuration: configuration)
        #expect(
            BoundedWait.until(within: .seconds(90)) { Set(lists(server.requests).joined()).count == 4 },
            "\(lists(server.requests)) \(penstock.logTail)"
        )
        #expect(Set(lists(server.requests).joined()) == ["a@1", "b@1", "c@1", "b@2"])
        #expect(lists(server.requests).joined().count == 4, "what was done is not sent again")
        try write(["a", "b", "d"])
        _ = kill(penstock.id, SIGHUP)
        #expect(
            BoundedWait.until(within: .seconds(90)) {
                penstock.logTail.contains("changed triggers tick")
                    && lists(server.requests).joined().contains("d@1")
            },
            "\(lists(server.requests)) \(penstock.logTail)"
        )
        #expect(lists(server.requests).joined().count == 5, "what did not change does not begin anew")
        try penstock.terminate()
    }

    @Test(
        "A schedule that cannot be carried out is refused with its place and the way out",
        arguments: [
            ("expression: \"0 25 * * *\"", "the hour \"25\" is not within 0-23"),
            ("expression: \"0 0 30 2 *\"", "never fires"),
            ("expression: \"@daily\", timezone: Berlin", "did you mean \"Europe/Berlin\"?"),
            ("expression: \"@daily\", except: [\"2026-02-30\"]", "which is no date"),
            ("expression: \"@daily\", except: [none.ics]", "\"none.ics\", which cannot be used: the file"),
            ("expression: \"@daily\", jitter: 1m, flexible_window: 5m", "is \"jitter\" by another name"),
            ("expression: \"@daily\", input: '{'", "is not JSON once its words are replaced"),
            ("expression: \"@daily\", overlap: terminate_other", "\"overlap\" must be"),
            (
                "expression: \"@daily\", start: 2027-01-01T00:00:00Z, end: 2026-01-01T00:00:00Z",
                "must not be before \"start\""
            ),
            ("timezone: UTC", "give an expression, or many schedules by"),
            ("expression: \"@daily\", file: s.csv", "\"file\" and \"expression\" are both set"),
            ("file: none.csv", "\"none.csv\", which cannot be used: it does not exist"),
            ("file: none.txt", "its name must end in .jsonl, .ndjson or .csv"),
            ("schedules: []", "must have at least 1 element"),
            (
                "schedules: [{ name: a, expression: \"0 25 * * *\" }]",
                "has number 1, which has the expression \"0 25 * * *\": the hour"
            ),
            (
                "schedules: [{ name: a, expression: \"@daily\" }, { name: a, expression: \"@daily\" }]",
                "more than one \"a\""
            ),
            (
                "schedules: [{ name: a, expression: \"@daily\" }], overlap: cancel_other } }\n    batch: { size: 2 }\n    filters: [] #",
                "must have size 1"
            ),
            ("expression: \"@daily\" } }\n    batch: { size: 10 }\n    filters: [] #", "must have size 1"),
            ("expression: \"@daily\" } }\n    ordering: none\n    filters: [] #", "must be partition"),
        ]
    )
    func refused(schedule: String, text: String) throws {
        let run = try CommandRun(
            ["validate"],
            configuration: """
                functions: { sink: { http: { url: "http://127.0.0.1:1" } } }
                triggers:
                  tick:
                    function: sink
                    source: { schedule: { \(schedule) } }

                """
        )
        #expect(run.status == 2)
        #expect((run.output + run.errors).contains(text), "\(run.errors)")
    }
}
