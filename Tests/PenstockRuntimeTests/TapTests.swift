// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockTesting
import ServiceLifecycle
import Testing

/// Looking at a trigger's records while they come.
@Suite(.timeLimit(.minutes(5)))
struct TapTests {
    private let world = ScriptedWorld()

    private var text: String {
        """
        functions: { f: { scripted: { world: \(self.world.name) } } }
        triggers:
          orders:
            source: { scripted: { world: \(self.world.name) } }
            function: f
            filters: [{ offset: [{ numeric: ["<", 2] }, 7] }]
            batch: { size: 500, window: 0s }
        """
    }

    /// Reads until so many records have come.
    private static func read(_ tap: Tap, _ count: Int) async -> [Tap.Entry] {
        var entries: [Tap.Entry] = []
        while entries.count < count {
            let news = await tap.next()
            if news.isEnded { break }
            entries += news.entries
        }
        return entries
    }

    @Test("Passing records are shown to one, and those that no filter matched to another, with the condition")
    func kinds() async throws {
        try await SupervisorFixture.run(self.text) { fixture in
            await self.world.wait(for: "source started")
            let world = self.world
            let filtered = await fixture.supervisor.withTap(on: "orders", .filtered) { other in
                await fixture.supervisor.withTap(on: "orders", .passing) { tap in
                    world.deliver("p", 0..<4)
                    let entries = await Self.read(tap, 2)
                    #expect(entries.map(\.record.position) == [Position(0), Position(1)])
                    #expect(entries.allSatisfy { $0.record.partition == "p" && tap.misses(of: $0).isEmpty })
                }
                let entries = await Self.read(other, 2)
                #expect(entries.map(\.record.position) == [Position(2), Position(3)])
                return entries.map { other.misses(of: $0).map { "\($0.filter) \($0.condition)" } }
            }
            #expect(
                filtered == [
                    ["1 triggers.orders.filters[0].offset"], ["1 triggers.orders.filters[0].offset"],
                ]
            )
            #expect(await fixture.supervisor.withTap(on: "none", .passing) { _ in } == nil)
        }
    }

    @Test("A reader that does not read never slows the trigger; what it misses is counted")
    func slowReader() async throws {
        let text = self.text.replacing("filters: [{ offset: [{ numeric: [\"<\", 2] }, 7] }]", with: "")
        try await SupervisorFixture.run(text) { fixture in
            await self.world.wait(for: "source started")
            let world = self.world
            await fixture.supervisor.withTap(on: "orders", .passing) { tap in
                world.deliver("p", 0..<400)
                world.deliver("p", 400..<1000)
                await world.wait(for: "committed p@999")
                let news = await tap.next()
                #expect(news.entries.count == 256 && news.skipped == 744)
                #expect(news.entries.last?.record.position == Position(255))
                world.deliver("p", 1000..<1001)
                let entries = await Self.read(tap, 1)
                #expect(entries.map(\.record.position) == [Position(1000)], "there is room again")
            }
        }
    }

    @Test("A tap ends with its trigger")
    func ends() async throws {
        try await SupervisorFixture.run(self.text) { fixture in
            await self.world.wait(for: "source started")
            await fixture.supervisor.withTap(on: "orders", .passing) { tap in
                await fixture.group.triggerGracefulShutdown()
                let isEnded = await Self.read(tap, 1).isEmpty
                #expect(isEnded)
            }
        }
    }
}
