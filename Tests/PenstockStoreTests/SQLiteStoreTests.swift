// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockStore
import PenstockTesting
import Synchronization
import Testing

private func checkpoint(_ partition: String, _ offset: UInt64 = 1) -> Checkpoint {
    Checkpoint(trigger: "t", partition: partition, position: Position(offset))
}

private func failure(_ body: () async throws(StoreError) -> Void) async -> StoreError? {
    do throws(StoreError) {
        try await body()
        return nil
    } catch {
        return error
    }
}

/// Keeps the writer busy for some hundred milliseconds.
private let longStatement =
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 3000000) SELECT max(i) FROM n"

/// What opening the store at `path` is refused with.
private func refusal(_ path: String) async -> StoreError? {
    await failure { () async throws(StoreError) in await (try SQLiteStore.open(path: path)).close() }
}

@Suite(.timeLimit(.minutes(2))) struct SQLiteStoreTests {
    @Test("The writer syncs each commit to the disk, with a write-ahead log")
    func pragmas() async throws {
        try await withTemporaryDirectory { directory in
            let store = try SQLiteStore.open(path: directory + "/penstock.db")
            #expect(try await store.execute("PRAGMA synchronous") == 2)
            #expect(try await store.execute("SELECT journal_mode = 'wal' FROM pragma_journal_mode") == 1)
            await store.close()
        }
    }

    @Test("The file and its directories are made for the owner only")
    func modes() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/a/b/penstock.db"
            let store = try SQLiteStore.open(path: path)
            try await store.save([checkpoint("p")])
            for name in ["", "-wal", "-shm", ".lock"] {
                let attributes = try FileManager.default.attributesOfItem(atPath: path + name)
                #expect(attributes[.posixPermissions] as? Int == 0o600, "penstock.db\(name)")
            }
            let attributes = try FileManager.default.attributesOfItem(atPath: directory + "/a")
            #expect(attributes[.posixPermissions] as? Int == 0o700)
            await store.close()
        }
    }

    @Test("The lock is let go although a process that is just being started has a copy of it")
    func lockIsNotInherited() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/penstock.db"
            let first = try SQLiteStore.open(path: path)
            let lock = try #require(
                try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap { Int32($0) }
                    .first { descriptor in
                        let link = "/proc/self/fd/\(descriptor)"
                        let target = try? FileManager.default.destinationOfSymbolicLink(atPath: link)
                        return target?.hasSuffix(path + ".lock") == true
                    }
            )
            // What a fork has between its beginning and the program it executes.
            let copy = dup(lock)
            defer { close(copy) }
            await first.close()
            let second = try SQLiteStore.open(path: path)
            await second.close()
        }
    }

    @Test("What was written is there when the store is opened again")
    func reopening() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/penstock.db"
            let first = try SQLiteStore.open(path: path)
            try await first.save([checkpoint("p", 5)])
            try await first.append([.fixture(1)])
            try await first.setPaused(true, trigger: "t")
            await first.close()
            let second = try SQLiteStore.open(path: path)
            #expect(try await second.checkpoints(of: "t") == ["p": Position(5)])
            #expect(try await second.deadLetter(DeadLetterID(1))?.letter == .fixture(1))
            #expect(try await second.pausedTriggers() == ["t"])
            await second.close()
        }
    }

    @Test("A store that is dropped without close lets the next one in")
    func dropping() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/penstock.db"
            do {
                let store = try SQLiteStore.open(path: path)
                try await store.save([checkpoint("p", 5)])
            }
            // The thread of the dropped store ends soon; it holds the lock until then.
            var refused: StoreError?
            for _ in 0..<100_000 {
                refused = await refusal(path)
                guard refused != nil else { break }
                await Task.yield()
            }
            #expect(refused == nil, "\(refused?.detail ?? "")")
        }
    }

    @Test("A second open of the same file is refused with the process id, by any name")
    func secondOpen() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/penstock.db"
            let store = try SQLiteStore.open(path: path)
            let link = directory + "/link.db"
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
            for name in [path, link, directory + "/./penstock.db"] {
                let error = await refusal(name)
                #expect(error?.code == .inUse)
                #expect(
                    error?.detail == "\"\(name)\" is in use by another Penstock (pid \(getpid())); "
                        + "stop it, or give this one its own state path"
                )
            }
            await store.close()
            #expect(await refusal(path)?.detail == nil)
        }
    }

    @Test("Another process is refused with our process id")
    func otherProcess() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/penstock.db"
            let store = try SQLiteStore.open(path: path)
            let holder = getpid()
            await #expect(processExitsWith: .exitCode(42)) {
                [path = path as String, holder = holder as Int32] in
                do {
                    _ = try SQLiteStore.open(path: path)
                } catch let error as StoreError {
                    exit(error.code == .inUse && error.detail.contains("(pid \(holder))") ? 42 : 43)
                }
            }
            await store.close()
        }
    }

    @Test("Every acknowledged write survives a kill", arguments: [1, 7, 60, 350])
    func killing(acknowledgements: Int) async throws {
        try await withTemporaryDirectory { directory in
            await #expect(processExitsWith: .signal(SIGKILL)) {
                [directory = directory as String, acknowledgements = acknowledgements as Int] in
                try await writeUntilKilled(directory, after: acknowledgements)
            }
            let lines = try String(contentsOfFile: directory + "/acknowledged", encoding: .utf8)
                .split(separator: "\n").map { $0.split(separator: " ") }
            #expect(lines.count >= acknowledgements)
            let store = try SQLiteStore.open(path: directory + "/penstock.db")
            let checkpoints = try await store.checkpoints(of: "t")
            for line in lines {
                let offset = try #require(UInt64(line[1]))
                #expect(try #require(checkpoints[String(line[0])]) >= Position(offset))
            }
            let letters = try await store.deadLetters(matching: DeadLetterQuery())
            let kept = Set(letters.map { "\($0.partition) \($0.position)" })
            #expect(Set(lines.map { $0.joined(separator: " ") }).subtracting(kept) == [])
            await store.close()
        }
    }

    @Test("A file that is no database, or of another program, is refused as such")
    func foreignFiles() async throws {
        try await withTemporaryDirectory { directory in
            let text = directory + "/notes.txt"
            let content = Data(String(repeating: "not a database. ", count: 1000).utf8)
            try content.write(to: URL(fileURLWithPath: text))
            let error = await refusal(text)
            #expect(error?.code == .corrupt)
            #expect(error?.detail.contains("is not a Penstock store") == true)
            #expect(try Data(contentsOf: URL(fileURLWithPath: text)) == content, "the file is left as it was")

            let path = directory + "/other.db"
            let store = try SQLiteStore.open(path: path)
            try await store.execute("PRAGMA application_id = 1")
            await store.close()
            let other = await refusal(path)
            #expect(other?.code == .corrupt)
            #expect(other?.detail.contains("another program") == true)
        }
    }

    @Test("A damaged store is refused, and the lock is let go")
    func damage() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/penstock.db"
            let store = try SQLiteStore.open(path: path)
            try await store.append((0..<200).map { .fixture($0) })
            await store.close()
            var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            #expect(bytes.count > 40_000)
            bytes.replaceSubrange(8192..<36_000, with: Data(repeating: 0xA5, count: 36_000 - 8192))
            try bytes.write(to: URL(fileURLWithPath: path))
            for _ in 0..<2 {
                let error = await refusal(path)
                #expect(error?.code == .corrupt)
                #expect(error?.detail.contains("is damaged") == true)
            }
        }
    }

    @Test("A store written by a newer version is refused as too new")
    func newerVersion() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/penstock.db"
            let store = try SQLiteStore.open(path: path)
            try await store.execute(
                "INSERT INTO grdb_migrations (identifier) VALUES ('9999-from-the-future')"
            )
            await store.close()
            let error = await refusal(path)
            #expect(error?.code == .tooNew)
            #expect(error?.detail.contains("written by a newer Penstock") == true)
        }
    }

    @Test("A path that cannot be a file is refused with the reason")
    func badPaths() async throws {
        try await withTemporaryDirectory { directory in
            try FileManager.default.createDirectory(
                atPath: directory + "/folder",
                withIntermediateDirectories: false
            )
            try Data().write(to: URL(fileURLWithPath: directory + "/file"))
            let paths = [
                "", "\0", "/proc/penstock.db", directory + "/folder", directory + "/file/penstock.db",
            ]
            for path in paths {
                let error = await refusal(path)
                #expect(error?.code == .cannotOpen, "\(path)")
                #expect(error?.detail.contains("state path") == true)
            }
        }
    }

    @Test("A letter that cannot be read back is named, and fails nothing else")
    func unreadableLetter() async throws {
        try await withTemporaryDirectory { directory in
            let store = try SQLiteStore.open(path: directory + "/penstock.db")
            try await store.append([.fixture(1), .fixture(2)])
            let attempt = try #require(DeadLetter.fixture().attempts.first)
            let forms = ["''", "'02'", "'0105'", "'01FFFFFFFFFFFFFFFFFFFF01'", "'01FFFF'", "'0100FF'"]
            for form in forms {
                try await store.execute("UPDATE dead_letters SET attempts = x\(form) WHERE id = 1")
                let read = await failure { () async throws(StoreError) in
                    _ = try await store.deadLetter(DeadLetterID(1))
                }
                #expect(read?.code == .corrupt, "\(form)")
                let write = await failure { () async throws(StoreError) in
                    try await store.recordRedrive([DeadLetterID(2), DeadLetterID(1)], attempt: attempt)
                }
                #expect(write?.code == .corrupt, "\(form)")
            }
            #expect(try await store.deadLetter(DeadLetterID(2))?.letter == .fixture(2), "nothing was written")
            try await store.execute("UPDATE dead_letters SET position = 'first' WHERE id = 1")
            let list = await failure { () async throws(StoreError) in
                _ = try await store.deadLetters(matching: DeadLetterQuery())
            }
            #expect(list?.code == .corrupt)
            await store.close()
        }
    }

    @Test("A write that meets close is either on disk or refused")
    func closingAmidWrites() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/penstock.db"
            let store = try SQLiteStore.open(path: path)
            let outcomes = await withTaskGroup { group in
                for writer in 0..<200 {
                    group.addTask { () -> (String, StoreError.Code?) in
                        if writer % 50 == 49 { await store.close() }
                        let error = await failure { () async throws(StoreError) in
                            try await store.save([checkpoint("\(writer)")])
                        }
                        return ("\(writer)", error?.code)
                    }
                }
                return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
            }
            #expect(outcomes.values.allSatisfy { $0 == .closed }, "the only reason is that it was closed")
            let again = try SQLiteStore.open(path: path)
            let kept = Set(try await again.checkpoints(of: "t").keys)
            #expect(kept == Set((0..<200).map { "\($0)" }).subtracting(outcomes.keys))
            await again.close()
        }
    }

    @Test("Reads go on while a long write is under way")
    func readsBesideWrites() async throws {
        try await withTemporaryDirectory { directory in
            let store = try SQLiteStore.open(path: directory + "/penstock.db")
            try await store.save([checkpoint("p", 1)])
            try await withThrowingTaskGroup { group in
                group.addTask {
                    try await store.execute(longStatement)
                    return "write"
                }
                group.addTask {
                    _ = try await store.checkpoints(of: "t")
                    return "read"
                }
                #expect(try await group.next() == "read")
                try await group.waitForAll()
            }
            await store.close()
        }
    }

    @Test("Writers at once share commits")
    func grouping() async throws {
        try await withTemporaryDirectory { directory in
            let store = try SQLiteStore.open(path: directory + "/penstock.db")
            let before = store.commits
            try await withThrowingTaskGroup { group in
                for writer in 0..<64 {
                    group.addTask {
                        for offset: UInt64 in 0..<50 {
                            try await store.save([checkpoint("\(writer)", offset)])
                        }
                    }
                }
                try await group.waitForAll()
            }
            let commits = store.commits - before
            #expect(commits < 64 * 50 / 4)
            await store.close()
        }
    }

    @Test("A write that is refused does not fail its neighbours of the same commit")
    func poison() async throws {
        try await withTemporaryDirectory { directory in
            let store = try SQLiteStore.open(path: directory + "/penstock.db")
            try await store.execute(
                """
                CREATE TRIGGER refuse BEFORE INSERT ON checkpoints WHEN NEW.partition LIKE 'poison%'
                BEGIN SELECT RAISE(ABORT, 'refused'); END
                """
            )
            let commits = store.commits
            let refused = await withTaskGroup { group in
                group.addTask { () -> String? in
                    // Holds the writer back, so that the others meet in one group.
                    await failure { () async throws(StoreError) in
                        try await store.execute(longStatement)
                    }?.detail
                }
                for index in 0..<40 {
                    let name = index % 10 == 3 ? "poison-\(index)" : "good-\(index)"
                    group.addTask {
                        let pair = [checkpoint("with-\(name)"), checkpoint(name)]
                        let error = await failure { () async throws(StoreError) in try await store.save(pair)
                        }
                        return error.map { "\(name) \($0.code) \($0.detail.contains("refused"))" }
                    }
                }
                return await group.reduce(into: Set<String>()) { $0.formUnion($1.map { [$0] } ?? []) }
            }
            #expect(refused == Set([3, 13, 23, 33].map { "poison-\($0) inputOutput true" }))
            #expect(store.commits - commits < 20)
            let kept = Set(try await store.checkpoints(of: "t").keys)
            let good = (0..<40).filter { $0 % 10 != 3 }.flatMap { ["good-\($0)", "with-good-\($0)"] }
            #expect(kept == Set(good), "a refused write leaves nothing behind")
            await store.close()
        }
    }

    @Test("A full store fails all writes of the commit, and goes on when there is room again")
    func fullStore() async throws {
        try await withTemporaryDirectory { directory in
            let store = try SQLiteStore.open(path: directory + "/penstock.db")
            try await store.save([checkpoint("p", 1)])
            let pages = try await store.execute("PRAGMA page_count")
            try await store.execute("PRAGMA max_page_count = \(pages + 2)")
            try await expectFull(store)
            try await store.execute("PRAGMA max_page_count = 1073741823")
            try await expectRoom(store)
            await store.close()
        }
    }

    @Test("A full disk fails the write, and the store goes on when there is room again")
    func fullDisk() async throws {
        try await withTemporaryDirectory { directory in
            guard try mount(directory) else {
                try Test.cancel(
                    "mounting a small tmpfs needs root; the test of the full store stands in for it"
                )
            }
            defer { _ = try? run("/bin/umount", "-l", directory) }
            let store = try SQLiteStore.open(path: directory + "/penstock.db")
            try await store.save([checkpoint("p", 1)])
            let free =
                try FileManager.default.attributesOfFileSystem(forPath: directory)[.systemFreeSize] as? Int
            let ballast = Data(count: try #require(free) - 100_000)
            try ballast.write(to: URL(fileURLWithPath: directory + "/ballast"))
            try await expectFull(store)
            try FileManager.default.removeItem(atPath: directory + "/ballast")
            try await expectRoom(store)
            await store.close()
        }
    }

    private func expectFull(_ store: SQLiteStore) async throws {
        let failures = await withTaskGroup { group in
            for index: UInt64 in 0..<4 {
                group.addTask {
                    var letter = DeadLetter.fixture(index)
                    letter.body = [UInt8](repeating: 1, count: 400_000)
                    let letters = [.fixture(index, partition: "small"), letter]
                    return await failure { () async throws(StoreError) in try await store.append(letters) }
                }
            }
            return await group.reduce(into: [StoreError?]()) { $0.append($1) }
        }
        #expect(failures.map { $0?.code } == [.diskFull, .diskFull, .diskFull, .diskFull])
        #expect(failures.allSatisfy { $0?.detail.contains("disk is full") == true })
        #expect(try await store.countDeadLetters(matching: DeadLetterQuery()).count == 0, "all or nothing")
        #expect(try await store.checkpoints(of: "t") == ["p": Position(1)], "what was there is still there")
    }

    private func expectRoom(_ store: SQLiteStore) async throws {
        try await store.append([.fixture(9)])
        try await store.save([checkpoint("p", 2)])
        #expect(try await store.countDeadLetters(matching: DeadLetterQuery()).count == 1)
        #expect(try await store.checkpoints(of: "t") == ["p": Position(2)])
    }

    private func mount(_ directory: String) throws -> Bool {
        try run("/bin/mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", directory) == 0
    }

    private func run(_ program: String, _ arguments: String...) throws -> Int32 {
        let process = try ForeignProcess(URL(fileURLWithPath: program), arguments)
        return process.status(within: .seconds(90)) ?? -1
    }
}

private final class Counter: Sendable {
    let count = Atomic(0)
}

/// Writes with eight writers, notes what was acknowledged, and kills its own process amid the writes.
private func writeUntilKilled(_ directory: String, after acknowledgements: Int) async throws {
    let store = try SQLiteStore.open(path: directory + "/penstock.db")
    let counter = Counter()
    let notes = unsafe open(directory + "/acknowledged", O_WRONLY | O_CREAT | O_APPEND, 0o600)
    try await withThrowingTaskGroup { group in
        for writer in 0..<8 {
            group.addTask {
                for offset: UInt64 in 0... {
                    try await store.save([checkpoint("\(writer)", offset)])
                    try await store.append([.fixture(offset, partition: "\(writer)")])
                    let line = Array("\(writer) \(offset)\n".utf8)
                    _ = unsafe write(notes, line, line.count)
                    let noted = counter.count.add(1, ordering: .relaxed).newValue
                    if noted >= acknowledgements { kill(getpid(), SIGKILL) }
                }
            }
        }
        try await group.waitForAll()
    }
}
