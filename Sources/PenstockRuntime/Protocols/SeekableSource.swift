// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
package import PenstockCore

/// A source that can be read from another position, as ``SourceCapabilities/canSeek`` says.
///
/// A seek is made at rest: the pipeline has drained and committed, and hands out nothing any more. Then it asks for the
/// moves, keeps their checkpoints in the store, in one write, lets upstream follow, and stops the source. Another source of
/// the same trigger begins where the store and upstream say, as after any start. A crash on the way leaves all partitions
/// where they were, or all of them where they were sent.
///
/// All calls may come from any isolation, between ``Source/start(checkpoints:)`` and ``Source/stop()``.
package protocol SeekableSource: Source {
    /// Where each partition would go; it changes nothing.
    func moves(for order: SeekOrder) async throws(SeekError) -> [SeekMove]

    /// Lets upstream follow the checkpoints of these moves, which are in the store; returns the names of the partitions that
    /// did. Those that were lost meanwhile are left out: somebody else reads them on from where they were.
    ///
    /// After it, nothing is committed or received any more; ``Source/stop()`` comes next.
    func follow(_ moves: [SeekMove]) async throws(SourceError) -> Set<String>
}

/// What an operator wants of a source: to be read from another position.
package struct SeekOrder: Sendable, Equatable {
    /// Where reading is to go on.
    package enum Target: Sendable, Equatable {
        /// At the first record that is still there.
        case earliest
        /// Behind the last record there is.
        case latest
        /// At the first record that is not older.
        case time(Timestamp)
        /// At the record of this position, in the source's words; of one partition.
        case position(String)
    }

    /// Where reading is to go on.
    package var target: Target

    /// The partitions by the upstream's names; nil for all.
    package var partitions: [String]?

    /// An order.
    package init(_ target: Target, partitions: [String]? = nil) {
        self.target = target
        self.partitions = partitions
    }
}

extension SeekOrder.Target {
    /// Reads `earliest`, `latest`, a time with its offset, an age such as `2h` before `now`, or `position:42`.
    ///
    /// Nil for anything else.
    package init?(_ text: String, now: Timestamp) {
        switch text {
        case "earliest": self = .earliest
        case "latest": self = .latest
        default:
            let word = "position:"
            if text.hasPrefix(word), text.utf8.count > word.utf8.count {
                self = .position(String(text.dropFirst(word.count)))
            } else if let age = Duration(configurationText: text) {
                self = .time(Timestamp(milliseconds: max(0, now.milliseconds - age.wholeMilliseconds)))
            } else if let time = Timestamp(configurationText: text) {
                self = .time(time)
            } else {
                return nil
            }
        }
    }

    /// What ``init(_:now:)`` reads, behind the name of what holds it.
    package static let form =
        "must be earliest, latest, a time such as 2026-11-20T13:00:00Z, an age such as 2h, or position:42"
}

/// Where one partition goes.
package struct SeekMove: Sendable, Equatable {
    /// The upstream's name of the partition.
    package var partition: String

    /// Where it would have gone on, for people; nil when nothing of it was settled.
    package var from: String?

    /// Where it goes on, for people: the position of the next record, or words.
    package var to: String

    /// How many positions are between the two: skipped, or negative: read again; nil when that is unknown.
    package var distance: Int64?

    /// What the store is to have of it; nil for nothing, where there is no position before the first record.
    package var checkpoint: Position?

    /// A move.
    package init(
        partition: String,
        from: String?,
        to: String,
        distance: Int64? = nil,
        checkpoint: Position?
    ) {
        self.partition = partition
        self.from = from
        self.to = to
        self.distance = distance
        self.checkpoint = checkpoint
    }
}

/// What a seek did, or would do.
package struct SeekReport: Sendable, Equatable {
    /// The partitions that were moved.
    package var moves: [SeekMove]

    /// The names of partitions that were to be moved, and were given to somebody else meanwhile.
    package var lost: [String] = []

    /// A report.
    package init(moves: [SeekMove], lost: [String] = []) {
        self.moves = moves
        self.lost = lost
    }
}

/// Why a seek was not made: nothing has moved, unless it says that this is not known.
package struct SeekError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What went wrong, for a program.
    package enum Code: String, Sendable, CaseIterable {
        /// The source has no such position, or none at all.
        case cannotSeek
        /// There is no partition of that name.
        case noPartition
        /// Somebody else reads what was to be moved.
        case readElsewhere
        /// The position is not one of this partition, or names none.
        case badPosition
        /// Another seek, or a stop, is under way.
        case busy
        /// The trigger does not run now.
        case notRunning
        /// Another member of the cluster runs the trigger.
        case standby
        /// Upstream did not answer, or refused.
        case upstream
        /// The store refused.
        case store
    }

    /// What went wrong, for a program.
    package var code: Code

    /// What happened, with what, and what to do.
    package var detail: String

    /// A seek error.
    package init(_ code: Code, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    package var description: String { self.detail }
}

extension SeekError {
    /// A source that cannot be read from another position.
    static func cannotSeek(_ trigger: String, _ source: SourcePlan) -> SeekError {
        let advice = source.seekAdvice ?? source.capabilities.seekAdvice
        return SeekError(.cannotSeek, "trigger \"\(trigger)\" cannot seek: \(advice)")
    }
}

extension SourceCapabilities {
    /// Why no position can be chosen, where the connector says nothing better.
    fileprivate var seekAdvice: String {
        switch self.settlement {
        case .lease:
            "its records are leased one by one, and gone when they are settled; what was given up is sent again by "
                + "`penstock dlq redrive`"
        case .journaled:
            "its records are kept only until they are settled; what was given up is sent again by `penstock dlq redrive`"
        case .cursor: "its source has no way back to what was settled"
        }
    }
}
