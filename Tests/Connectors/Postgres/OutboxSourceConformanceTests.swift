// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockTesting
import PostgresClient
import Reactor
import Testing

@testable import PostgresConnector

/// Tables of a real server as queues: the one that `init-outbox` makes, and one of a user's own.
@Suite(.ownThreads, .timeLimit(.minutes(5)))
struct OutboxSourceConformanceTests {
    /// Long enough for a machine that runs all tests at once to settle in what is leased.
    private static let lease = Duration.seconds(24)

    /// What keeps rows apart from those of other checks.
    private enum Form: String, CaseIterable {
        case standard, marked, own

        var settings: String {
            switch self {
            case .standard: ""
            case .marked: "on_success: mark"
            // Keys that are UUIDs in no order, and names that need quotes.
            case .own:
                "columns: { id: \"Key\", payload: \"the body\", locked_until: taken, attempts: tries }"
            }
        }

        func make(_ table: PostgresTable, _ check: LeaseSourceConformance.Check) -> String {
            let numbers = "generate_series(0, \(check.records - 1)) n"
            guard self == .own else {
                let group = check.groups.map { "'g' || n % \($0)" } ?? "'g' || n"
                return OutboxSchema(table).sql + """
                    INSERT INTO \(table.quoted) (group_key, payload) SELECT \(group), n::text FROM \(numbers);
                    """
            }
            return """
                CREATE TABLE \(table.quoted) (
                    "Key" uuid PRIMARY KEY DEFAULT gen_random_uuid(), "the body" bigint, taken timestamptz,
                    tries smallint NOT NULL DEFAULT 0);
                INSERT INTO \(table.quoted) ("the body") SELECT n FROM \(numbers) ORDER BY n;
                """
        }
    }

    private static func run(
        _ check: LeaseSourceConformance.Check,
        _ settings: String
    ) async throws {
        let yaml = settings + "\nlease: 24s\npoll: 500ms\ndoorbell: false"
        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(OutboxConfiguration.self)
        let configuration = try #require(read.value, "\(read.findings)")
        let address = try #require(configuration.address)
        let reactor = try Reactor(name: "outbox-test")
        defer { reactor.stop() }
        let terms = TriggerTerms(functionTimeout: .seconds(1), batchWindow: .zero)
        let upstream = LeaseSourceConformance.Upstream(
            loop: reactor,
            records: check.records,
            lease: Self.lease,
            makeSource: {
                OutboxSource(
                    OutboxSettings(configuration, address, terms),
                    format: PostgresEventFormat(kind: .outbox),
                    reactor: reactor
                )
            },
            number: { block, index in
                unsafe block.body(at: index).flatMap { unsafe Int(String(decoding: $0, as: UTF8.self)) }
            }
        )
        try await check.run(upstream)
    }

    @Test("The source keeps the contract of leases")
    func conforms() async throws {
        let server = try PostgresServer(settings: ["max_connections=400"])
        var runs: [(check: LeaseSourceConformance.Check, settings: String, name: String)] = []
        for form in Form.allCases {
            for (number, check) in LeaseSourceConformance.checks.enumerated()
            where form != .own || !check.needsGroups {
                let name = "\(form.rawValue)_\(number)"
                try server.run(form.make(PostgresTable(schema: "public", name: name), check))
                let settings = "url: \"\(server.url())\"\ntable: \(name)\n\(form.settings)"
                runs.append((check, settings, "\(form): \(check)"))
            }
        }
        // Side by side, because they wait for leases most of the time.
        await withTaskGroup { group in
            for (check, settings, name) in runs {
                group.addTask {
                    do {
                        try await Self.run(check, settings)
                    } catch {
                        Issue.record(error, "\(name)")
                    }
                }
            }
        }
        #expect(try server.run("SELECT count(*) FROM marked_7 WHERE done_at IS NULL") == "0")
        #expect(try server.run("SELECT count(*) > 0 FROM marked_7") == "t")
    }
}
