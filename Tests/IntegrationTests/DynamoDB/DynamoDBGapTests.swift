// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// What `penstock triggers show` tells of changes that a stream has trimmed.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(3)))
struct DynamoDBGapTests {
    @Test(
        "A stream gap in `triggers show` from a real source: each trimmed shard, its time, and what is gone"
    )
    func gaps() throws {
        let streams = try ScriptedStreams("carts", shards: 3)
        defer { streams.stop() }
        let home = try TemporaryFolder()
        let arrived = home.url.appendingPathComponent("arrived")
        let handler = """
            def handler(event, context):
                with open("arrived", "a") as out:
                    for record in event["Records"]:
                        print(record["dynamodb"]["SequenceNumber"], file=out)
            """
        try handler.write(to: home.url.appendingPathComponent("app.py"), atomically: true, encoding: .utf8)
        let wait = { (numbers: Set<String>, penstock: PenstockProcess) in
            let came = BoundedWait.until(within: .seconds(60)) {
                let text = (try? String(contentsOf: arrived, encoding: .utf8)) ?? ""
                return numbers.isSubset(of: text.split(separator: "\n").map(String.init))
            }
            if !came { throw PenstockProcess.Failure("waited for changes; log:\n\(penstock.logTail)") }
        }
        let start = {
            try PenstockProcess(
                in: home.url,
                configuration: streams.configuration(in: home.url)
            )
        }
        let shards = streams.openShards
        let first = try start()
        try wait(Set(shards.flatMap { streams.write(["a"], to: $0) }), first)
        try first.terminate()
        // While nobody reads, two of the three lose what was written.
        for shard in shards { streams.write((0..<9).map { "b\($0)" }, to: shard) }
        for shard in shards.prefix(2) { streams.trim(shard, keeping: 1) }
        let last = shards.flatMap { streams.write(["c"], to: $0) }
        let second = try start()
        try wait(Set(last), second)
        let port = try String(contentsOf: home.url.appendingPathComponent("ready"), encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        try streams.configuration(in: home.url, admin: "127.0.0.1:\(port)")
            .write(to: home.url.appendingPathComponent("commands.yaml"), atomically: true, encoding: .utf8)
        let show = ["triggers", "show", "carts", "--config", "commands.yaml"]
        let document = try CommandRun(show + ["--format", "json"], in: home.url).document()
        let trigger = document["result"] as? [String: Any]
        #expect(trigger?["gaps"] as? Int == 2)
        let latest = try #require(trigger?["latest_gaps"] as? [[String: String]])
        let partitions = shards.prefix(2).map { "\(streams.arn)/\($0)" }
        #expect(latest.compactMap { $0["partition"] }.sorted() == partitions)
        for gap in latest {
            #expect(gap["detail"]?.contains("are older than 24 hours and gone") == true, "\(gap)")
            #expect(gap["at"]?.hasPrefix("20") == true, "\(gap)")
        }
        let text = try CommandRun(show, in: home.url).output
        #expect(text.contains("records were missing upstream 2 times; see below"), "\(text)")
        let lines = text.split(separator: "\n").map(String.init)
        for partition in partitions {
            let isTold = lines.contains {
                $0.contains(partition) && $0.contains("older than 24 hours and gone")
            }
            #expect(isTold, "\(text)")
        }
        try second.terminate()
    }
}
