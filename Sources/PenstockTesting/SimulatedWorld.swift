// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockStore
package import Reactor
import Synchronization

/// The outside of a simulated Penstock: an upstream with partitions, a function, a destination and a store,
/// all with faults, and the checks of the delivery contract.
///
/// It outlives the process under test, which may crash.
///
/// Everything runs on one ``VirtualLoop``; the lock is there for the compiler.
package final class SimulatedWorld: Sendable {
    /// What must be invoked in order.
    package enum Order: Sendable, CaseIterable {
        /// The records of a partition.
        case partition
        /// The records of a partition with the same key.
        case key
        /// Nothing; but no record is invoked twice at the same time.
        case none
    }

    /// A group of records in an invocation of one owner.
    struct Hold: Hashable {
        var process: Int
        var epoch: Int
        var group: Int
    }

    /// What the world remembers.
    package struct State: Sendable {
        var random: SplitMix64
        var plan: FaultPlan
        var recordCounts: [String: UInt64]
        var badRecords: [String: Set<UInt64>] = [:]

        /// The last settled position, as upstream and store know it.
        var committed: [String: UInt64] = [:]
        var checkpoints: [String: Position] = [:]
        var windows: [String: KeptWindow] = [:]
        /// Windows with which a partition went on where it was.
        var windowsResumed = 0

        /// How often the function dealt with each record; which ones were given up.
        var successes: [String: [UInt64: Int]] = [:]
        var deadLetters: [String: Set<UInt64>] = [:]

        /// Records that a final call of a window counted, when there are windows.
        var counted: [String: Set<UInt64>] = [:]
        var hasWindows = false

        /// Whether partitions come to an end, one position behind their last record, and have children that begin then.
        var hasEnds = false

        /// Records whose result was kept, and whether any is.
        var reported: [String: Set<UInt64>] = [:]
        var keepsResults: Bool

        /// What each record is ordered by, and its place in that order, by partition and offset.
        var groups: [String: [(group: Int, place: Int)]] = [:]
        var keys: [String: [UInt8?]] = [:]
        var members: [Int: [UInt64]] = [:]

        /// The first record of each group that no invocation held yet.
        var frontier: [Int: Int] = [:]

        /// Groups with an invocation under way.
        var invoking: Set<Hold> = []

        /// Raised whenever a partition changes hands: what older owners do no longer counts.
        var epochs: [String: Int] = [:]
        var liveProcess = 0
        var lastPartitionID: UInt32 = 0
        var lastRevocation: UInt64 = 0

        /// What is journaled, where that is the source.
        var journal = SimulatedEntries()

        /// What leases its records, instead of partitions that are committed.
        var queue: SimulatedQueue?

        func isDead(_ name: String, _ group: Int, _ place: Int) -> Bool {
            guard let offset = self.members[group]?[place] else { return false }
            return self.deadLetters[name]?.contains(offset) == true
        }

        /// Broken promises, in words.
        package internal(set) var violations: [String] = []
        /// Invocations of records that had succeeded before.
        package internal(set) var duplicates = 0
        /// Times the process died.
        package internal(set) var crashes = 0
    }

    let loop: VirtualLoop
    let state: Mutex<State>

    /// A world with these partitions, each with so many records of a few keys; or with these queues, which lease them.
    package init(
        loop: VirtualLoop,
        seed: UInt64,
        plan: FaultPlan,
        recordCounts: [String: UInt64],
        order: Order = .partition,
        keepsResults: Bool = false,
        leases: Bool = false
    ) {
        self.loop = loop
        var state = State(
            random: SplitMix64(seed: seed),
            plan: plan,
            recordCounts: recordCounts,
            keepsResults: keepsResults
        )
        var lastGroup = 0
        let keyCount = UInt8.random(in: 0...20, using: &state.random)
        for (name, count) in recordCounts.sorted(by: { $0.key < $1.key }) {
            let keys = (0..<count).map { _ in
                // 0 stands for a record without a key.
                let key = UInt8.random(in: 0...keyCount, using: &state.random)
                return key == 0 ? nil : key
            }
            state.keys[name] = keys
            let groups = Self.groups(of: keys, order, &lastGroup)
            state.groups[name] = groups
            for (offset, place) in groups.enumerated() {
                state.members[place.group, default: []].append(UInt64(offset))
            }
            for offset in 0..<count where Double.random(in: 0..<1, using: &state.random) < plan.badRecord {
                state.badRecords[name, default: []].insert(offset)
            }
        }
        if leases {
            state.queue = SimulatedQueue(
                state.groups.mapValues { $0.map(\.group) },
                keepsOrder: order == .key
            )
        }
        self.state = Mutex(state)
    }

    private static func groups(
        of keys: [UInt8?],
        _ order: Order,
        _ lastGroup: inout Int
    ) -> [(group: Int, place: Int)] {
        var sizes: [Int: Int] = [:]
        let first = lastGroup + 1
        defer { lastGroup = first + 256 + keys.count }
        return keys.enumerated().map { offset, key in
            let group =
                switch (order, key) {
                case (.partition, _): first
                case (.key, let key?): first + Int(key)
                case (.key, nil), (.none, _): first + 256 + offset
                }
            sizes[group, default: 0] += 1
            return (group, sizes[group, default: 0] - 1)
        }
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
            if let queue = state.queue { return queue.remaining == 0 }
            return state.recordCounts.keys.allSatisfy { state.isComplete($0) }
        }
    }

    /// Gives all records the same key, so that they are of one size.
    package func makeAlike() {
        self.state.withLock { $0.keys = $0.keys.mapValues { $0.map { _ in 1 } } }
    }

    /// Gives leased records so many keys in turn, of one size, before any is received.
    package func setKeys(_ count: Int, order: Order) {
        self.state.withLock { state in
            state.members = [:]
            var lastGroup = 0
            for (name, keys) in state.keys.sorted(by: { $0.key < $1.key }) {
                let keys = keys.indices.map { UInt8?(UInt8($0 % count + 1)) }
                let groups = Self.groups(of: keys, order, &lastGroup)
                (state.keys[name], state.groups[name]) = (keys, groups)
                for (offset, place) in groups.enumerated() {
                    state.members[place.group, default: []].append(UInt64(offset))
                }
            }
            let groups = state.groups.mapValues { $0.map(\.group) }
            state.queue = SimulatedQueue(groups, keepsOrder: order == .key)
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

    /// Makes a record bad: the function always fails on it.
    package func spoil(_ name: String, _ offset: UInt64) {
        self.state.withLock { _ = $0.badRecords[name, default: []].insert(offset) }
    }

    /// Whether all records of a partition are settled and committed upstream.
    package func isComplete(_ name: String) -> Bool {
        self.state.withLock { $0.isComplete(name) }
    }

    /// How many records of a partition the function dealt with.
    package func successes(_ name: String) -> Int {
        self.state.withLock { $0.successes[name]?.count ?? 0 }
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
                for offset in first...last where offset < state.recordCounts[name] ?? 0 {
                    let isDead = state.deadLetters[name]?.contains(offset) == true
                    if !isDead, state.successes[name]?[offset] == nil {
                        state.violations.append("\(name)@\(offset) was committed and never settled")
                        break
                    }
                    if !isDead, state.hasWindows, state.counted[name]?.contains(offset) != true {
                        state.violations.append("\(name)@\(offset) was committed before its window ended")
                        break
                    }
                    if !isDead, state.keepsResults, state.reported[name]?.contains(offset) != true {
                        state.violations.append("\(name)@\(offset) was committed before its result was kept")
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

    /// The function got a batch: order must hold, and each group be in flight once.
    ///
    /// Returns what ``answered(_:holds:dealtWith:)`` ends.
    func invoked(_ records: [(partition: String, offset: UInt64)], process: Int) -> Set<Hold> {
        self.state.withLock { state in
            if state.queue != nil { return state.invokedLeased(records) }
            var last: [Int: Int] = [:]
            var holds: Set<Hold> = []
            for (name, offset) in records {
                if !state.canBegin(name) {
                    state.violations.append("\(name)@\(offset) came before its parent ended")
                }
                guard let (group, place) = state.groups[name]?[Int(offset)] else { continue }
                if let before = last[group], place != before + 1 {
                    state.violations.append("\(name)@\(offset) does not follow in its batch")
                }
                var frontier = state.frontier[group, default: 0]
                // What was given up without being invoked, because of its age, need not come.
                while frontier < place, state.isDead(name, group, frontier) { frontier += 1 }
                if place > frontier { state.violations.append("\(name)@\(offset) came too early") }
                state.frontier[group] = max(frontier, place + 1)
                last[group] = place
                holds.insert(
                    Hold(process: state.liveProcess, epoch: state.epochs[name, default: 0], group: group)
                )
            }
            if !state.invoking.isDisjoint(with: holds) {
                state.violations.append("two invocations hold records of one group: \(records.prefix(3))")
            }
            state.invoking.formUnion(holds)
            return holds
        }
    }

    /// The invocation ended; `dealtWith` says which of its records the function did.
    func answered(
        _ records: [(partition: String, offset: UInt64)],
        holds: Set<Hold>,
        dealtWith: (String, UInt64) -> Bool
    ) {
        self.state.withLock { state in
            state.invoking.subtract(holds)
            for (name, offset) in records where dealtWith(name, offset) {
                if state.successes[name]?[offset] != nil { state.duplicates += 1 }
                state.successes[name, default: [:]][offset, default: 0] += 1
            }
        }
    }

    /// The key of a record, as its bytes; nil when it has none.
    func key(_ name: String, _ offset: UInt64) -> UInt8? {
        self.state.withLock { $0.keys[name]?[Int(offset)] ?? nil }
    }

    func isBad(_ name: String, _ offset: UInt64) -> Bool {
        self.state.withLock { $0.badRecords[name]?.contains(offset) == true }
    }
}
