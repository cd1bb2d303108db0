// SPDX-License-Identifier: Apache-2.0

import PenstockAdmin
import PenstockCore
import PenstockTesting
import Testing

/// How many may be connected with the admin API, and for how long without a word.
@Suite(.timeLimit(.minutes(2)))
struct ConnectionTests {
    private static let request = TestConnection.request("GET", "/healthz")

    @Test("Who comes when there are as many connections as may be is served when one of them ends")
    func bound() async throws {
        try await AdminFixture.serve(change: { $0.connectionsMax = 3 }) { admin in
            var connections: [TestConnection] = []
            for _ in 0..<3 {
                let connection = try #require(TestConnection(port: admin.port))
                await connection.send(Self.request)
                #expect(await connection.response()?.status == 200)
                connections.append(connection)
            }
            let late = try #require(TestConnection(port: admin.port))
            await late.send(Self.request)
            let isServed = Latch()
            async let answer = {
                let answer = await late.response()
                isServed.open()
                return answer
            }()
            // Those that are connected are served meanwhile.
            for _ in 0..<20 {
                for connection in connections {
                    await connection.send(Self.request)
                    #expect(await connection.response()?.status == 200)
                }
            }
            #expect(!isServed.isOpen)
            connections.removeLast().hangUp()
            #expect(await answer?.status == 200)
        }
    }

    @Test("By default there may be 256, which may be silent for a minute")
    func defaults() async throws {
        try await AdminFixture.serve(change: {
            #expect($0.connectionsMax == 256 && $0.idleTimeout == .seconds(60))
        }) { _ in }
    }

    @Test("A connection that asks nothing is closed", arguments: [true, false])
    func idle(hasAsked: Bool) async throws {
        try await AdminFixture.serve(change: { $0.idleTimeout = .milliseconds(300) }) { admin in
            let connection = try #require(TestConnection(port: admin.port))
            if hasAsked {
                await connection.send(Self.request)
                #expect(await connection.response()?.status == 200)
            }
            let began = ContinuousClock.now
            #expect(await connection.line() == nil)
            // Its own patience is longer.
            #expect(ContinuousClock.now - began < .seconds(15))
        }
    }
}
