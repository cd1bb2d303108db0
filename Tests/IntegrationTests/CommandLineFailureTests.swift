// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockTesting
import Testing

/// What the built program does when its surroundings are not right: one message that says what to do, and no record
/// lost.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(4)))
struct CommandLineFailureTests {
    // MARK: - It does not start

    @Test("A store that another Penstock has open is left to it, whoever asks")
    func storeInUse() throws {
        let world = try LiveWorld(topics: nil)
        let first = try world.start()
        for command in [["run"], ["dlq", "list"]] {
            let config = "second.yaml"
            let text = world.configuration(admin: "127.0.0.1:1")
            try text.write(to: world.file(config), atomically: true, encoding: .utf8)
            let second = try CommandRun(command + ["--config", config], in: world.home.url)
            #expect(second.status == 3)
            let words =
                "is in use by another Penstock (pid \(first.id)); stop it, or give this one its own state path\n"
            #expect(
                second.errors.hasSuffix(words) && second.errors.hasPrefix("penstock: "),
                "\(second.errors)"
            )
        }
        let list = ["dlq", "list", "--format", "json", "--config", "second.yaml"]
        let document = try CommandRun(list, in: world.home.url).document()
        #expect((document["error"] as? [String: Any])?["code"] as? String == "store-in-use")
        try first.terminate()
    }

    @Test("A file that is no store, or a damaged one, is not touched")
    func corruptStore() throws {
        let world = try LiveWorld(topics: nil)
        let text = world.configuration(admin: "127.0.0.1:1")
        try text.write(to: world.file("connectors.yaml"), atomically: true, encoding: .utf8)
        let garbage = Data("this was never a database, and is long enough to be looked into\n".utf8)
        try garbage.write(to: world.file("penstock.db"))
        let answer = try CommandRun(["run"], in: world.home.url)
        #expect(answer.status == 3)
        #expect(
            answer.errors.hasPrefix(
                "penstock: \"\(world.file("penstock.db").path)\" is not a Penstock store: "
            )
        )
        #expect(answer.errors.hasSuffix("give another state path, or restore a backup\n"))
        #expect(try Data(contentsOf: world.file("penstock.db")) == garbage)

        // An empty file becomes a store.
        try Data().write(to: world.file("penstock.db"))
        #expect(try CommandRun(["dlq", "list"], in: world.home.url).status == 0)
        try world.foldStore()
        var store = try Data(contentsOf: world.file("penstock.db"))
        store.replaceSubrange(4096..<store.count, with: Data(repeating: 0xA5, count: store.count - 4096))
        try store.write(to: world.file("penstock.db"))
        let damaged = try CommandRun(["run"], in: world.home.url)
        #expect(damaged.status == 3)
        #expect(damaged.errors.contains("is damaged: "), "\(damaged.errors)")
        #expect(damaged.errors.hasSuffix("restore a backup, or move it away\n"), "\(damaged.errors)")
    }

    @Test("A state path where nothing can be made is said to be that")
    func unwritableStore() throws {
        let world = try LiveWorld(topics: nil)
        try Data().write(to: world.file("file"))
        let text = world.configuration(admin: "127.0.0.1:1", state: "file/penstock.db")
        let answer = try CommandRun(["run"], configuration: text)
        #expect(answer.status == 3)
        #expect(answer.errors.hasPrefix("penstock: \"\(world.file("file/penstock.db").path)\": "))
        #expect(answer.errors.hasSuffix("check the state path and its permissions\n"), "\(answer.errors)")
    }

    @Test("An admin port that is in use ends the start, and says whose it is")
    func portInUse() throws {
        let server = try TestHTTPServer { _, exchange in exchange.respond() }
        defer { server.stop() }
        let world = try LiveWorld(topics: nil)
        let address = "127.0.0.1:\(server.port)"
        let answer = try CommandRun(["run"], configuration: world.configuration(admin: address))
        #expect(answer.status == 3)
        let words =
            "penstock: admin.listen: \(address) is in use; stop what listens there, or choose another port\n"
        #expect(answer.errors.hasSuffix(words), "\(answer.errors)")
    }

    @Test("What answers on the admin port and is not Penstock is recognized")
    func foreignServer() throws {
        let server = try TestHTTPServer { _, exchange in exchange.respond(200, [], "hello") }
        defer { server.stop() }
        let world = try LiveWorld(topics: nil)
        let text = world.configuration(admin: "127.0.0.1:\(server.port)")
        let answer = try CommandRun(["triggers", "list"], configuration: text)
        #expect(answer.status == 3)
        #expect(answer.errors == "penstock: what answers on 127.0.0.1:\(server.port) is not Penstock\n")
    }

    // MARK: - It waits

    @Test("While the broker is down, the trigger is blocked and names it; when it comes, records flow")
    func brokerDown() async throws {
        let world = try LiveWorld(topics: nil)
        let penstock = try world.start()
        let detail = try await world.wait("blocked", "127.0.0.1:\(world.brokerPort)") { penstock.logTail }
        #expect(detail.contains("broker"), "\(detail)")
        let ready = try #require(try await world.get("/readyz"))
        #expect(ready.status == 503)
        let broker = try TestKafkaBroker(port: world.brokerPort)
        try broker.createTopic("orders")
        try world.produce(5)
        try world.wait(for: "five records", penstock) { world.arrived.count == 5 }
        try await world.wait("running") { penstock.logTail }
        #expect(world.arrived == [0, 1, 2, 3, 4])
        try penstock.terminate()
        broker.stop()
    }

    @Test("A topic that there is not blocks the trigger and is named; once created, its records flow")
    func missingTopic() async throws {
        let world = try LiveWorld(topics: [])
        let penstock = try world.start()
        let detail = try await world.wait("blocked", "orders") { penstock.logTail }
        #expect(detail.contains("create"), "\(detail)")
        try world.broker?.createTopic("orders")
        try world.produce(3)
        try world.wait(for: "three records", penstock) { world.arrived.count == 3 }
        try penstock.terminate()
    }

    @Test("A program that is not there blocks the trigger, costs no attempt, and loses nothing")
    func missingProgram() async throws {
        let world = try LiveWorld(topics: ["orders"])
        try world.produce(3)
        let program = world.file("program").path
        let penstock = try world.start(world.configuration(command: "[\"\(program)\", \"-\"]"))
        let detail = try await world.wait("blocked", program) { penstock.logTail }
        #expect(detail.contains("does not exist; correct `command`"), "\(detail)")
        let letters = try #require(try await world.get("/api/v1/dead-letters"))
        #expect(letters.document["total"] as? Int == 0)
        let python = TestEnvironment.python.path
        let script =
            "#!/bin/sh\nexec \"\(python)\" \"\(world.file("function.py").path)\" \"\(world.home.url.path)\"\n"
        try script.write(toFile: program, atomically: false, encoding: .utf8)
        _ = unsafe chmod(program, 0o755)
        try world.wait(for: "three records", penstock) { world.arrived.count == 3 }
        try penstock.terminate()
    }

    @Test("A directory that goes while Penstock runs blocks the trigger until it is back")
    func missingDirectory() async throws {
        let world = try LiveWorld(topics: ["orders"])
        let directory = world.file("functions").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        let penstock = try world.start(world.configuration(directory: directory))
        try FileManager.default.removeItem(atPath: directory)
        try world.produce(2)
        let detail = try await world.wait("blocked", directory) { penstock.logTail }
        #expect(detail.contains("does not exist or is no directory; correct `directory`"), "\(detail)")
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        try world.wait(for: "two records", penstock) { world.arrived.count == 2 }
        try penstock.terminate()
    }

    /// Whether this user may mount a file system of its own.
    private static let canMount: Bool = {
        let process = try? ForeignProcess(
            URL(fileURLWithPath: "/usr/bin/unshare"),
            ["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        )
        return process?.status(within: .seconds(90)) == 0
    }()

    @Test(
        "On a full disk the trigger stops and says so; with room again, each record is where it belongs",
        .enabled(if: Self.canMount, "this user may not mount")
    )
    func fullDisk() async throws {
        let world = try LiveWorld(topics: ["orders"])
        let (disk, config, ready) = (
            world.file("disk").path, world.file("connectors.yaml"), world.file("ready").path
        )
        try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
        try Data().write(to: world.file("broken"))
        let text = world.configuration(state: "disk/penstock.db")
        try text.write(to: config, atomically: true, encoding: .utf8)
        let penstock = try ForeignProcess(
            URL(fileURLWithPath: "/usr/bin/unshare"),
            [
                "-rm", "sh", "-c",
                "mount -t tmpfs -o size=1m tmpfs \"$1\" && exec \"$2\" run --config \"$3\" --ready-file \"$4\"",
                "sh", disk, try PenstockProcess.executable().path, config.path, ready,
            ],
            environment: ["LD_LIBRARY_PATH": TestEnvironment.libraries]
        )
        let isReady = BoundedWait.until(within: .seconds(90)) {
            FileManager.default.fileExists(atPath: ready)
        }
        try #require(isReady, "\(penstock.output)")
        try world.produce(100, bytes: 20_000)
        let detail = try await world.wait("blocked", "disk is full") { penstock.output }
        #expect(detail.contains("free some space"), "\(detail)")
        let before = try #require(
            try await world.get("/api/v1/triggers/orders")?.document["records"] as? [String: Int]
        )
        #expect(before["succeeded"] == 0 && before["dead_lettered"] ?? 100 < 100)
        let remount = try ForeignProcess(
            URL(fileURLWithPath: "/usr/bin/nsenter"),
            [
                "-t", "\(penstock.id)", "-U", "--preserve-credentials", "-m", "mount", "-o",
                "remount,size=64m", disk,
            ]
        )
        try #require(remount.status(within: .seconds(60)) == 0, "\(remount.output)")
        var total: Int?
        for _ in 0..<1000 where total != 100 {
            total = try await world.get("/api/v1/dead-letters")?.document["total"] as? Int
            _ = BoundedWait.until(within: .milliseconds(20)) { false }
        }
        #expect(total == 100, "\(penstock.output.suffix(2000))")
        try await world.wait("running") { penstock.output }
        let after = try #require(
            try await world.get("/api/v1/triggers/orders")?.document["records"] as? [String: Int]
        )
        #expect(after["received"] == 100 && after["dead_lettered"] == 100 && after["in_flight"] == 0)
        _ = kill(penstock.id, SIGTERM)
        #expect(penstock.status(within: .seconds(30)) == 0)
    }
}
