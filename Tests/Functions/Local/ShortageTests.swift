// SPDX-License-Identifier: Apache-2.0

import Glibc
import PenstockCore
import PenstockRuntime
import Reactor
import Synchronization
import Testing

@testable import LocalFunction

/// Connections that cannot be accepted.
@Suite(.timeLimit(.minutes(2))) struct ShortageTests {
    /// Accepts as the system does, but for so many times at which there are no files.
    private final class Shortage: Sendable {
        private let state: Mutex<(left: Int, calls: Int)>

        init(_ count: Int) {
            self.state = Mutex((count, 0))
        }

        var calls: Int { self.state.withLock { $0.calls } }

        func accept(_ listener: Int32) -> Int32 {
            let isShort = self.state.withLock { state in
                state.calls += 1
                state.left -= 1
                return state.left >= 0
            }
            return isShort ? -EMFILE : FunctionProcess.systemAcceptor(listener)
        }
    }

    @Test("Without files for a connection the listener rests for a second each time, and it is told of once")
    func rests() async throws {
        let shortage = Shortage(2)
        let configuration = ScriptedRuntime.configuration(ScriptedRuntime.obedient)
        try await LocalFunctionFixture.use(configuration, acceptor: { shortage.accept($0) }) { fixture in
            let began = fixture.reactor.now
            let outcome = await fixture.run(#"{"do":"pid"}"#)
            #expect(outcome.result.text != nil)
            #expect(fixture.reactor.now - began >= .seconds(2))
            // Two refusals, a connection, and that there is no other one.
            #expect(shortage.calls == 4)
            let told = fixture.lines.lines.filter { $0.text.contains("Too many open files") }
            #expect(told.count == 1)
            #expect(told.first?.text.contains("is the limit of open files too low?") == true)
        }
    }

    @Test("A connection that has gone before it is accepted, or a signal, is no reason to rest")
    func goesOn() async throws {
        let codes = Mutex([ECONNABORTED, EINTR])
        let accept: FunctionProcess.Acceptor = { listener in
            if let code = codes.withLock({ $0.popLast() }) { return -code }
            return FunctionProcess.systemAcceptor(listener)
        }
        let configuration = ScriptedRuntime.configuration(ScriptedRuntime.obedient)
        try await LocalFunctionFixture.use(configuration, acceptor: accept) { fixture in
            #expect(await fixture.run(#"{"do":"pid"}"#).result.text != nil)
            #expect(!fixture.lines.lines.contains { $0.text.contains("cannot be connected with") })
        }
    }
}
