// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import GRDB
import GRDBSQLite
import Synchronization

/// Decides when the write-ahead log goes into the file, and who carries that.
///
/// Pure. What SQLite does by itself stops the writer for as long as all of the log takes, each 4 MB. So a helper carries
/// it while the writer goes on, and the writer only what came meanwhile: with nothing left behind, it begins the log anew.
///
/// The helper is only woken behind a commit that is not in the file yet, and nobody else carries the log until it has: so the
/// writer never begins the log anew while the helper looks at it, which SQLite before 3.51.3 may get wrong
/// (https://www.sqlite.org/wal.html, the WAL-reset bug).
struct CheckpointTurns: Equatable {
    /// Pages of the log from which on it is carried: 16 MB.
    static let pagesMin = 4096

    /// Who has to carry what is in the log.
    enum Step: Equatable {
        case helper
        case writer
    }

    private var pages = 0
    private var next = Self.pagesMin
    private var isUnderWay = false
    private var hasCarried = false

    /// A commit left so many pages in the log; nil when nothing is to be done.
    mutating func committed(pages: Int) -> Step? {
        // The log began anew.
        if pages < self.pages { self.next = Self.pagesMin }
        self.pages = pages
        guard !self.isUnderWay else { return nil }
        if self.hasCarried {
            self.hasCarried = false
            // Where somebody reads what is old the log cannot begin anew, and is carried on from here.
            self.next = pages + Self.pagesMin
            return .writer
        }
        guard pages >= self.next else { return nil }
        self.isUnderWay = true
        return .helper
    }

    /// A commit found no room on the disk: whether the writer is to carry the log now, so that it can begin anew where it is.
    var mayMakeRoom: Bool { !self.isUnderWay }

    /// The helper has carried what there was.
    mutating func carried() {
        self.isUnderWay = false
        self.hasCarried = true
    }
}

/// Carries the write-ahead log into the file by a connection and on a thread of its own.
@safe
final class LogCheckpoints: @unchecked Sendable {
    // @unchecked: `pages` is written by SQLite on the writer's thread and read there; the rest is Sendable.
    private let queue: DatabaseQueue
    private let wake = DispatchSemaphore(value: 0)
    private let ended = DispatchSemaphore(value: 0)
    private let state = Mutex(State())
    private let pages = UnsafeMutablePointer<Int>.allocate(capacity: 1)

    private struct State {
        var turns = CheckpointTurns()
        var isClosing = false
    }

    /// Opens its connection; ``watch(_:)`` and ``start()`` come next.
    init(_ file: StoreFile) throws {
        var configuration = Configuration()
        configuration.label = "penstock.checkpoint"
        configuration.busyMode = .timeout(5)
        self.queue = try DatabaseQueue(path: file.path, configuration: configuration)
        unsafe self.pages.initialize(to: 0)
        try self.queue.inDatabase { database in
            // The log is on disk before its pages are in the file, and these before it begins anew.
            try database.execute(sql: "PRAGMA synchronous = FULL")
        }
    }

    deinit {
        unsafe self.pages.deallocate()
    }

    /// Lets SQLite tell of each commit of the writer's connection, in place of what it does by itself.
    ///
    /// On the writer's thread, as all commits; the object outlives the connection.
    func watch(_ database: Database) {
        unsafe sqlite3_wal_hook(
            database.sqliteConnection,
            { context, _, _, pages in
                unsafe context?.assumingMemoryBound(to: Int.self).pointee = Int(pages)
                return SQLITE_OK
            },
            self.pages
        )
    }

    /// Starts the thread; ``close()`` ends it.
    func start() {
        let thread = Thread { self.run() }
        thread.name = "penstock-checkpoint"
        thread.start()
    }

    /// After a commit, on the writer's thread; whether the writer itself is to carry what is left.
    func committed() -> Bool {
        let pages = unsafe self.pages.pointee
        switch self.state.withLock({ $0.turns.committed(pages: pages) }) {
        case .helper:
            self.wake.signal()
            return false
        case .writer: return true
        case nil: return false
        }
    }

    /// After a commit that found the disk full, on the writer's thread; whether the writer itself is to carry the log.
    func foundNoRoom() -> Bool { self.state.withLock { $0.turns.mayMakeRoom } }

    /// Waits for what is under way, and closes the connection; once.
    func close() {
        self.state.withLock { $0.isClosing = true }
        self.wake.signal()
        self.ended.wait()
        try? self.queue.close()
    }

    private func run() {
        while true {
            self.wake.wait()
            guard !self.state.withLock({ $0.isClosing }) else { break }
            // Where it cannot be (a full disk), the log stays as it is, and the next turn tries again.
            _ = try? self.queue.inDatabase { try $0.checkpoint(.passive) }
            self.state.withLock { $0.turns.carried() }
        }
        self.ended.signal()
    }
}
