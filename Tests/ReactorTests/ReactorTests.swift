// SPDX-License-Identifier: Apache-2.0

import Glibc
import PenstockCore
import Synchronization
import Testing

@testable import Reactor

/// The I/O thread: each test has its own and stops it.
@Suite(.timeLimit(.minutes(5))) struct ReactorTests {
    /// Something that lives on a reactor.
    private actor Resident {
        nonisolated let reactor: Reactor
        private(set) var order: [Int] = []
        var count: Int { self.order.count }
        private var waiter: (count: Int, continuation: CheckedContinuation<[Int], Never>)?
        private var registration: Reactor.Registration?

        init(_ reactor: Reactor) { self.reactor = reactor }

        nonisolated var unownedExecutor: UnownedSerialExecutor {
            unsafe self.reactor.asUnownedSerialExecutor()
        }

        var isOnLoop: Bool { self.reactor.isOnLoop }

        func note(_ number: Int) {
            self.order.append(number)
            if let waiter, waiter.count <= self.order.count {
                self.waiter = nil
                waiter.continuation.resume(returning: self.order)
            }
        }

        /// What was noted, when it is `count` numbers.
        func notes(_ count: Int) async -> [Int] {
            if self.order.count >= count { return self.order }
            return await withCheckedContinuation { self.waiter = (count, $0) }
        }

        func scheduleOutOfOrder() {
            let now = self.reactor.now
            for (number, delay) in [(3, 30), (1, 10), (2, 20)] {
                _ = self.reactor.schedule(at: now + .milliseconds(delay)) {
                    self.assumeIsolated { $0.note(number) }
                }
            }
            let cancelled = self.reactor.schedule(at: now + .milliseconds(15)) {
                self.assumeIsolated { $0.note(9) }
            }
            self.reactor.cancel(cancelled)
        }

        func scheduleAndMeasure(_ delay: Duration) async -> Duration {
            let start = self.reactor.now
            return await withCheckedContinuation { continuation in
                _ = self.reactor.schedule(at: start + delay) {
                    continuation.resume(returning: self.reactor.now - start)
                }
            }
        }

        /// Notes each byte that can be read.
        func watch(_ descriptor: Int32) throws {
            self.registration = try self.reactor.register(descriptor, for: .readable) { readiness in
                self.assumeIsolated { $0.readable(descriptor, readiness) }
            }
        }

        private func readable(_ descriptor: Int32, _ readiness: Reactor.Readiness) {
            var byte: UInt8 = 0
            if unsafe read(descriptor, &byte, 1) == 1 {
                self.note(Int(byte))
            } else if !readiness.isDisjoint(with: .closed) {
                self.unwatch()
                self.note(-1)
            }
        }

        func unwatch() {
            if let registration = self.registration.take() { self.reactor.unregister(registration) }
        }

        /// Two ready descriptors in one turn: the handler of the first unregisters the second.
        func watchRivals(_ first: Int32, _ second: Int32) throws {
            for descriptor in [first, second] {
                let registration = try self.reactor.register(descriptor, for: .readable) { _ in
                    self.assumeIsolated { $0.wonBy(descriptor) }
                }
                self.rivals[descriptor] = registration
            }
        }

        private var rivals: [Int32: Reactor.Registration] = [:]

        private func wonBy(_ descriptor: Int32) {
            for registration in self.rivals.values { self.reactor.unregister(registration) }
            self.rivals = [:]
            self.note(Int(descriptor))
        }

        /// Registers, unregisters and registers again: another registration, although slot and descriptor are
        /// the same.
        func reuse(_ descriptor: Int32) throws -> Bool {
            let first = try self.reactor.register(descriptor, for: .readable) { _ in }
            self.reactor.unregister(first)
            try self.watch(descriptor)
            // Neither may touch the registration that has the slot now.
            self.reactor.update(first, for: .writable)
            self.reactor.unregister(first)
            return first != self.registration
        }

        func refuses(_ descriptor: Int32) -> String? {
            do throws(ReactorError) {
                _ = try self.reactor.register(descriptor, for: .readable) { _ in }
                return nil
            } catch {
                return error.description
            }
        }

        /// Puts notes off to the end of the turn, one of them from there; returns at once.
        func noteLater() {
            self.reactor.atEndOfTurn {
                self.assumeIsolated { $0.note(1) }
                self.reactor.atEndOfTurn { self.assumeIsolated { $0.note(3) } }
            }
            self.reactor.atEndOfTurn { self.assumeIsolated { $0.note(2) } }
        }

        /// Keeps the loop busy with jobs until what was put off to the end of the turn has run.
        func spinUntilEndOfTurn() async {
            let flag = Flag()
            self.reactor.atEndOfTurn { flag.set() }
            while !flag.isSet { await Task.yield() }
        }

        /// Keeps the loop busy with jobs until a timer has fired between them.
        func spin() async -> Int {
            let flag = Flag()
            _ = self.reactor.schedule(at: self.reactor.now + .milliseconds(5)) { flag.set() }
            var turns = 0
            while !flag.isSet {
                turns += 1
                await Task.yield()
            }
            return turns
        }
    }

    private final class Flag: Sendable {
        private let state = Atomic(false)
        var isSet: Bool { self.state.load(ordering: .acquiring) }
        func set() { self.state.store(true, ordering: .releasing) }
    }

    private func use(_ body: (Resident) async throws -> Void) async throws {
        let reactor = try Reactor(name: "test")
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(Resident(reactor)))
        } catch {
            result = .failure(error)
        }
        reactor.stop()
        try result.get()
    }

    /// A pipe for one test.
    private struct Pipe {
        let reader: Int32
        let writer: Int32

        init() {
            var ends: [Int32] = [-1, -1]
            unsafe pipe(&ends)
            (self.reader, self.writer) = (ends[0], ends[1])
        }

        func send(_ byte: UInt8) {
            var byte = byte
            unsafe write(self.writer, &byte, 1)
        }
    }

    @Test("An actor pinned to the reactor runs on its thread, and its caller does not") func executor()
        async throws
    {
        try await self.use { resident in
            #expect(await resident.isOnLoop)
            #expect(!resident.reactor.isOnLoop)
        }
    }

    @Test("A child task that prefers the reactor runs on it") func taskExecutor() async throws {
        try await self.use { resident in
            let reactor = resident.reactor
            let isOnLoop = await withTaskGroup(of: Bool.self) { group in
                group.addTask(executorPreference: reactor) { reactor.isOnLoop }
                return await group.next()
            }
            #expect(isOnLoop == true)
        }
    }

    @Test("Timers fire in order of their deadlines, and a cancelled one does not") func timers() async throws
    {
        try await self.use { resident in
            await resident.scheduleOutOfOrder()
            #expect(await resident.notes(3) == [1, 2, 3])
        }
    }

    @Test("A timer never fires early") func timerPrecision() async throws {
        try await self.use { resident in
            #expect(await resident.scheduleAndMeasure(.milliseconds(20)) >= .milliseconds(20))
            #expect(await resident.scheduleAndMeasure(.zero) >= .zero)
        }
    }

    @Test("A busy actor does not keep timers from firing") func fairness() async throws {
        try await self.use { resident in
            #expect(await resident.spin() > 0)
        }
    }

    @Test("What is put off to the end of a turn runs in order, before the loop sleeps") func endOfTurn()
        async throws
    {
        try await self.use { resident in
            await resident.noteLater()
            #expect(await resident.notes(3) == [1, 2, 3])
        }
    }

    @Test("A busy actor does not keep a turn from ending") func busyTurn() async throws {
        try await self.use { resident in await resident.spinUntilEndOfTurn() }
    }

    @Test("Actions submitted from many threads all run, on the loop") func crossThread() async throws {
        try await self.use { resident in
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<1000 {
                    group.addTask {
                        resident.reactor.submit { resident.assumeIsolated { $0.note(number) } }
                    }
                }
            }
            #expect(await resident.notes(1000).sorted() == Array(0..<1000))
        }
    }

    @Test("A readable descriptor is told, bytes in order, then its closed end") func descriptor() async throws
    {
        try await self.use { resident in
            let pipe = Pipe()
            try await resident.watch(pipe.reader)
            pipe.send(7)
            #expect(await resident.notes(1) == [7])
            pipe.send(8)
            close(pipe.writer)
            #expect(await resident.notes(3) == [7, 8, -1])
            close(pipe.reader)
        }
    }

    @Test("A handler that was unregistered is not called, not even for readiness of the same turn")
    func unregistered() async throws {
        try await self.use { resident in
            let (first, second) = (Pipe(), Pipe())
            first.send(1)
            second.send(1)
            try await resident.watchRivals(first.reader, second.reader)
            #expect(await resident.notes(1).count == 1)
            _ = await resident.scheduleAndMeasure(.milliseconds(5))
            #expect(await resident.count == 1)
            for descriptor in [first.reader, first.writer, second.reader, second.writer] { close(descriptor) }
        }
    }

    @Test("A slot that is used again belongs to the new registration only") func slotReuse() async throws {
        try await self.use { resident in
            let pipe = Pipe()
            let differs = try await resident.reuse(pipe.reader)
            #expect(differs)
            pipe.send(5)
            #expect(await resident.notes(1) == [5])
            await resident.unwatch()
            close(pipe.reader)
            close(pipe.writer)
        }
    }

    @Test("A descriptor that epoll refuses is an error that names the call") func refused() async throws {
        try await self.use { resident in
            #expect(await resident.refuses(-1)?.hasPrefix("epoll_ctl failed") == true)
        }
    }

    @Test("A stop ends the thread, also one that sleeps without timers") func stops() throws {
        for _ in 0..<50 { try Reactor(name: "stop").stop() }
    }
}
