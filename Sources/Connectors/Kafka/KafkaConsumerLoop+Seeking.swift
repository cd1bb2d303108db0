// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime

/// Seeks: where partitions would go, and the commit that sends the group there.
///
/// The group's offsets say where to go on, so that is what a seek changes, as a member of the group: the broker takes it from
/// no one else while the group has members, and fences it by the generation.
extension KafkaConsumerLoop {
    /// How long the group may take to accept the offsets of a seek.
    private static let followMax = Duration.seconds(10)

    /// The offset behind a checkpoint: where reading goes on; 0 without one.
    static func next(behind checkpoint: Position?) -> Int64 {
        checkpoint?.offset.flatMap { Int64(exactly: $0) }.map { $0 + 1 } ?? 0
    }

    /// Where each partition would go.
    func moves(for order: SeekOrder) -> Result<[SeekMove], SeekError> {
        do throws(SeekError) {
            let names = try self.names(of: order)
            let targets = try self.targets(order.target, of: names)
            return .success(zip(names, targets).map { self.move($0, to: $1) })
        } catch {
            return .failure(error)
        }
    }

    private func move(_ name: KafkaPartitionName, to next: Int64) -> SeekMove {
        let committed = self.owned.place(of: name).flatMap { self.owned[$0].committed }
        return SeekMove(
            partition: name.description,
            from: committed.map { "\($0)" },
            to: "\(next)",
            distance: committed.map { next - $0 },
            checkpoint: next > 0 ? Position(UInt64(next - 1)) : nil
        )
    }

    /// Commits offsets of a seek, of the partitions that are still owned.
    func follow(_ offsets: [String: Int64], reply: KafkaInbox.CommitReply) {
        let due = self.owned.entries.filter { offsets[$0.partition.name] != nil }
        guard !due.isEmpty else {
            reply.resume(returning: .success([]))
            return
        }
        let positions = due.map {
            // The position stands for its partition; what is committed is the offset.
            PartitionPosition(partition: $0.partition.id, name: $0.partition.name, position: Position(0))
        }
        let pairs = due.map { ($0.partition.id, offsets[$0.partition.name] ?? 0) }
        _ = self.send(
            positions,
            reply: reply,
            deadline: Clock.now + Self.followMax,
            offsets: Dictionary(pairs) { $1 }
        )
    }

    // MARK: - Which partitions

    /// The partitions that an order is about, all of them read here.
    private func names(of order: SeekOrder) throws(SeekError) -> [KafkaPartitionName] {
        guard case .settled = self.rebalance else {
            throw SeekError(
                .busy,
                "group \"\(self.configuration.group)\" is sharing its partitions out anew; try again in some seconds"
            )
        }
        let owned = self.owned.entries.map(\.name).sorted {
            ($0.topic, $0.partition) < ($1.topic, $1.partition)
        }
        let others = try self.partitions().subtracting(owned)
        guard let wanted = order.partitions else {
            guard others.isEmpty, !owned.isEmpty else { throw self.readElsewhere(others, isAll: true) }
            return owned
        }
        var names: [KafkaPartitionName] = []
        for text in wanted {
            if let name = owned.first(where: { $0.description == text }) {
                if !names.contains(name) { names.append(name) }
            } else if let name = others.first(where: { $0.description == text }) {
                throw self.readElsewhere([name], isAll: false)
            } else {
                let known = (owned + others).map(\.description).sorted()
                let list =
                    known.isEmpty ? "there is none" : "there are \(known.prefix(20).joined(separator: ", "))"
                throw SeekError(.noPartition, "there is no partition \"\(text.prefix(100))\"; \(list)")
            }
        }
        return names
    }

    private func readElsewhere(_ names: Set<KafkaPartitionName>, isAll: Bool) -> SeekError {
        let group = "group \"\(self.configuration.group)\""
        guard !names.isEmpty else {
            return SeekError(
                .notRunning,
                "\(group) has given this member no partition, and its topics have none"
            )
        }
        let list = names.map(\.description).sorted().prefix(20).joined(separator: ", ")
        let way =
            isAll
            ? "stop the other members, or name partitions that are read here"
            : "ask the member that reads it, or stop the other members"
        return SeekError(.readElsewhere, "other members of \(group) read \(list), or nobody yet; \(way)")
    }

    /// All partitions of the topics that are read.
    private func partitions() throws(SeekError) -> Set<KafkaPartitionName> {
        guard let topics = self.consumer.topics(within: Self.questionMax) else {
            throw SeekError(
                .upstream,
                "no broker of \(self.configuration.brokers.joined(separator: ", ")) said which partitions there are; "
                    + "check that they are up"
            )
        }
        return Set(
            topics.filter { self.configuration.reads(topic: $0.name) }.flatMap { topic in
                (0..<topic.partitions).map {
                    KafkaPartitionName(topic: topic.name, partition: Int32(clamping: $0))
                }
            }
        )
    }

    // MARK: - Where to

    /// The offsets at which these partitions would go on.
    private func targets(
        _ target: SeekOrder.Target,
        of names: [KafkaPartitionName]
    ) throws(SeekError) -> [Int64] {
        switch target {
        case .earliest: return try self.ranges(of: names).map(\.lowerBound)
        case .latest: return try self.ranges(of: names).map(\.upperBound)
        case .time(let time): return try self.offsets(at: time, of: names)
        case .position(let text):
            guard names.count == 1 else {
                throw SeekError(
                    .badPosition,
                    "a position is one of a single partition: name it; there are "
                        + names.prefix(20).map(\.description).joined(separator: ", ")
                )
            }
            let range = try self.ranges(of: names)[0]
            guard let offset = Int64(text), offset >= range.lowerBound, offset <= range.upperBound else {
                throw SeekError(
                    .badPosition,
                    "\(names[0]) has no offset \(text.prefix(40)); it can go on at \(range.lowerBound) to \(range.upperBound)"
                )
            }
            return [offset]
        }
    }

    /// The first record that is not older, and the end where all are.
    private func offsets(
        at time: Timestamp,
        of names: [KafkaPartitionName]
    ) throws(SeekError) -> [Int64] {
        let questions = names.map { RDKafkaOffset(name: $0, offset: time.milliseconds) }
        let answers = try self.ask { () throws(RDKafkaError) in
            try self.consumer.offsets(forTimes: questions, within: Self.questionMax)
        }
        var offsets: [Int64] = []
        for name in names {
            guard let answer = answers.first(where: { $0.name == name }) else {
                throw self.unanswered(RDKafkaError(.unknownPartition))
            }
            guard answer.code == .none else { throw self.unanswered(RDKafkaError(answer.code)) }
            offsets.append(answer.offset >= 0 ? answer.offset : try self.ranges(of: [name])[0].upperBound)
        }
        return offsets
    }

    private func ranges(of names: [KafkaPartitionName]) throws(SeekError) -> [Range<Int64>] {
        var ranges: [Range<Int64>] = []
        for name in names {
            ranges.append(
                try self.ask { () throws(RDKafkaError) in
                    try self.consumer.watermarks(of: name, within: Self.questionMax)
                }
            )
        }
        return ranges
    }

    private func ask<Value>(_ question: () throws(RDKafkaError) -> Value) throws(SeekError) -> Value {
        do throws(RDKafkaError) {
            return try question()
        } catch {
            throw self.unanswered(error)
        }
    }

    private func unanswered(_ error: RDKafkaError) -> SeekError {
        SeekError(
            .upstream,
            "\(self.configuration.brokers.joined(separator: ", ")) did not say where its records are: \(error)"
        )
    }
}
