// SPDX-License-Identifier: Apache-2.0

package import Reactor

/// A connection that is opened when it is needed, and again after it was lost.
///
/// Nothing is repeated: a statement fails with its connection, and whoever asked decides. Pinned to the reactor.
package actor PostgresSession {
    private let address: PostgresAddress
    private nonisolated let reactor: Reactor
    private var connection: PostgresConnection?
    private var isOpening = false
    private var isClosed = false
    /// Who waits for the connection that another caller opens.
    private var waiters: [CheckedContinuation<Void, Never>] = []

    /// Connects nothing yet.
    package init(_ address: PostgresAddress, on reactor: Reactor) {
        self.address = address
        self.reactor = reactor
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    /// Runs a statement, and connects before when there is no connection.
    @discardableResult
    package func run(
        _ query: PostgresQuery,
        within timeout: Duration = .seconds(30)
    ) async throws(PostgresError) -> PostgresResult {
        try await self.open().run(query, within: timeout)
    }

    /// The connection.
    package func open() async throws(PostgresError) -> PostgresConnection {
        while true {
            guard !self.isClosed else { throw PostgresError(.closed, "the session was closed") }
            if let connection = self.connection, await connection.isOpen { return connection }
            guard self.isOpening else { break }
            await withCheckedContinuation { self.waiters.append($0) }
        }
        self.isOpening = true
        defer {
            self.isOpening = false
            for waiter in self.waiters { waiter.resume() }
            self.waiters = []
        }
        let connection = try await PostgresConnection.open(self.address, on: self.reactor)
        if self.isClosed {
            await connection.close()
            throw PostgresError(.closed, "the session was closed")
        }
        self.connection = connection
        return connection
    }

    /// Ends it, and statements under way with `closed`.
    ///
    /// Idempotent.
    package func close() async {
        self.isClosed = true
        await self.connection.take()?.close()
    }
}
