// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

/// The table of AWS's partial batch response, row by row (esm-spec section 4).
@Suite struct ResponseContractTests {
    /// Offsets 0, 1 and 2 of `orders-0`.
    private static let batch: Batch = {
        var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: 3)
        let index = builder.add(Partition(id: PartitionID(1), name: "orders-0"))
        for offset in 0..<3 {
            unsafe builder.append(
                position: Position(UInt64(offset)),
                timestamp: Timestamp(milliseconds: 0),
                tag: 0,
                partitionIndex: index,
                payload: RecordPayload(key: nil, body: nil)
            )
        }
        let admitted = AdmittedBlock(
            block: builder.finish(),
            firstDelivery: 0,
            receivedAt: .start,
            sizes: [0, 1, 2, 3]
        )
        return Batch(id: BatchID(1), runs: [Run(admitted: admitted, range: 0..<3)], attempt: 1)
    }()

    private static func verdict(_ response: String, reports: ItemReports = .accepted) -> BatchVerdict {
        ResponseContract.verdict(
            of: .responded(Array(response.utf8)),
            batch: Self.batch,
            format: LineFormat(),
            itemReports: reports
        )
    }

    @Test(
        "These answers mean that all succeeded",
        arguments: [
            #"{"batchItemFailures":[]}"#, #"{"batchItemFailures":null}"#, "{}", " {} ", "null", "", #""""#,
            #"{"ok":true}"#,
        ]
    )
    func success(response: String) {
        #expect(Self.verdict(response) == .succeeded)
    }

    @Test(
        "These answers fail the whole batch",
        arguments: [
            #"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            #"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            #"{"batchItemFailures":[{"foo":"x"}]}"#, #"{"batchItemFailures":[{}]}"#,
            #"{"batchItemFailures":[{"itemIdentifier":123}]}"#, #"{"batchItemFailures":{"a":1}}"#, "not json",
            "[1]", "7", #""text""#, #"{"batchItemFailures":[{"itemIdentifier":"unknown"}]}"#,
            #"{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-0","offset":9}}]}"#,
            #"{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-1","offset":0}}]}"#,
            #"{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-0","offset":true}}]}"#,
            #"{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-0","offset":1.5}}]}"#,
            #"{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-0","offset":-1}}]}"#,
            #"{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-0","offset":1}},{"itemIdentifier":"x"}]}"#,
        ]
    )
    func malformed(response: String) {
        guard case .failed(let failure) = Self.verdict(response) else {
            Issue.record("\(Self.verdict(response))")
            return
        }
        #expect(failure.type == "Penstock.MalformedResponse")
    }

    @Test("The records named failed, the others succeeded; named twice is as named once")
    func partial() {
        let item = #"{"itemIdentifier":{"partition":"orders-0","offset":1}}"#
        let expected = BatchVerdict.partial([.succeeded, .failed, .succeeded], ResponseContract.reported)
        #expect(Self.verdict(#"{"batchItemFailures":[\#(item)]}"#) == expected)
        #expect(Self.verdict(#"{"batchItemFailures":[\#(item),\#(item)]}"#) == expected)
    }

    @Test(
        "With require_item_failures an answer without a list fails the whole batch",
        arguments: [
            #"{"batchItemFailures":null}"#, "{}", " {} ", "null", "", #""""#, #"{"ok":true}"#, "not json",
            "[]",
        ]
    )
    func required(response: String) {
        guard case .failed(let failure) = Self.verdict(response, reports: .required) else {
            Issue.record("\(Self.verdict(response, reports: .required))")
            return
        }
        #expect(failure.type == "Penstock.MalformedResponse")
        #expect(Self.verdict(#"{"batchItemFailures":[]}"#, reports: .required) == .succeeded)
        #expect(
            Self.verdict(#"{"recordResults":["success","success","success"]}"#, reports: .required)
                == .succeeded
        )
    }

    @Test("A word for each record says what came of it: success, retry or drop")
    func recordResults() {
        #expect(
            Self.verdict(#"{"recordResults":["success","retry","drop"]}"#)
                == .partial([.succeeded, .failed, .poison], ResponseContract.refused)
        )
        #expect(Self.verdict(#"{"recordResults":["success","success","success"]}"#) == .succeeded)
    }

    @Test(
        "Words that are wrong, too few, too many or beside a list of failures fail the whole batch",
        arguments: [
            #"{"recordResults":["success","retry"]}"#, #"{"recordResults":[]}"#,
            #"{"recordResults":["success","success","success","success"]}"#,
            #"{"recordResults":["success","success","ok"]}"#, #"{"recordResults":"success"}"#,
            #"{"recordResults":[1,2,3]}"#,
            #"{"recordResults":["success","success","retry"],"batchItemFailures":[]}"#,
        ]
    )
    func malformedResults(response: String) {
        guard case .failed(let failure) = Self.verdict(response) else {
            Issue.record("\(Self.verdict(response))")
            return
        }
        #expect(failure.type == "Penstock.MalformedResponse")
    }

    @Test(
        "Without report_item_failures every answer is success",
        arguments: ["not json", #"{"batchItemFailures":7}"#]
    )
    func ignored(response: String) {
        #expect(Self.verdict(response, reports: .ignored) == .succeeded)
    }

    @Test("A function that could not be reached costs no attempt, one that refused is poison")
    func results() {
        let failure = Failure(type: "E", message: "m")
        func verdict(_ result: InvocationResult) -> BatchVerdict {
            ResponseContract.verdict(
                of: result,
                batch: Self.batch,
                format: LineFormat(),
                itemReports: .accepted
            )
        }
        #expect(verdict(.unavailable(failure)) == .throttled(retryAfter: nil, failure))
        #expect(
            verdict(.throttled(retryAfter: .seconds(3), failure))
                == .throttled(retryAfter: .seconds(3), failure)
        )
        #expect(verdict(.rejected(failure)) == .poison(failure))
        #expect(verdict(.failed(failure)) == .failed(failure))
    }

    @Test("The request id is the same for the same records, and has the form of a UUID")
    func stableID() {
        let id = InvocationID.make(trigger: "orders", batch: Self.batch)
        #expect(id == InvocationID.make(trigger: "orders", batch: Self.batch))
        #expect(id != InvocationID.make(trigger: "other", batch: Self.batch))
        #expect(
            id.wholeMatch(of: /[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/) != nil
        )
        // Written down, because functions keep it to drop duplicates: it must not change with a release.
        #expect(id == "c9b70ada-f107-89c7-a35f-79d9823e5039")
    }
    // MARK: - Tumbling windows

    private static func windowBatch(isFinal: Bool = false) -> Batch {
        let window = BatchWindow(
            partition: Self.batch.runs[0].partition,
            open: OpenWindow(WindowSpan(holding: Timestamp(milliseconds: 5000), length: .seconds(10))),
            isFinal: isFinal
        )
        return Batch(id: BatchID(1), runs: isFinal ? [] : Self.batch.runs, attempt: 1, window: window)
    }

    private static func judge(
        _ response: String,
        isFinal: Bool = false
    ) -> (verdict: BatchVerdict, state: [UInt8]?) {
        ResponseContract.judge(
            .responded(Array(response.utf8)),
            batch: Self.windowBatch(isFinal: isFinal),
            format: LineFormat(),
            itemReports: .accepted,
            stateMax: 30
        )
    }

    @Test(
        "In a window an answer must have a state, which is taken as it is written",
        arguments: [
            (#"{"state":{"sum":1.50}}"#, #"{"sum":1.50}"#), (#" { "a" : [1,{}] , "state" : { } } "#, "{ }"),
            (#"{"state":{"a":1},"batchItemFailures":[],"state":{"b":"}"}}"#, #"{"b":"}"}"#),
        ]
    )
    func state(response: String, state: String) {
        let (verdict, found) = Self.judge(response)
        #expect(verdict == .succeeded && found == Array(state.utf8))
    }

    @Test(
        "Answers without a state, or with one that cannot be passed on, are failed invocations",
        arguments: [
            "", "null", "{}", #"{"state":null}"#, #"{"state":[1]}"#, #"{"state":"{}"}"#, #"[{"state":{}}]"#,
            #"{"a":{"state":{}}}"#, #"{"state":{}"#, #"{"state":{"text":"longer than thirty bytes"}}"#,
        ]
    )
    func noState(response: String) {
        let (verdict, state) = Self.judge(response)
        guard case .failed(let failure) = verdict else {
            Issue.record("\(verdict)")
            return
        }
        #expect(failure.type == "Penstock.MalformedResponse" && state == nil)
    }

    @Test("A partial answer brings its state; the final call succeeds with any answer")
    func windowParts() {
        let item = #"{"itemIdentifier":{"partition":"orders-0","offset":1}}"#
        let (verdict, state) = Self.judge(#"{"batchItemFailures":[\#(item)],"state":{"n":1}}"#)
        #expect(verdict == .partial([.succeeded, .failed, .succeeded], ResponseContract.reported))
        #expect(state == Array(#"{"n":1}"#.utf8))
        for answer in ["", "null", "[]", "no JSON"] {
            #expect(Self.judge(answer, isFinal: true).verdict == .succeeded)
        }
    }

    @Test(
        "Calls of different windows have different request ids, and so have final calls at different positions"
    )
    func windowIDs() {
        var batches = [Self.batch, Self.windowBatch(), Self.windowBatch(isFinal: true)]
        var later = Self.windowBatch(isFinal: true).window
        later?.settled = Position(7)
        batches.append(Batch(id: BatchID(1), runs: [], attempt: 1, window: later))
        #expect(Set(batches.map { InvocationID.make(trigger: "t", batch: $0) }).count == 4)
    }
}
