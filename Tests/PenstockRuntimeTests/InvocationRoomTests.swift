// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Synchronization
import Testing

/// Who gets room for an invocation, on a virtual clock.
@Suite(.timeLimit(.minutes(1))) struct InvocationRoomTests {
    private let loop = VirtualLoop()
    private let told = Told()

    /// A function with room for one.
    private actor Caller {
        private nonisolated let loop: VirtualLoop
        nonisolated var unownedExecutor: UnownedSerialExecutor {
            unsafe self.loop.asUnownedSerialExecutor()
        }

        let room: InvocationRoom

        init(_ loop: VirtualLoop) {
            self.loop = loop
            self.room = InvocationRoom(size: 1, loop: loop)
        }

        func enter(for limit: Duration = .seconds(60)) async -> Bool {
            await self.room.enter(until: self.loop.now + limit)
        }

        func leave() { self.room.leave() }
        func close() { self.room.close() }

        func leaveAndClose() {
            self.room.leave()
            self.room.close()
        }
    }

    /// What callers were told, in order.
    private final class Told: Sendable {
        private let list = Mutex<[String]>([])
        var all: [String] { self.list.withLock { $0 } }
        func note(_ name: String, _ hasRoom: Bool) {
            self.list.withLock { $0.append("\(name) \(hasRoom ? "in" : "out")") }
        }
    }

    private func enter(_ name: String, _ caller: Caller, for limit: Duration = .seconds(60)) {
        let told = self.told
        Task(executorPreference: self.loop) { told.note(name, await caller.enter(for: limit)) }
        self.settle()
    }

    private func call(_ body: @escaping @Sendable () async -> Void) {
        Task(executorPreference: self.loop) { await body() }
        self.settle()
    }

    /// Runs what can run now.
    private func settle() { _ = self.loop.run(for: .zero) { false } }

    @Test("Room goes to who has waited longest, and nobody waits beyond the deadline")
    func waits() {
        let caller = Caller(self.loop)
        self.enter("a", caller)
        self.enter("b", caller, for: .seconds(5))
        self.enter("c", caller)
        #expect(self.told.all == ["a in"])
        _ = self.loop.run(for: .seconds(6)) { false }
        #expect(self.told.all == ["a in", "b out"])
        self.enter("d", caller)
        self.call { await caller.leave() }
        #expect(self.told.all == ["a in", "b out", "c in"])
        self.call { await caller.leave() }
        #expect(self.told.all.last == "d in")
    }

    @Test("Who waits when the room is closed gets none, nor does who comes later, with or without room")
    func closes() {
        let caller = Caller(self.loop)
        self.enter("a", caller)
        self.enter("b", caller)
        self.call { await caller.close() }
        self.enter("c", caller)
        self.call { await caller.leave() }
        self.enter("d", caller)
        #expect(self.told.all == ["a in", "b out", "c out", "d out"])
    }

    @Test("Room that was handed over and not taken when it is closed is taken no more")
    func closesMeanwhile() {
        let caller = Caller(self.loop)
        self.enter("a", caller)
        self.enter("b", caller)
        self.call { await caller.leaveAndClose() }
        #expect(self.told.all == ["a in", "b out"])
    }
}
