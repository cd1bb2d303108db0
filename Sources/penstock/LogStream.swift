// SPDX-License-Identifier: Apache-2.0

import Foundation
import Reactor
import Synchronization

/// Where the lines of the log go.
///
/// Never waits for whoever reads them: one who stands still must not hold up the loop that keeps leases and settles records.
/// A line is written at once as long as that does not block. Otherwise it waits, in order, for a thread that does; lines beyond
/// 8 MiB are dropped and counted. Any thread.
final class LogStream: Sendable {
    /// Standard error.
    static let standardError = LogStream(STDERR_FILENO)

    private struct State {
        var backlog: [UInt8] = []
        var dropped = 0
        var isDraining = false
    }

    private static let backlogMax = 8 << 20
    /// What a pipe takes without blocking when it is ready (POSIX: PIPE_BUF).
    private static let chunk = 4096

    private let descriptor: Int32
    private let state = Mutex(State())

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Writes a line.
    func write(_ line: String) {
        let bytes = Array(line.utf8) + [UInt8(ascii: "\n")]
        self.state.withLock { state in
            if state.isDraining {
                if state.backlog.count + bytes.count > Self.backlogMax {
                    state.dropped += 1
                } else {
                    state.backlog += bytes
                }
                return
            }
            let rest = self.writeNow(bytes)
            guard !rest.isEmpty else { return }
            state.backlog = Array(rest)
            state.isDraining = (try? OwnThread.start(name: "penstock-log") { self.drain() }) != nil
            if !state.isDraining { state.backlog = [] }
        }
    }

    /// How many lines were dropped since this was last asked.
    func takeDropped() -> Int {
        self.state.withLock { state in
            guard !state.isDraining else { return 0 }
            defer { state.dropped = 0 }
            return state.dropped
        }
    }

    /// Waits until all is written, for so long at most; for the end of the process.
    func flush(within limit: Duration) {
        let deadline = ContinuousClock.now + limit
        while self.state.withLock({ $0.isDraining }), ContinuousClock.now < deadline { usleep(5000) }
    }

    /// Writes what the descriptor takes now; returns the rest.
    private func writeNow(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
        var rest = bytes[...]
        while !rest.isEmpty, self.isReady(within: 0) {
            guard let count = self.writeOnce(rest.prefix(Self.chunk)) else { return [] }
            rest = rest.dropFirst(count)
        }
        return rest
    }

    private func drain() {
        while true {
            var rest = self.state.withLock { state in
                defer { state.backlog = [] }
                if state.backlog.isEmpty { state.isDraining = false }
                return state.backlog[...]
            }
            if rest.isEmpty { return }
            while !rest.isEmpty {
                guard self.isReady(within: -1), let count = self.writeOnce(rest.prefix(Self.chunk)) else {
                    break
                }
                rest = rest.dropFirst(count)
            }
        }
    }

    private func isReady(within milliseconds: Int32) -> Bool {
        var wait = pollfd(fd: self.descriptor, events: Int16(POLLOUT), revents: 0)
        return unsafe poll(&wait, 1, milliseconds) > 0
    }

    /// How much was written, which may be nothing; nil when nobody will ever take it.
    private func writeOnce(_ bytes: ArraySlice<UInt8>) -> Int? {
        let count = unsafe bytes.withUnsafeBytes {
            unsafe Foundation.write(self.descriptor, $0.baseAddress, $0.count)
        }
        if count >= 0 { return count }
        return errno == EINTR || errno == EAGAIN ? 0 : nil
    }
}
