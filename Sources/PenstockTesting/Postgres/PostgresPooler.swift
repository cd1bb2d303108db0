// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// A real PgBouncer before a ``PostgresServer``.
package final class PostgresPooler: Sendable {
    /// How it shares the server's sessions out.
    package enum Mode: String, Sendable {
        /// A client keeps its session.
        case session
        /// A client has one for each transaction.
        case transaction
    }

    /// Where it listens on 127.0.0.1.
    package let port: UInt16

    private let process: ForeignProcess
    private let folder: URL

    /// Starts it and waits until it listens.
    ///
    /// - Throws: ``TestEnvironment/Unavailable`` when it is not installed or does not listen.
    package init(before server: PostgresServer, _ mode: Mode) throws {
        let program = URL(fileURLWithPath: "/usr/sbin/pgbouncer")
        guard FileManager.default.isExecutableFile(atPath: program.path) else {
            throw TestEnvironment.Unavailable(description: "there is no pgbouncer; run make setup")
        }
        let port = FreePort.pick()
        self.port = port
        let name = "penstock-pool-\(UUID().uuidString.prefix(8))"
        self.folder = FileManager.default.temporaryDirectory.appendingPathComponent(name)
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: false)
        try """
        [databases]
        * = host=127.0.0.1 port=\(server.port)
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = \(port)
        unix_socket_dir =
        auth_type = any
        pool_mode = \(mode.rawValue)
        """
        .replacingOccurrences(of: "* = host", with: "postgres = user=\(PostgresServer.user) host")
        .write(to: self.folder.appendingPathComponent("pool.ini"), atomically: true, encoding: .utf8)
        var arguments = [program.path, self.folder.appendingPathComponent("pool.ini").path]
        if geteuid() == 0, let entry = unsafe getpwnam("postgres") {
            let (user, group) = unsafe (entry.pointee.pw_uid, entry.pointee.pw_gid)
            arguments =
                ["/usr/bin/setpriv", "--reuid=\(user)", "--regid=\(group)", "--clear-groups"] + arguments
        }
        self.process = try ForeignProcess(
            URL(fileURLWithPath: arguments[0]),
            Array(arguments.dropFirst())
        )
        let listens = BoundedWait.until(within: .seconds(60)) {
            TestSocket.connect(port: port).map { $0.close() } != nil
        }
        guard listens else {
            throw TestEnvironment.Unavailable(
                description: "pgbouncer does not listen: \(self.process.output)"
            )
        }
    }

    deinit {
        self.process.kill()
        try? FileManager.default.removeItem(at: self.folder)
    }
}
