// SPDX-License-Identifier: Apache-2.0

import Glibc
import Reactor
import Synchronization

/// A TCP proxy on the loopback interface that can cut and stall what runs through it.
///
/// A thread for each direction of each connection: simple, and enough for tests.
package final class TestProxy: Sendable {
    private struct State {
        var isOpen = true
        var isStopped = false
        var isStalled = false
        var connections: [(client: TestSocket, server: TestSocket)] = []
        var accepted = 0
    }

    private let listener: TestSocket
    private let target: UInt16
    private let state = Mutex(State())

    /// Where it listens.
    package let port: UInt16

    /// Why there is no proxy.
    package struct Unavailable: Error {}

    /// Listens on a free port and connects each client to `target`.
    package init(to target: UInt16) throws {
        guard let listener = TestSocket.listen(port: 0) else { throw Unavailable() }
        self.listener = listener
        self.target = target
        self.port = listener.port
        TestThread.start { self.accept() }
    }

    /// Connections accepted so far.
    package var accepted: Int { self.state.withLock { $0.accepted } }

    /// Ends all connections, and refuses new ones by ending them at once.
    package func cut() {
        let connections = self.state.withLock { state in
            state.isOpen = false
            defer { state.connections = [] }
            return state.connections
        }
        for connection in connections {
            connection.client.shutDown()
            connection.server.shutDown()
        }
    }

    /// Takes bytes and passes none on; connections stay.
    package func stall() {
        self.state.withLock { $0.isStalled = true }
    }

    /// Passes bytes and connections on again.
    package func restore() {
        self.state.withLock { state in
            state.isOpen = true
            state.isStalled = false
        }
    }

    /// Ends everything.
    package func stop() {
        self.state.withLock { $0.isStopped = true }
        self.cut()
        self.listener.shutDown()
    }

    private func accept() {
        while true {
            let descriptor = Glibc.accept(self.listener.descriptor, nil, nil)
            guard descriptor >= 0, !self.state.withLock({ $0.isStopped }) else { break }
            let client = TestSocket(descriptor: descriptor)
            guard self.state.withLock({ $0.isOpen }), let server = TestSocket.connect(port: self.target)
            else {
                client.close()
                continue
            }
            self.state.withLock { state in
                state.accepted += 1
                state.connections.append((client: client, server: server))
            }
            let pair = ProxiedPair(client, server)
            TestThread.start { self.pump(client, server, pair) }
            TestThread.start { self.pump(server, client, pair) }
        }
        self.listener.close()
    }

    private func pump(_ source: TestSocket, _ sink: TestSocket, _ pair: ProxiedPair) {
        var bytes = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = unsafe recv(source.descriptor, &bytes, bytes.count, 0)
            guard count > 0 else { break }
            while self.state.withLock({ $0.isStalled && !$0.isStopped }) { usleep(2000) }
            var sent = 0
            while sent < count {
                let written = unsafe bytes[sent..<count].withUnsafeBytes {
                    unsafe send(sink.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard written > 0 else { break }
                sent += written
            }
            if sent < count { break }
        }
        source.shutDown()
        sink.shutDown()
        guard pair.isLastToEnd() else { return }
        self.state.withLock { $0.connections.removeAll { $0.client.descriptor == pair.client.descriptor } }
        pair.client.close()
        pair.server.close()
    }
}

/// Two sockets that are closed when both directions have ended.
private final class ProxiedPair: Sendable {
    let client: TestSocket
    let server: TestSocket
    private let running = Mutex(2)

    init(_ client: TestSocket, _ server: TestSocket) {
        self.client = client
        self.server = server
    }

    func isLastToEnd() -> Bool {
        self.running.withLock { count in
            count -= 1
            return count == 0
        }
    }
}

/// A thread of a test harness.
enum TestThread {
    /// Runs `body` on a new thread.
    static func start(_ body: @escaping @Sendable () -> Void) {
        do {
            try OwnThread.start(body)
        } catch {
            preconditionFailure("no thread for a test harness: \(error.code)")
        }
    }
}
