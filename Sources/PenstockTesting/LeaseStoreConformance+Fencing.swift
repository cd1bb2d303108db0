// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore
import Synchronization

// What a write under a lease is promised.
extension LeaseStoreConformance {
    private static let life = Duration.seconds(60)

    /// What tasks have come to.
    private final class Tally: Sendable {
        let written = Mutex(0)
        let held = Mutex<[Fence]>([])
    }

    private static func checkpoint(_ number: UInt64, _ partition: String = "p") -> Checkpoint {
        Checkpoint(trigger: "t", partition: partition, position: Position(number))
    }

    /// Acquires one lease; nil when it is not free at the moment.
    private static func tryTake(
        _ lease: String,
        for member: String,
        in store: any LeaseStore
    ) async throws -> Fence? {
        try await store.acquire([LeaseName(lease, pool: "p")], for: MemberID(member)).first
    }

    /// Acquires one lease that others may write under at the moment.
    private static func take(
        _ lease: String,
        for member: String,
        in store: any LeaseStore
    ) async throws -> Fence {
        while true {
            if let fence = try await Self.tryTake(lease, for: member, in: store) { return fence }
            await Task.yield()
        }
    }

    private static func code(_ write: () async throws -> Void) async throws -> StoreError.Code? {
        do {
            try await write()
            return nil
        } catch let error as StoreError {
            return error.code
        }
    }

    static func fencing(_ world: World) async throws {
        for id in ["a", "b"] { try await world.one.join(Self.member(id), for: Self.life) }
        let x = try await Self.take("x", for: "a", in: world.one)
        let y = try await Self.take("y", for: "a", in: world.one)
        let view = world.one.fenced(by: [x, y])
        try await view.save([Self.checkpoint(1)])
        try await view.append([.fixture(1)])
        let id = try await view.deadLetters(matching: DeadLetterQuery())[0].id
        try await world.one.release([y])
        try await view.save([Self.checkpoint(2)])
        _ = try await Self.take("y", for: "b", in: world.other)
        let attempt = DeadLetter.fixture().attempts[0]
        let writes: [(String, @Sendable () async throws -> Void)] = [
            ("save", { try await view.save([Self.checkpoint(3)]) }),
            ("removeCheckpoints", { try await view.removeCheckpoints(of: "t", partitions: ["p"]) }),
            (
                "replaceCheckpoints",
                { try await view.replaceCheckpoints(of: "t", with: [Self.checkpoint(3)], removing: ["q"]) }
            ),
            ("append", { try await view.append([.fixture(2)]) }),
            ("removeDeadLetters", { try await view.removeDeadLetters([id]) }),
            ("recordRedrive", { try await view.recordRedrive([id], attempt: attempt) }),
            ("setPaused", { try await view.setPaused(true, trigger: "t") }),
            ("append to a journal", { try await view.append([], to: "j", mark: "m") }),
            ("removeEntries", { try await view.removeEntries(of: "j", through: 1) }),
            ("note", { try await view.note(.deadLetter, of: ["k"], in: "j") }),
            ("forget", { try await view.forget("j", partition: "p") }),
        ]
        for (name, write) in writes {
            try StateStoreConformance.expect(
                try await Self.code(write),
                .fenced,
                "\(name) under a lease that was taken over, one of two"
            )
        }
        try StateStoreConformance.expect(
            try await view.checkpoints(of: "t"),
            ["p": Position(2)],
            "reads go on"
        )
        let letters = try await world.one.deadLetters(matching: DeadLetterQuery())
        try StateStoreConformance.expect(letters.map(\.attemptCount), [3], "nothing was written")
        try StateStoreConformance.expect(try await world.one.pausedTriggers(), [], "nothing at all")
        try StateStoreConformance.expect(try await world.one.mark(of: "j"), nil, "also in a journal")
        await view.close()
        try await world.one.fenced(by: [x]).save([Self.checkpoint(4)])
        try await world.one.fenced(by: []).save([Self.checkpoint(5)])
        let unknown = world.one.fenced(by: [Fence(lease: "unknown", epoch: 1)])
        try StateStoreConformance.expect(
            try await Self.code { try await unknown.save([Self.checkpoint(6)]) },
            .fenced,
            "under a lease that is not there"
        )
        try await world.one.remove([x])
        try StateStoreConformance.expect(
            try await Self.code { try await world.one.fenced(by: [x]).save([Self.checkpoint(7)]) },
            .fenced,
            "or not there any more"
        )
        let kept = try await world.one.checkpoints(of: "t")
        try StateStoreConformance.expect(kept, ["p": Position(5)], "what other leases allow is written")
    }

    static func neighbours(_ world: World) async throws {
        try await world.one.join(Self.member("a"), for: Self.life)
        try await world.other.join(Self.member("b"), for: Self.life)
        let good = try await Self.take("good", for: "a", in: world.one)
        let bad = try await Self.take("bad", for: "a", in: world.one)
        try await world.one.release([bad])
        _ = try await Self.take("bad", for: "b", in: world.other)
        try await withThrowingTaskGroup { group in
            for writer in 0..<60 {
                group.addTask {
                    let fences: [Fence] = [[], [good], [bad], [good, bad]][writer % 4]
                    let store = world.one.fenced(by: fences)
                    for round: UInt64 in 0..<5 {
                        let code = try await Self.code {
                            try await store.save([Self.checkpoint(round, "\(writer)")])
                        }
                        try StateStoreConformance.expect(
                            code,
                            fences.contains(bad) ? .fenced : nil,
                            "each write stands for itself"
                        )
                    }
                }
            }
            try await group.waitForAll()
        }
        let kept = try await world.one.checkpoints(of: "t")
        try StateStoreConformance.expect(
            kept,
            Dictionary(uniqueKeysWithValues: (0..<60).filter { $0 % 4 < 2 }.map { ("\($0)", Position(4)) }),
            "all that was allowed is written, and nothing else"
        )
    }

    /// Two members take a lease from each other again and again, while all earlier holders go on writing.
    static func race(_ world: World) async throws {
        for id in ["a", "b"] { try await world.one.join(Self.member(id), for: Self.life) }
        let rounds = 12
        let tally = Tally()
        try await withThrowingTaskGroup { group in
            for (id, store) in [("a", world.one), ("b", world.other)] {
                group.addTask {
                    try await withThrowingTaskGroup { late in
                        for _ in 0..<rounds {
                            let fence = try await Self.take("x", for: id, in: store)
                            let view = store.fenced(by: [fence])
                            // What it has under way goes on after it has lost the lease, until it is refused.
                            for _ in 0..<2 {
                                late.addTask {
                                    for _ in 0..<200 {
                                        let code = try await Self.code {
                                            try await view.save([Self.checkpoint(fence.epoch)])
                                        }
                                        guard code == nil else {
                                            return try StateStoreConformance.expect(
                                                code,
                                                .fenced,
                                                "refused as fenced"
                                            )
                                        }
                                        tally.written.withLock { $0 += 1 }
                                    }
                                }
                            }
                            if try await Self.code({ try await view.save([Self.checkpoint(fence.epoch)]) })
                                == nil
                            {
                                let kept = try await store.checkpoints(of: "t")["p"]?.offset ?? 0
                                try StateStoreConformance.isTrue(
                                    kept >= fence.epoch,
                                    "an earlier holder wrote \(kept) over \(fence.epoch)"
                                )
                            }
                            try await store.release([fence])
                        }
                        try await late.waitForAll()
                    }
                }
            }
            try await group.waitForAll()
        }
        let last = try await world.one.cluster().leases[0].epoch
        let kept = try await world.one.checkpoints(of: "t")["p"]?.offset
        try StateStoreConformance.expect(kept, last, "the last holder has the last word")
        try StateStoreConformance.isTrue(tally.written.withLock { $0 } >= 2 * rounds, "and all of them wrote")
    }

    static func crowd(_ world: World) async throws {
        let names = (0..<20).map { LeaseName("l\($0)", pool: "p") }
        let tally = Tally()
        try await withThrowingTaskGroup { group in
            for number in 0..<8 {
                group.addTask {
                    let store = number.isMultiple(of: 2) ? world.one : world.other
                    let member = Self.member("m\(number)")
                    try await store.join(member, for: Self.life)
                    for _ in 0..<5 {
                        let some = names.filter { _ in Bool.random() }
                        let fences = try await store.acquire(some, for: member.id)
                        tally.held.withLock { $0 += fences }
                    }
                }
            }
            try await group.waitForAll()
        }
        let fences = tally.held.withLock { $0 }
        try StateStoreConformance.expect(
            Set(fences.map(\.lease)).count,
            fences.count,
            "no lease was given to two living members"
        )
        let states = try await world.one.cluster().leases.filter { $0.owner != nil }
        try StateStoreConformance.expect(
            Set(states.map { Fence(lease: $0.lease.name, epoch: $0.epoch) }),
            Set(fences),
            "and each is held as it was given"
        )
    }
}
