// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// A small HTTP/1.1 server on 127.0.0.1 whose behaviour for each request is a closure.
///
/// It can answer, be slow, lie and hang up. One thread for each connection, so that the closure may block.
package final class TestHTTPServer: Sendable {
    /// A request as it arrived.
    package struct Request: Sendable {
        /// Such as `POST`.
        package var method: String
        /// Path and query.
        package var path: String
        /// Names in lower case; the last of a name counts.
        package var headers: [String: String]
        /// The body.
        package var body: [UInt8]
        /// Which connection it came on, from 0.
        package var connection: Int
    }

    /// The port it listens on.
    package let port: Int

    private let listener: Int32
    private let respond: @Sendable (Request, Exchange) -> Void
    private let state = Mutex(State())

    private struct State {
        var connections = 0
        var descriptors: Set<Int32> = []
        var requests: [Request] = []
        var isStopped = false
    }

    /// Listens; `respond` is called for each request on its connection's thread.
    ///
    /// Without an answer, the connection is closed. With a port it listens there, also where an earlier server was just now.
    package init(
        port: UInt16 = 0,
        _ respond: @escaping @Sendable (Request, Exchange) -> Void
    ) throws {
        let (listener, port) = try Self.listen(port)
        self.listener = listener
        self.port = port
        self.respond = respond
        TestThread.start { self.accept() }
    }

    /// One where another may have been just now, as soon as that has let its port go.
    static func again(
        port: UInt16,
        _ respond: @escaping @Sendable (Request, Exchange) -> Void
    ) throws -> TestHTTPServer {
        var failure: any Error = TestServerError(call: "listen", code: EADDRINUSE)
        var server: TestHTTPServer?
        _ = BoundedWait.until(within: .seconds(10)) {
            do {
                server = try TestHTTPServer(port: port, respond)
            } catch {
                failure = error
            }
            return server != nil
        }
        guard let server else { throw failure }
        return server
    }

    /// The URL of a path on it.
    package func url(_ path: String = "/") -> String { "http://127.0.0.1:\(self.port)\(path)" }

    /// Connections accepted so far.
    package var connections: Int { self.state.withLock { $0.connections } }

    /// Requests read so far, in order.
    package var requests: [Request] { self.state.withLock { $0.requests } }

    /// Ends the listener and all connections.
    package func stop() {
        self.state.withLock { state in
            guard !state.isStopped else { return }
            state.isStopped = true
            // While nobody closes one: its number would be another socket's, perhaps of another test.
            for descriptor in state.descriptors.union([self.listener]) {
                shutdown(descriptor, Int32(SHUT_RDWR))
            }
        }
    }

    // MARK: - Threads

    private static func listen(_ port: UInt16) throws -> (descriptor: Int32, port: Int) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw TestServerError(call: "socket", code: errno) }
        if port != 0 {
            var one: Int32 = 1
            _ = unsafe setsockopt(
                descriptor,
                SOL_SOCKET,
                SO_REUSEADDR,
                &one,
                socklen_t(MemoryLayout<Int32>.size)
            )
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = unsafe withUnsafeMutablePointer(to: &address) { address in
            unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                guard unsafe bind(descriptor, address, length) == 0, Glibc.listen(descriptor, 1024) == 0
                else {
                    return Int32(-1)
                }
                return unsafe getsockname(descriptor, address, &length)
            }
        }
        guard result == 0 else {
            let code = errno
            close(descriptor)
            throw TestServerError(call: "listen", code: code)
        }
        return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
    }

    private func accept() {
        while true {
            let descriptor = Glibc.accept(self.listener, nil, nil)
            guard descriptor >= 0 else { break }
            let (number, isStopped) = self.state.withLock { state in
                defer { state.connections += 1 }
                state.descriptors.insert(descriptor)
                return (state.connections, state.isStopped)
            }
            if isStopped { shutdown(descriptor, Int32(SHUT_RDWR)) }
            TestThread.start { self.serve(descriptor, number) }
        }
        close(self.listener)
    }

    private func serve(_ descriptor: Int32, _ connection: Int) {
        var reader = RequestReader(descriptor: descriptor)
        while let request = reader.next(connection: connection) {
            self.state.withLock { $0.requests.append(request) }
            let exchange = Exchange(descriptor: descriptor)
            self.respond(request, exchange)
            guard exchange.keepsAlive else { break }
        }
        _ = self.state.withLock { $0.descriptors.remove(descriptor) }
        close(descriptor)
    }

    /// The server's side of one request.
    package final class Exchange: Sendable {
        private let descriptor: Int32
        private let answered = Mutex(false)

        init(descriptor: Int32) {
            self.descriptor = descriptor
        }

        var keepsAlive: Bool { self.answered.withLock { $0 } }

        /// Sends a whole answer and keeps the connection.
        package func respond(_ status: Int = 200, _ headers: [(String, String)] = [], _ body: String = "") {
            var text = "HTTP/1.1 \(status) Text\r\ncontent-length: \(body.utf8.count)\r\n"
            for (name, value) in headers { text += "\(name): \(value)\r\n" }
            if self.send(text + "\r\n" + body) { self.answered.withLock { $0 = true } }
        }

        /// Sends these bytes as they are; false when the peer is gone.
        ///
        /// The connection is closed after the request.
        @discardableResult
        package func send(_ text: String) -> Bool {
            var text = text
            return text.withUTF8 { bytes in
                var sent = 0
                while sent < bytes.count {
                    let count = unsafe Glibc.send(
                        self.descriptor,
                        bytes.baseAddress.map { unsafe $0 + sent },
                        bytes.count - sent,
                        Int32(MSG_NOSIGNAL)
                    )
                    guard count > 0 else { return false }
                    sent += count
                }
                return true
            }
        }

        /// Blocks until the peer has closed the connection; what it sends is thrown away.
        package func waitForClose() {
            var byte: UInt8 = 0
            while unsafe recv(self.descriptor, &byte, 1, 0) > 0 {}
        }
    }
}

/// The system refused what a test server needs.
package struct TestServerError: Error {
    /// The system call.
    package var call: String
    /// Its `errno`.
    package var code: Int32
}

/// Reads requests with a `Content-Length` body from one connection.
private struct RequestReader {
    var descriptor: Int32
    private var buffer: [UInt8] = []

    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    mutating func next(connection: Int) -> TestHTTPServer.Request? {
        guard let head = self.head() else { return nil }
        let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count == 3 else { return nil }
        var request = TestHTTPServer.Request(
            method: String(words[0]),
            path: String(words[1]),
            headers: [:],
            body: [],
            connection: connection
        )
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            request.headers[line[..<colon].lowercased()] = String(value)
        }
        let length = request.headers["content-length"].flatMap { Int($0) } ?? 0
        while self.buffer.count < length {
            guard self.fill() else { return nil }
        }
        request.body = Array(self.buffer.prefix(length))
        self.buffer.removeFirst(length)
        return request
    }

    /// Takes the bytes of the request line and headers.
    private mutating func head() -> [UInt8]? {
        var searched = 0
        while true {
            while searched + 4 <= self.buffer.count {
                if self.buffer[searched..<searched + 4].elementsEqual([13, 10, 13, 10]) {
                    defer { self.buffer.removeFirst(searched + 4) }
                    return Array(self.buffer[..<searched])
                }
                searched += 1
            }
            guard self.fill() else { return nil }
        }
    }

    private mutating func fill() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65536)
        let count = unsafe recv(self.descriptor, &chunk, chunk.count, 0)
        guard count > 0 else { return false }
        self.buffer.append(contentsOf: chunk.prefix(count))
        return true
    }
}
