// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockTesting
import Reactor
import Synchronization
import Testing

@testable import PostgresConnector

/// Settlements that share statements.
@Suite(.ownThreads, .timeLimit(.minutes(1)))
struct OutboxAcknowledgementsTests {
    /// Deliveries of a block, one entry each.
    private static func entries(_ count: Int) -> [OutboxEntry] {
        var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: count)
        let index = builder.add(Partition(id: PartitionID(1), name: "t"))
        for number in 0..<count {
            unsafe builder.append(
                position: Position(UInt64(number)),
                timestamp: Timestamp(milliseconds: 0),
                tag: 0,
                partitionIndex: index,
                payload: RecordPayload(key: nil, body: nil)
            )
        }
        let admitted = AdmittedBlock(
            block: builder.finish(),
            firstDelivery: 0,
            receivedAt: .start,
            sizes: Array(repeating: 0, count: count + 1)
        )
        return (0..<count).map { place in
            OutboxEntry(
                run: Run(admitted: admitted, range: place..<place + 1),
                receipt: .init(id: "\(place)", attempts: 1)
            )
        }
    }

    /// What was asked of the server: how many rows by each statement; the first one waits.
    private final class Server: Sendable {
        private struct State {
            var callers = 0
            var sizes: [Int] = []
            var waiting: CheckedContinuation<Void, Never>?
            var isOpen = false
        }

        private let state = Mutex(State())

        var callers: Int { self.state.withLock { $0.callers } }
        var sizes: [Int] { self.state.withLock { $0.sizes } }

        func call() { self.state.withLock { $0.callers += 1 } }

        func run(_ entries: [OutboxEntry]) async -> [OutboxEntry] {
            self.state.withLock { $0.sizes.append(entries.count) }
            await withCheckedContinuation { continuation in
                let isOpen = self.state.withLock { state in
                    if !state.isOpen { state.waiting = continuation }
                    return state.isOpen
                }
                if isOpen { continuation.resume() }
            }
            return entries
        }

        func open() {
            let waiting = self.state.withLock { state in
                state.isOpen = true
                return state.waiting.take()
            }
            waiting?.resume()
        }
    }

    /// Until all is done that has begun on the loop: what runs there when this is called may go on in a second step.
    private static func catchUp(_ reactor: Reactor) async {
        for _ in 0..<2 {
            await withCheckedContinuation { continuation in reactor.submit { continuation.resume() } }
        }
    }

    @Test("What comes while a statement is under way is in the next one, and each hears of its own")
    func shared() async throws {
        let reactor = try Reactor(name: "acknowledge-test")
        defer { reactor.stop() }
        let (server, together) = (Server(), OutboxAcknowledgements(on: reactor))
        let batches = (0..<4).map { _ in Self.entries(3) }
        let calls = batches.map { batch in
            Task(executorPreference: reactor) {
                server.call()
                return try await together.add(batch) { entries in
                    // The first of each batch is no longer ours.
                    .success(await server.run(entries).filter { $0.receipt.id == "0" }.map(\.run))
                }
            }
        }
        #expect(BoundedWait.until(within: .seconds(30)) { server.callers == 4 && server.sizes == [3] })
        await Self.catchUp(reactor)
        server.open()
        for (batch, call) in zip(batches, calls) {
            let lost = try await call.value
            #expect(lost.count == 1 && lost[0].admitted === batch[0].run.admitted)
            #expect(lost.first?.range == 0..<1)
        }
        #expect(server.sizes == [3, 9])
        let empty = try await together.add(Self.entries(1)) { _ in .success([]) }
        #expect(empty.isEmpty)
    }

    @Test("A statement that fails is told to all that are in it, and the next one is tried")
    func failed() async throws {
        let reactor = try Reactor(name: "acknowledge-test")
        defer { reactor.stop() }
        let (server, together) = (Server(), OutboxAcknowledgements(on: reactor))
        let calls = (0..<3).map { _ in
            Task(executorPreference: reactor) {
                server.call()
                return try await together.add(Self.entries(2)) { entries in
                    _ = await server.run(entries)
                    return .failure(SourceError(.unreachable, "away"))
                }
            }
        }
        #expect(BoundedWait.until(within: .seconds(30)) { server.callers == 3 && server.sizes == [2] })
        await Self.catchUp(reactor)
        server.open()
        for call in calls {
            let result = await call.result
            #expect(throws: SourceError.self) { try result.get() }
        }
        #expect(server.sizes == [2, 4])
        #expect(try await together.add(Self.entries(1)) { _ in .success([]) }.isEmpty)
    }
}
