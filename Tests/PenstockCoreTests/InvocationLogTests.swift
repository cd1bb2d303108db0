// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockTesting
import Reactor
import Testing

/// What is remembered of invocations, and what that costs.
@Suite struct InvocationLogTests {
    private static let failure = Failure(type: "Error", message: "simulated")

    private static func time(_ milliseconds: Int) -> Timestamp {
        Timestamp(milliseconds: VirtualLoop.epoch.milliseconds + Int64(milliseconds))
    }

    /// A batch of one block: positions of a partition, which may be taken in another order.
    private static func batch(
        _ id: UInt64,
        _ positions: [String],
        of name: String = "p",
        order: [UInt32]? = nil,
        lease: BlockLease? = nil
    ) throws -> Batch {
        var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: positions.count)
        let index = builder.add(Partition(id: PartitionID(1), name: name))
        for text in positions {
            unsafe builder.append(
                position: try #require(Position(text)),
                timestamp: VirtualLoop.epoch,
                tag: 0,
                partitionIndex: index,
                payload: RecordPayload(key: nil, body: nil)
            )
        }
        let block = builder.finish(lease: lease)
        let admitted = AdmittedBlock(
            block: block,
            firstDelivery: 0,
            receivedAt: .start,
            sizes: Array(0...positions.count),
            order: order
        )
        return Batch(id: BatchID(id), runs: [Run(admitted: admitted, range: 0..<positions.count)], attempt: 1)
    }

    @Test("A record is told the invocations with it, in order of time, and what each made of it")
    func mentions() throws {
        var log = InvocationLog()
        log.begin(try Self.batch(1, ["5", "6", "7"]), id: "one", at: Self.time(1))
        log.begin(try Self.batch(2, ["5", "6", "7"], of: "q"), id: "other", at: Self.time(2))
        log.end(BatchID(2), verdict: .succeeded, duration: .milliseconds(4))
        log.end(
            BatchID(1),
            verdict: .partial([.succeeded, .failed, .poison], Self.failure),
            duration: .milliseconds(3)
        )
        log.begin(try Self.batch(3, ["6"]), id: "two", at: Self.time(9))
        let six = log.mentions(of: "p", Position(6))
        #expect(six.map(\.id) == ["one", "two"])
        #expect(six.map(\.word) == [.failed, nil])
        #expect(six.map(\.duration) == [.milliseconds(3), nil])
        #expect(six[0].failure == Self.failure && six[0].batch.map(\.count) == [3])
        #expect(log.mentions(of: "p", Position(5)).map(\.word) == [.succeeded])
        #expect(log.mentions(of: "p", Position(7)).map(\.word) == [.poison])
        #expect(log.mentions(of: "p", Position(8)).isEmpty)
        log.end(BatchID(3), verdict: .throttled(retryAfter: nil, Self.failure), duration: .zero)
        #expect(log.mentions(of: "p", Position(6)).last?.word == .throttled)
        #expect(log.forgotten == nil)
    }

    @Test(
        "Positions with holes, in another order, leased or wider than 64 bits are found, and those between are not"
    )
    func holes() throws {
        let wide = "6277101735386680763835789423207666416102355444464034512895"
        let batches = [
            try Self.batch(1, ["10", "12", "19"]),
            try Self.batch(1, ["19", "10", "12"], lease: BlockLease(until: nil)),
            try Self.batch(1, ["10", "12", "19"], order: [2, 0, 1]),
            try Self.batch(1, ["10", "12", "19", wide]),
        ]
        for batch in batches {
            var log = InvocationLog()
            log.begin(batch, id: "one", at: Self.time(1))
            let run = batch.runs[0]
            let verdicts = run.indices.map { index -> Verdict in
                run.admitted.block.entries[index].position == Position(12) ? .failed : .succeeded
            }
            log.end(BatchID(1), verdict: .partial(verdicts, Self.failure), duration: .zero)
            #expect(log.mentions(of: "p", Position(10)).map(\.word) == [.succeeded])
            #expect(log.mentions(of: "p", Position(12)).map(\.word) == [.failed])
            #expect(log.mentions(of: "p", Position(19)).map(\.word) == [.succeeded])
            #expect(log.mentions(of: "p", Position(11)).isEmpty)
            #expect(log.mentions(of: "p", Position(20)).isEmpty)
            let isWide = run.count == 4
            #expect(log.mentions(of: "p", try #require(Position(wide))).count == (isWide ? 1 : 0))
        }
    }

    @Test("A leased block whose ends look like neighbours is not taken for a range")
    func leasedEnds() throws {
        var log = InvocationLog()
        log.begin(
            try Self.batch(1, ["1", "9", "3"], lease: BlockLease(until: nil)),
            id: "one",
            at: Self.time(1)
        )
        #expect(log.mentions(of: "p", Position(2)).isEmpty)
        #expect(log.mentions(of: "p", Position(9)).count == 1)
    }

    @Test("Many successes drive out older successes, and no failure; what is forgotten is told")
    func bounds() throws {
        var log = InvocationLog()
        log.begin(try Self.batch(0, ["0"]), id: "bad", at: Self.time(0))
        log.end(BatchID(0), verdict: .failed(Self.failure), duration: .zero)
        for number in 1...3000 {
            log.begin(try Self.batch(UInt64(number), ["\(number)"]), id: "\(number)", at: Self.time(number))
            log.end(BatchID(UInt64(number)), verdict: .succeeded, duration: .zero)
        }
        #expect(log.mentions(of: "p", Position(0)).map(\.id) == ["bad"])
        #expect(log.mentions(of: "p", Position(1)).isEmpty)
        #expect(log.mentions(of: "p", Position(3000)).map(\.id) == ["3000"])
        let kept = (1...3000).count { !log.mentions(of: "p", Position(UInt64($0))).isEmpty }
        #expect(kept > 500 && kept <= InvocationLog.invocationsMax)
        #expect(log.forgotten == Self.time(3000 - kept))
    }

    @Test("Hours without room drive out no attempt, and of them the latest are kept")
    func throttles() throws {
        var log = InvocationLog()
        let batch = try Self.batch(0, ["0"])
        log.begin(batch, id: "tried", at: Self.time(0))
        log.end(batch.id, verdict: .failed(Self.failure), duration: .zero)
        for number in 1...5000 {
            log.begin(batch, id: "\(number)", at: Self.time(number))
            log.end(batch.id, verdict: .throttled(retryAfter: nil, Self.failure), duration: .zero)
        }
        let words = log.mentions(of: "p", Position(0))
        #expect(words.first?.id == "tried" && words.first?.word == .failed)
        #expect(words.count == 1 + InvocationLog.throttlesMax && words.last?.id == "5000")
        #expect(log.forgotten == nil)
    }

    @Test("Long failures and batches with holes are bounded by what they take")
    func memory() throws {
        var log = InvocationLog()
        let long = Failure(type: "E", message: String(repeating: "x", count: Failure.messageMax))
        let runs = try Self.batch(0, (0..<500).map { "\($0 * 2)" }).runs
        for number in 0..<100 {
            let batch = Batch(id: BatchID(UInt64(number)), runs: runs, attempt: 1)
            log.begin(batch, id: "\(number)", at: Self.time(number))
            log.end(batch.id, verdict: .failed(long), duration: .zero)
        }
        let kept = log.mentions(of: "p", Position(8)).count
        #expect(kept * (500 * 4 + 4096) <= InvocationLog.bytesMax && kept > 30)
    }

    @Test("What was under way when its pipeline ended is forgotten")
    func abandoned() throws {
        var log = InvocationLog()
        log.begin(try Self.batch(1, ["5"]), id: "one", at: Self.time(1))
        log.abandon()
        #expect(log.mentions(of: "p", Position(5)).isEmpty)
        log.end(BatchID(1), verdict: .succeeded, duration: .zero)
        #expect(log.mentions(of: "p", Position(5)).isEmpty)
    }
}
