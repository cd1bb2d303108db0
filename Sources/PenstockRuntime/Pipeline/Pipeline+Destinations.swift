// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockStore
import Reactor

// MARK: - What leaves by a destination

extension Pipeline {
    func deadLetter(_ ticket: DeadLetterTicket) async {
        let letters = self.letters(of: ticket)
        let due = letters.indices.filter { !ticket.delivered.contains($0) }
        do {
            if !due.isEmpty { try await self.parts.destination.deliver(due.map { letters[$0] }) }
            self.destinationFailure = nil
            guard await self.note(letters) else {
                self.engine.deadLettersRefused(ticket.id, delivered: Array(letters.indices), now: self.now)
                return self.flush()
            }
            self.engine.deadLettersWritten(ticket.id, now: self.now)
            self.tellDone(ticket.runs)
            self.logger.notice(
                "records given up",
                metadata: ["count": "\(letters.count)", "reason": "\(ticket.reason.rawValue)"]
            )
        } catch {
            self.destinationFailure = "\(self.parts.destination.name): \(error)"
            self.engine.deadLettersRefused(
                ticket.id,
                delivered: error.delivered.map { due[$0] },
                now: self.now
            )
            self.logger.error("dead letters refused; their partition waits", metadata: ["error": "\(error)"])
        }
        self.flush()
    }

    /// Tells a source that wants to know which records of a batch nothing more is done with.
    func tellDone(_ batch: Batch, _ verdict: BatchVerdict) {
        switch verdict {
        case .succeeded: self.tellDone(batch.runs)
        case .partial(let verdicts, _):
            self.tellDone(batch.runs) { $0 < verdicts.count && verdicts[$0] == .succeeded }
        case .failed, .poison, .throttled, .cancelled: break
        }
    }

    private func tellDone(_ runs: [Run], where isDone: (_ place: Int) -> Bool = { _ in true }) {
        guard let source = self.hearing else { return }
        let positions = runs.flatMap { run in run.indices.map { run.admitted.block.entries[$0].position } }
        source.done(positions.enumerated().filter { isDone($0.offset) }.map(\.element))
    }

    /// Tells a source with a fire log that these records were given up; false when its store refused.
    private func note(_ letters: [DeadLetter]) async -> Bool {
        guard let source = self.parts.source as? any FiringSource else { return true }
        do {
            try await source.note(.deadLetter, of: letters.compactMap(\.key))
            return true
        } catch {
            self.destinationFailure = "fire log: \(error.detail)"
            self.logger.error(
                "the fire log refused what was given up; its partition waits",
                metadata: ["error": "\(error)"]
            )
            return false
        }
    }

    private func letters(of ticket: DeadLetterTicket) -> [DeadLetter] {
        let verdict = DeadLetterVerdict(
            trigger: self.parts.name,
            function: self.parts.function.name,
            functionARN: self.parts.function.arn,
            reason: ticket.reason,
            at: self.loop.wallNow,
            attempts: ticket.attempts,
            attemptCount: ticket.attemptCount,
            invocation: ticket.invocation
        )
        return ticket.runs.flatMap { run in
            run.indices.map { DeadLetter(block: run.admitted.block, index: $0, verdict: verdict) }
        }
    }

    /// What `on_success` gets of an invocation, of its event and its result; nil when no record of it succeeded.
    func record(
        of batch: Batch,
        _ report: InvocationReport,
        _ verdict: BatchVerdict,
        _ call: (event: EventBuffer, result: InvocationResult)
    ) -> InvocationRecord? {
        guard case .responded(let response) = call.result else { return nil }
        switch verdict {
        case .succeeded: break
        case .partial(let verdicts, _): guard verdicts.contains(.succeeded) else { return nil }
        case .failed, .throttled, .poison, .cancelled: return nil
        }
        var document = SuccessDocument(
            requestID: report.id,
            trigger: self.parts.name,
            function: self.parts.function.name,
            at: self.loop.wallNow
        )
        document.functionARN = self.parts.function.arn
        document.executedVersion = report.executedVersion
        return document.record(of: batch, event: call.event, response: response)
    }

    func report(_ ticket: ResultTicket) async {
        guard let results = self.parts.results else { preconditionFailure("a result without a destination") }
        do {
            let isWhole = try await self.deliver(ticket.record, to: results)
            if !isWhole { self.figures.shortenedResults += 1 }
            self.resultFailure = nil
            self.figures.results += 1
            self.engine.resultWritten(ticket.id, now: self.now)
        } catch {
            self.resultFailure = "\(results.name): \(error)"
            self.engine.resultRefused(ticket.id, now: self.now)
            self.logger.error("a result was refused; its partition waits", metadata: ["error": "\(error)"])
        }
        self.flush()
    }

    /// Delivers a result; one that is too large for the destination in the first of its shorter forms that it takes.
    ///
    /// Returns whether that was the whole.
    private func deliver(
        _ record: InvocationRecord,
        to results: any ResultDestination
    ) async throws(DestinationError) -> Bool {
        do throws(DestinationError) {
            try await results.deliver(record)
            return true
        } catch  where !error.isTooLarge {
            throw error
        } catch {
            var refusal = error
            for form in ShortResult.forms(of: record) {
                do throws(DestinationError) {
                    try await results.deliver(form.record)
                    // Large batches are many, and what they had is at their source.
                    self.logger.log(
                        level: form.lacksEventAlone ? .debug : .warning,
                        "a result is too large for its destination, which got less of it",
                        metadata: [
                            "request": "\(record.id)", "bytes": "\(record.json.count)",
                            "kept": "\(form.record.json.count)", "left_out": "\(form.leftOut)",
                            "destination": "\(results.name)", "detail": "\(error.detail)",
                        ]
                    )
                    return false
                } catch  where !error.isTooLarge {
                    throw error
                } catch {
                    refusal = error
                }
            }
            throw refusal
        }
    }
}
