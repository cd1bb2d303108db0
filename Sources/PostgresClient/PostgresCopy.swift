// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import Reactor

/// Rows that `COPY … TO STDOUT` brought, in its text form (Postgres: "COPY", "Text Format"), without the ends of lines.
package struct CopiedRows: Sendable, Equatable {
    /// The rows, one behind the other.
    package private(set) var bytes: [UInt8] = []
    private var ends: [Int] = []

    /// None.
    package init() {}

    /// How many there are.
    package var count: Int { self.ends.count }

    /// Where a row is in ``bytes``.
    package func range(_ row: Int) -> Range<Int> {
        (row == 0 ? 0 : self.ends[row - 1])..<self.ends[row]
    }

    /// Adds a row as the server sent it.
    package mutating func append(_ message: UnsafeRawBufferPointer) {
        let isLine = unsafe message.last == UInt8(ascii: "\n")
        unsafe self.bytes.append(contentsOf: isLine ? message.dropLast() : message[...])
        self.ends.append(self.bytes.count)
    }
}

/// A `COPY … TO STDOUT` under way: its rows come as they are asked for, and the server waits meanwhile.
///
/// Pinned to the reactor's thread. It ends with its connection; see ``PostgresConnection/copyOut(_:)``.
package actor PostgresCopy {
    private nonisolated let reactor: Reactor
    private let link: PostgresLink
    private var rows = CopiedRows()
    private var limits = (rows: 0, bytes: 0)
    private var waiter: Once<CopiedRows?>?
    private var end: Result<Void, PostgresError>?

    init(_ link: PostgresLink, _ reactor: Reactor) {
        self.link = link
        self.reactor = reactor
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    func begin(_ sql: String) {
        self.link.isReadingCopy = true
        self.link.copyOut(sql) {
            self.assumeIsolated { $0.take() }
        } _: { result in
            self.assumeIsolated { $0.ended(result.map { _ in }) }
        }
    }

    /// The next rows: so many, or of so many bytes, whichever is first, or what is left; the last one may go over the bytes.
    ///
    /// - Parameters:
    ///   - rows: Rows at most.
    ///   - bytes: Bytes after which no other row is added.
    /// - Returns: At least one row; nil behind the last one.
    /// - Throws: ``PostgresError``; rows that were not returned yet are lost. `cancelled` when the task is cancelled: close the
    ///   connection then.
    package func next(rows: Int, bytes: Int) async throws(PostgresError) -> CopiedRows? {
        precondition(self.waiter == nil, "two tasks wait for one COPY")
        let once = Once<CopiedRows?>()
        let reactor = self.reactor
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                once.wait(continuation)
                self.limits = (rows, bytes)
                self.waiter = once
                if self.end == nil { self.link.isReadingCopy = true }
                self.take()
                once.onCancel {
                    reactor.submit { self.assumeIsolated { $0.giveUp() } }
                }
            }
        } onCancel: {
            once.cancel()
        }
        return try result.get()
    }

    private func giveUp() {
        self.ended(.failure(PostgresError(.cancelled, "the call was cancelled")))
    }

    /// Takes what has arrived, up to what was asked for.
    private func take() {
        guard self.waiter != nil else {
            // Nobody asks: the server waits once the way is full.
            if self.end == nil { self.link.isReadingCopy = false }
            return
        }
        while self.end == nil, self.rows.count < self.limits.rows, self.rows.bytes.count < self.limits.bytes {
            let arrival = unsafe self.link.takeCopy { unsafe self.rows.append($0) }
            // Its end, and its loss, come by the completion.
            guard arrival == .message else { break }
        }
        self.answer()
    }

    private func ended(_ result: Result<Void, PostgresError>) {
        guard self.end == nil else { return }
        self.end = result
        self.answer()
    }

    private func answer() {
        let isFull = self.rows.count >= self.limits.rows || self.rows.bytes.count >= self.limits.bytes
        guard let waiter = self.waiter else { return }
        switch self.end {
        case nil where !isFull: return
        case .failure(let error)?:
            self.waiter = nil
            _ = waiter.end(.failure(error))
        default:
            self.waiter = nil
            if self.end == nil { self.link.isReadingCopy = false }
            let rows = self.rows
            self.rows = CopiedRows()
            _ = waiter.end(.success(rows.count > 0 ? rows : nil))
        }
    }
}

extension PostgresConnection {
    /// Runs `COPY … TO STDOUT`, whose rows are taken by ``PostgresCopy/next(rows:bytes:)`` until that is nil; only then can
    /// another statement run.
    ///
    /// - Parameter sql: The statement; it may take as long as the connection lasts.
    /// - Returns: What brings the rows; an error of the statement comes by it.
    package func copyOut(_ sql: String) async -> PostgresCopy {
        let copy = PostgresCopy(self.link, self.reactor)
        await copy.begin(sql)
        return copy
    }
}
