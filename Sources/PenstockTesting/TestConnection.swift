// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Glibc
import Synchronization

/// A plain TCP connection to a server on 127.0.0.1, to say anything to it, well-formed or not.
///
/// Blocking calls are made on a thread of its own, so that a test's tasks go on. A server that is silent for 20 s counts
/// as gone.
package final class TestConnection: Sendable {
    private let socket: TestSocket
    private let queue = DispatchQueue(label: "penstock.test-connection")
    private let buffer = Mutex<[UInt8]>([])

    /// Connects; nil when nobody listens there.
    package init?(port: Int) {
        guard let socket = TestSocket.connect(port: UInt16(port)) else { return nil }
        self.socket = socket
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        _ = unsafe setsockopt(socket.descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
    }

    deinit {
        self.socket.close()
    }

    /// Sends bytes as they are.
    package func send(_ text: String) async {
        await self.onThread {
            var bytes = Array(text.utf8)[...]
            while !bytes.isEmpty {
                let count = unsafe bytes.withUnsafeBytes {
                    unsafe Glibc.send(self.socket.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return }
                bytes = bytes.dropFirst(count)
            }
        }
    }

    /// The next line without its end; nil when the server has closed the connection.
    package func line() async -> String? {
        await self.onThread { self.takeLine() }
    }

    /// The next response, whole; nil when the server has closed the connection before its end.
    package func response() async -> TestResponse? {
        await self.onThread { self.takeResponse() }
    }

    /// Hangs up.
    package func hangUp() {
        self.socket.shutDown()
    }

    private func onThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            self.queue.async { continuation.resume(returning: body()) }
        }
    }

    private func takeLine() -> String? {
        while true {
            let line = self.buffer.withLock { buffer -> [UInt8]? in
                guard let end = buffer.firstIndex(of: 0x0A) else { return nil }
                defer { buffer.removeFirst(end + 1) }
                return Array(buffer[..<end])
            }
            if let line {
                let text = String(decoding: line, as: UTF8.self)
                return text.hasSuffix("\r") ? String(text.dropLast()) : text
            }
            guard self.fill() else { return nil }
        }
    }

    private func take(_ count: Int) -> [UInt8]? {
        while self.buffer.withLock({ $0.count < count }) {
            guard self.fill() else { return nil }
        }
        return self.buffer.withLock { buffer in
            defer { buffer.removeFirst(count) }
            return Array(buffer.prefix(count))
        }
    }

    private func takeResponse() -> TestResponse? {
        guard let first = self.takeLine() else { return nil }
        let words = first.split(separator: " ")
        guard words.count >= 2, words[0] == "HTTP/1.1", let status = Int(words[1]) else { return nil }
        var response = TestResponse(status: status, headers: [:], body: [])
        while let line = self.takeLine(), !line.isEmpty {
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            response.headers[line[..<colon].lowercased()] = String(value)
        }
        if response.headers["transfer-encoding"] == "chunked" {
            while let size = self.takeLine().flatMap({ Int($0, radix: 16) }) {
                guard let chunk = self.take(size), self.takeLine() != nil else { return nil }
                if size == 0 { return response }
                response.body += chunk
            }
            return nil
        }
        let length = response.headers["content-length"].flatMap { Int($0) } ?? 0
        guard let body = self.take(length) else { return nil }
        response.body = body
        return response
    }

    private func fill() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65536)
        let count = unsafe recv(self.socket.descriptor, &chunk, chunk.count, 0)
        guard count > 0 else { return false }
        self.buffer.withLock { $0 += chunk.prefix(count) }
        return true
    }
}

/// A response as it arrived.
package struct TestResponse: Sendable {
    /// Such as 200.
    package var status: Int
    /// Names in lower case; the last of a name counts.
    package var headers: [String: String]
    /// The body, without the frames of chunks.
    package var body: [UInt8]

    /// The body as text.
    package var text: String { String(decoding: self.body, as: UTF8.self) }
}

extension TestConnection {
    /// One request on a connection of its own; nil when there was no whole response.
    package static func exchange(
        _ method: String,
        _ path: String,
        port: Int,
        headers: [String] = [],
        body: String? = nil
    ) async -> TestResponse? {
        guard let connection = TestConnection(port: port) else { return nil }
        await connection.send(Self.request(method, path, headers: headers, body: body))
        return await connection.response()
    }

    /// The text of a request; `Host` is localhost unless `headers` says otherwise.
    package static func request(
        _ method: String,
        _ path: String,
        headers: [String] = [],
        body: String? = nil
    ) -> String {
        let hasHost = headers.contains { $0.lowercased().hasPrefix("host:") }
        let length = body.map { ["Content-Length: \($0.utf8.count)"] } ?? []
        let lines = ["\(method) \(path) HTTP/1.1"] + (hasHost ? [] : ["Host: localhost"]) + headers + length
        return lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? "")
    }
}
