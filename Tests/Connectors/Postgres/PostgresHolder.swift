// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting

/// A session of psql that has begun a transaction, and holds it open until it is told to end.
final class PostgresHolder: Sendable {
    private let server: PostgresServer
    private let process: ForeignProcess

    /// It did not begin.
    struct Failure: Error {}

    init(_ server: PostgresServer, _ sql: String) throws {
        self.server = server
        self.process = try ForeignProcess(
            URL(fileURLWithPath: "/usr/bin/psql"),
            [
                "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", "\(server.port)", "-U",
                PostgresServer.user, "-d", "postgres", "-c", "BEGIN; \(sql); SELECT pg_sleep(600)",
            ]
        )
        let holds = try BoundedWait.until(within: .seconds(30)) {
            try server.run("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") != "0"
        }
        guard holds else { throw Failure() }
    }

    /// Ends it without a commit.
    func end() {
        _ = try? self.server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        )
        self.process.kill()
    }

    deinit { self.process.kill() }
}
