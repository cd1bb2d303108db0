// SPDX-License-Identifier: Apache-2.0

import CLibcurl
import Glibc
import PenstockCore
import Reactor

/// libcurl's multi handle, driven by the reactor's readiness and timers (libcurl-multi(3),
/// `curl_multi_socket_action`).
///
/// libcurl asks to forget a connection's socket when a request ends and to watch it again when the next one
/// starts; the registration is kept in between, which saves two system calls for each request.
@safe
final class CurlMulti: @unchecked Sendable {
    // @unchecked: touched on the reactor's thread only, but for `submitCancel` and `init`.

    private struct Socket {
        var registration: Reactor.Registration?
        /// What epoll watches: the bits of a ``Reactor/Readiness``.
        var interest: UInt32 = 0
        /// What libcurl wants to hear; nothing for an idle connection.
        var wanted: UInt32 = 0
        /// libcurl opened it through us and will close it through us.
        var isOurs = false
    }

    private let reactor: Reactor
    private let multi: UnsafeMutableRawPointer
    private let connections: Int
    private var sockets: [Socket] = []
    private var idle: [CurlTransfer] = []
    private var active: [CurlTransfer] = []
    private var isClosed = false

    /// libcurl wants to be called at once.
    private var isDue = false
    /// It will be, at the end of the reactor's turn.
    private var isScheduled = false
    /// What calls it then: made once, and used for each turn.
    private var turnEnds: @Sendable () -> Void = {}
    /// When libcurl wants to be called, and the timer that sees to it, which may come earlier than needed.
    private var deadline: Instant?
    private var timer: (id: TimerID, deadline: Instant)?

    private static let globalResult = penstock_curl_global_init()

    // The bits of the sets: set operations of another module's option set are calls through witness tables.
    private static let readable = Reactor.Readiness.readable.rawValue
    private static let writable = Reactor.Readiness.writable.rawValue
    private static let failed = Reactor.Readiness.closed.rawValue & ~Reactor.Readiness.readable.rawValue

    /// Turns of "call me at once" before other work of the loop gets its turn.
    private static let turnsMax = 16

    init(reactor: Reactor, connections: Int) throws(CurlError) {
        guard Self.globalResult == CURLE_OK, let multi = unsafe curl_multi_init() else {
            throw CurlError(.failed, "libcurl cannot be set up")
        }
        self.reactor = reactor
        unsafe self.multi = unsafe multi
        self.connections = connections
        self.turnEnds = { [weak self] in self?.endTurn() }
        unsafe penstock_curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, connections)
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe penstock_curl_multi_set_callbacks(
            multi,
            { _, descriptor, what, context, _ in
                guard let context = unsafe context else { return -1 }
                unsafe CurlMulti.from(context).watch(descriptor, what)
                return 0
            },
            { _, milliseconds, context in
                guard let context = unsafe context else { return -1 }
                unsafe CurlMulti.from(context).wantsCall(inMilliseconds: milliseconds)
                return 0
            },
            context
        )
    }

    deinit {
        // Reached without `close()` only when the reactor stopped first; nobody else can touch the handle
        // then.
        if !self.isClosed { unsafe curl_multi_cleanup(self.multi) }
    }

    @unsafe
    private static func from(_ context: UnsafeMutableRawPointer) -> CurlMulti {
        unsafe Unmanaged<CurlMulti>.fromOpaque(context).takeUnretainedValue()
    }

    var inFlight: Int { self.active.count }

    // MARK: - Requests

    /// A handle that is set up for `request`; ``start(_:_:)`` it in the same turn.
    func prepare(_ request: CurlRequest) throws(CurlError) -> CurlTransfer {
        guard !self.isClosed else { throw CurlError(.closed, "the HTTP client is closed") }
        let transfer = try self.takeTransfer()
        try transfer.prepare(request)
        return transfer
    }

    private func takeTransfer() throws(CurlError) -> CurlTransfer {
        if let transfer = self.idle.popLast() { return transfer }
        guard let transfer = CurlTransfer() else { throw CurlError(.failed, "no memory for a request") }
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe penstock_curl_set_sockets(
            transfer.easy,
            { context, _, address in
                guard let context = unsafe context, let address = unsafe address else { return -1 }
                return unsafe CurlMulti.from(context).openSocket(address.pointee)
            },
            { context, descriptor in
                guard let context = unsafe context else { return Glibc.close(descriptor) }
                return unsafe CurlMulti.from(context).closeSocket(descriptor)
            },
            context
        )
        return transfer
    }

    /// Sends it; the continuation is resumed once.
    func start(_ transfer: CurlTransfer, _ continuation: CurlTransfer.Continuation) {
        unsafe transfer.continuation = unsafe continuation
        transfer.activeIndex = self.active.count
        self.active.append(transfer)
        // The call may have waited for the executor while it was closed.
        guard !self.isClosed else {
            return self.end(transfer, transfer.abandoned(.closed, "the client is closed"))
        }
        let code = unsafe curl_multi_add_handle(self.multi, transfer.easy)
        guard code == CURLM_OK else {
            let text = unsafe String(cString: curl_multi_strerror(code))
            return self.end(transfer, transfer.abandoned(.failed, text))
        }
        self.advance()
    }

    /// Cancels the request that the transfer had this serial for, if it still runs.
    ///
    /// Any thread.
    func submitCancel(_ transfer: CurlTransfer, _ serial: UInt64) {
        self.reactor.submit {
            guard transfer.serial == serial, transfer.activeIndex >= 0 else { return }
            let outcome = transfer.abandoned(.cancelled, "the call was cancelled")
            unsafe curl_multi_remove_handle(self.multi, transfer.easy)
            self.end(transfer, outcome)
            self.advance()
        }
    }

    /// Ends all requests and connections.
    ///
    /// Idempotent.
    func close() {
        guard !self.isClosed else { return }
        self.isClosed = true
        while let transfer = self.active.last {
            let outcome = transfer.abandoned(.closed, "the HTTP client was closed")
            unsafe curl_multi_remove_handle(self.multi, transfer.easy)
            self.end(transfer, outcome)
        }
        self.idle.removeAll()
        unsafe curl_multi_cleanup(self.multi)
        for descriptor in self.sockets.indices { self.forget(Int32(descriptor)) }
        if let timer = self.timer { self.reactor.cancel(timer.id) }
        self.timer = nil
    }

    /// Takes it out of those in flight and tells the caller.
    ///
    /// libcurl has let go of the handle.
    private func end(_ transfer: CurlTransfer, _ outcome: CurlTransfer.Outcome) {
        let index = transfer.activeIndex
        self.active.swapAt(index, self.active.count - 1)
        self.active[index].activeIndex = index
        self.active.removeLast()
        transfer.activeIndex = -1
        let continuation = unsafe transfer.continuation.take()
        if !self.isClosed, self.idle.count < self.connections { self.idle.append(transfer) }
        unsafe continuation?.resume(returning: outcome)
    }

    // MARK: - Driving libcurl

    /// Tells callers whose requests ended, and lets libcurl go on, if it wants to, at the end of the turn.
    ///
    /// So the requests of a turn leave together: a server that sleeps is woken once for all of them, and that costs us more
    /// than the rest of sending one.
    private func advance() {
        self.endFinished()
        guard self.isDue, !self.isScheduled else { return }
        self.isScheduled = true
        self.reactor.atEndOfTurn(self.turnEnds)
    }

    /// Calls libcurl as often as it wants to be called now.
    private func endTurn() {
        self.isScheduled = false
        guard !self.isClosed else { return }
        var running: Int32 = 0
        for _ in 0..<Self.turnsMax where self.isDue {
            self.isDue = false
            unsafe curl_multi_socket_action(self.multi, curl_socket_t(-1), 0, &running)
            self.endFinished()
        }
        self.advance()
    }

    private func endFinished() {
        var result = CURLE_OK
        while let easy = unsafe penstock_curl_next_ended(self.multi, &result) {
            guard let context = unsafe penstock_curl_private(easy) else { continue }
            let transfer = unsafe Unmanaged<CurlTransfer>.fromOpaque(context).takeUnretainedValue()
            let outcome = transfer.outcome(result)
            unsafe curl_multi_remove_handle(self.multi, easy)
            self.end(transfer, outcome)
        }
    }

    private func ready(_ descriptor: Int32, _ readiness: Reactor.Readiness) {
        guard self.sockets[Int(descriptor)].wanted != 0 else {
            // An idle connection that the server closes; libcurl finds out when it wants to use it.
            return self.forget(descriptor)
        }
        var bits: Int32 = 0
        if readiness.rawValue & Self.readable != 0 { bits |= CURL_CSELECT_IN }
        if readiness.rawValue & Self.writable != 0 { bits |= CURL_CSELECT_OUT }
        if readiness.rawValue & Self.failed != 0 { bits |= CURL_CSELECT_ERR }
        var running: Int32 = 0
        unsafe curl_multi_socket_action(self.multi, descriptor, bits, &running)
        self.advance()
    }

    // MARK: - Called by libcurl

    private func watch(_ descriptor: Int32, _ what: Int32) {
        self.makeRoom(for: descriptor)
        var wanted: UInt32 = 0
        if what != CURL_POLL_REMOVE {
            if what & CURL_POLL_IN != 0 { wanted |= Self.readable }
            if what & CURL_POLL_OUT != 0 { wanted |= Self.writable }
        }
        let index = Int(descriptor)
        self.sockets[index].wanted = wanted
        guard wanted != 0 else {
            // Sockets that are not ours (the resolver's) are closed behind our back.
            if !self.sockets[index].isOurs { self.forget(descriptor) }
            return
        }
        if let registration = self.sockets[index].registration {
            guard self.sockets[index].interest != wanted else { return }
            self.reactor.update(registration, for: Reactor.Readiness(rawValue: wanted))
        } else {
            // A refused registration shows as a timeout of the request; epoll takes every socket.
            let interest = Reactor.Readiness(rawValue: wanted)
            self.sockets[index].registration = try? self.reactor.register(descriptor, for: interest) {
                [unowned self] readiness in
                self.ready(descriptor, readiness)
            }
        }
        self.sockets[index].interest = wanted
    }

    private func wantsCall(inMilliseconds milliseconds: Int) {
        guard milliseconds > 0 else {
            self.isDue = milliseconds == 0
            self.deadline = nil
            return
        }
        let deadline = self.reactor.now + .milliseconds(milliseconds)
        self.deadline = deadline
        if let timer = self.timer {
            // A timer that comes too early sets the next one: cheaper than a change for each request.
            guard deadline < timer.deadline else { return }
            self.reactor.cancel(timer.id)
        }
        self.setTimer(at: deadline)
    }

    private func setTimer(at deadline: Instant) {
        let id = self.reactor.schedule(at: deadline) { [unowned self] in self.timerFired() }
        self.timer = (id, deadline)
    }

    private func timerFired() {
        self.timer = nil
        guard let deadline = self.deadline else { return }
        guard deadline <= self.reactor.now else { return self.setTimer(at: deadline) }
        self.deadline = nil
        self.isDue = true
        self.advance()
    }

    private func openSocket(_ address: curl_sockaddr) -> Int32 {
        // Functions are started as processes of their own: they must not inherit connections.
        let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(address.family, address.socktype | flags, address.protocol)
        guard descriptor >= 0 else { return -1 }
        self.makeRoom(for: descriptor)
        self.forget(descriptor)
        self.sockets[Int(descriptor)].isOurs = true
        return descriptor
    }

    private func closeSocket(_ descriptor: Int32) -> Int32 {
        self.makeRoom(for: descriptor)
        self.forget(descriptor)
        self.sockets[Int(descriptor)] = Socket()
        return Glibc.close(descriptor)
    }

    private func forget(_ descriptor: Int32) {
        guard let registration = self.sockets[Int(descriptor)].registration.take() else { return }
        self.reactor.unregister(registration)
    }

    private func makeRoom(for descriptor: Int32) {
        while self.sockets.count <= Int(descriptor) { self.sockets.append(Socket()) }
    }
}
