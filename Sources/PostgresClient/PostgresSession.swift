// SPDX-License-Identifier: Apache-2.0

package import Reactor
import Synchronization

/// A connection that is opened when it is needed, and again after it was lost.
///
/// Nothing is repeated: a statement fails with its connection, and whoever asked decides. Pinned to the reactor.
package actor PostgresSession {
    private let address: PostgresAddress
    private nonisolated let reactor: Reactor
    private var connection: PostgresConnection?
    private var isOpening = false
    /// What gives up the connection that is on its way; touched on the reactor only.
    private nonisolated let opening = Mutex<PostgresLink.Opening?>(nil)
    private var isClosed = false
    /// Who waits for the connection that another caller opens.
    private var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    private var lastWaiter: UInt64 = 0

    /// Connects nothing yet.
    package init(_ address: PostgresAddress, on reactor: Reactor) {
        self.address = address
        self.reactor = reactor
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    /// Runs a statement, and connects before when there is no connection.
    ///
    /// - Throws: ``PostgresError``; `closed` at once when the session is closed meanwhile, also before it has connected.
    @discardableResult
    package func run(
        _ query: PostgresQuery,
        within timeout: Duration = .seconds(30)
    ) async throws(PostgresError) -> PostgresResult {
        try await self.open().run(query, within: timeout)
    }

    /// Runs a script, and gives the results of all of its statements; connects before when there is no connection.
    ///
    /// - Throws: ``PostgresError``, as ``PostgresConnection/run(script:within:)`` and ``run(_:within:)``.
    package func run(script: String, within timeout: Duration) async throws(PostgresError) -> [PostgresResult]
    {
        try await self.open().run(script: script, within: timeout)
    }

    /// The connection.
    package func open() async throws(PostgresError) -> PostgresConnection {
        while true {
            guard !self.isClosed else { throw PostgresError(.closed, "the session was closed") }
            if let connection = self.connection, await connection.isOpen { return connection }
            guard self.isOpening else { break }
            await self.waitForOther()
            guard !Task.isCancelled else { throw PostgresError(.cancelled, "the call was cancelled") }
        }
        self.isOpening = true
        defer {
            self.isOpening = false
            self.opening.withLock { $0 = nil }
            for waiter in self.waiters.values { waiter.resume() }
            self.waiters = [:]
        }
        let connection: PostgresConnection
        do throws(PostgresError) {
            connection = try await PostgresConnection.open(self.address, on: self.reactor) { opening in
                self.opening.withLock { $0 = opening }
            }
        } catch {
            throw self.isClosed ? PostgresError(.closed, "the session was closed") : error
        }
        if self.isClosed {
            await connection.close()
            throw PostgresError(.closed, "the session was closed")
        }
        self.connection = connection
        return connection
    }

    /// Until the caller that opens the connection has ended, or the task is cancelled.
    private func waitForOther() async {
        self.lastWaiter += 1
        let id = self.lastWaiter
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                guard self.isOpening, !Task.isCancelled else { return continuation.resume() }
                self.waiters[id] = continuation
            }
        } onCancel: {
            self.reactor.submit { self.assumeIsolated { $0.waiters.removeValue(forKey: id)?.resume() } }
        }
    }

    /// Ends it, and with `closed` statements under way and a connection on its way.
    ///
    /// Idempotent.
    package func close() async {
        self.isClosed = true
        self.opening.withLock { $0.take() }?.abandon()
        await self.connection.take()?.close()
    }

    /// Ends it as ``close()`` does, and tells the server to give up the statement under way.
    ///
    /// Idempotent.
    package func abandon() async {
        self.isClosed = true
        self.opening.withLock { $0.take() }?.abandon()
        await self.connection.take()?.abandon()
    }

    /// Lets it be closed soon.
    ///
    /// Any thread; idempotent.
    package nonisolated func closeSoon() {
        self.reactor.submit {
            self.assumeIsolated { session in
                session.isClosed = true
                session.opening.withLock { $0.take() }?.abandon()
                session.connection.take()?.assumeIsolated { $0.close() }
            }
        }
    }
}
