// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
package import PenstockCore
import PenstockFilters
package import PenstockStore

/// Names one record of a trigger, as operators write it: `orders-3:1042`, or `1042` where there is one partition.
package struct RecordAddress: Sendable, Equatable, LosslessStringConvertible {
    /// The upstream's name of the partition; nil for the only one.
    package var partition: String?
    /// Where it stands there, in the source's words: a position, or what ``SourcePlan/position`` makes one of.
    package var place: String

    /// An address.
    package init(partition: String?, place: String) {
        self.partition = partition
        self.place = place
    }

    /// Reads an address; nil when nothing stands before or behind the last colon.
    package init?(_ text: String) {
        let colon = text.lastIndex(of: ":")
        let place = colon.map { text[text.index(after: $0)...] } ?? text[...]
        guard !place.isEmpty, colon != text.startIndex else { return nil }
        self.init(partition: colon.map { String(text[..<$0]) }, place: String(place))
    }

    package var description: String { (self.partition.map { "\($0):" } ?? "") + self.place }
}

/// Why nothing can be said of an address.
package enum RecordTraceError: Error, Sendable, Equatable {
    /// No partition of this name is owned or has a checkpoint, an invocation or a letter; these there are.
    case noPartition(String, known: [String])
    /// The address names no partition, and there is not exactly one.
    case whichPartition(known: [String])
    /// No record of this source can stand at such a place.
    case noPosition(String)
}

/// What is known of one record: where it is, what was tried, and how far its partition has come.
///
/// Put together from what a running trigger has in hand, its latest invocations, and the store. Without a running trigger
/// the store alone answers.
package struct RecordTrace: Sendable {
    /// Where a record is; the raw values are the words of API and command line.
    package enum State: String, Sendable, CaseIterable {
        /// Received, and not invoked yet.
        case waiting
        /// In an invocation.
        case inFlight = "in_flight"
        /// Failed, and waits for its next attempt.
        case retrying
        /// Given up; its dead letter is not durable yet.
        case deadLettering = "dead_lettering"
        /// Invoked; the result is not durable yet.
        case reporting
        /// A leased record that went back to its source, and comes again.
        case released
        /// In the dead-letter store.
        case deadLettered = "dead_lettered"
        /// Settled, because no filter matched it.
        case filtered
        /// Settled.
        case settled
        /// Behind all that was received: not here yet.
        case notReceived = "not_received"
        /// Nothing is known of it.
        case unknown
    }

    /// What the filters say of it.
    package enum Filtering: Sendable, Equatable {
        /// The trigger has none.
        case unfiltered
        /// One matches.
        case passed
        /// None matches; the conditions that are not met.
        case filtered([FilterMiss])
        /// The record is not at hand any more.
        case unknown
    }

    /// The trigger.
    package let trigger: String
    /// The upstream's name of the partition.
    package let partition: String
    /// Where it stands there.
    package let position: Position
    /// Where it is.
    package private(set) var state = State.unknown
    /// The same in a sentence, with what it waits for.
    package private(set) var detail = ""
    /// What the filters say of it.
    package private(set) var filtering = Filtering.unfiltered
    /// The record's own time; nil when it is not at hand.
    package private(set) var timestamp: Timestamp?
    /// Its key.
    package private(set) var key: [UInt8]?
    /// When it was received; nil when it is not in hand.
    package private(set) var receivedAt: Timestamp?
    /// Failed attempts; nil when nothing is known of any.
    package private(set) var attempts: Int?
    /// Their details, as far as they are kept.
    package private(set) var history: [Attempt] = []
    /// The latest invocations with it.
    package let invocations: [InvocationLog.Mention]
    /// When the latest invocation began that is not kept any more; nil while all are.
    package let forgotten: Timestamp?
    /// Its dead letter in the embedded store.
    package let letter: StoredDeadLetter?
    /// How far the partition has come here; nil when it is not owned.
    package let positions: PartitionPositions?
    /// The partition's position in the store.
    package let checkpoint: Position?
    /// Whether a running Penstock was asked.
    package let isRunning: Bool

    /// Puts together what is known.
    ///
    /// - Parameters:
    ///   - address: The record.
    ///   - trigger: Its trigger.
    ///   - store: Where checkpoints and dead letters are.
    ///   - live: What the running trigger knows; nil when none runs. It is asked before: a record that leaves it meanwhile
    ///     is found in the store.
    /// - Throws: ``RecordTraceError``, or what the store says.
    package init(
        _ address: RecordAddress,
        of trigger: Named<TriggerPlan>,
        in store: any StateStore,
        live: LiveTrace? = nil
    ) async throws {
        let position = try trigger.value.source.position(of: address)
        let checkpoints = try await store.checkpoints(of: trigger.name)
        let known = Set(live?.partitions ?? []).union(checkpoints.keys).sorted()
        guard let partition = address.partition ?? (known.count == 1 ? known[0] : nil) else {
            throw RecordTraceError.whichPartition(known: known)
        }
        var query = DeadLetterQuery()
        query.trigger = trigger.name
        query.partition = partition
        query.position = position
        let id = try await store.deadLetters(matching: query).last?.id
        self.letter = if let id { try await store.deadLetter(id) } else { nil }
        self.trigger = trigger.name
        self.partition = partition
        self.position = position
        self.invocations = live?.invocations ?? []
        self.forgotten = live?.forgotten
        self.positions = live?.lookup.positions
        self.checkpoint = checkpoints[partition]
        self.isRunning = live != nil
        guard known.contains(partition) || self.letter != nil || !self.invocations.isEmpty else {
            throw RecordTraceError.noPartition(partition, known: known)
        }
        self.look(at: live, trigger.value)
        (self.state, self.detail) = self.whereabouts(live)
    }

    /// Whether the record was received at some time, as far as anybody knows.
    package var isSeen: Bool { self.state != .notReceived && self.state != .unknown }

    /// Takes what the record itself tells: from where it is in hand, or from its letter.
    private mutating func look(at live: LiveTrace?, _ plan: TriggerPlan) {
        let record = live?.record
        if let (block, index) = record {
            self.timestamp = block.entries[index].timestamp
            self.key = unsafe block.key(at: index).map { unsafe [UInt8]($0) }
        } else if let letter = self.letter?.letter {
            self.timestamp = letter.timestamp
            self.key = letter.key
        }
        if let held = live?.lookup.held {
            self.receivedAt = live?.wall(held.receivedAt)
            (self.attempts, self.history) = (held.attempts, held.history)
        } else if let letter = self.letter?.letter {
            (self.attempts, self.history) = (letter.attemptCount, letter.attempts)
        } else if let past = live?.lookup.returned {
            (self.attempts, self.history) = (past.attempts, past.history)
        }
        guard let filter = plan.filter else { return }
        let misses =
            record.map { filter.misses(of: $0.block, at: $0.index) }
            ?? self.letter.flatMap { plan.misses(of: $0.letter) }
        if let misses {
            self.filtering = misses.isEmpty ? .passed : .filtered(misses)
        } else {
            // Only what passes is invoked.
            self.filtering = self.invocations.isEmpty ? .unknown : .passed
        }
    }

    // MARK: - Where it is

    private func whereabouts(_ live: LiveTrace?) -> (State, String) {
        if let held = live?.lookup.held, let live { return self.whereabouts(held, live) }
        if let letter = self.letter {
            return (
                .deadLettered,
                "given up at \(letter.letter.at.configurationText): dead letter \(letter.id.rawValue)"
            )
        }
        if let past = live?.lookup.returned {
            return (.released, "given back to the source after \(Self.times(past.attempts)); it comes again")
        }
        guard let live else { return self.stored("Penstock does not run") }
        guard let positions = self.positions else {
            let owned = live.partitions.joined(separator: ", ")
            return self.stored(
                "this Penstock does not read \(self.partition)\(owned.isEmpty ? "" : ", but \(owned)")"
            )
        }
        guard let received = positions.received else { return self.unreceived(live) }
        if self.position > received.upperBound {
            return (
                .notReceived,
                "not received yet: \(self.partition) was received up to \(received.upperBound)"
            )
        }
        if self.position < received.lowerBound {
            let rest = "reading began here at \(received.lowerBound)"
            return (
                .settled,
                "before what this process has received: \(rest), and all before it was settled or skipped"
            )
        }
        return self.past(positions)
    }

    /// Of a partition whose first record has not come.
    private func unreceived(_ live: LiveTrace) -> (State, String) {
        if let last = self.invocations.last(where: { $0.word != nil }), last.word == .succeeded {
            return (.settled, "the function dealt with it at \(last.at.configurationText)")
        }
        if live.isLeased {
            return (.unknown, "not in hand: never received by this process, or forgotten since")
        }
        return self.stored("nothing of \(self.partition) was received since it was assigned")
    }

    /// Received under the present owner, and not in hand any more.
    private func past(_ positions: PartitionPositions) -> (State, String) {
        let isCommitted = positions.settled.map { self.position <= $0 } ?? false
        let rest = isCommitted ? "" : "; records before it are not, so that a restart brings it again"
        if case .filtered = self.filtering {
            return (.filtered, "settled without an invocation, because no filter matches it\(rest)")
        }
        if self.invocations.last?.word == .succeeded {
            return (.settled, "settled: the function dealt with it\(rest)")
        }
        if self.invocations.last?.word == .cancelled {
            return (.settled, "settled: a later fire of the schedule took its place\(rest)")
        }
        guard self.invocations.isEmpty else { return (.settled, "settled\(rest)") }
        let ways =
            self.filtering == .unknown
            ? "invoked, filtered, or missing upstream" : "invoked, or missing upstream"
        let memory =
            self.forgotten.map { "; invocations up to \($0.configurationText) are forgotten" } ?? ""
        return (.settled, "settled\(rest): \(ways)\(memory)")
    }

    /// As far as the checkpoint tells.
    private func stored(_ why: String) -> (State, String) {
        guard let checkpoint = self.checkpoint else {
            return (.unknown, "\(why), and \(self.partition) has no checkpoint")
        }
        guard self.position > checkpoint else {
            return (.settled, "settled: the checkpoint of \(self.partition) is \(checkpoint)")
        }
        return (
            .notReceived,
            "not settled: the checkpoint of \(self.partition) is \(checkpoint), and \(why)"
        )
    }

    private func whereabouts(_ held: HeldRecord, _ live: LiveTrace) -> (State, String) {
        let tried = Self.times(held.attempts)
        switch held.state {
        case .waiting:
            let end =
                held.isFiltered ? "no filter matches it, so it becomes a dead letter" : "not invoked yet"
            return (.waiting, "\(end); \(self.obstacle(held, live))")
        case .retrying(let until?):
            return (.retrying, "\(tried) failed; the next one is due at \(live.text(until))")
        case .retrying(nil):
            return (.retrying, "\(tried) failed; \(self.obstacle(held, live))")
        case .inFlight:
            let since = self.invocations.last { $0.duration == nil }
            let begin = since.map { " since \($0.at.configurationText), request id \($0.id)" } ?? ""
            return (.inFlight, "being invoked\(begin)")
        case .deadLettering(let reason, let isRefused):
            let state =
                isRefused ? "its dead letter is refused, and tried again" : "its dead letter is being written"
            return (.deadLettering, "given up (\(reason.rawValue)) after \(tried); \(state)")
        case .reporting(let isRefused):
            let state = isRefused ? "is refused, and tried again" : "is being written"
            return (.reporting, "invoked; the result of its invocation \(state)")
        }
    }

    private func obstacle(_ held: HeldRecord, _ live: LiveTrace) -> String {
        switch held.obstacle {
        case nil: "it is next"
        case .others: "it waits for records before it"
        case .pause: "the trigger is paused"
        case .store: "the store refuses checkpoints"
        case .throttling(let until):
            "the function has no room or cannot be reached; the next try is at \(live.text(until))"
        case .concurrency: "as many invocations run as may"
        case .window(let until): "the batch waits for more records until \(live.text(until))"
        }
    }

    private static func times(_ attempts: Int) -> String {
        attempts == 1 ? "1 attempt" : "\(attempts) attempts"
    }
}

/// What a running trigger knows of one record.
package struct LiveTrace: Sendable {
    /// What its engine knows.
    var lookup = RecordLookup()
    /// The record itself, as long as it is at hand.
    var record: (block: RecordBlock, index: Int)?
    /// The latest invocations with it.
    var invocations: [InvocationLog.Mention] = []
    /// When the latest invocation began that is not kept any more.
    var forgotten: Timestamp?
    /// The partitions owned.
    var partitions: [String] = []
    /// Whether its records are leased.
    var isLeased = false
    /// The two clocks when it was asked.
    var now = TriggerEngine.Moment(instant: .start, wall: Timestamp(milliseconds: 0))

    /// Adds what a log holds.
    mutating func add(_ log: InvocationLog, _ partition: String?, _ position: Position) {
        if let partition { self.invocations = log.mentions(of: partition, position) }
        self.forgotten = log.forgotten
    }

    /// An instant of the loop on the wall clock.
    func wall(_ instant: Instant) -> Timestamp {
        Timestamp(milliseconds: self.now.wall.milliseconds + (instant - self.now.instant).wholeMilliseconds)
    }

    func text(_ instant: Instant) -> String { self.wall(instant).configurationText }
}

extension Pipeline {
    /// What is known here of one record; without a partition, of the one in the only partition owned.
    func trace(_ partition: String?, _ position: Position) -> LiveTrace {
        var trace = LiveTrace()
        trace.partitions = self.engine.partitions
        trace.isLeased = self.parts.policy.lease != nil
        trace.now = self.now
        let sole = trace.partitions.count == 1 ? trace.partitions.first : nil
        let partition = partition ?? sole
        trace.add(self.log, partition, position)
        guard let partition else { return trace }
        trace.lookup = self.engine.lookup(partition, position)
        if let held = trace.lookup.held {
            trace.record = (held.block, held.index)
        } else {
            trace.record = self.latestBlocks.find(partition, position)
        }
        return trace
    }
}

extension SourcePlan {
    /// The position that an address means.
    ///
    /// - Throws: ``RecordTraceError/noPosition(_:)``.
    func position(of address: RecordAddress) throws(RecordTraceError) -> Position {
        guard let position = self.position(address.place) else { throw .noPosition(address.place) }
        return position
    }
}

extension TriggerPlan {
    /// Why a record passes no filter: the conditions that it does not meet; empty for one that passes, nil without filters.
    func misses(of record: DeadLetter) -> [FilterMiss]? {
        let block = record.block(of: self.source.partition(PartitionID(0), record.partition))
        return self.filter?.misses(of: block, at: 0)
    }
}
