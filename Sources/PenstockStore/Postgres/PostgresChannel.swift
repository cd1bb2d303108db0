// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient
import Reactor

/// One of the store's sessions: connected when it is needed, and again after it was lost, with pauses that grow.
///
/// While there is no connection, each call fails at once with the reason of the last attempt, until it is time for the next
/// one. A session that was lost with something under way is followed by another one only when the server no longer has it: what
/// was under way is done or undone by then, and never comes behind what the new one does.
final class PostgresChannel: @unchecked Sendable {
    // @unchecked: touched on the reactor's thread only.

    typealias Waiter = @Sendable (Result<PostgresLink, StoreError>) -> Void

    /// A session as the server knows it.
    private struct Backend {
        var process: Int64
        /// Microseconds of the server's clock.
        var started: Int64
    }

    private enum State {
        case idle
        case opening([Waiter])
        case open(PostgresLink)
        case closed
    }

    private let location: PostgresLocation
    private let reactor: Reactor
    /// How long it waits for the locks of others.
    private let lockPatience: Duration
    private var state = State.idle
    private var backend: Backend?
    /// The session that was lost with something under way, until the server no longer has it.
    private var lost: Backend?
    private var failures = 0
    /// Why there is no connection, and until when none is tried.
    private var refusal: (error: StoreError, until: Instant)?
    private var random = SplitMix64(seed: .random(in: .min ... .max))

    private static let openTimeout = Duration.seconds(5)
    private static let backoff = Backoff(
        initial: .milliseconds(100),
        factor: 2,
        max: .seconds(5),
        jitter: .full
    )
    /// How long a session that was lost may take to end.
    private static let endPatience = Duration.seconds(5)

    /// A channel that connects when it is first asked to.
    init(_ location: PostgresLocation, on reactor: Reactor, lockPatience: Duration = .seconds(3)) {
        self.location = location
        self.reactor = reactor
        self.lockPatience = lockPatience
    }

    /// Gives a connection, now or soon.
    func link(_ waiter: @escaping Waiter) {
        switch self.state {
        case .closed: waiter(.failure(.closed(self.location)))
        case .open(let link) where link.isOpen: waiter(.success(link))
        case .opening(let waiters): self.state = .opening(waiters + [waiter])
        case .idle, .open:
            if let refusal = self.refusal, self.reactor.now < refusal.until {
                return waiter(.failure(refusal.error))
            }
            self.state = .opening([waiter])
            self.open()
        }
    }

    /// The session is of no more use, and something may still be under way there.
    func drop(_ link: PostgresLink) {
        link.close()
        guard case .open(let own) = self.state, own === link else { return }
        self.state = .idle
        self.lost = self.backend
    }

    /// Ends it for good; whoever waits for a connection, or for a statement, is told.
    func close() {
        let state = self.state
        self.state = .closed
        switch state {
        case .open(let link): link.close()
        case .opening(let waiters):
            for waiter in waiters { waiter(.failure(.closed(self.location))) }
        case .idle, .closed: break
        }
    }

    // MARK: - Opening

    private func open() {
        PostgresLink.open(self.location.address, on: self.reactor, within: Self.openTimeout) { result in
            switch result {
            case .success(let link): self.prepare(link)
            case .failure(let error): self.failed(StoreError(error, self.location))
            }
        }
    }

    private func prepare(_ link: PostgresLink) {
        link.sendAll(script: self.settings, within: Self.openTimeout) { result in
            switch result {
            case .success(let results):
                guard let facts = results.last, facts.boolean(0, 2) == false else {
                    link.close()
                    return self.failed(.standby(self.location))
                }
                let backend = Backend(process: facts.integer(0, 0) ?? 0, started: facts.integer(0, 1) ?? 0)
                self.succeed(link, backend, until: self.reactor.now + Self.endPatience)
            case .failure(let error):
                link.close()
                self.failed(StoreError(error, self.location))
            }
        }
    }

    /// Settings of the session, and who it is.
    ///
    /// Each write is one message, so that no transaction waits for us, whatever becomes of us; where one would, it would end
    /// soon. What other members of a synchronous cluster are to confirm stays as it is set there.
    private var settings: String {
        let settings = [
            ("search_path", "\(self.location.quotedSchema), pg_catalog"),
            ("idle_in_transaction_session_timeout", "3000"),
            ("lock_timeout", "\(self.lockPatience.wholeMilliseconds)"), ("statement_timeout", "30000"),
            ("default_transaction_isolation", "read committed"), ("default_transaction_read_only", "off"),
            ("standard_conforming_strings", "on"),
        ].map { "set_config('\($0.0)', \(PostgresName.literal($0.1)), false)" }
        return """
            SELECT \(settings.joined(separator: ", ")), set_config('synchronous_commit',
                CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false);
            SELECT pg_backend_pid(), (
                SELECT (extract(epoch FROM backend_start) * 1000000)::bigint FROM pg_stat_activity
                WHERE pid = pg_backend_pid()
            ), pg_is_in_recovery()
            """
    }

    /// Hands the connection out when the session that was lost has ended, which is asked for.
    ///
    /// One that was idle is left alone: a pooler may have given it to somebody else.
    private func succeed(_ link: PostgresLink, _ backend: Backend, until deadline: Instant) {
        guard let lost = self.lost else { return self.opened(link, backend) }
        let query = """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE pid = \(lost.process) AND pid <> pg_backend_pid()
                AND (extract(epoch FROM backend_start) * 1000000)::bigint = \(lost.started)
            """
        link.send(PostgresQuery(query), within: Self.openTimeout) { result in
            switch result {
            case .success(let rows) where rows.integer(0, 0) == 0: self.opened(link, backend)
            case .success where self.reactor.now < deadline:
                _ = self.reactor.schedule(at: self.reactor.now + .milliseconds(20)) {
                    self.succeed(link, backend, until: deadline)
                }
            case .success:
                link.close()
                let text = "an earlier session of this Penstock does not end; end it on the server"
                self.failed(StoreError(.unreachable, "\(self.location): \(text)"))
            case .failure(let error):
                link.close()
                self.failed(StoreError(error, self.location))
            }
        }
    }

    private func opened(_ link: PostgresLink, _ backend: Backend) {
        guard case .opening(let waiters) = self.state else { return link.close() }
        self.backend = backend
        self.lost = nil
        self.failures = 0
        self.refusal = nil
        self.state = .open(link)
        for waiter in waiters { waiter(.success(link)) }
    }

    private func failed(_ error: StoreError) {
        guard case .opening(let waiters) = self.state else { return }
        self.failures += 1
        let pause = Self.backoff.delay(attempt: self.failures, using: &self.random)
        self.refusal = (error, self.reactor.now + pause)
        self.state = .idle
        for waiter in waiters { waiter(.failure(error)) }
    }
}

// MARK: - For tasks

extension PostgresChannel {
    /// Runs a statement that only reads, once more on another connection when the first one was lost.
    func read(
        _ query: PostgresQuery,
        isAgain: Bool = false,
        _ completion: @escaping @Sendable (Result<PostgresResult, StoreError>) -> Void
    ) {
        self.link { result in
            switch result {
            case .failure(let error): completion(.failure(error))
            case .success(let link):
                link.send(query, within: .seconds(30)) { result in
                    switch result {
                    case .success(let rows): completion(.success(rows))
                    case .failure(let error):
                        if error.verdict == .lost { self.drop(link) }
                        if case .closed = self.state { return completion(.failure(.closed(self.location))) }
                        if error.code == .connectionLost, !isAgain {
                            return self.read(query, isAgain: true, completion)
                        }
                        completion(.failure(StoreError(error, self.location)))
                    }
                }
            }
        }
    }

    /// Runs a script as one transaction, and gives the results of its statements; from any isolation.
    func run(
        script: String,
        within timeout: Duration = .seconds(20)
    ) async throws(StoreError) -> [PostgresResult] {
        let result: Result<[PostgresResult], StoreError> = await withCheckedContinuation { continuation in
            self.reactor.submit {
                self.link { result in
                    switch result {
                    case .failure(let error): continuation.resume(returning: .failure(error))
                    case .success(let link):
                        link.sendAll(script: script, within: timeout) { result in
                            if case .failure(let error) = result, error.verdict == .lost { self.drop(link) }
                            continuation.resume(
                                returning: result.mapError { StoreError($0, self.location, opening: true) }
                            )
                        }
                    }
                }
            }
        }
        return try result.get()
    }
}
