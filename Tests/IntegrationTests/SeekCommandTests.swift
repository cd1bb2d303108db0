// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockTesting
import Testing

/// `penstock triggers seek` against a Penstock that runs, with real brokers.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(4)))
struct SeekCommandTests {
    /// An hour ago: the broker soon removes what is older than a week.
    private static let start = Int64(Date().timeIntervalSince1970 * 1000) - 3_600_000

    private static let others = """
          nightly:
            source: { schedule: { expression: "@daily" } }
            function: sink
          payments:
            source:
              sqs:
                queue: "http://127.0.0.1:1/000000000000/payments"
                region: eu-west-1
                endpoint: "http://127.0.0.1:1"
                credentials: { access_key_id: test, secret_access_key: test }
            function: sink
        """

    private static func writeCommands(_ world: LiveWorld) throws {
        let text = world.configuration(admin: "127.0.0.1:\(try world.adminPort)", more: Self.others)
        try text.write(to: world.file("commands.yaml"), atomically: true, encoding: .utf8)
    }

    private static func seek(
        _ world: LiveWorld,
        _ arguments: String...,
        of trigger: String = "orders"
    ) throws -> CommandRun {
        let command = ["triggers", "seek", trigger] + arguments + ["--config", "commands.yaml"]
        return try CommandRun(command, in: world.home.url)
    }

    /// Waits until the offset behind these records is committed.
    private static func waitForCommit(_ world: LiveWorld, _ penstock: PenstockProcess, _ last: Int) throws {
        let command = ["triggers", "show", "orders", "--config", "commands.yaml"]
        try world.wait(for: "the commit of \(last)", penstock) {
            let shown = try CommandRun(command, in: world.home.url).output
            return shown.contains("orders-0   \(last) ")
        }
    }

    @Test(
        "Records are read again from the first one, a time and a position, and skipped, durably; a pause stays"
    )
    func seeks() async throws {
        let world = try LiveWorld(times: (0..<10).map { Self.start + $0 * 1000 })
        var penstock = try world.start(world.configuration(more: Self.others))
        try world.wait(for: "ten records", penstock) { world.arrived == Array(0..<10) }
        try Self.writeCommands(world)
        try Self.waitForCommit(world, penstock, 9)

        let trial = try Self.seek(world, "--to", "earliest", "--dry-run")
        #expect(trial.status == 0, "\(trial.errors)")
        let table = "PARTITION  FROM  TO  \norders-0   10    0   10 again\n"
        #expect(trial.output == table + "nothing has moved (--dry-run)\n")
        let unsure = try Self.seek(world, "--to", "earliest")
        #expect(unsure.status == 2)
        let advice = "a seek cannot be undone: say --yes to do it, or --dry-run to see what it would do"
        #expect(unsure.errors == "penstock: \(advice)\n")

        let again = try Self.seek(world, "--to", "earliest", "--yes")
        #expect(
            again.status == 0 && again.output == table + "orders: goes on from there\n",
            "\(again.errors)"
        )
        var expected = Array(0..<10) + Array(0..<10)
        try world.wait(for: "all of them again", penstock) { world.arrived == expected }

        // In whole seconds, behind the sixth record and not behind the seventh.
        let time = Date(timeIntervalSince1970: Double((Self.start + 7000) / 1000))
        let text = ISO8601DateFormatter().string(from: time)
        let since = try Self.seek(world, "--to", text, "--yes", "--format", "json").document()
        let moves = (since["result"] as? [String: Any])?["partitions"] as? [[String: Any]]
        #expect(since["ok"] as? Bool == true && moves?.first?["to"] as? String == "7", "\(since)")
        expected += 7..<10
        try world.wait(for: "those since a time", penstock) { world.arrived == expected }

        let one = try Self.seek(world, "--to", "position:9", "--partition", "orders-0", "--yes")
        #expect(one.status == 0, "\(one.errors)")
        expected += 9..<10
        try world.wait(for: "the last one", penstock) { world.arrived == expected }

        #expect(
            try CommandRun(["triggers", "pause", "orders", "--config", "commands.yaml"], in: world.home.url)
                .status == 0
        )
        try world.produce(3)
        let skipped = try Self.seek(world, "--to", "latest", "--yes")
        #expect(
            skipped.output.contains("orders-0   10    13  3 skipped"),
            "\(skipped.output)\(skipped.errors)"
        )
        try await world.wait("paused") { penstock.logTail }
        try penstock.terminate()
        penstock = try world.start(world.configuration(more: Self.others))
        try Self.writeCommands(world)
        #expect(
            try CommandRun(["triggers", "resume", "orders", "--config", "commands.yaml"], in: world.home.url)
                .status == 0
        )
        try world.produce(1)
        expected.append(13)
        try world.wait(for: "a new record", penstock) { world.arrived == expected }
        try penstock.terminate()
    }

    @Test("What cannot be is refused with the way out, and on a terminal it asks")
    func refusals() async throws {
        let world = try LiveWorld(topics: ["orders"])
        let penstock = try world.start(world.configuration(more: Self.others))
        try world.produce(2)
        try world.wait(for: "two records", penstock) { world.arrived == [0, 1] }
        try Self.writeCommands(world)
        try Self.waitForCommit(world, penstock, 1)
        let schedule = try Self.seek(world, "--to", "1h", "--yes", of: "nightly")
        #expect(
            schedule.status == 1 && schedule.errors.hasPrefix("penstock: trigger \"nightly\" cannot seek: ")
        )
        #expect(schedule.errors.contains("`penstock schedule backfill`"))
        let queue = try Self.seek(world, "--to", "earliest", "--dry-run", of: "payments")
        #expect(
            queue.status == 1 && queue.errors.contains("an SQS queue has no positions"),
            "\(queue.errors)"
        )
        let unknown = try Self.seek(world, "--to", "earliest", "--yes", of: "ordres")
        #expect(unknown.errors == "penstock: there is no trigger \"ordres\"; did you mean \"orders\"?\n")
        let partition = try Self.seek(world, "--to", "earliest", "--yes", "--partition", "orders-7")
        #expect(partition.status == 1)
        #expect(partition.errors == "penstock: there is no partition \"orders-7\"; there are orders-0\n")
        let place = try Self.seek(world, "--to", "yesterday", "--yes")
        #expect(
            place.status == 2 && place.errors.hasPrefix("penstock: --to must be earliest, latest, a time")
        )
        let future = try Self.seek(world, "--to", "2126-01-01T00:00:00Z", "--yes")
        #expect(future.status == 2 && future.errors.contains("must not be in the future"), "\(future.errors)")

        // script(1) gives the program a terminal.
        let program = try PenstockProcess.executable().path
        func ask(_ answer: String) throws -> (Int32?, String) {
            let line =
                "'\(program)' triggers seek orders --to earliest --config '\(world.file("commands.yaml").path)'"
            let terminal = try ForeignProcess(
                URL(fileURLWithPath: "/bin/sh"),
                ["-c", "(cat '\(world.file("answer").path)'; read wait) | script -qec \"\(line)\" /dev/null"]
            )
            return (terminal.status(within: .seconds(30)), terminal.output)
        }
        try Data("n\n".utf8).write(to: world.file("answer"))
        let no = try ask("n")
        #expect(
            no.0 == 1 && no.1.contains("move orders like this? [y/N]") && no.1.contains("nothing has moved"),
            "\(no)"
        )
        #expect(world.arrived == [0, 1])
        try Data("y\n".utf8).write(to: world.file("answer"))
        let yes = try ask("y")
        #expect(yes.0 == 0 && yes.1.contains("orders: goes on from there"), "\(yes)")
        try world.wait(for: "both again", penstock) { world.arrived == [0, 1, 0, 1] }
        try penstock.terminate()
        #expect(try Self.seek(world, "--to", "earliest", "--yes").status == 3)
    }

    @Test("A SIGKILL in the middle of a seek leaves the old positions or the new ones, and loses nothing")
    func killed() async throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let world = try LiveWorld(topics: ["orders"])
        var penstock = try world.start()
        try world.produce(5)
        var count = 5
        try world.wait(for: "five records", penstock) { world.arrived == Array(0..<5) }
        for round in 0..<4 {
            try Self.writeCommands(world)
            try Self.waitForCommit(world, penstock, count - 1)
            let before = world.arrived.count
            let seek = try ForeignProcess(
                try PenstockProcess.executable(),
                [
                    "triggers", "seek", "orders", "--to", "earliest", "--yes", "--config",
                    world.file("commands.yaml").path,
                ]
            )
            if round == 0 {
                // The answer means that it is durable.
                #expect(seek.status(within: .seconds(30)) == 0)
            } else {
                _ = BoundedWait.until(within: .milliseconds(Int.random(in: 20...250, using: &random))) {
                    false
                }
            }
            penstock.kill()
            _ = seek.status(within: .seconds(30))
            penstock = try world.start()
            try world.produce(1)
            count += 1
            try world.wait(for: "a new record, seed \(seed)", penstock) { world.arrived.last == count - 1 }
            // Nothing but the new record, or all from the first one on.
            let came = Set(world.arrived.dropFirst(before))
            let isOld = round > 0 && came == [count - 1]
            #expect(isOld || came == Set(0..<count), "round \(round), seed \(seed): \(came.sorted())")
        }
        try penstock.terminate()
    }
}
