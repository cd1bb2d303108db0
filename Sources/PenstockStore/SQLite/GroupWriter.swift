// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import GRDB
import Synchronization

/// Carries out the writes of many callers on one thread: all that wait go into one transaction, and one fsync
/// acknowledges them all.
///
/// Each caller waits for its own write, so at most one write for each caller waits here; one transaction
/// takes as many of them as ``CommitGroup`` says. No thread of Swift's pool ever blocks on it.
final class GroupWriter: Sendable {
    /// Longest time that a commit waits for more writers; it is never more than a quarter of the last commit.
    static let patienceMax = Duration.microseconds(200)

    private let pool: DatabasePool
    private let file: StoreFile
    private let checkpoints: LogCheckpoints
    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)

    private typealias Outcome = Result<Int, StoreError>

    private struct Pending: Sendable {
        var operation: WriteOperation
        var bytes: Int
        var continuation: CheckedContinuation<Outcome, Never>
    }

    private struct State {
        var waiting: [Pending] = []
        /// The thread found nothing to do and waits for the semaphore, or soon will.
        var isIdle = false
        var isClosing = false
        var isClosed = false
        var closers: [CheckedContinuation<Void, Never>] = []
        var commits = 0
    }

    private enum Step {
        case commit([Pending])
        case idle
        case close
    }

    /// Writes through the pool's writer connection, which nobody else may use from now on.
    ///
    /// ``start()`` comes next.
    init(pool: DatabasePool, file: StoreFile) throws {
        self.pool = pool
        self.file = file
        let checkpoints = try LogCheckpoints(file)
        self.checkpoints = checkpoints
        pool.writeWithoutTransaction { checkpoints.watch($0) }
    }

    /// Starts the threads; they end after ``close()`` or ``closeSoon()``.
    func start() {
        self.checkpoints.start()
        let thread = Thread { self.run() }
        thread.name = "penstock-store"
        thread.start()
    }

    /// How many transactions were committed.
    var commits: Int {
        self.state.withLock { $0.commits }
    }

    /// Whether writes and reads are refused.
    var isClosing: Bool {
        self.state.withLock { $0.isClosing }
    }

    /// Waits until the write is on disk, or is known not to have happened.
    ///
    /// A cancelled caller waits as well.
    func write(_ operation: WriteOperation) async throws(StoreError) -> Int {
        let bytes = operation.bytes
        let outcome: Outcome = await withCheckedContinuation { continuation in
            let pending = Pending(operation: operation, bytes: bytes, continuation: continuation)
            let (isRefused, wakes) = self.state.withLock { state in
                guard !state.isClosing else { return (true, false) }
                state.waiting.append(pending)
                defer { state.isIdle = false }
                return (false, state.isIdle)
            }
            if isRefused {
                continuation.resume(returning: .failure(.closed(self.file)))
            } else if wakes {
                self.wake.signal()
            }
        }
        return try outcome.get()
    }

    /// Refuses new writes, waits for those that wait, and closes the database.
    func close() async {
        await withCheckedContinuation { continuation in
            let (isClosed, wakes) = self.state.withLock { state in
                guard !state.isClosed else { return (true, false) }
                state.isClosing = true
                state.closers.append(continuation)
                defer { state.isIdle = false }
                return (false, state.isIdle)
            }
            if isClosed {
                continuation.resume()
            } else if wakes {
                self.wake.signal()
            }
        }
    }

    /// Closes without waiting for it: the end of a store that nobody closed.
    func closeSoon() {
        let wakes = self.state.withLock { state in
            state.isClosing = true
            defer { state.isIdle = false }
            return state.isIdle
        }
        if wakes { self.wake.signal() }
    }

    // MARK: - On the thread

    private func run() {
        let clock = ContinuousClock()
        while true {
            switch self.next() {
            case .commit(let group):
                let start = clock.now
                let outcomes = self.commit(group)
                let end = clock.now
                let writers = group.count + self.state.withLock { $0.waiting.count }
                for (pending, outcome) in zip(group, outcomes) {
                    pending.continuation.resume(returning: outcome)
                }
                let isFull = outcomes.contains { outcome in
                    if case .failure(let error) = outcome { error.code == .diskFull } else { false }
                }
                if isFull ? self.checkpoints.foundNoRoom() : self.checkpoints.committed() {
                    // The log stays where it cannot be carried, and is tried again later.
                    _ = try? self.pool.writeWithoutTransaction { try $0.checkpoint(.passive) }
                }
                self.gather(writers, until: end + min((end - start) / 4, Self.patienceMax))
            case .idle:
                self.wake.wait()
            case .close:
                return self.finish()
            }
        }
    }

    /// Gives the callers just acknowledged a moment to come with their next write.
    ///
    /// Without it, writers who write again at once fall into two halves that take turns: each commit then
    /// holds only the half that waited while the other half was written. A lone writer never waits here.
    private func gather(_ writers: Int, until deadline: ContinuousClock.Instant) {
        guard writers > 1 else { return }
        let clock = ContinuousClock()
        while clock.now < deadline {
            let isComplete = self.state.withLock { $0.isClosing || $0.waiting.count >= writers }
            guard !isComplete else { return }
            sched_yield()
        }
    }

    private func next() -> Step {
        self.state.withLock { state in
            guard !state.waiting.isEmpty else {
                guard !state.isClosing else { return .close }
                state.isIdle = true
                return .idle
            }
            let count = CommitGroup.count(state.waiting.lazy.map(\.bytes))
            let group = Array(state.waiting.prefix(count))
            state.waiting.removeFirst(count)
            return .commit(group)
        }
    }

    private func commit(_ group: [Pending]) -> [Outcome] {
        do {
            let outcomes = try self.pool.writeWithoutTransaction { database in
                do {
                    return try self.together(group, database)
                } catch let error as DatabaseError where error.isAboutOneWrite && group.count > 1 {
                    return try self.apart(group, database)
                } catch is StoreError where group.count > 1 {
                    return try self.apart(group, database)
                }
            }
            self.state.withLock { $0.commits += 1 }
            return outcomes
        } catch {
            let failure = StoreError(error, file: self.file)
            return Array(repeating: .failure(failure), count: group.count)
        }
    }

    /// The quick way: one transaction, and the first error undoes it all.
    private func together(_ group: [Pending], _ database: Database) throws -> [Outcome] {
        if group.count == 1, case .execute(let sql) = group[0].operation {
            // Some pragmas do nothing inside a transaction.
            return [.success(try WriteSession.execute(sql, database))]
        }
        var outcomes: [Outcome] = []
        outcomes.reserveCapacity(group.count)
        try database.inTransaction(.immediate) {
            var session = WriteSession(database, now: Self.now)
            for pending in group {
                outcomes.append(.success(try session.run(pending.operation)))
            }
            return .commit
        }
        return outcomes
    }

    /// The way after one write of the group was refused: a savepoint for each, so that its neighbours
    /// succeed.
    private func apart(_ group: [Pending], _ database: Database) throws -> [Outcome] {
        var outcomes: [Outcome] = []
        outcomes.reserveCapacity(group.count)
        try database.inTransaction(.immediate) {
            var session = WriteSession(database, now: Self.now)
            for pending in group {
                do {
                    var rows = 0
                    try database.inSavepoint {
                        rows = try session.run(pending.operation)
                        return .commit
                    }
                    outcomes.append(.success(rows))
                } catch let error as DatabaseError where !error.isAboutOneWrite {
                    throw error
                } catch {
                    outcomes.append(.failure(StoreError(error, file: self.file)))
                }
            }
            return .commit
        }
        return outcomes
    }

    private func finish() {
        self.checkpoints.close()
        // All of the log into the file, so that the one file is a whole backup. Where that cannot be (a full disk, another
        // program that reads), the log stays, and the next start reads it.
        _ = try? self.pool.writeWithoutTransaction { try $0.checkpoint(.truncate) }
        // Waits for reads under way. A database that does not close now is closed by the kernel with the
        // process; everything acknowledged is on disk already.
        try? self.pool.close()
        let closers = self.state.withLock { state in
            state.isClosed = true
            return state.closers
        }
        for closer in closers {
            closer.resume()
        }
    }

    private static var now: Int64 {
        Int64(Date().timeIntervalSince1970 * 1000)
    }
}
