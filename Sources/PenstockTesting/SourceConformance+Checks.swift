// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime

// MARK: - What is handed out

extension SourceConformance {
    /// Records of all partitions.
    private static func all(_ upstream: Upstream, _ check: Int = 20) -> Int {
        upstream.partitions.count * check
    }

    static func firstGrant(_ upstream: Upstream) async throws {
        let probe = try await upstream.start()
        try await probe.assigned()
        try await probe.linger()
        try Self.isTrue(probe.count == 0, "nothing comes before the first grant, but \(probe.count) records")
        probe.grant(records: 1000)
        try await probe.records(Self.all(upstream))
        await probe.source.stop()
    }

    static func order(_ upstream: Upstream) async throws {
        let probe = try await upstream.start()
        let wanted = Self.all(upstream, 200)
        try await probe.assigned()
        while probe.count < wanted {
            let before = probe.count
            probe.grant(records: 7)
            try await probe.receive(until: "a grant of 7 records brings some") { $0.count > before }
            try Self.isTrue(probe.count <= before + 7, "a grant of 7 brings at most 7")
        }
        try await probe.linger()
        try Self.isTrue(probe.count == wanted, "each record comes once")
        await probe.source.stop()
    }

    static func recordBudget(_ upstream: Upstream) async throws {
        let probe = try await upstream.start()
        try await probe.assigned()
        probe.grant(records: 5)
        try await probe.records(5)
        try await probe.linger()
        try Self.isTrue(probe.count == 5, "a grant of 5 brings 5, not \(probe.count)")
        probe.grant(records: 0)
        try await probe.linger()
        try Self.isTrue(probe.count == 5, "a grant of 0 brings nothing")
        probe.grant(records: 3)
        try await probe.records(8)
        await probe.source.stop()
    }

    static func byteBudget(_ upstream: Upstream) async throws {
        let probe = try await upstream.start()
        try await probe.assigned()
        probe.grant(records: 10, bytes: 1)
        try await probe.records(1)
        try await probe.linger()
        try Self.isTrue(probe.count == 1, "the last record may go over a grant of 1 byte, and no second one")
        let size = probe.bytes
        try Self.isTrue(size > 1, "a record has bytes")
        probe.grant(records: 10, bytes: 2 * size)
        try await probe.records(3)
        try await probe.linger()
        try Self.isTrue(
            probe.count == 3,
            "two records use up a grant of their bytes, \(probe.count - 1) came"
        )
        await probe.source.stop()
    }

    static func replacedGrant(_ upstream: Upstream) async throws {
        let probe = try await upstream.start()
        try await probe.assigned()
        probe.grant(records: 5, held: Set(probe.owned.keys))
        try await probe.linger()
        probe.grant(records: 3)
        try await probe.records(3)
        try await probe.linger()
        try Self.isTrue(probe.count == 3, "a grant of 3 in place of 5 brings 3, not \(probe.count)")
        await probe.source.stop()
    }

    static func held(_ upstream: Upstream) async throws {
        let probe = try await upstream.start()
        try await probe.assigned()
        let name = upstream.partitions[0]
        let id = try probe.id(name)
        probe.grant(records: 1000, held: [id])
        try await probe.records(Self.all(upstream) - 20)
        try await probe.linger()
        try Self.isTrue(try probe.received(name).isEmpty, "a partition that is held brings nothing")
        probe.grant(records: 4)
        try await probe.records(Self.all(upstream) - 16)
        probe.grant(records: 1000, held: [id])
        try await probe.linger()
        probe.grant(records: 1000)
        try await probe.records(Self.all(upstream))
        await probe.source.stop()
    }

    // MARK: - Commits

    /// Receives everything, and gives the positions of the records at a place of each partition.
    private static func receiveAll(
        _ upstream: Upstream,
        settledAt place: Int
    ) async throws -> (probe: SourceProbe, settled: [PartitionPosition], positions: [String: [Position]]) {
        let probe = try await upstream.start()
        try await probe.assigned()
        probe.grant(records: 1000)
        try await probe.records(Self.all(upstream))
        let settled = try upstream.partitions.map { try probe.settled($0, place) }
        var positions: [String: [Position]] = [:]
        for name in upstream.partitions { positions[name] = try probe.received(name) }
        return (probe, settled, positions)
    }

    /// A restart, with the checkpoints that a pipeline keeps before it commits, brings these records and no others.
    private static func expectRest(
        _ upstream: Upstream,
        checkpoints: [PartitionPosition] = [],
        _ rest: [String: ArraySlice<Position>]
    ) async throws {
        let probe = try await upstream.start(
            checkpoints: Dictionary(uniqueKeysWithValues: checkpoints.map { ($0.name, $0.position) })
        )
        try await probe.assigned()
        probe.grant(records: 1000)
        try await probe.records(rest.values.reduce(0) { $0 + $1.count })
        try await probe.linger()
        for (name, positions) in rest {
            let received = try probe.received(name)
            try Self.isTrue(
                received == Array(positions),
                "\(name) goes on with \(positions.first.map { "\($0)" } ?? "nothing"), not with \(received.prefix(3))"
            )
        }
        await probe.source.stop()
    }

    /// Commits positions of partitions that are owned.
    private static func commit(_ positions: [PartitionPosition], _ probe: SourceProbe) async throws {
        let accepted = try await probe.source.commit(positions)
        let isWhole = accepted.count == positions.count && positions.allSatisfy(accepted.contains)
        try Self.isTrue(isWhole, "a commit tells what upstream accepted, not \(accepted)")
    }

    static func commit(_ upstream: Upstream) async throws {
        let (probe, settled, positions) = try await Self.receiveAll(upstream, settledAt: 6)
        try await Self.commit(settled, probe)
        await probe.source.stop()
        try await Self.expectRest(upstream, checkpoints: settled, positions.mapValues { $0[7...] })
    }

    static func stopCommitsNothing(_ upstream: Upstream) async throws {
        let (probe, _, positions) = try await Self.receiveAll(upstream, settledAt: 0)
        await probe.source.stop()
        try await Self.expectRest(upstream, positions.mapValues { $0[...] })
    }

    static func foreignCommit(_ upstream: Upstream) async throws {
        let (probe, settled, positions) = try await Self.receiveAll(upstream, settledAt: 6)
        let foreign = settled.map { position in
            var position = position
            position.partition = PartitionID(4_000_000_000)
            return position
        }
        let accepted = try await probe.source.commit(foreign)
        try Self.isTrue(accepted.isEmpty, "nothing is accepted of partitions that are not owned")
        let nothing = try await probe.source.commit([])
        try Self.isTrue(nothing.isEmpty, "nothing is accepted of nothing")
        await probe.source.stop()
        try await Self.expectRest(upstream, positions.mapValues { $0[...] })
    }

    static func repeatedCommit(_ upstream: Upstream) async throws {
        let (probe, settled, positions) = try await Self.receiveAll(upstream, settledAt: 3)
        try await Self.commit(settled, probe)
        try await Self.commit(settled, probe)
        let later = try upstream.partitions.map { try probe.settled($0, 9) }
        try await Self.commit(later, probe)
        await probe.source.stop()
        try await Self.expectRest(upstream, checkpoints: later, positions.mapValues { $0[10...] })
    }

    static func lag(_ upstream: Upstream) async throws {
        let (probe, settled, _) = try await Self.receiveAll(upstream, settledAt: 6)
        try await Self.commit(settled, probe)
        let expected = Set(settled.map { "\($0.name) \($0.position)" })
        try await probe.receive(until: "lag tells of the commit: \(probe.source.lag())") { probe in
            let lag = probe.source.lag()
            try Self.isTrue(
                lag.allSatisfy { upstream.partitions.contains($0.partition) },
                "lag tells only of partitions that are owned"
            )
            guard upstream.tellsLag else { return true }
            return Set(lag.compactMap { entry in entry.committed.map { "\(entry.partition) \($0)" } })
                == expected
        }
        await probe.source.stop()
    }

    // MARK: - Ends

    static func cancelledReceive(_ upstream: Upstream) async throws {
        let probe = try await upstream.start()
        try await probe.assigned()
        for round in 1...10 {
            // The grant and the cancellation come at the same time, whichever is seen first.
            try await probe.receiveCancelled { probe.grant(records: 2) }
            try await probe.records(2 * round)
        }
        probe.grant(records: 1000)
        try await probe.records(Self.all(upstream))
        await probe.source.stop()
    }

    static func stop(_ upstream: Upstream) async throws {
        let (probe, _, _) = try await Self.receiveAll(upstream, settledAt: 0)
        try await probe.linger()
        try await probe.source.stopWhileReceiving()
    }

    static func neverStarted(_ upstream: Upstream) async throws {
        try await upstream.makeSource().stopBeforeStart()
    }

    // MARK: - Giving partitions up

    static func revocation(_ upstream: Upstream) async throws {
        guard let takeBack = upstream.takeBack else { return }
        let probe = try await upstream.start()
        try await probe.assigned()
        probe.grant(records: 20)
        try await probe.records(20)
        let before = Dictionary(
            uniqueKeysWithValues: try upstream.partitions.map { ($0, try probe.received($0)) }
        )
        let giveBack = try await takeBack()
        try await probe.receive(until: "a partition is asked back") { !$0.revocations.isEmpty }
        // There is room again, and more of them upstream: the probe throws if any comes.
        probe.grant(records: 4)
        try await probe.linger()
        let revocation = probe.revocations[0]
        let leaving = revocation.partitions.compactMap { probe.owned[$0] }
        let answer = leaving.compactMap { partition in
            before[partition.name]?.dropLast(1).last.map {
                PartitionPosition(partition: partition.id, name: partition.name, position: $0)
            }
        }
        probe.answer(revocation, answer)
        try await giveBack()
        try await probe.receive(until: "the partitions come back") { probe in
            // Others may have to go meanwhile: nothing of them is settled.
            for other in probe.revocations.dropFirst() { probe.answer(other, []) }
            return Set(probe.owned.values.map(\.name)) == Set(upstream.partitions)
        }
        probe.grant(records: 1000)
        for partition in leaving {
            let name = partition.name
            let seen = before[name] ?? []
            // Behind the answer; without one, from the begin.
            let settled = max(0, seen.count - 1)
            try await probe.receive(until: "\(name) brings what was not settled") {
                try $0.received(name).count >= 40 - settled
            }
            let received = try probe.received(name)
            try Self.isTrue(received.count == 40 - settled, "\(name) brings each record once")
            if settled < seen.count {
                try Self.isTrue(received.first == seen[settled], "\(name) goes on behind what was settled")
            }
        }
        await probe.source.stop()
    }

    static func emptyRevocation(_ upstream: Upstream) async throws {
        guard let takeBack = upstream.takeBack else { return }
        let (probe, _, positions) = try await Self.receiveAll(upstream, settledAt: 0)
        let giveBack = try await takeBack()
        try await probe.receive(until: "a partition is asked back") { !$0.revocations.isEmpty }
        let revocation = probe.revocations[0]
        let leaving = revocation.partitions.compactMap { probe.owned[$0] }
        let late = leaving.compactMap { partition in
            positions[partition.name]?.last.map {
                PartitionPosition(partition: partition.id, name: partition.name, position: $0)
            }
        }
        probe.answer(revocation, [])
        try await giveBack()
        try await probe.receive(until: "the partitions come back") { probe in
            for other in probe.revocations.dropFirst() { probe.answer(other, []) }
            return Set(probe.owned.values.map(\.name)) == Set(upstream.partitions)
        }
        // Of an ownership that is over: fenced.
        let accepted = try await probe.source.commit(late)
        try Self.isTrue(accepted.isEmpty, "a commit of an ownership that is over is not accepted")
        probe.grant(records: 1000)
        for partition in leaving {
            try await probe.receive(until: "\(partition.name) comes again, whole") {
                try $0.received(partition.name) == positions[partition.name]
            }
        }
        await probe.source.stop()
    }
}
