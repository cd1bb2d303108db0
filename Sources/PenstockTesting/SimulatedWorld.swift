// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockStore
import Synchronization

/// The outside of a simulated Penstock: an upstream with partitions, a function, a destination and a store,
/// all with faults, and the checks of the delivery contract.
///
/// It outlives the process under test, which may crash.
///
/// Everything runs on one ``VirtualLoop``; the lock is there for the compiler.
package final class SimulatedWorld: Sendable {
    /// What the world remembers.
    package struct State: Sendable {
        var random: SplitMix64
        var plan: FaultPlan
        var recordCounts: [String: UInt64]
        var badRecords: [String: Set<UInt64>] = [:]

        /// The last settled position, as upstream and store know it.
        var committed: [String: UInt64] = [:]
        var checkpoints: [String: Position] = [:]

        /// How often the function dealt with each record; which ones were given up.
        var successes: [String: [UInt64: Int]] = [:]
        var deadLetters: [String: Set<UInt64>] = [:]

        /// The first record of each partition that no invocation held yet.
        var frontier: [String: UInt64] = [:]

        /// Invocations under way, by ownership.
        var invoking: Set<String> = []

        /// Raised whenever a partition changes hands: what older owners do no longer counts.
        var epochs: [String: Int] = [:]
        var liveProcess = 0
        var lastPartitionID: UInt32 = 0
        var lastRevocation: UInt64 = 0

        /// Broken promises, in words.
        package internal(set) var violations: [String] = []
        /// Invocations of records that had succeeded before.
        package internal(set) var duplicates = 0
        /// Times the process died.
        package internal(set) var crashes = 0
    }

    let loop: VirtualLoop
    let state: Mutex<State>

    /// A world with these partitions, each with so many records.
    package init(loop: VirtualLoop, seed: UInt64, plan: FaultPlan, recordCounts: [String: UInt64]) {
        self.loop = loop
        var state = State(random: SplitMix64(seed: seed), plan: plan, recordCounts: recordCounts)
        for (name, count) in recordCounts.sorted(by: { $0.key < $1.key }) {
            for offset in 0..<count where Double.random(in: 0..<1, using: &state.random) < plan.badRecord {
                state.badRecords[name, default: []].insert(offset)
            }
        }
        self.state = Mutex(state)
    }

    /// What was broken so far.
    package var violations: [String] { self.state.withLock { $0.violations } }

    /// Invocations of records that had succeeded before.
    package var duplicates: Int { self.state.withLock { $0.duplicates } }

    /// Times the process died.
    package var crashes: Int { self.state.withLock { $0.crashes } }

    /// Whether every record is settled and committed upstream.
    package var isComplete: Bool {
        self.state.withLock { state in
            state.recordCounts.allSatisfy { $0.value == 0 || state.committed[$0.key] == $0.value - 1 }
        }
    }

    /// Ends all faults but bad records.
    package func calm() {
        self.state.withLock { state in
            let badRecord = state.plan.badRecord
            state.plan = FaultPlan()
            state.plan.badRecord = badRecord
        }
    }

    /// Begins a process; what earlier ones do has no effect any more.
    package func startProcess() -> Int {
        self.state.withLock { state in
            state.liveProcess += 1
            state.invoking = []
            return state.liveProcess
        }
    }

    /// Notes that the process died.
    package func crashed() {
        self.state.withLock { state in
            state.crashes += 1
            state.liveProcess += 1
        }
    }

    func isAlive(_ process: Int) -> Bool {
        self.state.withLock { $0.liveProcess == process }
    }

    /// Whether a fault happens now.
    package func happens(_ fault: KeyPath<FaultPlan, Double>) -> Bool {
        self.state.withLock { Double.random(in: 0..<1, using: &$0.random) < $0.plan[keyPath: fault] }
    }

    func random(in range: ClosedRange<Int>) -> Int {
        self.state.withLock { Int.random(in: range, using: &$0.random) }
    }

    func shuffled(_ indices: Range<Int>) -> [Int] {
        self.state.withLock { indices.shuffled(using: &$0.random) }
    }

    /// Sleeps for a random time below `limit`.
    func dawdle(_ limit: Duration) async {
        let milliseconds = Int(limit.wholeMilliseconds)
        await self.loop.sleep(for: .milliseconds(self.random(in: 0...max(1, milliseconds))))
    }

    // MARK: - Checks

    /// Upstream was told that all up to `position` is settled: it must be true, and durable.
    func commit(_ name: String, _ position: Position, epoch: Int, process: Int) {
        self.state.withLock { state in
            guard state.liveProcess == process, state.epochs[name, default: 0] == epoch,
                let last = position.offset
            else {
                return
            }
            let first = state.committed[name].map { $0 + 1 } ?? 0
            if first <= last {
                for offset in first...last {
                    let isSettled =
                        state.successes[name]?[offset] != nil
                        || state.deadLetters[name]?.contains(offset) == true
                    if !isSettled {
                        state.violations.append("\(name)@\(offset) was committed and never settled")
                        break
                    }
                }
            }
            if state.checkpoints[name].map({ $0 < position }) ?? true {
                state.violations.append("\(name)@\(last) was committed before it was kept")
            }
            state.committed[name] = max(state.committed[name] ?? 0, last)
        }
    }

    /// The function got a batch: order must hold, and each partition be in flight once.
    func invoked(_ records: [(partition: String, offset: UInt64)], process: Int) {
        self.state.withLock { state in
            var last: [String: UInt64] = [:]
            for (name, offset) in records {
                if let before = last[name], offset != before + 1 {
                    state.violations.append("\(name)@\(offset) follows \(before) in one batch")
                }
                if offset > state.frontier[name, default: 0] {
                    state.violations.append(
                        "\(name)@\(offset) came before \(state.frontier[name, default: 0])"
                    )
                }
                state.frontier[name] = max(state.frontier[name, default: 0], offset + 1)
                last[name] = offset
            }
            for name in last.keys where !state.invoking.insert(Self.key(name, state)).inserted {
                state.violations.append("two invocations hold records of \(name)")
            }
        }
    }

    /// The invocation ended; `dealtWith` says which of its records the function did.
    func answered(
        _ records: [(partition: String, offset: UInt64)],
        key: Set<String>,
        dealtWith: (String, UInt64) -> Bool
    ) {
        self.state.withLock { state in
            state.invoking.subtract(key)
            for (name, offset) in records where dealtWith(name, offset) {
                if state.successes[name]?[offset] != nil { state.duplicates += 1 }
                state.successes[name, default: [:]][offset, default: 0] += 1
            }
        }
    }

    func keys(of records: [(partition: String, offset: UInt64)]) -> Set<String> {
        self.state.withLock { state in Set(records.map { Self.key($0.partition, state) }) }
    }

    private static func key(_ name: String, _ state: State) -> String {
        "\(state.liveProcess)/\(state.epochs[name, default: 0])/\(name)"
    }

    func isBad(_ name: String, _ offset: UInt64) -> Bool {
        self.state.withLock { $0.badRecords[name]?.contains(offset) == true }
    }
}
