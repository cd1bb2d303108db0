// SPDX-License-Identifier: Apache-2.0

import DequeModule
import PenstockCore
package import Reactor

/// One connection to a Postgres server, driven by the reactor's readiness (libpq, "Asynchronous Command Processing").
///
/// Statements run one after the other in the order in which they were given; what they bring, and notifications, come to
/// callbacks on the loop. All calls on the loop only, but for ``open(_:on:within:_:)``. ``PostgresConnection`` is the same
/// for tasks.
///
/// A statement that is given up, by ``cancel(_:_:)`` or at its timeout, is told to the server; the connection goes on with
/// the next statement when the server has answered, and is closed when it does not.
package final class PostgresLink: @unchecked Sendable {
    // @unchecked: touched on the reactor's thread only.

    /// What a statement comes to.
    package typealias Completion = @Sendable (Result<PostgresResult, PostgresError>) -> Void

    /// What a script comes to: the results of all of its statements, in order.
    package typealias ScriptCompletion = @Sendable (Result<[PostgresResult], PostgresError>) -> Void

    /// Names a statement of one link.
    package struct RequestID: Hashable, Sendable {
        fileprivate var rawValue: UInt64
    }

    private struct Request {
        var id: RequestID
        var query: PostgresQuery
        /// Whether the results of all statements are wanted, and not only the last one.
        var keepsAll: Bool
        /// Nil when the caller was answered.
        var completion: ScriptCompletion?
        var timer: TimerID?
        var results: [PostgresResult] = []
        var failure: PostgresError?

        /// What it has come to.
        var outcome: Result<[PostgresResult], PostgresError> {
            if let failure = self.failure { return .failure(failure) }
            guard self.results.isEmpty else { return .success(self.results) }
            return .failure(PostgresError(.connectionLost, "the server sent no result"))
        }
        /// Called when something of its COPY may have arrived; nil for a statement that begins none.
        var copyArrived: (@Sendable () -> Void)?
        /// Whether the COPY is of rows that the server sends, and the statement goes on behind it.
        var isCopyOut = false
    }

    private let reactor: Reactor
    private var handle: PostgresHandle?
    private var registration: Reactor.Registration?
    private var isWriting = false
    private var waiting = Deque<Request>()
    private var active: Request?
    /// The server is being told to give up the active statement: nothing else may be under way when it hears that.
    private var isCancelling = false
    private var lastID: UInt64 = 0
    /// Closes the connection when a statement that was given up does not end.
    private var patience: TimerID?
    /// While a COPY runs: who takes what arrives.
    private var copyArrived: (@Sendable () -> Void)?

    /// Whether what the server sends of a COPY is taken in; while it is not, the server waits once the way is full.
    package var isReadingCopy = true {
        didSet { if self.isReadingCopy != oldValue { self.watch() } }
    }

    /// The version of the server, such as 150004.
    package let serverVersion: Int

    /// The server process as the protocol announced it; a pooler announces another one than `pg_backend_pid()`.
    package let announcedBackend: Int32

    /// Whether the connection is encrypted.
    package let isEncrypted: Bool

    /// Whether the server was a standby in recovery when it was asked last; nil before version 14.
    package var isStandby: Bool? { self.handle?.parameter("in_hot_standby").map { $0 == "on" } }

    /// Gets what arrives on the channels that the session listens on, in order.
    package var onNotifications: (@Sendable ([PostgresNotification]) -> Void)?

    /// Called once, when the connection is no longer usable and nobody closed it.
    package var onLoss: (@Sendable (PostgresError) -> Void)?

    /// How long the server may take to give a statement up before the connection is closed.
    package var cancelPatience = Duration.seconds(5)

    private init(_ handle: PostgresHandle, _ reactor: Reactor) {
        self.handle = handle
        self.reactor = reactor
        self.serverVersion = handle.serverVersion
        self.announcedBackend = handle.backend
        self.isEncrypted = handle.isEncrypted
    }

    // MARK: - Opening and closing

    /// Connects, and hands the connection to the loop.
    ///
    /// On a thread of its own, because libpq looks up names and reads files in calls that block. Any thread.
    ///
    /// - Parameters:
    ///   - address: Where to.
    ///   - reactor: Outlives the connection.
    ///   - timeout: How long it may take.
    ///   - completion: Called once, on the loop.
    /// - Returns: What gives it up.
    @discardableResult
    package static func open(
        _ address: PostgresAddress,
        on reactor: Reactor,
        within timeout: Duration,
        _ completion: @escaping @Sendable (Result<PostgresLink, PostgresError>) -> Void
    ) -> Opening {
        let opening = Opening(reactor, completion)
        let milliseconds = Int(timeout.wholeMilliseconds)
        do {
            try OwnThread.start {
                let result = PostgresHandle.connect(address, within: milliseconds)
                reactor.submit { opening.end(result.flatMap { Self.link($0, reactor) }) }
            }
        } catch {
            let error = PostgresError(.unreachable, "the system has no thread left to connect on")
            reactor.submit { opening.end(.failure(error)) }
        }
        // A name that is looked up has no timeout of ours.
        reactor.submit {
            _ = reactor.schedule(at: reactor.now + timeout + .milliseconds(200)) {
                opening.end(.failure(PostgresError(.timedOut, "no connection within \(milliseconds) ms")))
            }
        }
        return opening
    }

    private static func link(
        _ handle: PostgresHandle,
        _ reactor: Reactor
    ) -> Result<PostgresLink, PostgresError> {
        let link = PostgresLink(handle, reactor)
        do throws(ReactorError) {
            link.registration = try reactor.register(handle.socket, for: .readable) { link.ready($0) }
            return .success(link)
        } catch {
            return .failure(PostgresError(.unreachable, "\(error)"))
        }
    }

    /// Whether statements can be given to it.
    package var isOpen: Bool { self.handle != nil }

    /// Ends the connection, and with `closed` the statements that are not done.
    ///
    /// Idempotent.
    package func close() {
        self.onLoss = nil
        self.end(PostgresError(.closed, "the connection was closed"))
    }

    /// Ends the connection as ``close()`` does, and tells the server to give up the statement under way: it notices by itself that
    /// nobody is there any more only once it sends something.
    ///
    /// Idempotent.
    package func abandon() {
        if self.active != nil, let cancellation = self.handle?.cancellation() {
            // Without a thread for it, the server finds out later.
            try? OwnThread.start { cancellation.send() }
        }
        self.close()
    }

    private func end(_ error: PostgresError) {
        guard self.handle != nil else { return }
        // Before libpq closes the socket: the number of a descriptor is used again at once.
        if let registration = self.registration.take() { self.reactor.unregister(registration) }
        if let timer = self.patience.take() { self.reactor.cancel(timer) }
        self.handle = nil
        self.copyArrived = nil
        let requests = [self.active.take()].compactMap(\.self) + self.waiting
        self.waiting = []
        let onLoss = self.onLoss.take()
        self.onNotifications = nil
        for request in requests { self.answer(request, .failure(error)) }
        onLoss?(error)
    }

    // MARK: - Statements

    /// Gives it a statement; the completion is called once.
    @discardableResult
    package func send(
        _ query: PostgresQuery,
        within timeout: Duration? = nil,
        _ completion: @escaping Completion
    ) -> RequestID {
        self.send(query, within: timeout, keepsAll: false) { results in
            let lost = PostgresError(.connectionLost, "the server sent no result")
            completion(results.flatMap { $0.last.map { .success($0) } ?? .failure(lost) })
        }
    }

    /// Gives it a script of at least one statement, and hands on what each of them brought; the completion is called once.
    ///
    /// The server has all of it before it begins, and carries it out as one transaction, unless it says otherwise.
    @discardableResult
    package func sendAll(
        script: String,
        within timeout: Duration? = nil,
        _ completion: @escaping ScriptCompletion
    ) -> RequestID {
        self.send(PostgresQuery(script: script), within: timeout, keepsAll: true, completion)
    }

    /// Begins a COPY in both directions, such as `START_REPLICATION`; the completion is called once, when it has begun.
    ///
    /// From then on ``takeCopy(_:)`` and ``putCopy(_:)`` are for it, and no statement runs any more: to end it, close the
    /// connection.
    ///
    /// - Parameters:
    ///   - sql: The statement.
    ///   - timeout: How long it may take to begin.
    ///   - arrived: Called on the loop when there may be something to take.
    ///   - completion: Called once.
    package func startCopy(
        _ sql: String,
        within timeout: Duration,
        _ arrived: @escaping @Sendable () -> Void,
        _ completion: @escaping Completion
    ) {
        self.send(PostgresQuery(script: sql), within: timeout, keepsAll: false, copyArrived: arrived) {
            results in
            let lost = PostgresError(.connectionLost, "the server began no COPY")
            completion(results.flatMap { $0.last.map { .success($0) } ?? .failure(lost) })
        }
    }

    /// Runs `COPY … TO STDOUT`; the completion is called once, when it has ended or failed.
    ///
    /// What it brings is taken by ``takeCopy(_:)``, a row at a time; while ``isReadingCopy`` is false, the server waits.
    /// It may take any time to begin: the server tells that together with the first rows, which may have to be sorted.
    ///
    /// - Parameters:
    ///   - sql: The statement.
    ///   - arrived: Called on the loop when there may be something to take.
    ///   - completion: Called once; rows may be left to take only when it failed.
    package func copyOut(
        _ sql: String,
        _ arrived: @escaping @Sendable () -> Void,
        _ completion: @escaping Completion
    ) {
        self.send(
            PostgresQuery(script: sql),
            within: nil,
            keepsAll: false,
            copyArrived: arrived,
            isCopyOut: true
        ) { results in
            let lost = PostgresError(.connectionLost, "the server ended no COPY")
            completion(results.flatMap { $0.last.map { .success($0) } ?? .failure(lost) })
        }
    }

    @discardableResult
    private func send(
        _ query: PostgresQuery,
        within timeout: Duration?,
        keepsAll: Bool,
        copyArrived: (@Sendable () -> Void)? = nil,
        isCopyOut: Bool = false,
        _ completion: @escaping ScriptCompletion
    ) -> RequestID {
        self.lastID += 1
        let id = RequestID(rawValue: self.lastID)
        guard self.handle != nil else {
            completion(.failure(PostgresError(.closed, "the connection is closed")))
            return id
        }
        var request = Request(id: id, query: query, keepsAll: keepsAll, completion: completion)
        request.copyArrived = copyArrived
        request.isCopyOut = isCopyOut
        if let timeout {
            request.timer = self.reactor.schedule(at: self.reactor.now + timeout) {
                let limit = timeout.wholeMilliseconds
                self.cancel(id, PostgresError(.timedOut, "the server took longer than \(limit) ms"))
            }
        }
        self.waiting.append(request)
        self.advance()
        return id
    }

    /// Gives a statement up: its completion gets the error now.
    ///
    /// Nothing happens when it is done.
    package func cancel(_ id: RequestID, _ error: PostgresError) {
        if let index = self.waiting.firstIndex(where: { $0.id == id }) {
            return self.answer(self.waiting.remove(at: index), .failure(error))
        }
        guard let request = self.active, request.id == id, request.completion != nil else { return }
        self.active?.completion = nil
        self.active?.timer = nil
        let cancellation = self.handle?.cancellation()
        self.answer(request, .failure(error))
        guard let cancellation, self.handle != nil else { return }
        self.isCancelling = true
        let reactor = self.reactor
        do {
            try OwnThread.start {
                cancellation.send()
                reactor.submit { self.told() }
            }
        } catch {
            self.isCancelling = false
        }
        guard self.patience == nil else { return }
        self.patience = self.reactor.schedule(at: self.reactor.now + self.cancelPatience) {
            self.patience = nil
            self.end(PostgresError(.connectionLost, "the server did not give up a statement"))
        }
    }

    /// The server was told to give the statement up.
    private func told() {
        self.isCancelling = false
        self.settle()
    }

    private func answer(_ request: Request, _ result: Result<[PostgresResult], PostgresError>) {
        if let timer = request.timer { self.reactor.cancel(timer) }
        request.completion?(result)
    }

    /// Sends the next statement when none is under way.
    private func advance() {
        while self.active == nil, !self.isCancelling, let handle = self.handle,
            let request = self.waiting.popFirst()
        {
            self.active = request
            do throws(PostgresError) {
                try handle.send(request.query)
            } catch {
                self.active = nil
                self.answer(request, .failure(error))
                if handle.isBroken { return self.end(handle.loss) }
                continue
            }
            self.flush()
        }
    }

    private func flush() {
        guard let handle = self.handle else { return }
        guard let isLeft = handle.flush() else { return self.end(handle.loss) }
        guard isLeft != self.isWriting else { return }
        self.isWriting = isLeft
        self.watch()
    }

    private func watch() {
        guard let registration = self.registration else { return }
        var interest: Reactor.Readiness = self.isReadingCopy ? .readable : []
        if self.isWriting { interest.formUnion(.writable) }
        self.reactor.update(registration, for: interest)
    }

    // MARK: - Arrivals

    private func ready(_ readiness: Reactor.Readiness) {
        guard let handle = self.handle else { return }
        if let arrived = self.copyArrived { return self.copyReady(readiness, handle, arrived) }
        // What has arrived is taken in first: a server that waits for us to read takes nothing.
        let isWhole = handle.consume()
        self.takeResults()
        self.takeNotifications()
        guard isWhole, !handle.isBroken else { return self.end(handle.loss) }
        if self.isWriting { self.flush() }
        self.advance()
    }

    private func takeResults() {
        while self.active != nil, let handle = self.handle, !handle.isBusy {
            switch handle.nextOutcome() {
            case .rows(let result)?:
                if self.active?.keepsAll == false { self.active?.results.removeAll(keepingCapacity: true) }
                self.active?.results.append(result)
            case .failure(let error)?: self.active?.failure = error
            case .copyBoth(let result)?:
                guard let arrived = self.active?.copyArrived, let timer = self.active.map(\.timer) else {
                    return self.end(PostgresError(.rejected, "COPY is not spoken here"))
                }
                if let timer { self.reactor.cancel(timer) }
                self.active?.timer = nil
                self.copyArrived = arrived
                self.active?.completion.take()?(.success([result]))
                return arrived()
            case .copyOut?:
                guard let request = self.active, request.isCopyOut, let arrived = request.copyArrived else {
                    return self.end(PostgresError(.rejected, "COPY is not spoken here"))
                }
                if let timer = request.timer { self.reactor.cancel(timer) }
                self.active?.timer = nil
                self.copyArrived = arrived
                return arrived()
            case .unsupported?:
                return self.end(PostgresError(.rejected, "COPY is not spoken here"))
            case nil:
                guard let request = self.active.take() else { return }
                self.answer(request, request.outcome)
                self.settle()
            }
        }
    }

    /// After a statement has ended, or the server was told to give it up.
    private func settle() {
        guard self.active == nil, !self.isCancelling else { return }
        if let timer = self.patience.take() { self.reactor.cancel(timer) }
        self.advance()
    }

    private func takeNotifications() {
        guard let handle = self.handle else { return }
        var notifications: [PostgresNotification] = []
        while let notification = handle.nextNotification() { notifications.append(notification) }
        if !notifications.isEmpty { self.onNotifications?(notifications) }
    }

    // MARK: - COPY

    private func copyReady(
        _ readiness: Reactor.Readiness,
        _ handle: PostgresHandle,
        _ arrived: () -> Void
    ) {
        if self.isWriting { self.flush() }
        // A connection that is gone is told of although nobody reads.
        guard self.isReadingCopy || !readiness.isDisjoint(with: .closed) else { return }
        let isWhole = handle.consume()
        arrived()
        guard self.handle != nil, !isWhole || handle.isBroken else { return }
        self.end(handle.loss)
    }

    /// Gives the next message of the COPY to `body`, which may look at its bytes during the call, when one has arrived.
    ///
    /// When the server has ended the COPY, or the connection is gone, the connection ends, and ``onLoss`` says why; behind the end
    /// of a ``copyOut(_:within:_:_:)`` the connection goes on.
    package func takeCopy(_ body: (UnsafeRawBufferPointer) -> Void) -> CopyArrival {
        guard self.copyArrived != nil, let handle = self.handle else { return .broken }
        let arrival = unsafe handle.nextCopy(body)
        switch arrival {
        case .message, .nothing: return arrival
        case .broken: self.end(handle.loss)
        case .ended where self.active?.isCopyOut == true:
            self.copyArrived = nil
            self.isReadingCopy = true
            self.takeResults()
        case .ended:
            var error = PostgresError(.connectionLost, "the server ended the stream")
            while !handle.isBusy, let outcome = handle.nextOutcome() {
                guard case .failure(let refusal) = outcome else { continue }
                error = refusal
                // Behind what is no end of a COPY to libpq it says the same for ever.
                break
            }
            self.end(error)
        }
        return arrival
    }

    /// Sends a message of the COPY.
    package func putCopy(_ bytes: [UInt8]) {
        guard self.copyArrived != nil, let handle = self.handle else { return }
        guard handle.putCopy(bytes) else { return self.end(handle.loss) }
        self.flush()
    }
}
