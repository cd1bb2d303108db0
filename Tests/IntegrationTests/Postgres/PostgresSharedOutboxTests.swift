// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockCore
import PenstockTesting
import Testing

/// Several Penstocks on one outbox table, which are killed and stand still at random moments.
///
/// With 8,000 rows; `PENSTOCK_OUTBOX_ROWS=100000` makes that number of them, with as many more faults.
@Suite(.ownThreads, .serialized, .timeLimit(.minutes(60)))
struct PostgresSharedOutboxTests {
    /// One of the Penstocks: a store of its own, and a name that the server sees.
    private struct Member {
        let name: String
        let home: TemporaryFolder
        var process: PenstockProcess

        private static let more = """
                batch: { size: 40, window: 10ms }
                concurrency: 4
                failure: { retries: unlimited, backoff: { initial: 50ms, max: 500ms } }
            """

        init(_ number: Int, _ world: PostgresWorld) throws {
            self.name = "member\(number)"
            self.home = try TemporaryFolder()
            self.process = try Self.start(self.name, self.home, world)
        }

        private static func start(
            _ name: String,
            _ home: TemporaryFolder,
            _ world: PostgresWorld
        ) throws -> PenstockProcess {
            // A lease outlives who held it: a short one comes back soon.
            let source =
                "outbox: { url: \"URL?application_name=\(name)\", lease: 3s, poll: 500ms, on_success: mark }"
            return try world.start(source, more: Self.more, in: home)
        }

        mutating func restart(_ world: PostgresWorld) throws {
            self.process.kill()
            self.process = try Self.start(self.name, self.home, world)
        }

        func suspend(_ isSuspended: Bool) { _ = kill(self.process.id, isSuspended ? SIGSTOP : SIGCONT) }
    }

    /// Keeps who has received, held and settled which receipt of a row.
    private static let audit = """
        CREATE TABLE audit (id bigint, attempts int, member text, settles boolean);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO audit VALUES (NEW.id, NEW.attempts, current_setting('application_name'), NEW.done_at IS NOT NULL);
            RETURN NULL;
        END $$;
        CREATE TRIGGER note AFTER UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION note();
        """

    private static let groups = 200

    @Test(
        "Of several Penstocks none takes what another one has, and kills and standstills lose no row and no order",
        arguments: [2, 3]
    )
    func shared(count: Int) throws {
        let wanted = ProcessInfo.processInfo.environment["PENSTOCK_OUTBOX_ROWS"].flatMap { Int($0) }
        let rows = max(2000, wanted ?? 8000)
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let began = ContinuousClock.now
        let world = try PostgresWorld()
        let made = try CommandRun(
            ["postgres", "init-outbox", "outbox", "--apply"],
            configuration: nil,
            environment: ["DATABASE_URL": world.database.url()]
        )
        #expect(made.status == 0, "\(made.errors)")
        try world.database.run(Self.audit)
        world.set(.flaky(oneIn: 40))
        var members = try (0..<count).map { try Member($0, world) }
        let faults = max(8, rows / 1000)
        for fault in 0..<faults {
            // A part of the rows at a time, of which some are settled when something happens.
            let (first, last) = (fault * rows / faults + 1, (fault + 1) * rows / faults)
            try Self.insert(first...last, world)
            let some = Int.random(in: 1...(last - first) / 2, using: &random)
            try world.wait(for: "\(some) of \(first)...\(last)", members[0].process) {
                world.arrivals.count { first...last ~= Int($0.payload ?? "") ?? 0 } >= some
            }
            let victim = Int.random(in: 0..<count, using: &random)
            if (fault + victim) % 2 == 0 {
                try members[victim].restart(world)
            } else {
                // Longer than its leases: others take its rows, and what it does when it wakes changes nothing.
                members[victim].suspend(true)
                let wakes = ContinuousClock.now + .milliseconds(Int.random(in: 500...5000, using: &random))
                _ = BoundedWait.until(within: .seconds(10)) { ContinuousClock.now >= wakes }
                members[victim].suspend(false)
            }
        }
        try Self.waitForAll(world, members[0].process)
        for member in members { try member.process.terminate() }
        let arrivals = world.arrivals
        let line =
            "outbox of \(count): \(rows) rows, seed \(seed), \(faults) faults, \(arrivals.count - rows) came again, "
            + "\(ContinuousClock.now - began)\n"
        FileHandle.standardError.write(Data(line.utf8))
        try Self.check(world, rows: rows, members: count, "seed \(seed)")
        Self.checkOrder(arrivals, "seed \(seed)")
    }

    /// Each tenth row is in no group.
    private static func insert(_ numbers: ClosedRange<Int>, _ world: PostgresWorld) throws {
        try world.database.run(
            """
            INSERT INTO outbox (group_key, payload) SELECT CASE WHEN i % 10 > 0 THEN 'g' || i % \(Self.groups) END, i::text
            FROM generate_series(\(numbers.lowerBound), \(numbers.upperBound)) i
            """
        )
    }

    /// Waits until no row is left, as long as it goes on.
    private static func waitForAll(_ world: PostgresWorld, _ penstock: PenstockProcess) throws {
        func left() throws -> Int {
            Int(try world.database.run("SELECT count(*) FROM outbox WHERE done_at IS NULL")) ?? 0
        }
        var last = try left()
        while last > 0 {
            try world.wait(for: "fewer than \(last) rows", penstock) { try left() < last }
            last = try left()
        }
    }

    private static func check(
        _ world: PostgresWorld,
        rows: Int,
        members: Int,
        _ what: Comment
    ) throws {
        #expect(Set(world.payloads).count == rows, what)
        func value(_ sql: String) throws -> String { try world.database.run(sql) }
        #expect(try value("SELECT count(*) FROM outbox WHERE done_at IS NOT NULL") == "\(rows)", what)
        #expect(
            try value("SELECT count(*), count(DISTINCT id) FROM audit WHERE settles") == "\(rows)|\(rows)",
            "each is settled once, \(what)"
        )
        #expect(
            try value(
                "SELECT count(*) FROM (SELECT FROM audit GROUP BY id, attempts HAVING count(DISTINCT member) > 1) x"
            ) == "0",
            "a receipt belongs to one of them, \(what)"
        )
        let late = """
            SELECT count(*) FROM audit a JOIN outbox o USING (id) WHERE a.settles AND a.attempts <> o.attempts
            """
        #expect(try value(late) == "0", "only the last receipt settles, \(what)")
        let busy = try value("SELECT count(DISTINCT member) FROM audit WHERE settles")
        #expect(busy == "\(members)", "each of them has worked, \(what)")
    }

    /// First arrivals of a group are in order, whatever came again.
    private static func checkOrder(_ arrivals: [PostgresWorld.Arrival], _ what: Comment) {
        var seen: Set<String> = []
        var last: [String: Int] = [:]
        for arrival in arrivals where seen.insert(arrival.id).inserted {
            guard let group = arrival.groupKey, let number = Int(arrival.payload ?? "") else { continue }
            #expect(last[group, default: 0] < number, "\(group): \(number) came late, \(what)")
            last[group] = number
        }
    }
}
