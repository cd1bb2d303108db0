// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import Reactor

/// The function of a trigger under test: the configured one's format, timeout and concurrency, and the case's answers.
final class BehaviorFunction: Function {
    private let world: BehaviorWorld
    private let real: any Function
    private let itemReports: ItemReports
    private let formatOfSource: any EventFormat
    private let stateMax: Int

    init(
        _ world: BehaviorWorld,
        real: any Function,
        plan: TriggerPlan,
        policy: TriggerPolicy,
        trigger: String
    ) {
        self.stateMax = policy.windowStateMax
        self.world = world
        self.real = real
        self.itemReports = plan.itemReports
        self.formatOfSource = real.format(for: plan.source.format, trigger: trigger)
    }

    var name: String { self.real.name }
    var concurrency: Int { self.real.concurrency }
    var timeout: Duration { self.real.timeout }

    func format(for source: any EventFormat, trigger: String) -> any EventFormat {
        BehaviorFormat(world: self.world, trigger: trigger, real: self.formatOfSource)
    }

    func invoke(_ invocation: Invocation) async -> InvocationResult {
        guard let (batch, call, answer) = self.world.begin(invocation.id) else {
            return .failed(Failure(type: "Test.UnknownBatch", message: "the test does not know this batch"))
        }
        let isLate = answer.map { $0.answer.value.isTimeout || $0.delay >= self.timeout } ?? false
        let delay = isLate ? self.timeout : answer?.delay ?? .zero
        if delay > .zero { await self.world.loop.sleep(for: delay) }
        let result = isLate ? self.timedOut : self.result(answer?.answer.value ?? .succeed, batch)
        let (verdict, _) = ResponseContract.judge(
            result,
            batch: batch,
            format: self.formatOfSource,
            itemReports: self.itemReports,
            stateMax: self.stateMax
        )
        self.world.end(call, batch, answer: Self.words(verdict), verdict: verdict)
        return result
    }

    private func result(_ answer: BehaviorAnswer.Answer, _ batch: Batch) -> InvocationResult {
        switch answer {
        case .succeed: .responded(Self.object([Self.state(batch)]))
        case .respond(let body): .responded(body)
        case .failItems(let items):
            .responded(
                Self.object([
                    self.world.itemFailures(items, in: batch, format: self.formatOfSource),
                    Self.state(batch),
                ])
            )
        case .fail(let failure): .failed(failure)
        case .timeout: self.timedOut
        case .throttle(let delay):
            .throttled(
                retryAfter: delay,
                Failure(type: "TooManyRequestsException", message: "throttled by the test")
            )
        case .unavailable:
            .unavailable(Failure(type: "Test.Unavailable", message: "made unavailable by the test"))
        case .reject: .rejected(Failure(type: "Test.Rejected", message: "rejected by the test"))
        }
    }

    /// In a window the state as it was.
    private static func state(_ batch: Batch) -> [UInt8]? {
        batch.window.map { Array("\"state\":".utf8) + $0.open.state }
    }

    private static func object(_ members: [[UInt8]?]) -> [UInt8] {
        Array("{".utf8) + members.compactMap(\.self).joined(separator: Array(",".utf8)) + Array("}".utf8)
    }

    private var timedOut: InvocationResult {
        let seconds = self.timeout.configurationText
        return .failed(Failure(type: "Sandbox.Timedout", message: "no answer within \(seconds)"))
    }

    /// For the table of invocations.
    private static func words(_ verdict: BatchVerdict) -> String {
        switch verdict {
        case .succeeded: "ok"
        case .failed(let failure): failure.type
        case .poison: "rejected"
        case .cancelled: "cancelled"
        case .throttled(let delay, let failure):
            delay.map { "throttled for \($0.configurationText)" }
                ?? (failure.type == "Test.Unavailable" ? "unavailable" : "throttled")
        case .partial(let verdicts, _):
            "\(verdicts.count { $0 != .succeeded }) of \(verdicts.count) failed"
        }
    }

    func shutdown() async {}
}

extension BehaviorAnswer.Answer {
    fileprivate var isTimeout: Bool {
        if case .timeout = self { return true }
        return false
    }
}

/// The configured format, which tells the world of each batch that is written.
private struct BehaviorFormat: EventFormat {
    let world: BehaviorWorld
    let trigger: String
    let real: any EventFormat

    var contentType: String { self.real.contentType }
    func sizes(of block: RecordBlock) -> RecordSizes { self.real.sizes(of: block) }
    var envelope: Int { self.real.envelope }
    func overhead(of partition: Partition) -> Int { self.real.overhead(of: partition) }
    var takesWindows: Bool { self.real.takesWindows }
    func overhead(of window: BatchWindow) -> Int { self.real.overhead(of: window) }
    func index(of item: ItemIdentifier, in batch: Batch) -> Int? { self.real.index(of: item, in: batch) }

    func encode(_ batch: Batch, into writer: inout EventWriter) {
        self.world.encoded(batch, trigger: self.trigger)
        self.real.encode(batch, into: &writer)
    }
}

/// Where dead letters of a trigger under test go.
struct BehaviorDestination: Destination {
    let world: BehaviorWorld

    var name: String { "dead_letters" }

    func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        self.world.gaveUp(letters)
    }

    func close() async {}
}

/// Where checkpoints of a trigger under test are kept.
struct BehaviorStore: CheckpointStore {
    let world: BehaviorWorld

    func checkpoints(of trigger: String) async throws(StoreError) -> [String: Position] { [:] }

    func windows(of trigger: String) async throws(StoreError) -> [String: KeptWindow] { [:] }

    func save(_ checkpoints: [Checkpoint]) async throws(StoreError) {
        for checkpoint in checkpoints { self.world.kept(checkpoint.partition, checkpoint.position) }
    }

    func removeCheckpoints(of trigger: String, partitions: [String]) async throws(StoreError) {}
    func replaceCheckpoints(
        of trigger: String,
        with checkpoints: [Checkpoint],
        removing partitions: [String]
    ) async throws(StoreError) {}
}
