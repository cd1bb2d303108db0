// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient
import Testing

@testable import PostgresConnector

/// What is done to read a slot, and whose turn it is on its stream.
@Suite struct SlotDecisionTests {
    private static let orders = PostgresTable(schema: "app", name: "orders")

    private static func settings(create: Bool = false, _ tables: [PostgresTable] = []) -> SlotSettings {
        SlotSettings(slot: "s", publication: "p", tables: tables, isCreated: create)
    }

    private static func facts(
        slot: SlotFacts.Slot? = SlotFacts.Slot(
            plugin: "pgoutput",
            database: "db",
            owner: nil,
            ownerName: "",
            confirmed: LogSequenceNumber(0x100)
        ),
        _ change: (inout SlotFacts) -> Void = { _ in }
    ) -> SlotFacts {
        var facts = SlotFacts(
            version: 150_000,
            walLevel: "logical",
            isStandby: false,
            database: "db",
            slot: slot,
            hasPublication: true,
            end: LogSequenceNumber(0x200),
            tables: []
        )
        change(&facts)
        return facts
    }

    private static func text(_ step: SlotStep) -> String {
        switch step {
        case .problem(let text), .lost(let text), .wait(_, let text), .run(let text): text
        case .read: ""
        }
    }

    @Test("A slot that is well is read from where it is confirmed; one that somebody reads is waited for")
    func reads() {
        #expect(Self.facts().next(Self.settings()) == .read(confirmed: LogSequenceNumber(0x100)))
        let owned = Self.facts {
            $0.slot?.owner = 77
            $0.slot?.ownerName = "penstock at 10.0.0.1"
        }
        guard case .wait(77, let text) = owned.next(Self.settings()) else {
            Issue.record("\(owned.next(Self.settings()))")
            return
        }
        #expect(text.contains("77 (penstock at 10.0.0.1)"))
    }

    @Test("A server that cannot, a slot of another kind and one that is lost are told, with the way out")
    func problems() {
        func next(_ change: (inout SlotFacts) -> Void) -> SlotStep {
            Self.facts(change).next(Self.settings())
        }
        let cases: [(change: (inout SlotFacts) -> Void, text: String)] = [
            ({ $0.walLevel = "replica" }, "SET wal_level = logical"),
            ({ $0.isStandby = true }, "connect to the primary"),
            ({ $0.slot?.plugin = "wal2json" }, "of the plugin wal2json"),
            ({ $0.slot?.plugin = "" }, "is a physical one"),
            ({ $0.slot?.database = "other" }, "in the database other"),
        ]
        for (change, expected) in cases {
            let told = Self.text(next(change))
            #expect(told.contains(expected), "\(told)")
        }
        let lost = next { $0.slot?.walStatus = "lost" }
        guard case .lost(let text) = lost else {
            Issue.record("\(lost)")
            return
        }
        #expect(text.contains("pg_drop_replication_slot('s')"))
    }

    @Test("What is missing is made one after the other, publication first, or named with its statement")
    func makes() {
        let wanted = Self.settings(create: true, [Self.orders])
        func facts(_ exists: Bool, _ isPublished: Bool, hasPublication: Bool = true) -> SlotFacts {
            Self.facts(slot: nil) {
                $0.hasPublication = hasPublication
                $0.tables = [.init(name: Self.orders, exists: exists, isPublished: isPublished)]
            }
        }
        #expect(
            facts(true, false, hasPublication: false).next(wanted)
                == .run(
                    #"CREATE PUBLICATION "p" FOR TABLE "app"."orders" WITH (publish_via_partition_root = true)"#
                )
        )
        #expect(
            facts(true, false).next(wanted) == .run(#"ALTER PUBLICATION "p" ADD TABLE "app"."orders""#)
        )
        let make = "SELECT pg_create_logical_replication_slot('s', 'pgoutput')"
        #expect(facts(true, true).next(wanted) == .run(make))
        #expect(Self.text(facts(false, false).next(wanted)).contains("there is no table app.orders"))
        let asked = Self.settings([Self.orders])
        guard case .problem(let slot) = facts(true, true).next(asked),
            case .problem(let table) = facts(true, false).next(asked),
            case .problem(let publication) = facts(true, false, hasPublication: false).next(asked)
        else {
            Issue.record("something was done that nobody asked for")
            return
        }
        #expect(slot.contains(make) && slot.contains("create: true"))
        #expect(table.contains("ADD TABLE") && publication.contains("CREATE PUBLICATION"))
    }

    // MARK: - Turns

    private static func at(_ seconds: Double) -> Instant { .start + .seconds(100 + seconds) }

    @Test("A stream waits for the one that is behind, but not for ever, and not for one that takes nothing")
    func waits() {
        var turns = SlotTurns()
        turns.begun(Self.at(0), isBehind: false)
        #expect(turns.waitEnd == .start)
        turns.begun(Self.at(0), isBehind: true)
        #expect(turns.waitEnd == Self.at(2))
        turns.note(Self.at(1), isBehind: true, isTaking: true)
        #expect(turns.waitEnd == Self.at(3))
        turns.note(Self.at(2.5), isBehind: true, isTaking: false)
        #expect(turns.waitEnd == Self.at(3))
        turns.note(Self.at(9), isBehind: true, isTaking: true)
        #expect(turns.waitEnd == Self.at(10))
        turns.note(Self.at(12), isBehind: true, isTaking: true)
        #expect(turns.waitEnd == Self.at(10))
    }

    @Test("Those ahead have their turn before the stream begins again for one that was left behind")
    func restarts() {
        var turns = SlotTurns()
        #expect(turns.restart(Self.at(0), isAlone: false) == Self.at(0))
        turns.begun(Self.at(0), isBehind: false)
        #expect(turns.restart(Self.at(0.5), isAlone: false) == Self.at(1))
        #expect(turns.restart(Self.at(0.5), isAlone: true) == Self.at(0.5))
        turns.begun(Self.at(1), isBehind: true)
        #expect(turns.restart(Self.at(11), isAlone: false) == nil)
        turns.note(Self.at(12), isBehind: false, isTaking: true)
        #expect(turns.restart(Self.at(12), isAlone: false) == Self.at(15))
        #expect(turns.restart(Self.at(20), isAlone: false) == Self.at(20))
    }
}
