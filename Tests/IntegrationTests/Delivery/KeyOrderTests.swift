// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockTesting
import Testing

/// Order per key when everything happens at once.
@Suite(.ownThreads, .timeLimit(.minutes(4)))
struct KeyOrderTests {
    private static let partitions = 2
    private static let keys = 12
    private static let records = 3000

    /// Every 150th record always fails; every 37th fails once.
    private static let handler = """
        if any(int(value(r)) % 150 == 7 for r in records): raise ValueError('never')
        if any(int(value(r)) % 37 == 0 and is_first(name(r)) for r in records): raise ValueError('not yet')
        time.sleep(0.02)
        done(records)
        """

    /// What the handlers have dealt with: the offset of each record, by partition and key, each counted once.
    private static func dealtWith(_ world: DeliveryWorld) -> [String: [Int]] {
        let text = (try? String(contentsOf: world.file("done"), encoding: .utf8)) ?? ""
        var seen: Set<String> = []
        var found: [String: [Int]] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            guard words.count == 3, seen.insert("\(words[0]) \(words[1])").inserted else { continue }
            found["\(words[0]) \(words[2])", default: []].append(Int(words[1]) ?? -1)
        }
        return found
    }

    /// Waits until so many records were dealt with.
    private static func wait(_ count: Int, _ world: DeliveryWorld, _ penstock: PenstockProcess) throws {
        try world.wait(for: "\(count) records", penstock) {
            Self.dealtWith(world).values.reduce(0) { $0 + $1.count } >= count
        }
    }

    @Test(
        "Each key stays in order through retries, splits, a kill -9, and a second member that comes and goes"
    )
    func order() throws {
        let records = (0..<Self.records).map { number in
            let key = number % Self.keys
            return DeliveryWorld.Record(partition: key % Self.partitions, key: "k\(key)", value: "\(number)")
        }
        let trigger = DeliveryWorld.Trigger(
            name: "ordered",
            handler: Self.handler,
            records: records,
            partitions: Self.partitions,
            options: [
                "batch: { size: 5, window: 5ms }", "ordering: key",
                "failure: { retries: 5, bisect: true, backoff: { initial: 1ms, max: 20ms } }",
            ]
        )
        let world = try DeliveryWorld([trigger], sessionTimeout: "2s")
        defer { world.broker.stop() }
        let first = try world.start()
        try Self.wait(300, world, first)
        let functions = first.children
        first.kill()
        try world.wait(for: "the end of its functions", first) {
            functions.allSatisfy { Glibc.kill($0, 0) != 0 }
        }
        let second = try world.start()
        try Self.wait(800, world, second)
        let guest = try world.start(member: 2)
        try world.wait(for: "a partition of the second member", guest) {
            let records = try world.status(member: 2)["ordered"]?["records"] as? [String: Int]
            return records?["succeeded", default: 0] ?? 0 > 50
        }
        let before = Self.dealtWith(world).values.reduce(0) { $0 + $1.count }
        #expect(before < Self.records, "a member that comes when all is done proves nothing")
        try guest.terminate()
        let letters = Set((0..<Self.records).filter { $0 % 150 == 7 })
        try Self.wait(Self.records - letters.count, world, second)
        try second.terminate()

        for (key, offsets) in Self.dealtWith(world) {
            #expect(offsets == offsets.sorted(), "\(key)")
        }
        #expect(try world.committed()["ordered"] == [Self.records / 2, Self.records / 2])
        // Letters of either member: exactly the records that always fail.
        let kept = try [1, 2].flatMap { member in
            try world.letters(member: member).map { $0.record.split(separator: "/").compactMap { Int($0) } }
        }
        let places = Set(kept.map { $0.count == 1 ? [0] + $0 : $0 })
        var next = Array(repeating: 0, count: Self.partitions)
        var expected: Set<[Int]> = []
        for (number, record) in records.enumerated() {
            if letters.contains(number) { expected.insert([record.partition, next[record.partition]]) }
            next[record.partition] += 1
        }
        #expect(places == expected)
    }
}
