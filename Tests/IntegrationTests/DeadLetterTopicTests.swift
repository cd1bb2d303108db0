// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

extension KillTests {
    @Test(
        "While the dead-letter topic cannot be reached its partition waits, others go on, and each letter comes once"
    )
    func deadLetterTopicAway() throws {
        let began = ContinuousClock.now
        let world = try KillWorld(records: 40_000)
        let perPartition = world.records / KillWorld.partitions
        // Another cluster for the letters, behind a proxy of its own.
        let port = FreePort.pick()
        let proxy = try TestProxy(to: port)
        defer { proxy.stop() }
        let letters = try TestKafkaBroker(port: port, advertisedPort: proxy.port)
        try letters.createTopic("letters")
        proxy.cut()
        // Only records of partition 0 are refused.
        world.refusedEvery = KillWorld.partitions * 500
        world.onFailure = "{ kafka: { brokers: [\"127.0.0.1:\(proxy.port)\"], topic: letters, timeout: 1s } }"
        let penstock = try world.start()
        let othersDone = BoundedWait.until(within: .seconds(60)) {
            world.farEnd.read()
            return world.farEnd.next.dropFirst().allSatisfy { $0 == perPartition }
                && (try? world.committed().dropFirst().allSatisfy { $0 == perPartition }) == true
        }
        #expect(othersDone, "the neighbours go on: \(world.farEnd.next)")
        let isBlocked = BoundedWait.until(within: .seconds(90)) {
            (try? Self.trigger(world))?["state"] as? String == "blocked"
        }
        #expect(isBlocked)
        let detail = try #require(try Self.trigger(world)["detail"] as? String)
        for part in ["letters", "127.0.0.1:\(proxy.port)", "check that the brokers are up"] {
            #expect(detail.contains(part), "\(detail)")
        }
        // The first record is refused, so nothing of its partition may be acknowledged; nor is anything invoked.
        #expect(try world.committed()[0] == 0)
        #expect(world.farEnd.next[0] <= KillWorld.batch)
        // The cluster is back: it goes on by itself.
        proxy.restore()
        try world.waitForAll(penstock)
        try penstock.terminate()
        #expect(try world.uncommitted() == 0)
        let messages = try TestKafkaReader.messages(of: "letters", on: letters.address)
        let sources = messages.map { $0.headers["penstock-source"] }
        #expect(sources == stride(from: 0, to: perPartition, by: 500).map { "kill-0@\($0)" })
        Self.summarize("dead-letter topic away", world, "\(sources.count) letters", since: began)
        Self.expectContract(world, atMost: 0)
    }
}
