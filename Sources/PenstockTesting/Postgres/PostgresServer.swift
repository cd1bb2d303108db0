// SPDX-License-Identifier: Apache-2.0

package import Foundation
import Glibc
import Synchronization

/// A real Postgres server for a test: a new cluster in a folder of its own, on a port of its own.
///
/// The server of Debian's package `postgresql`, which `make setup` installs. It refuses to run as root; it runs as the user
/// `postgres` then. It does not wait for the disk: it survives every kill of its processes, not one of the machine.
/// Ended and removed with the last reference.
package final class PostgresServer: Sendable {
    /// Where it listens on 127.0.0.1.
    package let port: UInt16

    /// The superuser's name.
    package static let user = "postgres"

    /// The folder of its unix socket, and of all else.
    package let folder: URL

    private let password: String?
    private let process = Mutex<ForeignProcess?>(nil)
    private let settings: [String]

    /// Makes a cluster, starts it and waits until it takes connections.
    ///
    /// - Parameters:
    ///   - password: What the superuser must say; nobody must say anything when it is nil.
    ///   - settings: Settings of the server, such as `wal_level=logical`.
    ///   - files: Files that it finds in its folder under these names, such as `server.crt`.
    ///   - rules: Who may connect from where (pg_hba.conf); all who may by the password when it is nil.
    /// - Throws: ``TestEnvironment/Unavailable`` when Postgres is not installed, or does not start.
    package init(
        password: String? = nil,
        settings: [String] = [],
        files: [String: String] = [:],
        rules: String? = nil
    ) throws {
        self.port = FreePort.pick()
        self.password = password
        self.settings = settings
        let name = "penstock-pg-\(UUID().uuidString.prefix(8))"
        self.folder = FileManager.default.temporaryDirectory.appendingPathComponent(name)
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: false)
        if let owner = Self.owner { _ = unsafe chown(self.folder.path, owner.user, owner.group) }
        var arguments = [
            "-D", self.data.path, "-U", Self.user, "-E", "UTF8", "--locale=C", "--no-sync", "-A",
            password == nil ? "trust" : "scram-sha-256",
        ]
        if let password {
            let file = self.folder.appendingPathComponent("password")
            try password.write(to: file, atomically: true, encoding: .utf8)
            if let owner = Self.owner { _ = unsafe chown(file.path, owner.user, owner.group) }
            arguments += ["--pwfile", file.path]
        }
        let (executable, all) = try Self.command("initdb", arguments)
        _ = try ForeignProcess.answer(of: executable, all)
        for (name, path) in files { try self.put(Data(contentsOf: URL(fileURLWithPath: path)), name) }
        if let rules { try self.put(Data(rules.utf8), "pg_hba.conf") }
        try self.start()
    }

    deinit {
        self.crash()
        try? FileManager.default.removeItem(at: self.folder)
    }

    /// Puts a file into its folder that it alone may read, as it wants its key.
    private func put(_ contents: Data, _ name: String) throws {
        let file = self.data.appendingPathComponent(name)
        try contents.write(to: file)
        _ = unsafe chmod(file.path, 0o600)
        if let owner = Self.owner { _ = unsafe chown(file.path, owner.user, owner.group) }
    }

    private var data: URL { self.folder.appendingPathComponent("data") }

    /// A connection string for a database.
    package func url(_ database: String = "postgres", port: UInt16? = nil) -> String {
        let password = self.password.map { ":\($0)" } ?? ""
        return "postgresql://\(Self.user)\(password)@127.0.0.1:\(port ?? self.port)/\(database)"
    }

    // MARK: - Its life

    /// Starts it again after ``crash()`` or ``stop()``, and waits until it takes connections.
    package func start() throws {
        var arguments = [
            "-D", self.data.path, "-p", "\(self.port)", "-k", self.folder.path, "-c",
            "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=16MB",
        ]
        for setting in self.settings { arguments += ["-c", setting] }
        let (executable, all) = try Self.command("postgres", arguments)
        // What a crash left behind is in the way of the next start for a moment.
        var output = ""
        for _ in 0..<20 {
            let process = try ForeignProcess(executable, all)
            let isReady = BoundedWait.until(within: .seconds(60)) {
                process.output.contains("ready to accept") || !process.isRunning
            }
            output = process.output
            guard isReady, process.isRunning else { continue }
            self.process.withLock { $0 = process }
            return
        }
        throw TestEnvironment.Unavailable(description: "postgres does not start: \(output.suffix(2000))")
    }

    /// Ends it and all of its processes by SIGKILL.
    package func crash() {
        guard let process = self.process.withLock({ $0.take() }) else { return }
        let children = Self.children(of: process.id)
        process.kill()
        for child in children { _ = kill(child, SIGKILL) }
        // They hold its memory, which the next start must be able to have.
        _ = BoundedWait.until(within: .seconds(10)) { children.allSatisfy { kill($0, 0) != 0 } }
    }

    /// Ends it as an operator does who does not wait for sessions (a fast shutdown).
    package func stop() {
        guard let process = self.process.withLock({ $0.take() }) else { return }
        _ = kill(process.id, SIGINT)
        _ = process.status(within: .seconds(60))
    }

    /// Ends it, and starts it as a standby that follows nobody: in recovery for ever, for queries that only read.
    package func becomeStandby() throws {
        self.stop()
        try self.put(Data(), "standby.signal")
        try self.start()
    }

    /// Lets all of its processes stand still, or go on.
    package func suspend(_ isSuspended: Bool) {
        guard let process = self.process.withLock({ $0 }) else { return }
        for id in [process.id] + Self.children(of: process.id) {
            _ = kill(id, isSuspended ? SIGSTOP : SIGCONT)
        }
    }

    /// What it has written to its log since it was started.
    package var log: String { self.process.withLock { $0?.output ?? "" } }

    private static func children(of id: Int32) -> [Int32] {
        let text = try? String(contentsOfFile: "/proc/\(id)/task/\(id)/children", encoding: .utf8)
        return (text ?? "").split(separator: " ").compactMap { Int32($0) }
    }

    // MARK: - Its contents

    /// Runs SQL by psql, and returns what it printed: a line for each row, with `|` between columns.
    ///
    /// Blocks the thread.
    @discardableResult
    package func run(_ sql: String, database: String = "postgres") throws -> String {
        let arguments = [
            "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", "\(self.port)", "-U", Self.user, "-d",
            database, "-c", sql,
        ]
        let answer = try ForeignProcess.answer(
            of: try Self.program("psql"),
            arguments,
            environment: ["PGPASSWORD": self.password ?? "", "PGCONNECT_TIMEOUT": "10"]
        )
        return answer.hasSuffix("\n") ? String(answer.dropLast()) : answer
    }

    // MARK: - Programs

    /// Who is to run it when we are root.
    private static var owner: (user: UInt32, group: UInt32)? {
        guard geteuid() == 0, let entry = unsafe getpwnam("postgres") else { return nil }
        return unsafe (entry.pointee.pw_uid, entry.pointee.pw_gid)
    }

    /// A program of the server, run as who may.
    private static func command(_ name: String, _ arguments: [String]) throws -> (URL, [String]) {
        let program = try Self.program(name)
        guard let owner = Self.owner else { return (program, arguments) }
        let become = ["--reuid=\(owner.user)", "--regid=\(owner.group)", "--clear-groups", program.path]
        return (URL(fileURLWithPath: "/usr/bin/setpriv"), become + arguments)
    }

    /// The newest of the installed versions.
    private static func program(_ name: String) throws -> URL {
        let versions = URL(fileURLWithPath: "/usr/lib/postgresql")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: versions.path)) ?? []
        for version in names.compactMap({ Int($0) }).sorted(by: >) {
            let file = versions.appendingPathComponent("\(version)/bin/\(name)")
            if FileManager.default.isExecutableFile(atPath: file.path) { return file }
        }
        throw TestEnvironment.Unavailable(
            description: "\(name) of Postgres is not in \(versions.path); run make setup"
        )
    }
}
