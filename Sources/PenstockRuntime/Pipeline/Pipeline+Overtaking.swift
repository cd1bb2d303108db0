// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockStore

// MARK: - Records whose place a later one took

extension Pipeline {
    private static let notOwner = Failure(
        type: "Penstock.LeaseLost",
        message: "the lease has run out; whoever holds it now goes on"
    )

    private static let overtaken = Failure(
        type: "Penstock.Overtaken",
        message: "a later fire of the schedule took its place"
    )

    func isOvertaken(_ batch: Batch) -> Bool {
        guard let source = self.overtaking else { return false }
        return batch.runs.allSatisfy { run in
            let entries = run.admitted.block.entries
            return run.indices.allSatisfy { source.isOvertaken(entries[$0].position) }
        }
    }

    /// Ends the invocations that nobody wants any more, and does not wait before what is to be left out.
    func cancelOvertaken() {
        guard let source = self.overtaking else { return }
        for (batch, end) in self.cancellable.values where self.isOvertaken(batch) { end.end() }
        self.engine.hurry(now: self.now) { source.isOvertaken($0) }
    }

    /// Invokes the function; where records take each other's place, until that happens to the batch.
    func call(_ invocation: Invocation, of batch: Batch) async -> InvocationAnswer {
        let function = self.parts.function
        guard self.parts.mayInvoke() else { return InvocationAnswer(result: .unavailable(Self.notOwner)) }
        guard self.overtaking != nil else { return await function.answer(invocation) }
        let overtaken = InvocationAnswer(result: .failed(Self.overtaken))
        guard !self.isOvertaken(batch) else { return overtaken }
        let (loop, end) = (self.loop, LoopPause())
        self.cancellable[batch.id] = (batch, end)
        defer { self.cancellable[batch.id] = nil }
        return await withTaskGroup(of: InvocationAnswer?.self) { group in
            group.addTask(executorPreference: loop) { await function.answer(invocation) }
            group.addTask(executorPreference: loop) {
                // Not for ever: the timer stays until then.
                await end.wait(until: invocation.deadline + .seconds(1), on: loop)
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            if let first { return first }
            return await group.next()?.flatMap { $0 } ?? overtaken
        }
    }

    /// What becomes of a batch whose place was taken while it was under way: what the function finished is finished.
    ///
    /// The fire log knows before anything is settled. When its store refuses, the record counts as settled there: the
    /// trigger stands still by then.
    func cancelled(_ verdict: BatchVerdict, of batch: Batch) async -> BatchVerdict {
        guard let source = self.overtaking, verdict != .succeeded else { return verdict }
        let keys = batch.runs.flatMap { run in
            run.indices.map { unsafe run.admitted.block.key(at: $0).map { unsafe [UInt8]($0) } ?? [] }
        }
        do {
            try await source.note(.cancelled, of: keys)
        } catch {
            self.logger.error(
                "the fire log refused what was cancelled",
                metadata: ["error": "\(error)"]
            )
        }
        guard case .failed(let failure) = verdict, failure != Self.overtaken else {
            return .cancelled(Self.overtaken)
        }
        let message = "\(Self.overtaken.message); its invocation ended with \(failure.type)"
        return .cancelled(Failure(type: Self.overtaken.type, message: message))
    }
}
