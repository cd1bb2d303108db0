// SPDX-License-Identifier: Apache-2.0

import PenstockStore
import PenstockTesting
import Reactor
import Synchronization

/// A schema of its own on a server that the tests which run at the same time share; the server ends with the last of them.
final class PostgresSchema: Sendable {
    private struct Shared {
        weak var server: PostgresServer?
        var schemas = 0
    }

    private static let shared = Mutex(Shared())

    let server: PostgresServer
    let name: String

    init() throws {
        (self.server, self.name) = try Self.shared.withLock { shared in
            let server = try shared.server ?? PostgresServer(settings: ["max_connections=500"])
            shared.server = server
            shared.schemas += 1
            return (server, "own_\(shared.schemas)")
        }
    }

    /// The store in it.
    func location() throws -> PostgresLocation {
        try PostgresLocation("\(self.server.url())?schema=\(self.name)")
    }
}

/// Runs `body` with a reactor, which it stops.
func withReactor<Value>(_ body: (Reactor) async throws -> Value) async throws -> Value {
    let reactor = try Reactor(name: "pg-store-test")
    defer { reactor.stop() }
    return try await body(reactor)
}
