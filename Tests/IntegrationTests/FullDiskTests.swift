// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

extension KillTests {
    @Test(
        "A disk that fills up stops the trigger, which says so, loses nothing, and goes on when there is space"
    )
    func fullDisk() throws {
        let began = ContinuousClock.now
        let world = try KillWorld(records: 40_000)
        guard let disk = TinyDisk(at: world.folder.appendingPathComponent("disk"), kilobytes: 1024) else {
            return
        }
        defer { disk.unmount() }
        // One record in ten becomes a dead letter, kept in a store for which there is no space.
        world.refusedEvery = 10
        world.state = disk.folder.appendingPathComponent("penstock.db").path
        let penstock = try world.start()
        let isBlocked = BoundedWait.until(within: .seconds(60)) {
            (try? Self.trigger(world))?["state"] as? String == "blocked"
        }
        guard isBlocked else {
            throw KillWorld.Failure(description: "the disk did not fill up:\n\(penstock.logTail)")
        }
        // Nothing more is acknowledged, invoked, or said to be well over several refusals, once positions that were kept
        // before the disk was full have been committed: a checkpoint may fit where letters do not.
        var (committed, arrived) = (try world.committed(), world.farEnd.read())
        for _ in 0..<10 {
            try Self.waitForRefusals(3, penstock)
            let before = committed
            committed = try world.committed()
            if committed == before { break }
            arrived = world.farEnd.read()
        }
        try Self.waitForRefusals(3, penstock)
        #expect(try world.committed() == committed)
        #expect(world.farEnd.read() == arrived)
        #expect(world.farEnd.distinct < world.records)
        let detail = try #require(try Self.trigger(world)["detail"] as? String)
        #expect(detail.contains("the disk is full"))
        #expect(detail.contains("free some space"))
        let (status, text) = try Self.readiness(world)
        #expect(status == 503)
        #expect(text.contains("kill") && text.contains("the disk is full"))
        // There is space: it goes on by itself.
        try disk.resize(kilobytes: 256 << 10)
        try world.waitForAll(penstock)
        let isRunning = BoundedWait.until(within: .seconds(30)) {
            (try? Self.trigger(world))?["state"] as? String == "running"
                && (try? Self.readiness(world).status) == 200
        }
        #expect(isRunning)
        try penstock.terminate()
        #expect(try world.uncommitted() == 0)
        // Every record that the function refused is a letter, once.
        let letters = try world.command(["dlq", "list", "--format", "json"]).document()
        let total = (letters["result"] as? [String: Any])?["total"] as? Int
        #expect(total == world.records / world.refusedEvery)
        Self.summarize("full disk", world, "full after \(arrived) arrivals", since: began)
        // What the function had seen when its dead letters were refused is not invoked again, only its letters are.
        Self.expectContract(world, atMost: 0)
    }

    static func trigger(_ world: KillWorld) throws -> [String: Any] {
        let answer = try world.command(["triggers", "show", "kill", "--format", "json"]).document()
        return try #require(answer["result"] as? [String: Any])
    }

    /// Waits until the store has refused so many more writes.
    private static func waitForRefusals(_ count: Int, _ penstock: PenstockProcess) throws {
        let refusals = { penstock.log.components(separatedBy: "refused").count }
        let before = refusals()
        guard BoundedWait.until(within: .seconds(60), { refusals() >= before + count }) else {
            throw KillWorld.Failure(description: "the trigger does not try again:\n\(penstock.logTail)")
        }
    }

    private static func readiness(_ world: KillWorld) throws -> (status: Int, body: String) {
        let url = "http://127.0.0.1:\(world.adminPort)/readyz"
        let answer = try ForeignProcess.answer(
            of: URL(fileURLWithPath: "/usr/bin/curl"),
            ["--silent", "--show-error", "--write-out", "\n%{http_code}", url]
        )
        let lines = answer.split(separator: "\n")
        return (lines.last.flatMap { Int($0) } ?? 0, lines.dropLast().joined(separator: "\n"))
    }
}

/// A file system in memory of a few kilobytes, mounted for a test; root only.
final class TinyDisk {
    let folder: URL

    /// Nil where mounting is not allowed, which it says.
    init?(at folder: URL, kilobytes: Int) {
        self.folder = folder
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let refusal = Self.run("mount", ["-t", "tmpfs", "-o", "size=\(kilobytes)k", "tmpfs", folder.path])
        guard let refusal else { return }
        FileHandle.standardError.write(Data("skipped: no full disk, mounting is refused: \(refusal)\n".utf8))
        return nil
    }

    /// Takes it away, with what is on it.
    func unmount() {
        _ = Self.run("umount", ["--lazy", self.folder.path])
    }

    /// Changes its size, whatever is on it.
    func resize(kilobytes: Int) throws {
        let options = "remount,size=\(kilobytes)k"
        guard let refusal = Self.run("mount", ["-o", options, self.folder.path]) else { return }
        throw KillWorld.Failure(description: "no remount: \(refusal)")
    }

    /// Runs a program of util-linux; why it failed, or nil.
    private static func run(_ name: String, _ arguments: [String]) -> String? {
        do {
            _ = try ForeignProcess.answer(of: URL(fileURLWithPath: "/usr/bin/\(name)"), arguments)
            return nil
        } catch {
            return "\(error)"
        }
    }
}
