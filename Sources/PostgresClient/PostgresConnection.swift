// SPDX-License-Identifier: Apache-2.0

import PenstockCore
package import Reactor

/// One connection to a Postgres server, for tasks: ``PostgresLink`` with `await`.
///
/// Pinned to the reactor's thread. Statements run one after the other. Close it with ``close()``; it closes when the last
/// reference goes, too.
package actor PostgresConnection {
    nonisolated let reactor: Reactor
    nonisolated let link: PostgresLink

    private init(_ link: PostgresLink, _ reactor: Reactor) {
        self.link = link
        self.reactor = reactor
    }

    deinit {
        let link = self.link
        self.reactor.submit { link.close() }
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    /// Connects.
    ///
    /// - Parameters:
    ///   - address: Where to.
    ///   - reactor: Runs the connection, and outlives it.
    ///   - timeout: How long it may take.
    ///   - begun: Gets at once what gives it up.
    /// - Returns: An open connection.
    /// - Throws: ``PostgresError``; `cancelled` soon after the task is cancelled, or it is given up.
    package static func open(
        _ address: PostgresAddress,
        on reactor: Reactor,
        within timeout: Duration = .seconds(10),
        begun: (PostgresLink.Opening) -> Void = { _ in }
    ) async throws(PostgresError) -> PostgresConnection {
        let once = Once<PostgresLink>()
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                once.wait(continuation)
                let opening = PostgresLink.open(address, on: reactor, within: timeout) { result in
                    if !once.end(result), case .success(let link) = result { link.close() }
                }
                once.onCancel { opening.abandon() }
                begun(opening)
            }
        } onCancel: {
            once.cancel()
        }
        return PostgresConnection(try result.get(), reactor)
    }

    /// Runs a statement, and gives its last result.
    ///
    /// - Parameters:
    ///   - query: The statement.
    ///   - timeout: How long it may take, waiting for others included; nil for as long as the connection lasts.
    /// - Returns: The rows.
    /// - Throws: ``PostgresError``; `cancelled` when the task is cancelled, which is told to the server. Nobody knows then,
    ///   nor after `timedOut` and `connectionLost`, whether the statement was carried out.
    @discardableResult
    package func run(
        _ query: PostgresQuery,
        within timeout: Duration? = .seconds(30)
    ) async throws(PostgresError) -> PostgresResult {
        try await self.answer { link, completion in link.send(query, within: timeout, completion) }
    }

    /// Runs a script, and gives the results of all of its statements, in order.
    ///
    /// - Parameters:
    ///   - script: At least one statement; they run as one transaction unless the script says otherwise.
    ///   - timeout: How long it may take, waiting for others included.
    /// - Returns: The results.
    /// - Throws: ``PostgresError``, as ``run(_:within:)``; a transaction that the script has begun is still open then.
    package func run(script: String, within timeout: Duration) async throws(PostgresError) -> [PostgresResult]
    {
        try await self.answer { link, completion in
            link.sendAll(script: script, within: timeout, completion)
        }
    }

    /// Waits for what comes of what `send` gives the link.
    private func answer<Value: Sendable>(
        _ send: (PostgresLink, @escaping @Sendable (Result<Value, PostgresError>) -> Void) ->
            PostgresLink.RequestID
    ) async throws(PostgresError) -> Value {
        let (link, reactor) = (self.link, self.reactor)
        let once = Once<Value>()
        let result = await withTaskCancellationHandler {
            // `self` here is what keeps the closure on the reactor.
            await withCheckedContinuation { continuation in
                once.wait(continuation)
                let id = send(self.link) { _ = once.end($0) }
                once.onCancel {
                    reactor.submit { link.cancel(id, PostgresError(.cancelled, "the call was cancelled")) }
                }
            }
        } onCancel: {
            once.cancel()
        }
        return try result.get()
    }

    /// Runs a statement with parameters.
    @discardableResult
    package func run(
        _ sql: String,
        _ parameters: PostgresValue...
    ) async throws(PostgresError) -> PostgresResult {
        try await self.run(PostgresQuery(sql, parameters))
    }

    /// Whether it can be used.
    package var isOpen: Bool { self.link.isOpen }

    /// The version of the server, such as 150004.
    package nonisolated var serverVersion: Int { self.link.serverVersion }

    /// Whether it is encrypted.
    package nonisolated var isEncrypted: Bool { self.link.isEncrypted }

    /// The server process as the protocol announced it.
    package nonisolated var announcedBackend: Int32 { self.link.announcedBackend }

    /// Whether the server is a standby in recovery; nil before version 14.
    package var isStandby: Bool? { self.link.isStandby }

    /// How long the server may take to give a statement up before the connection is closed: 5 s unless it is set.
    package func setCancelPatience(_ patience: Duration) { self.link.cancelPatience = patience }

    /// Ends it.
    ///
    /// Idempotent.
    package func close() { self.link.close() }

    /// Ends it as ``close()`` does, and tells the server to give up the statement under way.
    ///
    /// Idempotent.
    package func abandon() { self.link.abandon() }
}
