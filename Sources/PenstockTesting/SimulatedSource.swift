// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockRuntime
import Reactor
import Synchronization

/// A process's source in a ``SimulatedWorld``: partitions come, go and come back, with and without notice.
package final class SimulatedSource: WindowSource {
    private struct Owned {
        var partition: Partition
        var epoch: Int
        var next: UInt64
        /// Whether it was told that the partition is read to its end.
        var isReadOut = false
    }

    private struct State {
        var owned: [Owned] = []
        var revoking: [RevocationID: [Owned]] = [:]
        var budget = ReceiveBudget.none
        var windows: [String: KeptWindow] = [:]
        var events: [SourceEvent] = []
        var waiter: CheckedContinuation<Void, Never>?
        /// Something changed since the last look.
        var isSignalled = false
        var isClosed = false
        /// Partitions that were owned once: they come back by themselves.
        var known: Set<String> = []
    }

    private let world: SimulatedWorld
    private let process: Int
    private let state = Mutex(State())

    /// The source of a process.
    package init(world: SimulatedWorld, process: Int) {
        self.world = world
        self.process = process
    }

    package var format: any EventFormat { LineFormat() }

    package func start(checkpoints: [String: Position]) async throws(SourceError) {
        let names = self.world.state.withLock { $0.recordCounts.keys.sorted() }
        self.assign(names)
    }

    package func start(
        checkpoints: [String: Position],
        windows: [String: KeptWindow]
    ) async throws(SourceError) {
        self.state.withLock { $0.windows = windows }
        try await self.start(checkpoints: checkpoints)
    }

    /// What was kept of windows is what a later owner of the partition goes on with.
    private func keepWindows(_ positions: [PartitionPosition]) {
        self.state.withLock { state in
            for position in positions { state.windows[position.name] = position.window }
        }
    }

    /// Takes over partitions where upstream says they were left.
    private func assign(_ names: [String]) {
        guard self.world.isAlive(self.process) else { return }
        let windows = self.state.withLock { $0.windows }
        let owned = self.world.state.withLock { world in
            names.filter { world.canBegin($0) && !world.hasEnded($0) }.map { name in
                world.epochs[name, default: 0] += 1
                world.lastPartitionID += 1
                let committed = world.committed[name]
                let kept = windows[name].flatMap { $0.closed.offset == committed ? $0 : nil }
                if kept?.open != nil { world.windowsResumed += 1 }
                let id = PartitionID(world.lastPartitionID)
                let partition = Partition(id: id, name: name, kept: kept)
                let next = (kept?.position.offset ?? committed).map { $0 + 1 } ?? 0
                return Owned(partition: partition, epoch: world.epochs[name, default: 0], next: next)
            }
        }
        guard !owned.isEmpty else { return }
        self.state.withLock { state in
            state.owned += owned
            state.known.formUnion(owned.map(\.partition.name))
            state.events.append(.assigned(owned.map(\.partition)))
        }
        self.wake()
    }

    private func wake() {
        self.state.withLock { state in
            state.isSignalled = true
            return state.waiter.take()
        }?.resume()
    }

    package func grant(_ budget: ReceiveBudget) {
        self.state.withLock { $0.budget = budget }
        self.wake()
    }

    package func receive() async throws(SourceError) -> [SourceEvent] {
        while true {
            await self.world.dawdle(.milliseconds(20))
            if Task.isCancelled || self.state.withLock({ $0.isClosed }) { return [] }
            self.shuffleOwnership()
            let events = self.state.withLock { state in
                state.isSignalled = false
                defer { state.events = [] }
                let records = [self.nextBlock(&state)].compactMap { $0.map(SourceEvent.records) }
                return state.events + records + self.ends(&state)
            }
            if !events.isEmpty { return events }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isDone = self.state.withLock { state in
                        if state.isClosed || Task.isCancelled || state.isSignalled { return true }
                        state.waiter = continuation
                        return false
                    }
                    if isDone { continuation.resume() }
                }
            } onCancel: {
                self.wake()
            }
        }
    }

    /// A few records of a few partitions, within the budget.
    private func nextBlock(_ state: inout State) -> RecordBlock? {
        guard state.budget.records > 0, state.budget.bytes > 0 else { return nil }
        var builder = RecordBlockBuilder(byteCapacity: 1024, recordCapacity: 64)
        let wallNow = self.world.loop.wallNow
        for index in self.world.shuffled(state.owned.indices) {
            let owned = state.owned[index]
            guard !state.budget.held.contains(owned.partition.id) else { continue }
            let count = self.world.state.withLock { $0.recordCounts[owned.partition.name] ?? 0 }
            let wanted = UInt64(self.world.random(in: 1...20))
            var end = min(count, owned.next + min(wanted, UInt64(max(0, state.budget.records))))
            guard owned.next < end, state.budget.bytes > 0 else { continue }
            let partitionIndex = builder.add(owned.partition)
            for offset in owned.next..<end {
                // The last record may go over.
                guard state.budget.bytes > 0 else {
                    end = offset
                    break
                }
                let key = self.world.key(owned.partition.name, offset)
                let body = key.map { Array(#"{"at":[\#(offset)],"customer":{"id":"c\#($0)"}}"#.utf8) } ?? []
                state.budget.bytes -= body.count + (key == nil ? 0 : 1)
                unsafe [key ?? 0].withUnsafeBytes { keyBytes in
                    unsafe body.withUnsafeBytes { bodyBytes in
                        unsafe builder.append(
                            position: Position(offset),
                            timestamp: wallNow,
                            tag: 0,
                            partitionIndex: partitionIndex,
                            payload: RecordPayload(key: key == nil ? nil : keyBytes, body: bodyBytes)
                        )
                    }
                }
            }
            state.owned[index].next = end
            state.budget.records -= Int(end - owned.next)
        }
        guard builder.count > 0 else { return nil }
        return builder.finish()
    }

    // MARK: - Ends

    /// Tells of the partitions that are read to their end.
    private func ends(_ state: inout State) -> [SourceEvent] {
        guard self.world.state.withLock({ $0.hasEnds }) else { return [] }
        var ends: [PartitionPosition] = []
        for index in state.owned.indices where !state.owned[index].isReadOut {
            let owned = state.owned[index]
            let count = self.world.state.withLock { $0.recordCounts[owned.partition.name] ?? 0 }
            guard owned.next >= count else { continue }
            state.owned[index].isReadOut = true
            ends.append(
                PartitionPosition(
                    partition: owned.partition.id,
                    name: owned.partition.name,
                    position: Position(count)
                )
            )
        }
        return ends.isEmpty ? [] : [.readOut(ends)]
    }

    /// Gives up partitions whose end is committed, and begins those that come from them.
    private func succeed() {
        let (names, ended) = self.world.state.withLock { world in
            (world.recordCounts.keys.sorted(), Set(world.recordCounts.keys.filter { world.hasEnded($0) }))
        }
        guard !ended.isEmpty else { return }
        let known = self.state.withLock { state in
            let gone = state.owned.filter { ended.contains($0.partition.name) }
            state.owned.removeAll { ended.contains($0.partition.name) }
            if !gone.isEmpty { state.events.append(.ended(gone.map(\.partition.id))) }
            return state.known
        }
        let new = names.filter { !known.contains($0) }
        self.assign(new)
        self.wake()
    }

    // MARK: - Rebalances

    private func shuffleOwnership() {
        if self.world.happens(\.lost) { self.lose() }
        if self.world.happens(\.rebalance) { self.revoke() }
    }

    private func takeSome() -> [Owned] {
        self.state.withLock { state in
            guard !state.owned.isEmpty else { return [] }
            let count = self.world.random(in: 1...state.owned.count)
            defer { state.owned.removeFirst(count) }
            return Array(state.owned.prefix(count))
        }
    }

    private func lose() {
        let gone = self.takeSome()
        guard !gone.isEmpty else { return }
        self.world.state.withLock { world in
            for owned in gone { world.epochs[owned.partition.name, default: 0] += 1 }
        }
        self.state.withLock { $0.events.append(.lost(gone.map(\.partition.id))) }
        self.assignLater(gone)
    }

    /// Asks some of its partitions back, which come again after a while.
    package func askBack() {
        self.revoke()
        self.wake()
    }

    private func revoke() {
        let leaving = self.takeSome()
        guard !leaving.isEmpty else { return }
        let id = self.world.state.withLock { world in
            world.lastRevocation += 1
            return RevocationID(world.lastRevocation)
        }
        let deadline = Duration.seconds(10)
        self.state.withLock { state in
            state.revoking[id] = leaving
            let revocation = Revocation(id: id, partitions: leaving.map(\.partition.id), within: deadline)
            state.events.append(.revoking(revocation))
        }
        _ = self.world.loop.schedule(at: self.world.loop.now + deadline) {
            self.finishRevocation(id, positions: [])
        }
    }

    package func finishRevocation(_ id: RevocationID, positions: [PartitionPosition]) {
        guard let leaving = self.state.withLock({ $0.revoking.removeValue(forKey: id) }),
            self.world.isAlive(self.process)
        else { return }
        self.keepWindows(positions)
        for position in positions {
            guard let owned = leaving.first(where: { $0.partition.id == position.partition }) else {
                continue
            }
            self.world.commit(position.name, position.position, epoch: owned.epoch, process: self.process)
        }
        self.world.state.withLock { world in
            for owned in leaving { world.epochs[owned.partition.name, default: 0] += 1 }
        }
        self.assignLater(leaving)
        self.succeed()
    }

    private func assignLater(_ owned: [Owned]) {
        let names = owned.map(\.partition.name)
        let delay = Duration.milliseconds(self.world.random(in: 1...2000))
        _ = self.world.loop.schedule(at: self.world.loop.now + delay) { self.assign(names) }
    }

    // MARK: - Commits, end

    package func commit(_ positions: [PartitionPosition]) async throws(SourceError) -> [PartitionPosition] {
        self.keepWindows(positions)
        await self.world.dawdle(.milliseconds(50))
        guard self.world.isAlive(self.process), !self.world.happens(\.commitRefused) else {
            throw SourceError(.rejected, "the simulated upstream refuses the commit")
        }
        defer { self.succeed() }
        return positions.filter { position in
            let epoch = self.state.withLock { state in
                state.owned.first { $0.partition.id == position.partition }?.epoch
            }
            guard let epoch else { return false }
            self.world.commit(position.name, position.position, epoch: epoch, process: self.process)
            return true
        }
    }

    package func lag() -> [PartitionLag] { [] }

    package func stop() async {
        self.state.withLock { $0.isClosed = true }
        self.wake()
    }
}
