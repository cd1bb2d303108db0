// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import SQSConnector

@Suite(.ownThreads, .timeLimit(.minutes(5))) struct SQSLagTests {
    private static func wait(for lag: Int64?, _ probe: SourceProbe) -> Bool {
        BoundedWait.until(within: .seconds(30)) {
            probe.source.lag().first.map { $0.records == lag } ?? false
        }
    }

    @Test("How many messages wait is known while they come, and zero after a receive that brought none")
    func backlog() async throws {
        let queue = try ScriptedSQS()
        queue.send((0..<30).map { ("\($0)", nil) })
        try await SourceProbe.run(queue, "visibility: 2s") { probe in
            #expect(probe.source.lag().isEmpty)
            probe.grant(10)
            _ = try await probe.settle(.acknowledge, probe.receive(10))
            #expect(Self.wait(for: 20, probe), "\(probe.source.lag())")
            #expect(probe.source.lag().first?.partition == "arn:aws:sqs:eu-west-1:000000000000:orders")
            probe.grant(1000)
            _ = try await probe.settle(.acknowledge, probe.receive(20))
            #expect(Self.wait(for: 0, probe), "\(probe.source.lag())")
            // Once for many receives in a few seconds, and never for those that brought nothing.
            #expect(queue.figures.calls["GetQueueAttributes"] == 1)
        }
    }

    @Test("An idle FIFO queue is asked once how many messages wait behind others, and not after each receive")
    func idleGroups() async throws {
        let queue = try ScriptedSQS("orders.fifo")
        // As if the 20 seconds of each were over.
        queue.setFaults { $0 == "ReceiveMessage" ? .answer("{}") : nil }
        try await SourceProbe.run(queue) { probe in
            probe.grant(1000)
            #expect(BoundedWait.until(within: .seconds(60)) { queue.figures.waits.count >= 200 })
            #expect(Self.wait(for: 0, probe), "\(probe.source.lag())")
        }
        #expect(queue.figures.calls["GetQueueAttributes"] == 1)
    }

    @Test("Without the permission the number is not known, nothing is said, and the queue is not asked again")
    func denied() async throws {
        let queue = try ScriptedSQS()
        queue.send((0..<10).map { ("\($0)", nil) })
        queue.setFaults { $0 == "GetQueueAttributes" ? .error(status: 403, code: "AccessDenied") : nil }
        try await SourceProbe.run(queue) { probe in
            probe.grant(10)
            _ = try await probe.receive(10)
            #expect(Self.wait(for: nil, probe))
        }
    }
}
