// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// The system's own librdkafka, which is older than the one that the other tests run with.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(2)))
struct SystemLibraryTests {
    private static let records = 400

    @Test(
        "With the system's librdkafka records arrive once, letters are kept, offsets committed, and a stop drains"
    )
    func endToEnd() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "system-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let broker = try TestOffsetBroker()
        // The broker removes records that are old.
        let now = Int64(Date().timeIntervalSince1970 * 1000)
        try broker.makeTopic("orders", times: Array(repeating: now, count: Self.records))
        let farEnd = FarEnd(
            folder.appendingPathComponent("arrived"),
            partitions: 1,
            recordsPerPartition: Self.records
        )
        let configuration = try Self.configuration(folder, broker)
        let first = try PenstockProcess(in: folder, configuration: configuration, library: .system)
        try Self.wait(first, "a few batches") { farEnd.read() >= 60 }
        let libraries = Self.libraries(of: first)
        #expect(!libraries.isEmpty)
        #expect(libraries.allSatisfy { $0.hasPrefix("/usr/lib/") || $0.hasPrefix("/lib/") }, "\(libraries)")
        try first.terminate()
        // Drained: what was in flight has arrived whole, and all of it is committed.
        let arrived = farEnd.read()
        #expect(arrived < Self.records, "a stop after the last record proves nothing")
        #expect(try Self.committed(folder, broker) == arrived)
        let second = try PenstockProcess(in: folder, configuration: configuration, library: .system)
        try Self.wait(second, "all records") { farEnd.read() >= Self.records }
        try second.terminate()
        #expect(farEnd.distinct == Self.records)
        #expect(farEnd.duplicates == 0)
        #expect(farEnd.violations.isEmpty)
        #expect(try Self.committed(folder, broker) == Self.records)
        let letters = try CommandRun(["dlq", "list", "--format", "json"], configuration: configuration)
            .document()
        #expect((letters["result"] as? [String: Any])?["total"] as? Int == Self.records / 10)
    }

    /// Refuses one record in ten.
    private static func configuration(_ folder: URL, _ broker: TestOffsetBroker) throws -> String {
        let function = folder.appendingPathComponent("function.py")
        try KillScripts.function.write(to: function, atomically: true, encoding: .utf8)
        let arguments = [
            self.python.path, function.path, folder.appendingPathComponent("arrived").path,
            folder.appendingPathComponent("lock").path, "1", "0.05", "10",
        ]
        return """
            state: sqlite:\(folder.path)/penstock.db
            admin: { listen: "127.0.0.1:\(FreePort.pick())" }
            functions:
              sink: { local: { command: [\(arguments.map { "\"\($0)\"" }.joined(separator: ", "))] } }
            triggers:
              orders:
                source: { kafka: { brokers: ["\(broker.address)"], topics: [orders], group: g } }
                function: sink
                batch: { size: 20 }
                failure: { retries: 0, report_item_failures: true }
            """
    }

    private static var python: URL { TestEnvironment.python }

    /// Which librdkafka a process has mapped.
    private static func libraries(of penstock: PenstockProcess) -> Set<String> {
        let file = FileHandle(forReadingAtPath: "/proc/\(penstock.id)/maps")
        let maps = String(decoding: (try? file?.readToEnd()) ?? Data(), as: UTF8.self)
        let paths = maps.split(separator: "\n").compactMap { $0.split(separator: " ").last.map(String.init) }
        return Set(paths.filter { $0.contains("rdkafka") })
    }

    private static func committed(_ folder: URL, _ broker: TestOffsetBroker) throws -> Int? {
        let script = ["-c", KillScripts.committed, broker.address, "orders", "1", "g"]
        let answer = try ForeignProcess.answer(of: Self.python, script)
        return Int(answer.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    private static func wait(_ penstock: PenstockProcess, _ what: String, _ condition: () -> Bool) throws {
        guard BoundedWait.until(within: .seconds(40), condition) else {
            throw KillWorld.Failure(description: "waited too long for \(what); log:\n\(penstock.logTail)")
        }
    }
}
