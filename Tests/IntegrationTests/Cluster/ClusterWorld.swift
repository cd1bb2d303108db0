// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockCore
import PenstockTesting
import Synchronization

/// Several Penstocks over one Postgres store, which are killed and stopped at random.
final class ClusterWorld {
    /// What happens to a member.
    enum Mishap: CaseIterable {
        /// SIGKILL, and a start a little later.
        case killed
        /// SIGSTOP for long enough to be taken for dead, then SIGCONT.
        case stopped
        /// SIGSTOP for a moment.
        case halted
        /// SIGTERM, and a start: a rolling restart.
        case restarted
    }

    /// One of the members; a new process after each start.
    private final class Member {
        let home: TemporaryFolder
        var process: PenstockProcess?
        var isStopped = false

        init() throws { self.home = try TemporaryFolder() }
    }

    let database: PostgresServer
    private var members: [Member] = []
    private let configuration: (_ life: String) -> String
    private var lives = 0
    /// What was done, for the report.
    private(set) var mishaps: [Mishap: Int] = [:]

    /// - Parameter configuration: What stands below `state`, `admin` and `drain_timeout`; each life of a member has a name.
    init(
        _ database: PostgresServer,
        members: Int,
        configuration: @escaping (_ life: String) -> String
    ) throws {
        self.database = database
        self.configuration = configuration
        self.members = try (0..<members).map { _ in try Member() }
    }

    deinit {
        for member in self.members { member.process?.kill() }
    }

    /// The processes that run.
    var processes: [PenstockProcess] { self.members.compactMap(\.process) }

    func startAll() throws {
        for index in self.members.indices { try self.start(index) }
    }

    private func start(_ index: Int) throws {
        let member = self.members[index]
        self.lives += 1
        member.process = try PenstockProcess(
            in: member.home.url,
            configuration: """
                state: "\(self.database.url())"
                admin: { listen: "127.0.0.1:0" }
                drain_timeout: 2s
                \(self.configuration("\(index)-\(self.lives)"))

                """
        )
    }

    /// Lets things happen to members, one after the other, until `isOver`; at the end all run again.
    func disturb(_ random: inout SplitMix64, until isOver: () -> Bool) throws {
        while !isOver() {
            self.pause(.milliseconds(Int.random(in: 200...3000, using: &random)), unless: isOver)
            let index = Int.random(in: 0..<self.members.count, using: &random)
            let mishap = Mishap.allCases.randomElement(using: &random) ?? .killed
            try self.happen(mishap, to: index, &random, isOver)
        }
        for (index, member) in self.members.enumerated() where member.process == nil { try self.start(index) }
    }

    private func happen(
        _ mishap: Mishap,
        to index: Int,
        _ random: inout SplitMix64,
        _ isOver: () -> Bool
    ) throws {
        let member = self.members[index]
        guard let process = member.process else { return try self.start(index) }
        self.mishaps[mishap, default: 0] += 1
        switch mishap {
        case .killed:
            process.kill()
            member.process = nil
            self.pause(.milliseconds(Int.random(in: 0...2000, using: &random)), unless: isOver)
            try self.start(index)
        case .stopped: self.halt(process, for: .milliseconds(Int.random(in: 11_000...15_000, using: &random)))
        case .halted: self.halt(process, for: .milliseconds(Int.random(in: 100...9000, using: &random)))
        case .restarted:
            try process.terminate()
            member.process = nil
            try self.start(index)
        }
    }

    private func halt(_ process: PenstockProcess, for duration: Duration) {
        _ = Glibc.kill(process.id, SIGSTOP)
        self.pause(duration) { false }
        _ = Glibc.kill(process.id, SIGCONT)
    }

    /// Lets time pass: what is looked for is what happens meanwhile.
    private func pause(_ duration: Duration, unless isOver: () -> Bool) {
        _ = BoundedWait.until(within: duration, isOver)
    }

    /// Ends all by SIGTERM, one after the other.
    func terminateAll() throws {
        for member in self.members {
            try member.process?.terminate()
            member.process = nil
        }
    }

    /// Writes a line into the test's output.
    func report(_ text: String) {
        let counts = Mishap.allCases.map { "\(self.mishaps[$0] ?? 0) \($0)" }.joined(separator: ", ")
        FileHandle.standardError.write(Data("\(text); \(counts)\n".utf8))
    }
}
