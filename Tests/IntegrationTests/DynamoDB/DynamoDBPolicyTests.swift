// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Policies on the stream of an emulator's table, as `PolicyTests` has them on topics.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(5)))
struct DynamoDBPolicyTests {
    /// Writes down each invocation as the values of `n` of its records, then does what a test says with `names`.
    private static func handler(_ body: String) -> String {
        let lines = body.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n")
        return """
            import os

            def handler(event, context):
                names = [r["dynamodb"]["NewImage"]["n"]["N"] for r in event["Records"]]
                carts = [r["dynamodb"]["Keys"]["cart"]["S"] for r in event["Records"]]
                with open("invocations", "a") as out:
                    print(*names, file=out)
            """ + "\n" + lines + "\n"
    }

    /// Changes so many, each of the next item of these in turn, from a number on.
    private static func write(_ world: DynamoDBWorld, _ numbers: Range<Int>, of carts: [String]) throws {
        try world.run(
            """
            carts = \(carts)
            for n in range(\(numbers.lowerBound), \(numbers.upperBound)):
                db.put_item(TableName="carts",
                    Item={"cart": {"S": carts[n % len(carts)]}, "line": {"N": "0"}, "n": {"N": str(n)}})
            """
        )
    }

    /// The records of the dead letters, with why and after how many attempts, as `dlq list` has them.
    private static func letters(_ world: DynamoDBWorld) throws -> [[String: Any]] {
        let run = try world.command(["dlq", "list", "--format", "json"])
        let result = try run.document()["result"] as? [String: Any]
        return result?["dead_letters"] as? [[String: Any]] ?? []
    }

    private static func number(_ letter: [String: Any], _ world: DynamoDBWorld) throws -> String {
        let raw = try world.command(["dlq", "show", "\(letter["id"] ?? "")", "--raw"]).output
        let change = try JSONSerialization.jsonObject(with: Data(raw.utf8)) as? [String: Any]
        return (change?["NewImage"] as? [String: [String: String]])?["n"]?["N"] ?? raw
    }

    private static func wait(
        for what: String,
        _ penstock: PenstockProcess,
        _ condition: () throws -> Bool
    ) throws {
        var failure: (any Error)?
        let isDone = BoundedWait.until(within: .seconds(60)) {
            do { return try condition() } catch {
                failure = error
                return true
            }
        }
        if let failure { throw failure }
        if !isDone { throw PenstockProcess.Failure("waited for \(what); log:\n\(penstock.logTail)") }
    }

    @Test("bisect goes down to the bad change in order, and no split costs an attempt")
    func bisect() throws {
        let world = try DynamoDBWorld(
            handler: Self.handler("if '6' in names: raise ValueError('no total')")
        )
        try Self.write(world, 0..<10, of: ["c"])
        let penstock = try world.start(
            trigger: """
                batch: { size: 10, window: 20s }
                failure: { retries: 2, bisect: true, backoff: { initial: 1ms, max: 5ms } }
                """
        )
        try world.wait(for: 9, in: "invocations", penstock)
        #expect(
            world.lines("invocations") == [
                "0 1 2 3 4 5 6 7 8 9", "0 1 2 3 4", "5 6 7 8 9", "5 6", "5", "6", "6", "6", "7 8 9",
            ]
        )
        let letters = try Self.letters(world)
        #expect(letters.count == 1 && letters.first?["reason"] as? String == "RetryAttemptsExhausted")
        #expect(try letters.map { try Self.number($0, world) } == ["6"])
        try penstock.terminate()
    }

    @Test(
        "A change that becomes older than max_age while it is tried is given up, and what follows it goes on"
    )
    func age() throws {
        let world = try DynamoDBWorld(
            handler: Self.handler("if names == ['0']: raise ValueError('never')")
        )
        let penstock = try world.start(
            trigger: """
                batch: { size: 1 }
                failure: { retries: unlimited, max_age: 5s, backoff: { initial: 20ms, max: 100ms } }
                """
        )
        try Self.write(world, 0..<1, of: ["c"])
        try world.wait(for: 1, in: "invocations", penstock)
        try Self.write(world, 1..<2, of: ["d"])
        try Self.wait(for: "the next change", penstock) { world.lines("invocations").contains("1") }
        let tries = world.lines("invocations").count { $0 == "0" }
        let letters = try Self.letters(world)
        #expect(letters.count == 1 && letters.first?["reason"] as? String == "RecordAgeExceeded")
        #expect(letters.first?["attempts"] as? Int == tries, "\(letters)")
        #expect(try letters.map { try Self.number($0, world) } == ["0"])
        try penstock.terminate()
    }

    @Test(
        "With ordering: key an item that fails waits, other items of its shard go on, and each stays in order"
    )
    func keys() throws {
        let world = try DynamoDBWorld(
            handler: Self.handler(
                "if carts[0] == 'b' and not os.path.exists('mended'): raise ValueError('broken')"
            )
        )
        try Self.write(world, 0..<9, of: ["a", "b", "c"])
        let penstock = try world.start(
            trigger: """
                batch: { size: 1 }
                ordering: key
                failure: { retries: unlimited, backoff: { initial: 20ms, max: 100ms } }
                """
        )
        let others: Set = ["0", "2", "3", "5", "6", "8"]
        try Self.wait(for: "the items that do not fail", penstock) {
            others.isSubset(of: Set(world.lines("invocations")))
        }
        #expect(Set(world.lines("invocations")) == others.union(["1"]))
        try "".write(to: world.file("mended"), atomically: true, encoding: .utf8)
        try Self.wait(for: "the item that failed", penstock) { world.lines("invocations").contains("7") }
        for records in [["0", "3", "6"], ["1", "4", "7"], ["2", "5", "8"]] {
            let own = world.lines("invocations").filter { records.contains($0) }
            #expect(Array(own.drop { $0 == records[0] }) == Array(records.dropFirst()))
        }
        #expect(try Self.letters(world).isEmpty)
        try penstock.terminate()
    }

    @Test("start: latest leaves out what was there, and after a restart nothing that came since")
    func latest() throws {
        let world = try DynamoDBWorld(handler: Self.handler("pass"))
        try Self.write(world, 0..<5, of: ["c"])
        let first = try world.start(source: "start: latest")
        // The place is kept, though nothing came.
        try Self.wait(for: "a commit", first) {
            let shown = try world.command(["triggers", "show", "carts", "--format", "json"]).document()
            let trigger = shown["result"] as? [String: Any]
            return ((trigger?["invocations"] as? [String: Any])?["commits"] as? Int ?? 0) > 0
        }
        try Self.write(world, 5..<7, of: ["c"])
        let arrived = { world.lines("invocations").flatMap { $0.split(separator: " ").map(String.init) } }
        try Self.wait(for: "what is new", first) { arrived().contains("6") }
        try first.terminate()
        try Self.write(world, 7..<9, of: ["c"])
        let second = try world.start(source: "start: latest")
        try Self.wait(for: "what came meanwhile", second) { arrived().contains("8") }
        try second.terminate()
        #expect(arrived() == ["5", "6", "7", "8"])
    }
}
