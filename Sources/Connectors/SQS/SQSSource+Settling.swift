// SPDX-License-Identifier: Apache-2.0

import AWSClient
import PenstockCore
import PenstockRuntime
import Reactor

// MARK: - Deleting, releasing and extending

extension SQSSource {
    /// One delivery, with what is to be asked of it.
    private struct Request {
        var run: Run
        var entry: SQSClient.Entry
    }

    func settle(_ settlements: [Settlement]) async throws(SourceError) -> SettlementOutcome {
        var requests: [[Request]] = []
        for settlement in settlements {
            switch settlement.kind {
            case .acknowledge: requests += Self.chunks(settlement.runs) { _ in nil }
            case .release(let delay, let isFailure):
                guard let seconds = self.seconds(delay, isFailure: isFailure) else { continue }
                let now = self.reactor.now
                requests += Self.chunks(settlement.runs) { min(seconds, Self.secondsLeft(of: $0, at: now)) }
            }
        }
        let outcomes = try await self.carryOut(requests)
        return SettlementOutcome(
            refused: outcomes.compactMap { if case .refused = $0.outcome { $0.run } else { nil } },
            lost: outcomes.compactMap { if case .lost = $0.outcome { $0.run } else { nil } }
        )
    }

    func extend(_ ticket: LeaseTicket) async throws(SourceError) -> LeaseExtension {
        let sentAt = self.reactor.now
        // Rounded down: the lease must never be longer than upstream's.
        let seconds = Int(max(1, ticket.length.wholeMilliseconds / 1000))
        let outcomes = try await self.carryOut(Self.chunks(ticket.runs) { _ in seconds })
        return LeaseExtension(
            until: sentAt + .seconds(seconds),
            refused: outcomes.compactMap { if case .refused = $0.outcome { $0.run } else { nil } },
            lost: outcomes.compactMap { if case .lost = $0.outcome { $0.run } else { nil } }
        )
    }

    /// Gives messages back that arrived too late to be handed over; nobody waits for what comes of it.
    func giveBack(_ block: RecordBlock?, _ url: String) async {
        guard let block, block.count > 0 else { return }
        let entries = (0..<block.count).map {
            SQSClient.Entry(block: block, index: $0, visibility: 0)
        }
        // When it fails, they come again as their visibility ends.
        _ = try? await self.client.settle(entries, of: url)
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
    private static func chunks(_ runs: [Run], visibility: (Run) -> Int?) -> [[Request]] {
        var chunks: [[Request]] = []
        for run in runs {
            let visibility = visibility(run)
            for place in run.range {
                let record = Run(admitted: run.admitted, range: place..<place + 1)
                let entry = SQSClient.Entry(
                    block: run.admitted.block,
                    index: record.first,
                    visibility: visibility
                )
                if chunks.last.map({ $0.count == SQSClient.batchMax }) ?? true { chunks.append([]) }
                chunks[chunks.count - 1].append(Request(run: record, entry: entry))
            }
        }
        return chunks
    }

    /// Makes the calls, some of them side by side.
    ///
    /// A call of which nobody knows what came is counted as refused: a second deletion does no harm.
    private func carryOut(
        _ calls: [[Request]]
    ) async throws(SourceError) -> [(run: Run, outcome: SQSClient.Outcome)] {
        guard let url = self.url else {
            throw SourceError(.closed, "sqs queue \(self.settings.queue.name): it was not read yet")
        }
        if calls.count == 1 { return await self.carryOut(calls[0], url) }
        let loop = self.reactor
        return await withTaskGroup { group in
            var outcomes: [(run: Run, outcome: SQSClient.Outcome)] = []
            var rest = calls[...]
            for _ in 0..<Self.callsMax {
                guard let call = rest.popFirst() else { break }
                group.addTask(executorPreference: loop) { await self.carryOut(call, url) }
            }
            while let some = await group.next() {
                outcomes += some
                guard let call = rest.popFirst() else { continue }
                group.addTask(executorPreference: loop) { await self.carryOut(call, url) }
            }
            return outcomes
        }
    }

    /// Calls of one settlement side by side: the engine has up to four settlements under way.
    private static let callsMax = SQSSourceConfiguration.settlers / 4

    private func carryOut(
        _ requests: [Request],
        _ url: String
    ) async -> [(run: Run, outcome: SQSClient.Outcome)] {
        do throws(AWSError) {
            let outcomes = try await self.client.settle(requests.map(\.entry), of: url)
            self.note(nil, of: .settling)
            return zip(requests, outcomes).map { ($0.run, $1) }
        } catch {
            self.note(error, of: .settling)
            let isGone = SQSErrorCode.noQueue.contains(SQSErrorCode.bare(error.code))
            return requests.map { ($0.run, isGone ? .lost(code: error.code) : .refused(code: error.code)) }
        }
    }
}

extension StaticString {
    /// Whether a text is this one.
    func isEqual(to text: UnsafeRawBufferPointer) -> Bool {
        guard text.count == self.utf8CodeUnitCount else { return false }
        for index in 0..<text.count {
            guard unsafe text[index] == self.utf8Start[index] else { return false }
        }
        return true
    }
}
