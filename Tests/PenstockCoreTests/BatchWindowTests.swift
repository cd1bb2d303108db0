// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Testing

/// When the window of a batch begins, which depends on the source (esm-spec section 2).
@Suite struct BatchWindowTests {
    private static func world(_ start: WindowStart) -> EngineFixture {
        var policy = TriggerPolicy.testing(size: 10, window: .seconds(1))
        policy.windowStart = start
        return EngineFixture(policy)
    }

    @Test("For queues and streams windows follow each other from the end of the last invocation")
    func lastInvocation() {
        let world = Self.world(.lastInvocation)
        world.pass(.milliseconds(400))
        world.arrive(1)
        world.pass(.milliseconds(599))
        #expect(world.invocations.isEmpty)
        world.pass(.milliseconds(1))
        #expect(world.invoked == [0], "a second after the partition came")
        world.pass(.milliseconds(300))
        world.answer(.succeeded)
        world.pass(.milliseconds(200))
        world.arrive(1)
        world.pass(.milliseconds(799))
        #expect(world.invocations.isEmpty)
        world.pass(.milliseconds(1))
        #expect(world.invoked == [1], "a second after the invocation ended")
        world.answer(.succeeded)
        world.pass(.milliseconds(2500))
        world.arrive(1)
        world.pass(.milliseconds(499))
        #expect(world.invocations.isEmpty)
        world.pass(.milliseconds(1))
        #expect(world.invoked == [2], "with the third of the windows that were open since")
    }

    @Test("For topics a window opens with its first record, however long ago the last invocation was")
    func firstRecord() {
        let world = Self.world(.firstRecord)
        world.pass(.milliseconds(400))
        world.arrive(1)
        world.pass(.milliseconds(999))
        #expect(world.invocations.isEmpty)
        world.pass(.milliseconds(1))
        #expect(world.invoked == [0])
    }
}
