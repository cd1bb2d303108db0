// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// A row of AWS's table of partial batch responses for the identifiers of a queue: what a handler answers for messages that
/// may fail twice, and how often each of "0", "1" and "2" comes.
struct QueueRow: Sendable, CustomTestStringConvertible {
    let sentence: String
    /// The body of the handler.
    let handler: String
    let counts: [Int]
    /// The type of the last error, by message.
    var letters: [String: String]
    var settings = "report_item_failures: true"

    var testDescription: String { self.sentence }

    static func succeeds(_ sentence: String, _ handler: String) -> Self {
        Self(sentence: sentence, handler: handler, counts: [1, 1, 1], letters: [:])
    }

    static func fails(
        _ sentence: String,
        _ handler: String,
        error: String = "Penstock.MalformedResponse"
    ) -> Self {
        let letters = Dictionary(uniqueKeysWithValues: ["0", "1", "2"].map { ($0, error) })
        return Self(sentence: sentence, handler: handler, counts: [2, 2, 2], letters: letters)
    }

    private static let reported = "Penstock.ReportedItemFailure"

    static let all: [Self] = [
        .succeeds("an empty list deletes all", "return {'batchItemFailures': []}"),
        .succeeds("null for the list deletes all", "return {'batchItemFailures': None}"),
        .succeeds("an empty object deletes all", "return {}"),
        .succeeds("null deletes all", "return None"),
        .succeeds("an empty JSON string deletes all", "return ''"),
        .succeeds("other keys alone delete all", "return {'statusCode': 500}"),
        Self(
            sentence: "a message that is named comes again by itself, and the others are deleted",
            handler: "return failures(records, '1')",
            counts: [1, 2, 1],
            letters: ["1": Self.reported]
        ),
        Self(
            sentence: "a message named twice is named once",
            handler: "return {'batchItemFailures': failures(records, '2')['batchItemFailures'] * 2}",
            counts: [1, 1, 2],
            letters: ["2": Self.reported]
        ),
        Self(
            sentence: "all messages named all come again",
            handler: "return failures(records, '0', '1', '2')",
            counts: [2, 2, 2],
            letters: ["0": Self.reported, "1": Self.reported, "2": Self.reported]
        ),
        .fails(
            "an identifier \"\" deletes nothing",
            "return {'batchItemFailures': [{'itemIdentifier': ''}]}"
        ),
        .fails(
            "an identifier null deletes nothing",
            "return {'batchItemFailures': [{'itemIdentifier': None}]}"
        ),
        .fails("an entry with another key deletes nothing", "return {'batchItemFailures': [{'foo': 'bar'}]}"),
        .fails("an empty entry deletes nothing", "return {'batchItemFailures': [{}]}"),
        .fails(
            "an identifier that is not in the batch deletes nothing",
            "return {'batchItemFailures': [{'itemIdentifier': '00000000-0000-0000-0000-000000000000'}]}"
        ),
        .fails(
            "a number for an identifier deletes nothing",
            "return {'batchItemFailures': [{'itemIdentifier': 123}]}"
        ),
        .fails(
            "the identifier of a topic deletes nothing",
            "return {'batchItemFailures': [{'itemIdentifier': {'partition': 't-0', 'offset': 0}}]}"
        ),
        .fails(
            "an object for the list deletes nothing",
            "return {'batchItemFailures': {'itemIdentifier': records[0]['messageId']}}"
        ),
        .fails("what is not JSON deletes nothing", "return b'no JSON'"),
        .fails("a number at the top deletes nothing", "return 7"),
        .fails("a list at the top deletes nothing", "return []"),
        .fails(
            "one good and one unknown identifier delete nothing",
            "return {'batchItemFailures': [{'itemIdentifier': records[0]['messageId']}, {'itemIdentifier': 'x'}]}"
        ),
        .fails("an exception deletes nothing", "raise ValueError('no')", error: "ValueError"),
        Self(
            sentence: "without report_item_failures an answer that names messages deletes all",
            handler: "return failures(records, '1')",
            counts: [1, 1, 1],
            letters: [:],
            settings: "report_item_failures: false"
        ),
    ]
}

/// Each row with a real Python handler on a queue of an emulator.
///
/// One run of Penstock has a trigger for each row; what came of it is looked at row by row.
@Suite(.ownThreads, .timeLimit(.minutes(4)))
struct SQSResponseTableTests {
    private struct Outcome: Sendable {
        /// How often each message came, by queue.
        var counts: [String: [String: Int]]
        /// The types of the last errors, by queue and message.
        var letters: [String: [String: String]]
    }

    private static func queue(_ number: Int) -> String { "row-\(number)" }

    private static let outcome = Result(catching: Self.run)

    private static func run() throws -> Outcome {
        let aws = try TestAWS()
        defer { aws.stop() }
        let home = try TemporaryFolder()
        func file(_ name: String) -> URL { home.url.appendingPathComponent(name) }
        let names = QueueRow.all.indices.map(Self.queue)
        let urls = try aws.run(Self.fill, names).split(separator: "\n").map(String.init)
        try #require(urls.count == names.count)
        try Self.handlers.write(to: file("app.py"), atomically: true, encoding: .utf8)
        let configuration = Self.configuration(home.url.path, urls)
        let penstock = try PenstockProcess(in: home.url, configuration: configuration)
        let isEmpty = BoundedWait.until(within: .seconds(90)) { (try? aws.run(Self.left, urls)) == "0" }
        guard isEmpty else { throw PenstockProcess.Failure("not settled; log:\n\(penstock.logTail)") }
        try penstock.terminate()
        let arrived = try String(contentsOf: file("arrived"), encoding: .utf8).split(separator: "\n")
        var counts: [String: [String: Int]] = [:]
        for line in arrived {
            let words = line.split(separator: " ").map(String.init)
            for body in words.dropFirst() { counts[words[0], default: [:]][body, default: 0] += 1 }
        }
        return Outcome(counts: counts, letters: try Self.letters(home.url))
    }

    private static func letters(_ folder: URL) throws -> [String: [String: String]] {
        func result(_ arguments: [String]) throws -> [String: Any] {
            let document = try CommandRun(["dlq"] + arguments + ["--format", "json"], in: folder).document()
            return document["result"] as? [String: Any] ?? [:]
        }
        var letters: [String: [String: String]] = [:]
        let list = try result(["list", "--limit", "1000"])["dead_letters"] as? [[String: Any]] ?? []
        for letter in list {
            let shown = try result(["show", "\(letter["id"] as? Int ?? 0)"])
            let body = (shown["body"] as? [String: Any])?["value"] as? String ?? ""
            let error = (letter["last_error"] as? [String: Any])?["type"] as? String ?? ""
            letters[letter["trigger"] as? String ?? "", default: [:]][body] = error
        }
        return letters
    }

    @Test("With a Python handler on a queue", arguments: Array(QueueRow.all.enumerated()))
    func row(_ number: Int, _ row: QueueRow) throws {
        let outcome = try Self.outcome.get()
        let counts = outcome.counts[Self.queue(number)] ?? [:]
        #expect((0...2).map { counts["\($0)", default: 0] } == row.counts)
        #expect(outcome.letters[Self.queue(number)] ?? [:] == row.letters)
    }

    private static func configuration(_ home: String, _ urls: [String]) -> String {
        let triggers = zip(QueueRow.all, urls).enumerated().map { number, pair in
            """
              \(Self.queue(number)):
                source:
                  sqs:
                    queue: "\(pair.1)"
                    region: \(TestAWS.region)
                    credentials: { access_key_id: test, secret_access_key: test }
                    release: now
                function: app
                batch: { size: 10, window: 200ms }
                failure: { retries: 1, backoff: { initial: 1ms, max: 5ms }, \(pair.0.settings) }
            """
        }
        return """
            state: "sqlite:\(home)/penstock.db"
            admin: { listen: "127.0.0.1:0" }
            functions:
              app:
                local:
                  command: ["\(TestEnvironment.python.path)", -m, awslambdaric, app.handler]
                  directory: "\(home)"
                  concurrency: 2
            triggers:
            \(triggers.joined(separator: "\n"))

            """
    }

    /// Makes the queues, with three messages each, and prints their URLs.
    private static let fill = """
        import boto3, sys
        sqs = boto3.client("sqs", endpoint_url=sys.argv[1])
        for name in sys.argv[2:]:
            url = sqs.create_queue(QueueName=name)["QueueUrl"]
            entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(3)]
            sqs.send_message_batch(QueueUrl=url, Entries=entries)
            print(url)
        """

    /// Prints how many messages the queues have, visible or not.
    private static let left = """
        import boto3, sys
        sqs = boto3.client("sqs", endpoint_url=sys.argv[1])
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"] for url in sys.argv[2:]]
        print(sum(int(one[name]) for one in found for name in names))
        """

    /// A module whose handler writes down what came, and does what the row of the queue says.
    private static var handlers: String {
        let head = """
            import os

            ROWS = {}


            def failures(records, *bodies):
                named = [r["messageId"] for r in records if r["body"] in bodies]
                return {"batchItemFailures": [{"itemIdentifier": id} for id in named]}


            def handler(event, context):
                records = event["Records"]
                queue = records[0]["eventSourceARN"].split(":")[-1]
                text = (" ".join([queue] + [r["body"] for r in records]) + "\\n").encode()
                out = os.open("arrived", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                assert os.write(out, text) == len(text)
                os.close(out)
                return ROWS[queue](records)


            """
        let rows = QueueRow.all.enumerated().map { number, row in
            "def row_\(number)(records):\n    \(row.handler)\n\nROWS[\"\(Self.queue(number))\"] = row_\(number)\n"
        }
        return head + rows.joined(separator: "\n")
    }
}
