// SPDX-License-Identifier: Apache-2.0

/// Tasks that have carried out an action and wait for another.
///
/// Each is resumed once, because it is taken out first: so the continuations need no check of their own.
@safe
struct WaitingTasks {
    private var continuations = unsafe [UnsafeContinuation<PipelineJob?, Never>]()

    @unsafe
    mutating func add(_ continuation: UnsafeContinuation<PipelineJob?, Never>) {
        unsafe self.continuations.append(continuation)
    }

    /// Gives the job to a task; false when none waits.
    mutating func resumeOne(_ job: PipelineJob) -> Bool {
        guard let task = unsafe self.continuations.popLast() else { return false }
        unsafe task.resume(returning: job)
        return true
    }

    /// Tells all that there is nothing more.
    mutating func endAll() {
        while let task = unsafe self.continuations.popLast() { unsafe task.resume(returning: nil) }
    }
}
