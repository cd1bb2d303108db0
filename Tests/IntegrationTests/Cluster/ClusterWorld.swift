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
        /// Nil while it is dead.
        var process: PenstockProcess?
        /// When it goes on, or is started again; nil while it runs.
        var ableAt: ContinuousClock.Instant?

        init() throws { self.home = try TemporaryFolder() }
    }

    let database: PostgresServer
    private var members: [Member] = []
    private let configuration: (_ life: String) -> String
    private var lives = 0
    /// What was done, for the report.
    private(set) var mishaps: [Mishap: Int] = [:]

    /// Members that are not started yet.
    ///
    /// `configuration` is what stands below `state`, `admin` and `drain_timeout`; each life of a member has a name.
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

    /// Lets things happen to members, at times to several at once, until `isOver`; at the end all run again.
    ///
    /// One at least goes on.
    func disturb(
        by mishaps: [Mishap] = Mishap.allCases,
        _ random: inout SplitMix64,
        until isOver: () -> Bool
    ) throws {
        while !isOver() {
            self.pause(.milliseconds(Int.random(in: 100...2500, using: &random)), unless: isOver)
            try self.wake(before: .now)
            let able = self.members.indices.filter { self.members[$0].ableAt == nil }
            guard able.count > 1, let index = able.randomElement(using: &random) else { continue }
            try self.happen(mishaps.randomElement(using: &random) ?? .killed, to: index, &random)
        }
        try self.wake(before: nil)
    }

    private func happen(_ mishap: Mishap, to index: Int, _ random: inout SplitMix64) throws {
        let member = self.members[index]
        guard let process = member.process else { return }
        self.mishaps[mishap, default: 0] += 1
        switch mishap {
        case .killed:
            process.kill()
            member.process = nil
            member.ableAt = .now + .milliseconds(Int.random(in: 0...4000, using: &random))
        case .stopped:
            _ = Glibc.kill(process.id, SIGSTOP)
            member.ableAt = .now + .milliseconds(Int.random(in: 11_000...15_000, using: &random))
        case .halted:
            _ = Glibc.kill(process.id, SIGSTOP)
            member.ableAt = .now + .milliseconds(Int.random(in: 100...9000, using: &random))
        case .restarted:
            try process.terminate()
            try self.start(index)
        }
    }

    /// Lets go on what has stood still, or starts again what was killed, for long enough; all with nil.
    private func wake(before now: ContinuousClock.Instant?) throws {
        for (index, member) in self.members.enumerated() {
            guard let ableAt = member.ableAt, now.map({ ableAt <= $0 }) ?? true else { continue }
            member.ableAt = nil
            if let process = member.process {
                _ = Glibc.kill(process.id, SIGCONT)
            } else {
                try self.start(index)
            }
        }
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
