// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
package import PenstockCore
package import PenstockRuntime
package import PenstockStore

extension JSONValue {
    /// An object with these members, in this order; those without a value are left out.
    package static func document(_ members: (key: String, value: JSONValue?)...) -> JSONValue {
        .object(members.compactMap { member in member.value.map { JSONValue.Member(member.key, $0) } })
    }

    /// A count; JSON numbers of ours end at Int.max.
    package static func count(_ value: UInt64) -> JSONValue {
        .integer(Int(clamping: value))
    }

    /// Bytes as `{"encoding":"utf-8"|"base64","value":…}`; null for none.
    package static func bytes(_ bytes: [UInt8]?) -> JSONValue {
        guard let bytes else { return .null }
        if let text = String(validating: bytes, as: UTF8.self) {
            return .document(("encoding", .string("utf-8")), ("value", .string(text)))
        }
        return .document(("encoding", .string("base64")), ("value", .string(Base64Document.text(of: bytes))))
    }
}

extension TriggerSnapshot {
    /// The trigger as `/api/v1/triggers/{name}` shows it.
    package var document: JSONValue {
        .document(
            ("name", .string(self.name)),
            ("state", .string(self.state.rawValue)),
            ("detail", self.detail.map { .string($0) }),
            ("source_type", .string(self.sourceKind)),
            ("function", .string(self.function)),
            ("records", self.counters.records),
            ("invocations", self.counters.calls(inFlight: self.invocationsInFlight)),
            ("lag_records", self.lagRecords.map { .integer(Int($0)) }),
            ("lag_seconds", self.ages.values.max().map { .number($0.inSeconds) }),
            ("partitions", .array(self.partitions.map { .string($0) })),
            ("lag", .array(self.lag.map(\.document))),
            ("blocked_partitions", .array(self.blocked.map(\.document))),
            ("last_failure", self.lastFailure?.document),
            ("last_progress", self.lastProgress.map { .string($0.configurationText) }),
            ("gaps", .count(self.figures.gaps)),
            ("latest_gaps", .array(self.gaps.map(\.document))),
            ("restarts", .integer(self.restarts)),
            ("durations", self.figures.durations.document)
        )
    }
}

extension TriggerSnapshot.Gap {
    fileprivate var document: JSONValue {
        .document(
            ("at", .string(self.at.configurationText)),
            ("partition", .string(self.partition)),
            ("detail", .string(self.detail))
        )
    }
}

extension Counters {
    fileprivate var records: JSONValue {
        .document(
            ("received", .count(self.received)),
            ("filtered", .count(self.filtered)),
            ("succeeded", .count(self.succeeded)),
            ("dead_lettered", .count(self.deadLettered)),
            ("cancelled", .count(self.cancelled)),
            ("released", .count(self.released)),
            ("in_flight", .count(self.inFlight))
        )
    }

    fileprivate func calls(inFlight: Int) -> JSONValue {
        .document(
            ("total", .count(self.invocations)),
            ("failures", .count(self.failures)),
            ("throttled", .count(self.throttles)),
            ("bisects", .count(self.bisects)),
            ("in_flight", .integer(inFlight)),
            ("commits", .count(self.commits)),
            ("commit_failures", .count(self.commitFailures)),
            ("leases_lost", .count(self.leasesLost)),
            ("dead_letter_failures", .count(self.deadLetterFailures)),
            ("result_failures", .count(self.resultFailures))
        )
    }
}

extension PartitionLag {
    fileprivate var document: JSONValue {
        .document(
            ("partition", .string(self.partition)),
            ("committed", self.committed.map { .string($0.description) }),
            ("records", self.records.map { .integer(Int($0)) }),
            ("bytes", self.bytes.map { .integer(Int($0)) })
        )
    }
}

extension TriggerSnapshot.BlockedPartition {
    fileprivate var document: JSONValue {
        .document(
            ("partition", .string(self.name)),
            ("since", .string(self.since.configurationText)),
            ("attempts", .integer(self.attempts)),
            ("refused", .boolean(self.isRefused)),
            ("overdue", .boolean(self.isOverdue))
        )
    }
}

extension Histogram {
    /// Counts for each bucket, not summed up; the last bucket has no `le`.
    fileprivate var document: JSONValue {
        let buckets = self.counts.enumerated().map { index, count in
            JSONValue.document(
                ("le", index < self.bounds.count ? .number(self.bounds[index]) : nil),
                ("count", .count(count))
            )
        }
        return .document(
            ("count", .count(self.count)),
            ("sum_seconds", .number(self.sum)),
            ("p50_seconds", self.quantile(0.5).map { .number($0) }),
            ("p99_seconds", self.quantile(0.99).map { .number($0) }),
            ("buckets", .array(buckets))
        )
    }

    /// The duration in seconds below which this share of observations lies, interpolated in its bucket as Prometheus
    /// does; nil without observations.
    package func quantile(_ share: Double) -> Double? {
        let total = self.count
        guard total > 0 else { return nil }
        let rank = share * Double(total)
        var below = 0.0
        for (index, count) in self.counts.enumerated() where count > 0 {
            if below + Double(count) >= rank {
                guard index < self.bounds.count else { return self.bounds[self.bounds.count - 1] }
                let low = index == 0 ? 0 : self.bounds[index - 1]
                return low + (self.bounds[index] - low) * (rank - below) / Double(count)
            }
            below += Double(count)
        }
        return self.bounds[self.bounds.count - 1]
    }
}

extension Failure {
    /// Type and message.
    package var document: JSONValue {
        .document(("type", .string(self.type)), ("message", .string(self.message)))
    }
}

extension FilterMiss {
    /// The condition, and the number of its filter.
    package var document: JSONValue {
        .document(
            ("filter", .integer(self.filter)),
            ("condition", .string(self.condition)),
            ("joint", self.isJoint ? .boolean(true) : nil)
        )
    }
}

extension Attempt {
    /// When, how long, and what failed.
    package var document: JSONValue {
        .document(
            ("at", .string(self.at.sortableText)),
            ("duration_ms", .number(self.duration.inSeconds * 1000)),
            ("error", self.failure.document)
        )
    }
}

extension StoredDeadLetter.Summary {
    /// The letter as a list shows it: no payload.
    package var document: JSONValue {
        .document(
            ("id", .integer(Int(self.id.rawValue))),
            ("trigger", .string(self.trigger)),
            ("function", .string(self.function)),
            ("partition", .string(self.partition)),
            ("position", .string(self.position.description)),
            ("timestamp", .string(self.timestamp.configurationText)),
            ("key", .bytes(self.key)),
            ("body_bytes", .integer(self.bodyBytes)),
            ("reason", .string(self.reason.rawValue)),
            ("at", .string(self.at.sortableText)),
            ("attempts", .integer(self.attemptCount)),
            ("last_error", self.lastFailure?.document)
        )
    }
}

extension StoredDeadLetter {
    /// The whole letter, body and history included.
    package var document: JSONValue {
        let letter = self.letter
        let headers = letter.attributes.map { attribute in
            JSONValue.document(("name", .string(attribute.name)), ("value", .bytes(attribute.value)))
        }
        return .document(
            ("id", .integer(Int(self.id.rawValue))),
            ("trigger", .string(letter.trigger)),
            ("function", .string(letter.function)),
            ("partition", .string(letter.partition)),
            ("position", .string(letter.position.description)),
            ("timestamp", .string(letter.timestamp.configurationText)),
            ("key", .bytes(letter.key)),
            ("headers", .array(headers)),
            ("body", .bytes(letter.body)),
            ("body_bytes", .integer(letter.body?.count ?? 0)),
            ("reason", .string(letter.reason.rawValue)),
            ("at", .string(letter.at.sortableText)),
            ("attempt_count", .integer(letter.attemptCount)),
            ("attempts", .array(letter.attempts.map(\.document))),
            ("request_id", .string(letter.invocation))
        )
    }
}

extension Redriver.Event {
    /// One line of a redrive's report; `total` is the number of letters of the whole redrive.
    ///
    /// `outcome` is in the line that tells what became of a letter, with `behind`, the letter that failed, when it was
    /// skipped; `waiting_ms` is in one that tells of a wait before a letter is tried again.
    package func document(total: Int) -> JSONValue {
        switch self {
        case .outcome(let outcome):
            .document(
                ("id", .integer(Int(outcome.id.rawValue))),
                ("outcome", .string(outcome.kind.rawValue)),
                ("error", outcome.failure?.document),
                ("behind", outcome.behind.map { .integer(Int($0.rawValue)) }),
                ("total", .integer(total))
            )
        case .waiting(let waiting):
            .document(
                ("id", .integer(Int(waiting.id.rawValue))),
                ("waiting_ms", .integer(Int(waiting.duration.wholeMilliseconds))),
                ("error", waiting.failure.document),
                ("total", .integer(total))
            )
        }
    }
}

extension JSONValue {
    /// A page of letters, of so many in all; `next` is the id to go on after when there may be more, `warning` tells that
    /// letters will be dropped.
    package static func page(
        of letters: [StoredDeadLetter.Summary],
        _ count: DeadLetterCount,
        limit: Int?,
        warning: String?
    ) -> JSONValue {
        let isFull = limit.map { letters.count >= $0 } ?? false
        return .document(
            ("dead_letters", .array(letters.map(\.document))),
            ("total", .integer(count.count)),
            ("bytes", .integer(count.bytes)),
            ("warning", warning.map { .string($0) }),
            ("next", isFull ? letters.last.map { .integer(Int($0.id.rawValue)) } : nil)
        )
    }
}

extension ClusterStatus {
    /// Members with the number of leases each has, and leases with their holders' names.
    var document: JSONValue {
        let names = Dictionary(self.view.members.map { ($0.id, $0.name) }) { $1 }
        let members = self.view.members.map { member in
            JSONValue.document(
                ("id", .string(member.id.rawValue)),
                ("name", .string(member.name)),
                ("self", .boolean(member.id == self.me)),
                ("version", .string(member.version)),
                ("admin", member.admin.map { .string($0) }),
                ("started", .string(member.started.configurationText)),
                ("leases", .integer(self.view.leases.count { $0.owner == member.id }))
            )
        }
        let leases = self.view.leases.map { lease in
            JSONValue.document(
                ("name", .string(lease.lease.name)),
                ("pool", .string(lease.lease.pool)),
                ("owner", lease.owner.flatMap { names[$0] }.map { .string($0) }),
                ("epoch", .integer(Int(clamping: lease.epoch))),
                ("asked_by", lease.askedBy.flatMap { names[$0] }.map { .string($0) })
            )
        }
        return .document(("shared", .boolean(true)), ("members", .array(members)), ("leases", .array(leases)))
    }
}
