// SPDX-License-Identifier: Apache-2.0

import AWSClient
import PenstockConfiguration
import PenstockRuntime
import PenstockTesting
import Reactor
import Synchronization
import Testing

@testable import PenstockCore
@testable import SQSConnector

/// A source against a scripted queue, without an engine.
final class SourceProbe: Sendable {
    let source: SQSSource
    let reactor: Reactor
    /// Received, and not asked for yet.
    private let events = Mutex<[SourceEvent]>([])

    init(source: SQSSource, reactor: Reactor) {
        self.source = source
        self.reactor = reactor
    }

    /// A source of the queue, run and stopped in order.
    static func run(
        _ queue: ScriptedSQS,
        _ more: String = "",
        by name: String? = nil,
        grace: Duration = .milliseconds(500),
        _ body: (SourceProbe) async throws -> Void
    ) async throws {
        let yaml = queue.settings(named: name, more)
        let read = ConfigurationLoader.process.parse(yaml, file: "t.yaml").read(SQSSourceConfiguration.self)
        let configuration = try #require(read.value, "\(read.findings)")
        let terms = TriggerTerms(functionTimeout: .seconds(5), batchWindow: .zero)
        let reactor = try Reactor(name: "sqs-test")
        let source = SQSSource(
            SQSSettings(configuration, terms),
            format: SQSEventFormat(batchWindow: .zero),
            client: try SQSClient(configuration.options, reactor: reactor),
            reactor: reactor,
            grace: grace
        )
        async let running: Void = source.run()
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(SourceProbe(source: source, reactor: reactor)))
        } catch {
            result = .failure(error)
        }
        await source.stop()
        await running
        reactor.stop()
        queue.stop()
        try result.get()
    }

    func grant(_ records: Int) {
        self.source.grant(ReceiveBudget(records: records, bytes: 1 << 30))
    }

    /// Waits for events until one is wanted, and gives that.
    func next<Value: Sendable>(_ wanted: (SourceEvent) -> Value?) async throws -> Value {
        while true {
            let found = self.events.withLock { events -> Value? in
                while !events.isEmpty {
                    if let value = wanted(events.removeFirst()) { return value }
                }
                return nil
            }
            if let found { return found }
            let events = try await self.source.receive()
            try #require(!events.isEmpty, "the source ended")
            self.events.withLock { $0 += events }
        }
    }

    /// Receives so many messages, as records that an engine would have.
    func receive(_ count: Int) async throws -> [Run] {
        var runs: [Run] = []
        while runs.reduce(0, { $0 + $1.count }) < count {
            runs.append(try await self.next { self.run(of: $0) })
        }
        return runs
    }

    private func run(of event: SourceEvent) -> Run? {
        guard case .records(let block) = event else { return nil }
        let admitted = AdmittedBlock(
            block: block,
            firstDelivery: 0,
            receivedAt: self.reactor.now,
            sizes: Array(repeating: 0, count: block.count + 1)
        )
        return Run(admitted: admitted, range: 0..<block.count)
    }

    func settle(_ kind: Settlement.Kind, _ runs: [Run]) async throws -> SettlementOutcome {
        try await self.source.settle([Settlement(kind: kind, runs: runs)])
    }

    static func bodies(_ runs: [Run]) -> [String] {
        runs.flatMap { run in
            run.indices.compactMap { index in
                unsafe run.admitted.block.body(at: index).map { unsafe String(decoding: $0, as: UTF8.self) }
            }
        }
    }
}

@Suite(.ownThreads, .timeLimit(.minutes(5))) struct SQSSourceProtocolTests {
    private static func messages(_ count: Int) -> [(body: String, group: String?)] {
        (0..<count).map { ("\($0)", nil) }
    }

    @Test("Nothing is received before the first grant, nor beyond it; an idle queue has one receive")
    func budget() async throws {
        let queue = try ScriptedSQS()
        queue.send(Self.messages(30))
        try await SourceProbe.run(queue) { probe in
            let name = try await probe.next { event in
                if case .assigned(let partitions) = event { partitions.first?.name } else { nil }
            }
            #expect(name == "arn:aws:sqs:eu-west-1:000000000000:orders")
            #expect(queue.figures.calls == [:])
            probe.grant(13)
            let runs = try await probe.receive(13)
            #expect(queue.figures.deliveries == 13)
            #expect(SourceProbe.bodies(runs) == (0..<13).map(String.init))
            let ended = try await probe.settle(.acknowledge, runs)
            #expect(ended.refused.isEmpty && ended.lost.isEmpty)
            #expect(queue.figures.deleted == 13)
            #expect(queue.figures.calls["DeleteMessageBatch"] == 2)
            probe.grant(1000)
            _ = try await probe.receive(17)
            #expect(
                BoundedWait.until(within: .seconds(30)) {
                    queue.figures.receiving >= 1 && queue.figures.calls["ReceiveMessage", default: 0] > 3
                }
            )
        }
    }

    @Test(
        "An idle queue costs a request in 20 seconds: each receive waits as long as SQS lets it, and nothing else is asked"
    )
    func idle() async throws {
        let queue = try ScriptedSQS()
        // As if the 20 seconds were over.
        queue.setFaults { $0 == "ReceiveMessage" ? .answer("{}") : nil }
        try await SourceProbe.run(queue) { probe in
            probe.grant(1000)
            #expect(BoundedWait.until(within: .seconds(60)) { queue.figures.waits.count >= 5 })
        }
        #expect(Set(queue.figures.waits) == [20])
        #expect(Set(queue.figures.calls.keys).isSubset(of: ["GetQueueUrl", "ReceiveMessage"]))
    }

    @Test("Under a backlog receives go side by side, never more than configured")
    func backlog() async throws {
        let queue = try ScriptedSQS()
        queue.send(Self.messages(3000))
        try await SourceProbe.run(queue, "pollers: 4") { probe in
            probe.grant(3000)
            let runs = try await probe.receive(3000)
            #expect(Set(SourceProbe.bodies(runs)).count == 3000)
            #expect((2...4).contains(queue.figures.receivingMost))
            #expect(queue.figures.askedMost == 10)
        }
    }

    @Test("Each entry's result counts: refused ones are tried again, expired ones are lost")
    func partialDeletion() async throws {
        let queue = try ScriptedSQS()
        queue.send(Self.messages(10))
        try await SourceProbe.run(queue) { probe in
            probe.grant(10)
            let runs = try await probe.receive(10)
            queue.setFaults { operation in
                operation == "DeleteMessageBatch"
                    ? .failedEntries([2, 5], code: "InternalError", isSendersFault: false) : nil
            }
            let first = try await probe.settle(.acknowledge, runs)
            #expect(SourceProbe.bodies(first.refused) == ["2", "5"])
            #expect(first.lost.isEmpty)
            queue.setFaults { operation in
                operation == "DeleteMessageBatch"
                    ? .failedEntries([0], code: "ReceiptHandleIsInvalid", isSendersFault: true) : nil
            }
            let second = try await probe.settle(.acknowledge, first.refused)
            #expect(second.refused.isEmpty)
            #expect(SourceProbe.bodies(second.lost) == ["2"])
            #expect(queue.bodies == ["2"])
        }
    }

    @Test(
        "A call that fails as a whole is refused as a whole, and the trigger says why",
        arguments: [
            (ScriptedSQS.Fault.error(status: 403, code: "AccessDeniedException"), "allow sqs:ReceiveMessage"),
            (.error(status: 400, code: "RequestThrottled"), "RequestThrottled"), (.lostAnswer, "Client."),
            (.answer("no JSON"), "is not the JSON of SQS"), (.answer("{}"), ""),
        ]
    )
    func refusedDeletion(fault: ScriptedSQS.Fault, words: String) async throws {
        let queue = try ScriptedSQS()
        queue.send(Self.messages(3))
        try await SourceProbe.run(queue) { probe in
            probe.grant(3)
            let runs = try await probe.receive(3)
            queue.setFaults { $0 == "DeleteMessageBatch" ? fault : nil }
            let outcome = try await probe.settle(.acknowledge, runs)
            #expect(outcome.refused.reduce(0) { $0 + $1.count } == 3)
            if !words.isEmpty {
                let detail = try await probe.next { event in
                    if case .status(.disconnected(let detail)) = event { detail } else { nil }
                }
                #expect(detail.contains(words) && detail.hasPrefix("sqs queue orders: "), "\(detail)")
            }
            queue.setFaults(nil)
            let again = try await probe.settle(.acknowledge, runs)
            #expect(again.refused.isEmpty && again.lost.isEmpty)
            #expect(queue.bodies.isEmpty)
        }
    }

    @Test(
        "A message on which the function failed comes again as the configuration says",
        arguments: [("backoff", [2]), ("visibility", []), ("now", [0])]
    )
    func release(way: String, visibilities: [Int]) async throws {
        let queue = try ScriptedSQS()
        queue.send(Self.messages(2))
        try await SourceProbe.run(queue, "release: \(way)") { probe in
            probe.grant(1)
            let failed = try await probe.receive(1)
            let outcome = try await probe.settle(
                .release(after: .milliseconds(1100), isFailure: true),
                failed
            )
            #expect(outcome.refused.isEmpty && outcome.lost.isEmpty)
            #expect(queue.figures.visibilities == visibilities)
            // What did not fail goes back as it is told, however failures do.
            probe.grant(1)
            let other = try await probe.receive(1)
            _ = try await probe.settle(.release(after: .seconds(7), isFailure: false), other)
            #expect(queue.figures.visibilities == visibilities + [7])
        }
    }

    @Test("A lease is made longer from before the request left, and a lost one is told")
    func extend() async throws {
        let queue = try ScriptedSQS()
        queue.send(Self.messages(2))
        try await SourceProbe.run(queue, "visibility: 3s") { probe in
            probe.grant(2)
            let runs = try await probe.receive(2)
            let lease = try #require(runs[0].admitted.block.lease?.until)
            #expect(lease <= probe.reactor.now + .seconds(3))
            let before = probe.reactor.now
            let outcome = try await probe.source.extend(
                LeaseTicket(id: LeaseTicket.ID(rawValue: 1), runs: runs, length: .milliseconds(60_500))
            )
            #expect(outcome.until >= before + .seconds(60))
            #expect(outcome.until <= probe.reactor.now + .seconds(60))
            #expect(queue.figures.visibilities == [60, 60])
            _ = try await probe.settle(.acknowledge, runs)
            let late = try await probe.source.extend(
                LeaseTicket(id: LeaseTicket.ID(rawValue: 2), runs: runs, length: .seconds(60))
            )
            #expect(SourceProbe.bodies(late.lost) == ["0", "1"])
        }
    }

    @Test("A queue that is deleted and created again is read again")
    func recreated() async throws {
        let queue = try ScriptedSQS()
        try await SourceProbe.run(queue, "visibility: 2s") { probe in
            queue.setExists(false)
            probe.grant(100)
            let detail = try await probe.next { event in
                if case .status(.disconnected(let detail)) = event { detail } else { nil }
            }
            #expect(detail.contains("QueueDoesNotExist") && detail.contains("create the queue"))
            queue.setExists(true)
            queue.send(Self.messages(1))
            let runs = try await probe.receive(1)
            queue.setExists(false)
            let outcome = try await probe.settle(.acknowledge, runs)
            #expect(SourceProbe.bodies(outcome.lost) == ["0"])
        }
    }

    @Test("A name is looked up until the queue is there")
    func byName() async throws {
        let queue = try ScriptedSQS("later")
        queue.setExists(false)
        try await SourceProbe.run(queue, by: "later") { probe in
            probe.grant(100)
            _ = try await probe.next { event in
                if case .status(.disconnected(let detail)) = event, detail.contains("QueueDoesNotExist") {
                    true
                } else {
                    nil
                }
            }
            queue.setExists(true)
            queue.send(Self.messages(1))
            let name = try await probe.next { event in
                if case .assigned(let partitions) = event { partitions.first?.name } else { nil }
            }
            #expect(name == "arn:aws:sqs:eu-west-1:000000000000:later")
            let runs = try await probe.receive(1)
            #expect(SourceProbe.bodies(runs) == ["0"])
        }
    }

    @Test(
        "A receive that fails is told, and tried again later by one receive alone",
        arguments: [
            (ScriptedSQS.Fault.error(status: 403, code: "OverLimit"), "others may have received"),
            (.error(status: 400, code: "RequestThrottled"), "RequestThrottled"),
            (.error(status: 500, code: "InternalFailure"), "InternalFailure"),
            (.answer(#"{"Messages":[{"MessageId":"x"}]}"#), "is not the JSON of SQS"),
            (.lostAnswer, "Client."),
        ]
    )
    func refusedReceive(fault: ScriptedSQS.Fault, words: String) async throws {
        let queue = try ScriptedSQS()
        queue.setFaults { $0 == "ReceiveMessage" ? fault : nil }
        try await SourceProbe.run(queue, "visibility: 2s") { probe in
            probe.grant(100)
            let detail = try await probe.next { event in
                if case .status(.disconnected(let detail)) = event { detail } else { nil }
            }
            #expect(detail.contains(words), "\(detail)")
            #expect(queue.figures.receivingMost <= 1)
            queue.setFaults(nil)
            queue.send(Self.messages(1))
            _ = try await probe.next { event in if case .status(.connected) = event { true } else { nil } }
        }
    }

    @Test(
        "In a FIFO queue a lost answer is asked for again, so that no group waits for its visibility to end"
    )
    func lostAnswer() async throws {
        let queue = try ScriptedSQS("ledger.fifo")
        queue.send((0..<5).map { ("\($0)", "a") })
        let isFirst = Mutex(true)
        queue.setFaults { operation in
            guard operation == "ReceiveMessage" else { return nil }
            return isFirst.withLock { isFirst in
                defer { isFirst = false }
                return isFirst ? .lostAnswer : nil
            }
        }
        try await SourceProbe.run(queue, "visibility: 1h") { probe in
            probe.grant(5)
            let runs = try await probe.receive(5)
            #expect(SourceProbe.bodies(runs) == ["0", "1", "2", "3", "4"])
            #expect(queue.figures.deliveries == 10)
        }
    }

    @Test("What arrives while the source stops is given back at once")
    func late() async throws {
        let queue = try ScriptedSQS()
        try await SourceProbe.run(queue, grace: .seconds(60)) { probe in
            probe.grant(100)
            #expect(BoundedWait.until(within: .seconds(30)) { queue.figures.receiving == 1 })
            async let stopping: Void = probe.source.stop()
            while await !probe.source.isStopped { await Task.yield() }
            queue.send(Self.messages(3))
            await stopping
            #expect(queue.figures.deliveries == 3)
            #expect(queue.figures.visibilities == [0, 0, 0])
        }
    }

    @Test("A stop ends the receive that waits, at once")
    func stop() async throws {
        let queue = try ScriptedSQS()
        let clock = ContinuousClock()
        var began = clock.now
        try await SourceProbe.run(queue) { probe in
            probe.grant(100)
            _ = try await probe.next { event in if case .assigned = event { true } else { nil } }
            #expect(BoundedWait.until(within: .seconds(30)) { queue.figures.receiving == 1 })
            began = clock.now
        }
        #expect(clock.now - began < .seconds(10))
    }
}

extension ScriptedSQS {
    /// What leads a source or a destination to this queue: by its URL, or by a name; and more lines.
    func settings(named name: String? = nil, _ more: String = "") -> String {
        """
        queue: "\(name ?? self.url)"
        endpoint: \(self.endpoint)
        region: eu-west-1
        credentials: { access_key_id: KEY, secret_access_key: s3cret }
        \(more)
        """
    }
}
