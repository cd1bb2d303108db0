// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import PenstockRuntime
import Synchronization

/// Appends lines to a file.
///
/// One thread writes: what several callers bring while it is at work goes into one write and one fsync.
final class FileWriter: Sendable {
    private struct Order {
        var lines: [UInt8]
        var reply: CheckedContinuation<Result<Void, DestinationError>, Never>
    }

    private struct State {
        var orders: [Order] = []
        var isClosing = false
        var hasEnded = false
        var closers: [CheckedContinuation<Void, Never>] = []
    }

    private let path: String
    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)

    /// Opens the file, which is made when it does not exist.
    init(path: String) throws(DestinationError) {
        self.path = path
        let file = try AppendOnlyFile(path: path)
        let thread = Thread { self.run(file) }
        thread.name = "penstock-file"
        thread.start()
    }

    var name: String { "file \(self.path)" }

    /// Returns when the lines are on disk.
    func append(_ documents: [[UInt8]]) async throws(DestinationError) {
        guard !documents.isEmpty else { return }
        let lines = documents.flatMap { $0 + [UInt8(ascii: "\n")] }
        let result: Result<Void, DestinationError> = await withCheckedContinuation { reply in
            let isRefused = self.state.withLock { state in
                if !state.isClosing { state.orders.append(Order(lines: lines, reply: reply)) }
                return state.isClosing
            }
            if isRefused {
                reply.resume(returning: .failure(DestinationError("\(self.name) is closed")))
            } else {
                self.wake.signal()
            }
        }
        try result.get()
    }

    func close() async {
        await withCheckedContinuation { continuation in
            let hasEnded = self.state.withLock { state in
                state.isClosing = true
                if !state.hasEnded { state.closers.append(continuation) }
                return state.hasEnded
            }
            if hasEnded { continuation.resume() } else { self.wake.signal() }
        }
    }

    private func run(_ file: AppendOnlyFile) {
        while true {
            self.wake.wait()
            let (orders, isClosing) = self.state.withLock { state in
                defer { state.orders = [] }
                return (state.orders, state.isClosing)
            }
            if !orders.isEmpty {
                let result: Result<Void, DestinationError>
                do throws(DestinationError) {
                    try file.append(orders.flatMap(\.lines))
                    result = .success(())
                } catch {
                    result = .failure(error)
                }
                for order in orders { order.reply.resume(returning: result) }
            }
            if isClosing { break }
        }
        file.close()
        let closers = self.state.withLock { state in
            state.hasEnded = true
            return state.closers
        }
        for closer in closers { closer.resume() }
    }
}
