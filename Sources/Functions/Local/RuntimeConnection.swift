// SPDX-License-Identifier: Apache-2.0

import CReactor
import DequeModule
import Glibc
import PenstockCore
import Reactor

/// One connection of a process to its Runtime API: bytes in, requests out, answers in order.
///
/// On the reactor only.
final class RuntimeConnection {
    /// Requests that may wait behind an open one; a runtime needs none.
    static let pipelinedMax = 4

    /// What a read found.
    enum ReadOutcome {
        /// Nothing more for now.
        case open
        /// The other side closed, or the connection failed.
        case closed
    }

    /// Unique within its process.
    let id: Int

    /// Requests not yet answered, oldest first.
    var requests: Deque<RuntimeRequest> = []

    /// Whether the oldest request is a `next` that waits for an event.
    var isPolling = false

    /// Close when everything is sent.
    var closesWhenSent = false

    private let descriptor: Int32
    private let reactor: Reactor
    private var registration: Reactor.Registration?
    private let parser = HTTPRequestParser()
    private var head: [UInt8] = []
    private var body: EventBuffer?
    private var sent = 0
    private var wantsWritable = false

    /// Takes over an accepted descriptor.
    init(id: Int, descriptor: Int32, reactor: Reactor) {
        self.id = id
        self.descriptor = descriptor
        self.reactor = reactor
    }

    deinit {
        assert(self.registration == nil, "a connection was dropped without close()")
    }

    /// Begins to watch the socket.
    ///
    /// When it throws, the socket is closed.
    func open(_ handler: @escaping @Sendable (Reactor.Readiness) -> Void) throws(ReactorError) {
        do throws(ReactorError) {
            self.registration = try self.reactor.register(self.descriptor, for: .readable, handler: handler)
        } catch {
            Glibc.close(self.descriptor)
            throw error
        }
    }

    /// Closes the socket.
    ///
    /// Idempotent.
    func close() {
        guard let registration = self.registration.take() else { return }
        self.reactor.unregister(registration)
        Glibc.close(self.descriptor)
        self.body = nil
    }

    /// Whether ``close()`` was called.
    var isClosed: Bool { self.registration == nil }

    /// Whether the other side is still there, as the kernel knows it now; sooner than epoll tells.
    var peerIsOpen: Bool { penstock_peer_is_open(self.descriptor) == 1 }

    /// Reads what there is; requests are in ``requests`` then.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> ReadOutcome {
        while true {
            let count = unsafe Glibc.read(self.descriptor, buffer.baseAddress, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN ? .open : .closed
            }
            guard count > 0 else { return .closed }
            guard !self.closesWhenSent else { continue }
            do throws(HTTPRequestParser.Fault) {
                unsafe try self.parser.feed(
                    UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
                )
            } catch {
                // An answer now would stand in the midst of the event.
                guard !self.isSendingEvent else { return .closed }
                self.takeRequests()
                self.send(RuntimeAnswer.fault(error))
                self.closesWhenSent = true
                return .open
            }
            self.takeRequests()
            if self.requests.count > Self.pipelinedMax { return .closed }
            if self.parser.awaitsContinue {
                guard !self.isSendingEvent else { return .closed }
                self.parser.awaitsContinue = false
                self.send(RuntimeAnswer.goOn)
            }
            if count < buffer.count { return .open }
        }
    }

    private func takeRequests() {
        guard !self.parser.requests.isEmpty else { return }
        self.requests.append(contentsOf: self.parser.requests)
        self.parser.requests.removeAll(keepingCapacity: true)
    }

    // MARK: - Writing

    /// Whether bytes wait for the socket.
    var isSending: Bool { !self.head.isEmpty || self.body != nil }

    /// Whether an event's bytes wait for the socket; its buffer must not change until ``close()``.
    var isSendingEvent: Bool { self.body != nil }

    /// Sends an answer, with `body` behind it: both in one packet if they fit.
    func send(_ head: [UInt8], body: EventBuffer? = nil) {
        let wasSending = self.isSending
        self.head.append(contentsOf: head)
        if let body { self.body = body }
        if !wasSending { self.flush() }
    }

    /// Sends what waits.
    ///
    /// Errors show as a closed connection with the next read.
    func flush() {
        guard self.isSending, let registration = self.registration else { return }
        let total = self.head.count + (self.body?.count ?? 0)
        while self.sent < total {
            let count = self.sendOnce()
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN, !self.wantsWritable {
                    self.wantsWritable = true
                    self.reactor.update(registration, for: [.readable, .writable])
                }
                return
            }
            self.sent += count
        }
        if self.wantsWritable {
            self.wantsWritable = false
            self.reactor.update(registration, for: .readable)
        }
        self.head.removeAll(keepingCapacity: true)
        self.body = nil
        self.sent = 0
    }

    private func sendOnce() -> Int {
        let headRest = max(0, self.head.count - self.sent)
        let bodySent = max(0, self.sent - self.head.count)
        return unsafe self.head.withUnsafeBytes { head in
            let first = unsafe head.baseAddress.map { unsafe $0 + (head.count - headRest) }
            guard let body = self.body else {
                return unsafe penstock_send(self.descriptor, first, headRest, nil, 0)
            }
            let bytes = unsafe body.bytes
            let second = unsafe bytes.baseAddress.map { unsafe $0 + bodySent }
            return unsafe penstock_send(self.descriptor, first, headRest, second, bytes.count - bodySent)
        }
    }
}
