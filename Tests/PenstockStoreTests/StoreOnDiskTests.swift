// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockStore
import PenstockTesting
import Testing

/// What others do with the store's files, and may not do.
@Suite(.timeLimit(.minutes(5))) struct StoreOnDiskTests {
    @Test("After a close the one file holds everything, and its copy is a whole store")
    func backup() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/penstock.db"
            let store = try SQLiteStore.open(path: path)
            try await store.save([Checkpoint(trigger: "t", partition: "p", position: Position(7))])
            try await store.append([.fixture(1)])
            await store.close()
            let log = try? FileManager.default.attributesOfItem(atPath: path + "-wal")
            #expect(log?[.size] as? Int ?? 0 == 0)
            try FileManager.default.copyItem(atPath: path, toPath: directory + "/copy.db")
            let copy = try SQLiteStore.open(path: directory + "/copy.db")
            #expect(try await copy.checkpoints(of: "t") == ["p": Position(7)])
            #expect(try await copy.countDeadLetters(matching: DeadLetterQuery()).count == 1)
            await copy.close()
        }
    }

    @Test(
        "A directory or a store that this user may not write to is refused, and left as it is",
        .enabled(if: geteuid() == 0, "only root can become another user"),
        arguments: [true, false]
    )
    func readOnly(exists: Bool) async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/penstock.db"
            if exists { await (try SQLiteStore.open(path: path)).close() }
            _ = unsafe chmod(directory, 0o755)
            let before = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
            await #expect(processExitsWith: .exitCode(42)) { [path = path as String] in
                let nobody: UInt32 = 65534
                guard setgid(nobody) == 0, setuid(nobody) == 0 else { exit(44) }
                do {
                    _ = try SQLiteStore.open(path: path)
                } catch let error as StoreError {
                    let words = "Permission denied; check the state path and its permissions"
                    exit(error.code == .cannotOpen && error.detail.hasSuffix(words) ? 42 : 43)
                }
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory).sorted() == before)
        }
    }

    @Test("While another program has the file locked, writes are refused and name the way out; reads go on")
    func locked() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/penstock.db"
            let store = try SQLiteStore.open(path: path)
            let first = Checkpoint(trigger: "t", partition: "p", position: Position(1))
            try await store.save([first])
            let script = """
                import os, sqlite3, sys, time
                connection = sqlite3.connect(sys.argv[1], isolation_level=None)
                connection.execute("BEGIN IMMEDIATE")
                open(sys.argv[2] + "/locked", "w").close()
                while not os.path.exists(sys.argv[2] + "/go"):
                    time.sleep(0.01)
                """
            let other = try ForeignProcess(TestEnvironment.python, ["-c", script, path, directory])
            let files = FileManager.default
            while !files.fileExists(atPath: directory + "/locked"), other.isRunning { await Task.yield() }
            let second = Checkpoint(trigger: "t", partition: "p", position: Position(2))
            do throws(StoreError) {
                try await store.save([second])
                Issue.record("it was written")
            } catch {
                #expect(error.code == .inputOutput)
                #expect(error.detail.contains("is locked by another program"), "\(error.detail)")
                #expect(error.detail.contains("close that program"))
            }
            #expect(try await store.checkpoints(of: "t") == ["p": Position(1)])
            try Data().write(to: URL(fileURLWithPath: directory + "/go"))
            #expect(other.status(within: .seconds(60)) == 0)
            try await store.save([second])
            #expect(try await store.checkpoints(of: "t") == ["p": Position(2)])
            await store.close()
        }
    }

    @Test("A look at a store tells what opening it would refuse, and makes no file")
    func examines() async throws {
        try await withTemporaryDirectory { directory in
            let files = FileManager.default
            func look(_ path: String) -> StoreError? {
                do throws(StoreError) {
                    try SQLiteStore.examine(path: path)
                    return nil
                } catch { return error }
            }
            let path = directory + "/a store?.db"
            let store = try SQLiteStore.open(path: path)
            #expect(look(path)?.code == .inUse && look(path)?.detail.contains("(pid \(getpid()))") == true)
            await store.close()
            for end in ["-wal", "-shm", ".lock"] { try? files.removeItem(atPath: path + end) }
            let whole = try Data(contentsOf: URL(fileURLWithPath: path))
            #expect(look(path) == nil)
            #expect(try files.contentsOfDirectory(atPath: directory) == ["a store?.db"])

            try whole[..<20_000].write(to: URL(fileURLWithPath: path))
            #expect(look(path)?.code == .corrupt && look(path)?.detail.contains("restore a backup") == true)
            try Data("no database at all".utf8).write(to: URL(fileURLWithPath: path))
            #expect(look(path)?.code == .corrupt)
            try Data().write(to: URL(fileURLWithPath: path))
            #expect(look(path) == nil, "it becomes a store")
            #expect(look(directory)?.code == .cannotOpen)
            #expect(try files.contentsOfDirectory(atPath: directory) == ["a store?.db"])

            try whole.write(to: URL(fileURLWithPath: path))
            let later = try SQLiteStore.open(path: path)
            try await later.execute(
                "INSERT INTO grdb_migrations (identifier) VALUES ('9999-from-the-future')"
            )
            await later.close()
            #expect(look(path)?.code == .tooNew)
            let other = directory + "/other.db"
            let foreign = try SQLiteStore.open(path: other)
            try await foreign.execute("PRAGMA application_id = 7")
            await foreign.close()
            #expect(look(other)?.detail.contains("of another program") == true)
        }
    }
}
