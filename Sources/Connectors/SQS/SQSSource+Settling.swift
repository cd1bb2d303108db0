// SPDX-License-Identifier: Apache-2.0

import AWSClient
import Glibc
import PenstockCore
import PenstockRuntime
import Reactor

// MARK: - Deleting, releasing and extending

extension SQSSource {
    func settle(_ settlements: [Settlement]) async throws(SourceError) -> SettlementOutcome {
        var calls: [[SQSClient.Entry]] = []
        for settlement in settlements {
            switch settlement.kind {
            case .acknowledge: calls += Self.calls(settlement.runs) { _ in nil }
            case .release(let delay, let isFailure):
                guard let seconds = self.seconds(delay, isFailure: isFailure) else { continue }
                let now = self.reactor.now
                calls += Self.calls(settlement.runs) { min(seconds, Self.secondsLeft(of: $0, at: now)) }
            }
        }
        return try await self.carryOut(calls)
    }

    func extend(_ ticket: LeaseTicket) async throws(SourceError) -> LeaseExtension {
        let sentAt = self.reactor.now
        // Rounded down: the lease must never be longer than upstream's.
        let seconds = Int(max(1, ticket.length.wholeMilliseconds / 1000))
        let outcome = try await self.carryOut(Self.calls(ticket.runs) { _ in seconds })
        return LeaseExtension(
            until: sentAt + .seconds(seconds),
            refused: outcome.refused,
            lost: outcome.lost
        )
    }

    /// Gives messages back that arrived too late to be handed over; nobody waits for what comes of it.
    func giveBack(_ block: RecordBlock) async {
        let admitted = AdmittedBlock(block: block, firstDelivery: 0, receivedAt: self.reactor.now, sizes: [])
        let entry = SQSClient.Entry(run: Run(admitted: admitted, range: 0..<block.count), visibility: 0)
        // When it fails, they come again as their visibility ends.
        _ = try? await self.client.settle([entry], of: self.urlText)
    }

    /// After how many seconds a released message may come again; nil to let its visibility run out.
    private func seconds(_ delay: Duration, isFailure: Bool) -> Int? {
        switch isFailure ? self.settings.release : .backoff {
        case .backoff: Int(min(Int64(SQSClient.visibilityMax), (delay.wholeMilliseconds + 999) / 1000))
        case .visibility: nil
        case .now: 0
        }
    }

    /// For how long SQS can keep a delivery invisible: its twelve hours begin with the receipt, which was a poll's length
    /// before we had it at most.
    private static func secondsLeft(of run: Run, at now: Instant) -> Int {
        let held = Int((now - run.admitted.receivedAt).wholeMilliseconds / 1000)
        return max(0, SQSClient.visibilityMax - held - SQSClient.waitMax - 1)
    }

    /// The deliveries in calls of at most ten, each with its new visibility; nil to delete it.
    private static func calls(_ runs: [Run], visibility: (Run) -> Int?) -> [[SQSClient.Entry]] {
        var calls: [[SQSClient.Entry]] = []
        var room = 0
        for run in runs {
            let visibility = visibility(run)
            var rest = run
            while rest.count > 0 {
                if room == 0 {
                    calls.append([])
                    room = SQSClient.batchMax
                }
                let part = rest.removePrefix(min(room, rest.count))
                calls[calls.count - 1].append(SQSClient.Entry(run: part, visibility: visibility))
                room -= part.count
            }
        }
        return calls
    }

    /// Makes the calls, some of them side by side.
    ///
    /// A call of which nobody knows what came is counted as refused: a second deletion does no harm.
    private func carryOut(_ calls: [[SQSClient.Entry]]) async throws(SourceError) -> SettlementOutcome {
        guard self.url != nil else {
            throw SourceError(.closed, "sqs queue \(self.settings.queue.name): it was not read yet")
        }
        if calls.count == 1 { return await self.carryOut(calls[0]) }
        let loop = self.reactor
        return await withTaskGroup { group in
            var outcome = SettlementOutcome()
            var rest = calls[...]
            for _ in 0..<Self.callsMax {
                guard let call = rest.popFirst() else { break }
                group.addTask(executorPreference: loop) { await self.carryOut(call) }
            }
            while let one = await group.next() {
                outcome.refused += one.refused
                outcome.lost += one.lost
                guard let call = rest.popFirst() else { continue }
                group.addTask(executorPreference: loop) { await self.carryOut(call) }
            }
            return outcome
        }
    }

    /// Calls of one settlement side by side: the engine has up to four settlements under way.
    private static let callsMax = SQSSourceConfiguration.settlers / 4

    private func carryOut(_ call: [SQSClient.Entry]) async -> SettlementOutcome {
        do throws(AWSError) {
            let outcomes = try await self.client.settle(call, of: self.urlText)
            self.note(nil, of: .settling)
            return SettlementOutcome(call, outcomes)
        } catch {
            self.note(error, of: .settling)
            let isGone = SQSErrorCode.noQueue.contains(SQSErrorCode.bare(error.code))
            let runs = call.map(\.run)
            return isGone ? SettlementOutcome(lost: runs) : SettlementOutcome(refused: runs)
        }
    }
}

extension SettlementOutcome {
    /// What came of a call's deliveries, one after the other.
    fileprivate init(_ call: [SQSClient.Entry], _ outcomes: [SQSClient.Outcome]) {
        self.init()
        var number = 0
        for run in call.map(\.run) {
            for place in run.range {
                switch outcomes[number] {
                case .done: break
                case .refused: self.refused.append(Run(admitted: run.admitted, range: place..<place + 1))
                case .lost: self.lost.append(Run(admitted: run.admitted, range: place..<place + 1))
                }
                number += 1
            }
        }
    }
}

extension StaticString {
    /// Whether a text is this one.
    func isEqual(to text: UnsafeRawBufferPointer) -> Bool {
        guard text.count == self.utf8CodeUnitCount, let start = text.baseAddress else { return false }
        return unsafe memcmp(start, self.utf8Start, text.count) == 0
    }
}
