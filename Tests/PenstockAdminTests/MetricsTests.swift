// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Testing

@Suite(.timeLimit(.minutes(5)))
struct MetricsTests {
    /// What a scrape says: Prometheus' text format 0.0.4, read by its grammar.
    struct Scrape {
        struct Sample: Equatable {
            var name: String
            var labels: [String: String]
            var value: Double
        }

        var types: [String: String] = [:]
        var helps: Set<String> = []
        var samples: [Sample] = []

        init(_ text: String) throws {
            #expect(text.hasSuffix("\n"))
            for line in text.split(separator: "\n") {
                let words = line.split(separator: " ", maxSplits: 3)
                if line.hasPrefix("# TYPE ") {
                    #expect(self.types[String(words[2])] == nil, "each family once")
                    self.types[String(words[2])] = String(words[3])
                } else if line.hasPrefix("# HELP ") {
                    #expect(self.helps.insert(String(words[2])).inserted)
                } else {
                    self.samples.append(try Self.sample(line))
                }
            }
        }

        private static func sample(_ line: Substring) throws -> Sample {
            let grammar = /([a-z_]+)(?:\{(.*)\})? (\S+)/
            let match = try #require(try grammar.wholeMatch(in: line), "not a sample: \(line)")
            var labels: [String: String] = [:]
            var rest = match.output.2 ?? ""
            let pair = /^([a-z_]+)="((?:[^"\\]|\\.)*)",?/
            while let next = try pair.firstMatch(in: rest) {
                labels[String(next.output.1)] = String(next.output.2)
                rest = rest[next.range.upperBound...]
            }
            #expect(rest.isEmpty, "not labels: \(rest)")
            return Sample(
                name: String(match.output.1),
                labels: labels,
                value: try #require(Double(match.output.3))
            )
        }

        func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
            self.samples.first { sample in
                sample.name == name && labels.allSatisfy { sample.labels[$0.key] == $0.value }
            }?.value
        }
    }

    private func scrape(_ admin: AdminFixture) async throws -> Scrape {
        let answer = try await admin.get("/metrics")
        #expect(answer.status == 200)
        #expect(answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
        return try Scrape(answer.text)
    }

    @Test("Each family has one HELP and one TYPE, and each sample belongs to a family")
    func grammar() async throws {
        try await AdminFixture.serve { admin in
            let scrape = try await self.scrape(admin)
            #expect(scrape.helps == Set(scrape.types.keys))
            for sample in scrape.samples {
                let suffixes = ["", "_bucket", "_sum", "_count"]
                let family = suffixes.first {
                    sample.name.hasSuffix($0) && scrape.types[String(sample.name.dropLast($0.count))] != nil
                }
                #expect(family != nil, "\(sample.name) has no family")
                #expect(sample.name.hasPrefix("penstock_"))
            }
            for (name, type) in scrape.types where type == "counter" { #expect(name.hasSuffix("_total")) }
        }
    }

    @Test("The names are those that operators know")
    func names() async throws {
        try await AdminFixture.serve { admin in
            try await admin.keep([AdminFixture.letter("p", 0)])
            let names = try await self.scrape(admin).types.keys
            let wanted = [
                "records_received_total", "records_filtered_total", "records_succeeded_total",
                "records_dead_lettered_total", "records_released_total", "records_in_flight", "lag_records",
                "invoke_duration_seconds", "bisects_total", "throttled_total", "dlq_depth",
                "dlq_oldest_age_seconds", "config_generation", "build_info", "trigger_state",
            ]
            for name in wanted { #expect(names.contains("penstock_\(name)"), "\(name)") }
        }
    }

    @Test(
        "docs/OPERATIONS.md lists exactly the metrics that are printed, with their types and what they mean"
    )
    func table() async throws {
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(contentsOf: root.appending(path: "docs/OPERATIONS.md"), encoding: .utf8)
        let rows = page.matches(of: /\n\| `penstock_([a-z_]+)` \| ([a-z]+) \| ([^|]+) \| [^|]+ \|/)
        let documented = rows.map { "\($0.output.1) \($0.output.2): \($0.output.3)" }
        try await AdminFixture.serve { admin in
            try await admin.keep([AdminFixture.letter("p", 0)])
            admin.operations.set(RetentionStatus(retention: LetterRetention(maxBytes: 1 << 20)))
            admin.operations.share(MemberRouteTests.figures, MemberRouteTests.status)
            let text = try await admin.get("/metrics").text
            let families = text.matches(of: /# HELP penstock_(\S+) (.+)\n# TYPE \S+ (\S+)\n/)
            let printed = families.map { "\($0.output.1) \($0.output.3): \($0.output.2)" }
            #expect(documented.sorted() == printed.sorted())
            #expect(printed.count > 30)
        }
    }

    @Test("What a trigger's partitions and batches tell is there, each with its own labels")
    func figures() async throws {
        try await AdminFixture.serve { admin in
            var snapshot = ScriptedOperations.snapshot("orders")
            snapshot.figures.batchSizes.observe(7)
            snapshot.figures.ages.observe(.seconds(3))
            snapshot.figures.rebalances = 4
            snapshot.figures.gaps = 2
            snapshot.figures.retries = 5
            admin.operations.set([snapshot])
            let scrape = try await self.scrape(admin)
            let partition = ["trigger": "orders", "partition": "p"]
            #expect(scrape.value("penstock_lag_seconds", partition) == 2)
            #expect(scrape.value("penstock_position_committed", partition) == 41)
            #expect(scrape.value("penstock_rebalances_total") == 4)
            #expect(scrape.value("penstock_gap_detected_total") == 2)
            #expect(scrape.value("penstock_retries_total") == 5)
            #expect(scrape.value("penstock_batch_size_bucket", ["le": "5"]) == 0)
            #expect(scrape.value("penstock_batch_size_bucket", ["le": "10"]) == 1)
            #expect(scrape.value("penstock_batch_size_sum") == 7)
            #expect(scrape.value("penstock_record_age_at_invoke_seconds_sum") == 3)
        }
    }

    @Test("The records' counters add up, per trigger")
    func conserves() async throws {
        try await AdminFixture.serve { admin in
            let busy = ScriptedOperations.snapshot("orders") {
                $0.received = 100
                $0.filtered = 10
                $0.succeeded = 50
                $0.deadLettered = 5
                $0.released = 15
                $0.inFlight = 20
            }
            admin.operations.set([busy, ScriptedOperations.snapshot("idle")])
            let scrape = try await self.scrape(admin)
            let labels = ["trigger": "orders", "source_type": "scripted", "function": "f"]
            let parts = [
                "filtered_total", "succeeded_total", "dead_lettered_total", "released_total", "in_flight",
            ]
            let sum = parts.compactMap { scrape.value("penstock_records_\($0)", labels) }.reduce(0, +)
            #expect(sum == 100 && scrape.value("penstock_records_received_total", labels) == 100)
            #expect(scrape.value("penstock_records_received_total", ["trigger": "idle"]) == 0)
        }
    }

    @Test("A histogram's buckets grow to its count")
    func histogram() async throws {
        try await AdminFixture.serve { admin in
            var snapshot = ScriptedOperations.snapshot("orders")
            for milliseconds in [1, 30, 30, 2_000_000] {
                snapshot.figures.durations.observe(.milliseconds(milliseconds))
            }
            admin.operations.set([snapshot])
            let scrape = try await self.scrape(admin)
            let buckets = scrape.samples.filter { $0.name == "penstock_invoke_duration_seconds_bucket" }
            #expect(buckets.map(\.value) == buckets.map(\.value).sorted())
            #expect(buckets.last?.labels["le"] == "+Inf" && buckets.last?.value == 4)
            #expect(buckets.first { $0.labels["le"] == "0.05" }?.value == 3)
            #expect(scrape.value("penstock_invoke_duration_seconds_count") == 4)
            #expect(scrape.value("penstock_invoke_duration_seconds_sum") == 2000.061)
        }
    }

    @Test(
        "Labels hold names from the configuration and partitions, and never what a record or a function says"
    )
    func labels() async throws {
        try await AdminFixture.serve { admin in
            var snapshot = ScriptedOperations.snapshot(
                "orders",
                state: .blocked,
                detail: "said by a function"
            )
            snapshot.lastFailure = Attempt(
                at: VirtualLoop.epoch,
                duration: .zero,
                failure: Failure(type: "Said", message: "said by a function")
            )
            admin.operations.set([snapshot])
            try await admin.keep([AdminFixture.letter("p", 0, key: "said by a record")])
            let scrape = try await self.scrape(admin)
            let allowed: Set = ["trigger", "source_type", "function", "partition", "state", "le", "version"]
            #expect(Set(scrape.samples.flatMap(\.labels.keys)).isSubset(of: allowed))
            #expect(!scrape.samples.contains { $0.labels.values.contains { $0.contains("said") } })
            let states = scrape.samples.filter { $0.name == "penstock_trigger_state" }
            #expect(states.count == TriggerSnapshot.State.allCases.count)
            #expect(states.filter { $0.value == 1 }.map { $0.labels["state"] } == ["blocked"])
        }
    }

    @Test("Dead letters are counted, with the age of the oldest")
    func deadLetters() async throws {
        try await AdminFixture.serve { admin in
            try await admin.keep([AdminFixture.letter("p", 0), AdminFixture.letter("p", 1)])
            admin.clock.advance(seconds: 75)
            let scrape = try await self.scrape(admin)
            #expect(scrape.value("penstock_dlq_depth", ["trigger": "orders"]) == 2)
            #expect(scrape.value("penstock_dlq_oldest_age_seconds", ["trigger": "orders"]) == 75)
            #expect(scrape.value("penstock_config_generation") == 3)
            #expect(scrape.value("penstock_dlq_dropped_total", ["trigger": "orders"]) == 0)
            #expect(scrape.value("penstock_dlq_retention_used_ratio") == nil)
            let retention = LetterRetention(maxAge: .seconds(120))
            admin.operations.set(RetentionStatus(retention: retention, dropped: ["gone": 7]))
            admin.clock.advance(seconds: 90)
            let limited = try await self.scrape(admin)
            #expect(limited.value("penstock_dlq_dropped_total", ["trigger": "gone"]) == 7)
            #expect(limited.value("penstock_dlq_retention_used_ratio") == 0.75)
            #expect(limited.value("penstock_dlq_bytes", ["trigger": "orders"]) ?? 0 > 8)
            #expect(scrape.value("penstock_build_info", ["version": "1.2.3"]) == 1)
            #expect(try #require(scrape.value("penstock_process_resident_memory_bytes")) > 1_000_000)
        }
    }

    @Test("A store that does not answer costs its own metrics, not those of the triggers")
    func closedStore() async throws {
        try await AdminFixture.serve { admin in
            await admin.store.close()
            let scrape = try await self.scrape(admin)
            #expect(scrape.types["penstock_dlq_depth"] == nil)
            #expect(scrape.value("penstock_records_received_total") == 0)
        }
    }
}
