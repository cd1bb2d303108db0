// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import Reactor
import Synchronization
import Testing

@testable import LocalFunction

/// A function with real processes, and the reactor it runs on; both end with ``use(_:_:)``.
struct LocalFunctionFixture: Sendable {
    let function: LocalFunction
    let reactor: Reactor
    let lines: LineCollector

    /// The root of this repository.
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    static let python = "\(root)/.venv/bin/python"

    /// Runs `body` with a function, and ends all of it behind; no process is left.
    static func use(
        _ configuration: LocalFunctionConfiguration,
        acceptor: @escaping FunctionProcess.Acceptor = FunctionProcess.systemAcceptor,
        _ body: (LocalFunctionFixture) async throws -> Void
    ) async throws {
        let reactor = try Reactor(name: "test")
        let lines = LineCollector()
        let function = LocalFunction(
            name: "f",
            configuration: configuration,
            reactor: reactor,
            log: lines,
            acceptor: acceptor
        )
        let fixture = LocalFunctionFixture(function: function, reactor: reactor, lines: lines)
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(fixture))
        } catch {
            result = .failure(error)
        }
        await function.shutdown()
        let left = await function.processIDs
        #expect(left.isEmpty)
        reactor.stop()
        try result.get()
    }

    /// An invocation with this event.
    func invocation(_ event: String, id: String = "00000000-0000-4000-8000-000000000001") -> Invocation {
        let body = EventBuffer()
        body.write(upTo: event.utf8.count) { $0.raw(Array(event.utf8)) }
        return Invocation(
            id: id,
            trigger: "t",
            attempt: 1,
            body: body,
            contentType: "application/json",
            deadline: self.reactor.now + self.function.timeout,
            wallDeadline: Timestamp(
                milliseconds: self.reactor.wallNow.milliseconds + self.function.timeout.wholeMilliseconds
            )
        )
    }

    /// Invokes it with this event.
    func run(
        _ event: String,
        id: String = "00000000-0000-4000-8000-000000000001"
    ) async -> LocalInvocationOutcome {
        await self.function.run(self.invocation(event, id: id))
    }
}

extension InvocationResult {
    /// The response as text; nil when it is none.
    var text: String? {
        if case .responded(let body) = self { return String(decoding: body, as: UTF8.self) }
        return nil
    }

    /// The failure of a failed, throttled or unavailable call.
    var failure: Failure? {
        switch self {
        case .failed(let failure), .unavailable(let failure), .rejected(let failure): failure
        case .throttled(_, let failure): failure
        case .responded: nil
        }
    }
}

extension LocalInvocationOutcome {
    /// What the function wrote to a stream.
    func text(_ stream: LocalFunctionLogLine.Stream) -> [String] {
        self.lines.filter { $0.stream == stream }.map(\.text)
    }
}

/// Keeps the lines of a function, and lets tests wait for one.
final class LineCollector: LocalFunctionLog {
    private struct State {
        var lines: [LocalFunctionLogLine] = []
        var waiters: [(text: String, continuation: CheckedContinuation<LocalFunctionLogLine, Never>)] = []
    }

    private let state = Mutex(State())

    var lines: [LocalFunctionLogLine] { self.state.withLock { $0.lines } }

    func warn(_ text: String) {
        self.write(LocalFunctionLogLine(function: "f", requestID: nil, stream: .platform, text: text))
    }

    func write(_ line: LocalFunctionLogLine) {
        let ready = self.state.withLock { state in
            state.lines.append(line)
            let ready = state.waiters.filter { line.text.contains($0.text) }
            state.waiters.removeAll { line.text.contains($0.text) }
            return ready
        }
        for waiter in ready { waiter.continuation.resume(returning: line) }
    }

    /// The first line that contains `text`, now or later.
    func line(containing text: String) async -> LocalFunctionLogLine {
        await withCheckedContinuation { continuation in
            let found = self.state.withLock { state in
                let found = state.lines.first { $0.text.contains(text) }
                if found == nil { state.waiters.append((text, continuation)) }
                return found
            }
            if let found { continuation.resume(returning: found) }
        }
    }
}
