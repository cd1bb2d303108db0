// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore

/// The metrics in Prometheus' text format 0.0.4: each family with its HELP and TYPE, once.
struct MetricsText {
    private(set) var text = ""

    /// The kinds of metrics that are used.
    enum Kind: String {
        case counter
        case gauge
        case histogram
    }

    /// A label: a name and a value.
    typealias Label = (name: String, value: String)

    /// Begins a family; its samples follow.
    mutating func family(_ name: String, _ kind: Kind, _ help: String) {
        self.text += "# HELP penstock_\(name) \(help)\n# TYPE penstock_\(name) \(kind.rawValue)\n"
    }

    /// A sample of a family that was begun.
    mutating func sample(_ name: String, _ labels: [Label], _ value: String) {
        self.text += "penstock_\(name)"
        if !labels.isEmpty {
            self.text +=
                "{" + labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",") + "}"
        }
        self.text += " \(value)\n"
    }

    private static func escaped(_ value: String) -> String {
        // By scalars: a mark with an accent behind it is one Character, which is no mark.
        value.unicodeScalars.reduce(into: "") { text, scalar in
            switch scalar {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(scalar)
            }
        }
    }

    /// A number without an exponent where it is whole.
    static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
    }
}

/// What the metrics are made of.
struct MetricsState {
    var snapshots: [TriggerSnapshot]
    /// Letters of each trigger that has any; nil when the store did not answer.
    var deadLetters: [(trigger: String, count: DeadLetterCount)]?
    /// Letters dropped by retention, by trigger.
    var dropped: [String: UInt64]
    /// How much of what retention allows is used; nil without limits, or when the store did not answer.
    var retentionUse: Double?
    var now: Timestamp
    var version: String
    /// How many configurations have been applied since the start.
    var generation: Int
    /// The life of this process among those that share the store; nil when the store is not shared.
    var membership: MembershipFigures?
}

extension MetricsText {
    /// All metrics of a moment.
    init(_ state: MetricsState) {
        self.counters(state.snapshots)
        self.gauges(state.snapshots)
        self.states(state.snapshots)
        self.positions(state.snapshots)
        self.histograms(state.snapshots)
        self.deadLetters(state)
        if let membership = state.membership { self.membership(membership, now: state.now) }
        self.process(state)
    }

    private static func labels(_ snapshot: TriggerSnapshot) -> [Label] {
        [("trigger", snapshot.name), ("source_type", snapshot.sourceKind), ("function", snapshot.function)]
    }

    private mutating func counters(_ snapshots: [TriggerSnapshot]) {
        let families: [(String, String, KeyPath<Counters, UInt64>)] = [
            ("records_received_total", "Records received; a redelivery counts again.", \.received),
            ("records_filtered_total", "Records that matched no filter.", \.filtered),
            ("records_succeeded_total", "Records that a function dealt with.", \.succeeded),
            ("records_dead_lettered_total", "Records given up and kept.", \.deadLettered),
            (
                "records_cancelled_total", "Records settled because a later fire took their place.",
                \.cancelled
            ),
            ("records_released_total", "Records given back to the source unsettled.", \.released),
            ("invocations_total", "Invocations begun.", \.invocations),
            ("invocation_failures_total", "Invocations in which at least one record failed.", \.failures),
            ("throttled_total", "Invocations that found no room.", \.throttles),
            ("bisects_total", "Batches split in two.", \.bisects),
            ("commits_total", "Commits or settlements accepted upstream.", \.commits),
            (
                "commit_failures_total", "Commits or settlements that upstream or the store refused.",
                \.commitFailures
            ),
            ("leases_lost_total", "Deliveries whose lease was lost before they were settled.", \.leasesLost),
            ("dead_letter_failures_total", "Writes that the destination refused.", \.deadLetterFailures),
            (
                "result_failures_total", "Writes that the destination of results refused.",
                \.resultFailures
            ),
        ]
        for (name, help, field) in families {
            self.family(name, .counter, help)
            for snapshot in snapshots {
                self.sample(name, Self.labels(snapshot), "\(snapshot.counters[keyPath: field])")
            }
        }
        let others: [(String, String, @Sendable (TriggerSnapshot) -> UInt64)] = [
            ("retries_total", "Invocations of records that had failed before.", { $0.figures.retries }),
            (
                "rebalances_total", "Changes of the partitions owned: assigned, asked back or lost.",
                { $0.figures.rebalances }
            ),
            ("results_total", "Results that on_success took.", { $0.figures.results }),
            (
                "results_shortened_total", "Results of which on_success took only a part.",
                { $0.figures.shortenedResults }
            ),
            ("gap_detected_total", "Times that records were missing upstream.", { $0.figures.gaps }),
            ("trigger_restarts_total", "Starts after a failure.", { UInt64($0.restarts) }),
        ]
        for (name, help, value) in others {
            self.family(name, .counter, help)
            for snapshot in snapshots { self.sample(name, Self.labels(snapshot), "\(value(snapshot))") }
        }
    }

    private mutating func gauges(_ snapshots: [TriggerSnapshot]) {
        let families: [(String, String, @Sendable (TriggerSnapshot) -> Int)] = [
            (
                "records_in_flight", "Records received and not settled.",
                { Int(clamping: $0.counters.inFlight) }
            ),
            ("invocations_in_flight", "Invocations under way.", { $0.invocationsInFlight }),
            ("partitions_owned", "Partitions that this process reads.", { $0.partitions.count }),
            ("blocked_partitions", "Partitions that do not advance.", { $0.blocked.count }),
            ("blocked_keys", "Partitions, or groups of keys, that do not advance.", { $0.blockedLanes }),
            (
                "overdue_partitions",
                "Partitions that have not advanced for longer than failure.blocked_after.",
                { $0.blocked.count(where: \.isOverdue) }
            ),
        ]
        for (name, help, value) in families {
            self.family(name, .gauge, help)
            for snapshot in snapshots { self.sample(name, Self.labels(snapshot), "\(value(snapshot))") }
        }
    }

    private mutating func positions(_ snapshots: [TriggerSnapshot]) {
        self.family(
            "lag_seconds",
            .gauge,
            "Age of the oldest record received and not settled; 0 when all are settled."
        )
        for snapshot in snapshots {
            for (partition, age) in snapshot.ages.sorted(by: { $0.key < $1.key }) {
                let labels = Self.labels(snapshot) + [("partition", partition)]
                self.sample("lag_seconds", labels, Self.number(age.inSeconds))
            }
        }
        self.family("position_committed", .gauge, "The last committed position, where it is a number.")
        for snapshot in snapshots {
            for lag in snapshot.lag {
                guard let position = lag.committed.flatMap({ UInt64($0.description) }) else { continue }
                let labels = Self.labels(snapshot) + [("partition", lag.partition)]
                self.sample("position_committed", labels, "\(position)")
            }
        }
        self.family(
            "lag_records",
            .gauge,
            "Records between the committed position and the upstream's end; of a queue, messages that wait in it."
        )
        for snapshot in snapshots {
            for lag in snapshot.lag {
                guard let records = lag.records else { continue }
                let labels = Self.labels(snapshot) + [("partition", lag.partition)]
                self.sample("lag_records", labels, "\(records)")
            }
        }
        self.family(
            "lag_bytes",
            .gauge,
            "Bytes between the committed position and the upstream's end, where upstream counts in these."
        )
        for snapshot in snapshots {
            for lag in snapshot.lag {
                guard let bytes = lag.bytes else { continue }
                let labels = Self.labels(snapshot) + [("partition", lag.partition)]
                self.sample("lag_bytes", labels, "\(bytes)")
            }
        }
    }

    private mutating func states(_ snapshots: [TriggerSnapshot]) {
        self.family("trigger_state", .gauge, "1 for the state that the trigger is in, 0 for all others.")
        for snapshot in snapshots {
            for state in TriggerSnapshot.State.allCases {
                let labels: [Label] = [("trigger", snapshot.name), ("state", state.rawValue)]
                self.sample("trigger_state", labels, snapshot.state == state ? "1" : "0")
            }
        }
    }

    private mutating func histograms(_ snapshots: [TriggerSnapshot]) {
        let families: [(String, String, KeyPath<TriggerFigures, Histogram>)] = [
            ("invoke_duration_seconds", "Durations of invocations.", \.durations),
            ("batch_size", "Records of an invocation.", \.batchSizes),
            (
                "record_age_at_invoke_seconds", "Age of an invocation's first record when it began.",
                \.ages
            ),
        ]
        for (name, help, field) in families {
            self.family(name, .histogram, help)
            for snapshot in snapshots {
                self.buckets(name, Self.labels(snapshot), snapshot.figures[keyPath: field])
            }
        }
    }

    private mutating func buckets(_ name: String, _ labels: [Label], _ histogram: Histogram) {
        var sum: UInt64 = 0
        for (index, count) in histogram.counts.enumerated() {
            sum += count
            let bounds = histogram.bounds
            let bound = index < bounds.count ? Self.number(bounds[index]) : "+Inf"
            self.sample("\(name)_bucket", labels + [("le", bound)], "\(sum)")
        }
        self.sample("\(name)_sum", labels, Self.number(histogram.sum))
        self.sample("\(name)_count", labels, "\(sum)")
    }

    private mutating func deadLetters(_ state: MetricsState) {
        self.family("dlq_dropped_total", .counter, "Dead letters dropped by the limits of dead_letters.")
        var dropped = state.dropped
        for snapshot in state.snapshots { dropped[snapshot.name, default: 0] += 0 }
        for (trigger, count) in dropped.sorted(by: { $0.key < $1.key }) {
            self.sample("dlq_dropped_total", [("trigger", trigger)], "\(count)")
        }
        if let use = state.retentionUse {
            self.family(
                "dlq_retention_used_ratio",
                .gauge,
                "Part of dead_letters.max_age or max_size that is used, of the one that is nearer; missing without limits."
            )
            self.sample("dlq_retention_used_ratio", [], Self.number((use * 1000).rounded() / 1000))
        }
        guard let letters = state.deadLetters else { return }
        self.family("dlq_depth", .gauge, "Dead letters in the store.")
        for (trigger, count) in letters { self.sample("dlq_depth", [("trigger", trigger)], "\(count.count)") }
        self.family("dlq_bytes", .gauge, "Bytes of the dead letters in the store, without its own overhead.")
        for (trigger, count) in letters {
            self.sample("dlq_bytes", [("trigger", trigger)], "\(count.bytes)")
        }
        self.family("dlq_oldest_age_seconds", .gauge, "How long ago the oldest dead letter was given up.")
        for (trigger, count) in letters {
            guard let oldest = count.oldest else { continue }
            let age = max(0, (state.now - oldest).inSeconds)
            self.sample("dlq_oldest_age_seconds", [("trigger", trigger)], Self.number(age))
        }
    }

    private mutating func membership(_ figures: MembershipFigures, now: Timestamp) {
        let families: [(String, Kind, String, String)] = [
            (
                "members", .gauge, "Living Penstocks that share the store, at the last beat.",
                "\(figures.members)"
            ),
            ("leases_held", .gauge, "Leases of the shared store held by this one.", "\(figures.leasesHeld)"),
            (
                "store_leases_lost_total", .counter, "Leases of the shared store lost, not given back.",
                "\(figures.leasesLost)"
            ),
            ("beat_failures_total", .counter, "Beats that failed.", "\(figures.beatFailures)"),
            (
                "member_deaths_total", .counter, "Times that this one was taken for dead, and joined anew.",
                "\(figures.deaths)"
            ),
        ]
        for (name, kind, help, value) in families {
            self.family(name, kind, help)
            self.sample(name, [], value)
        }
        guard let last = figures.lastBeat else { return }
        self.family("beat_age_seconds", .gauge, "How long ago the last beat succeeded.")
        self.sample("beat_age_seconds", [], Self.number(max(0, (now - last).inSeconds)))
    }

    private mutating func process(_ state: MetricsState) {
        self.family("build_info", .gauge, "Always 1; the version is in the label.")
        self.sample("build_info", [("version", state.version)], "1")
        self.family(
            "config_generation",
            .gauge,
            "Configurations applied since the start, the first one included."
        )
        self.sample("config_generation", [], "\(state.generation)")
        if let bytes = ProcessFacts.residentBytes {
            self.family("process_resident_memory_bytes", .gauge, "Resident memory of Penstock itself.")
            self.sample("process_resident_memory_bytes", [], "\(bytes)")
        }
        self.family("process_cpu_seconds_total", .counter, "User and system time of Penstock itself.")
        self.sample("process_cpu_seconds_total", [], "\(ProcessFacts.cpuSeconds)")
    }
}
