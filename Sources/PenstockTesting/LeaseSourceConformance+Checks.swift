// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import Reactor

// MARK: - What is handed out

extension LeaseSourceConformance {
    private static func isTrue(
        _ condition: Bool,
        _ promise: @autoclosure () -> String
    ) throws(SourceConformance.Violation) {
        try SourceConformance.isTrue(condition, promise())
    }

    static func firstGrant(_ upstream: Upstream) async throws {
        try await upstream.read { probe in
            try await probe.linger()
            try Self.isTrue(
                probe.count == 0,
                "nothing comes before the first grant, but \(probe.count) records"
            )
            probe.grant(1000)
            try await probe.records(upstream.records)
        }
    }

    static func once(_ upstream: Upstream) async throws {
        try await upstream.read { probe in
            while probe.count < upstream.records {
                let before = probe.count
                probe.grant(7)
                try await probe.receive(until: "a grant of 7 records brings some") { $0.count > before }
                try Self.isTrue(probe.count <= before + 7, "a grant of 7 brings at most 7")
            }
            probe.grant(7)
            try await probe.linger()
            try Self.isTrue(probe.count == upstream.records, "each record comes once")
            let names = Set(probe.deliveries.map(\.record))
            try Self.isTrue(names.count == upstream.records, "each record has a position of its own")
            try Self.isTrue(
                Set(probe.deliveries.map(\.number)) == Set(0..<upstream.records),
                "all records come"
            )
        }
    }

    static func recordBudget(_ upstream: Upstream) async throws {
        try await upstream.read { probe in
            probe.grant(5)
            try await probe.records(5)
            try await probe.linger()
            try Self.isTrue(probe.count == 5, "a grant of 5 brings 5, not \(probe.count)")
            probe.grant(0)
            try await probe.linger()
            try Self.isTrue(probe.count == 5, "a grant of 0 brings nothing")
            probe.grant(3)
            try await probe.records(8)
            try await probe.linger()
            try Self.isTrue(probe.count == 8, "a grant of 3 brings 3, not \(probe.count - 5)")
        }
    }

    static func byteBudget(_ upstream: Upstream) async throws {
        try await upstream.read { probe in
            probe.grant(1000, bytes: 1)
            try await probe.receive(until: "a grant of 1 byte brings a record") { $0.count > 0 }
            try await probe.linger()
            let first = probe.count
            try Self.isTrue(
                first < upstream.records / 2,
                "a grant of 1 byte brings one receive, not \(first)"
            )
            probe.grant(1000, bytes: 0)
            try await probe.linger()
            try Self.isTrue(probe.count == first, "a grant of no bytes brings nothing")
            probe.grant(1000)
            try await probe.records(upstream.records)
        }
    }

    static func replacedGrant(_ upstream: Upstream) async throws {
        try await upstream.read { probe in
            // Nothing of the first can have been handed out before the second.
            probe.grant(2)
            probe.grant(3)
            try await probe.records(3)
            try await probe.linger()
            try Self.isTrue(probe.count == 3, "a grant of 3 in place of 2 brings 3, not \(probe.count)")
        }
    }

    // MARK: - Leases

    /// Receives everything.
    private static func receiveAll(
        _ upstream: Upstream,
        _ probe: LeaseProbe
    ) async throws -> [LeaseProbe.Delivery] {
        probe.grant(1000)
        try await probe.records(upstream.records)
        return probe.deliveries
    }

    /// The next source gets these records again, none before the lease of its earlier delivery has ended, and no others.
    private static func expect(_ upstream: Upstream, _ rest: [LeaseProbe.Delivery]) async throws {
        try await upstream.read { probe in
            probe.grant(1000)
            try await probe.records(rest.count)
            // Whatever else there is would be free by now.
            try await probe.linger()
            try Self.isTrue(probe.count == rest.count, "\(rest.count) records come again, not \(probe.count)")
            var earlier = Dictionary(uniqueKeysWithValues: rest.map { ($0.record, $0) })
            for delivery in probe.deliveries {
                guard let before = earlier.removeValue(forKey: delivery.record) else {
                    throw SourceConformance.Violation(
                        description:
                            "a record has its position in each delivery, but \(delivery.record) is new"
                    )
                }
                try Self.isTrue(before.number == delivery.number, "\(delivery.record) is the same record")
                try Self.isTrue(
                    delivery.at >= before.until,
                    "\(delivery.record) comes again \(before.until - delivery.at) before its lease ends"
                )
            }
        }
    }

    static func stopSettlesNothing(_ upstream: Upstream) async throws {
        let all = try await upstream.read { try await Self.receiveAll(upstream, $0) }
        try await Self.expect(upstream, all)
    }

    static func acknowledge(_ upstream: Upstream) async throws {
        let rest = try await upstream.read { probe in
            let all = try await Self.receiveAll(upstream, probe)
            try await probe.settle(.acknowledge, all.filter { $0.number % 3 == 0 })
            try await probe.settle(.acknowledge, all.filter { $0.number == 1 })
            return all.filter { $0.number % 3 != 0 && $0.number != 1 }
        }
        try await Self.expect(upstream, rest)
    }

    static func release(_ upstream: Upstream) async throws {
        try await upstream.read { probe in
            let all = try await Self.receiveAll(upstream, probe)
            let (now, later) = (all[0], all[1])
            let start = upstream.loop.now
            // Of different kinds in one call.
            let outcome = try await probe.settle([
                (.acknowledge, Array(all[4...])), (.release(after: .zero, isFailure: false), [now]),
                (.release(after: .seconds(1), isFailure: true), [later]),
            ])
            try Self.isTrue(outcome.refused.isEmpty && outcome.lost.isEmpty, "what is leased can be settled")
            // Queues without groups keep no order: on a crowded machine both may come in one receive.
            func again(_ delivery: LeaseProbe.Delivery) -> LeaseProbe.Delivery? {
                probe.deliveries.dropFirst(all.count).first { $0.record == delivery.record }
            }
            try await probe.receive(until: "what was released comes again, as it was") { _ in
                again(now) != nil && again(later) != nil
            }
            guard let now = again(now), let later = again(later) else { return }
            try Self.isTrue(now.at < all[0].until, "what was released at once does not wait for its lease")
            try Self.isTrue(
                later.at - start >= .seconds(1),
                "what was released for a second later came after \(later.at - start)"
            )
            try await probe.settle(.acknowledge, [now, later] + all[2..<4])
        }
        try await Self.expect(upstream, [])
    }

    static func extend(_ upstream: Upstream) async throws {
        try await upstream.read { probe in
            let all = try await Self.receiveAll(upstream, probe)
            let (longer, short) = (Array(all.prefix(12)), Array(all.dropFirst(12)))
            let length = upstream.lease + upstream.lease
            let start = upstream.loop.now
            let outcome = try await probe.extend(longer, by: length)
            try Self.isTrue(outcome.refused.isEmpty && outcome.lost.isEmpty, "what is leased can be extended")
            try Self.isTrue(
                outcome.until > start && outcome.until <= upstream.loop.now + length,
                "an extension is no longer than was asked for"
            )
            probe.grant(1000)
            try await probe.records(all.count + short.count)
            let first = probe.deliveries[all.count...]
            try Self.isTrue(
                Set(first.map(\.record)) == Set(short.map(\.record)),
                "what was not extended comes again first"
            )
            try await probe.settle(.acknowledge, first)
            try await probe.records(all.count + short.count + longer.count)
            let last = probe.deliveries.suffix(longer.count)
            try Self.isTrue(
                last.allSatisfy { $0.at >= outcome.until },
                "what was extended comes again when the new lease has ended"
            )
            let gone = try await probe.extend(Array(first), by: length)
            try Self.isTrue(
                gone.lost.reduce(0) { $0 + $1.count } == first.count,
                "what was acknowledged is leased no more"
            )
        }
    }

    static func lateSettlement(_ upstream: Upstream) async throws {
        try await upstream.read { probe in
            let old = try await Self.receiveAll(upstream, probe)
            probe.grant(1000)
            try await probe.records(2)
            var new = probe.deliveries[1]
            try Self.isTrue(new.record == old[0].record, "a record has its position in each delivery")
            // Neither gone, nor free before its lease has ended.
            try await probe.settle([(.acknowledge, old)])
            try await probe.settle([(.release(after: .zero, isFailure: false), old)])
            try await probe.linger()
            try Self.isTrue(probe.count == 2, "an earlier delivery's release does not free a later one")
            try await probe.settle(.release(after: .zero, isFailure: false), [new])
            try await probe.records(3)
            new = probe.deliveries[2]
            try Self.isTrue(
                new.record == old[0].record,
                "an earlier delivery's acknowledgement deletes nothing"
            )
            try await probe.settle(.acknowledge, [new])
        }
        try await Self.expect(upstream, [])
    }

    static func repeated(_ upstream: Upstream) async throws {
        let rest = try await upstream.read { probe in
            let all = try await Self.receiveAll(upstream, probe)
            let some = Array(all.prefix(5))
            try await probe.settle(.acknowledge, some)
            let again = try await probe.settle([(.acknowledge, some)])
            try Self.isTrue(again.refused.isEmpty, "what is settled is not to be tried again")
            let nothing = try await probe.settle([])
            try Self.isTrue(nothing.refused.isEmpty && nothing.lost.isEmpty, "nothing is settled by nothing")
            return Array(all.dropFirst(5))
        }
        try await Self.expect(upstream, rest)
    }

    // MARK: - Groups

    static func order(_ upstream: Upstream) async throws {
        try await upstream.read { probe in
            // The number that comes next in each of three groups.
            var next: [[UInt8]: Int] = [:]
            var seen = 0
            func take() throws(SourceConformance.Violation) -> [LeaseProbe.Delivery] {
                let news = Array(probe.deliveries[seen...])
                seen = probe.count
                for delivery in news {
                    guard let group = delivery.group else {
                        throw SourceConformance.Violation(description: "the group of a record is its key")
                    }
                    let wanted = next[group] ?? delivery.number % 3
                    try Self.isTrue(
                        delivery.number == wanted,
                        "\(wanted) is the next of its group, not \(delivery.number)"
                    )
                    next[group] = wanted + 3
                }
                return news
            }
            while seen < upstream.records {
                probe.grant(4)
                try await probe.receive(until: "records come in turn") { $0.count > seen }
                var open = try take()
                // What is leased is not overtaken.
                probe.grant(4)
                try await probe.linger()
                open += try take()
                try await probe.settle(.acknowledge, open)
            }
        }
        try await Self.expect(upstream, [])
    }

    static func releasedOrder(_ upstream: Upstream) async throws {
        try await upstream.read { probe in
            probe.grant(4)
            try await probe.receive(until: "records come") { $0.count > 0 }
            try await probe.linger()
            let first = probe.deliveries
            let group = first[0].group
            let (own, others) = (first.filter { $0.group == group }, first.filter { $0.group != group })
            let start = upstream.loop.now
            // As a trigger does: the one that failed after a while, what follows it at once.
            try await probe.settle(.acknowledge, others)
            try await probe.settle([
                (.release(after: .seconds(1), isFailure: true), [own[0]]),
                (.release(after: .zero, isFailure: false), Array(own.dropFirst())),
            ])
            probe.grant(1000)
            try await probe.receive(until: "what was released comes again") { probe in
                probe.deliveries.dropFirst(first.count).contains { $0.group == group }
            }
            let again = probe.deliveries.dropFirst(first.count).filter { $0.group == group }
            try Self.isTrue(
                again[0].number == own[0].number && again[0].at - start >= .seconds(1),
                "\(own[0].number) was released for a second later, but \(again[0].number) comes before it"
            )
            let numbers = again.map(\.number)
            try Self.isTrue(numbers == numbers.sorted(), "the others follow it in order, not as \(numbers)")
        }
    }

    // MARK: - Ends

    static func cancelledReceive(_ upstream: Upstream) async throws {
        try await upstream.read { probe in
            for round in 1...8 {
                // The grant and the cancellation come at the same time, whichever is seen first.
                try probe.note(try await probe.source.receiveCancelled { probe.grant(2) })
                try await probe.records(2 * round)
            }
            probe.grant(1000)
            try await probe.records(upstream.records)
        }
    }

    static func stop(_ upstream: Upstream) async throws {
        try await upstream.read { probe in
            _ = try await Self.receiveAll(upstream, probe)
            try await probe.linger()
            try await probe.source.stopWhileReceiving()
        }
    }

    static func neverStarted(_ upstream: Upstream) async throws {
        try await upstream.makeSource().stopBeforeStart()
    }
}
