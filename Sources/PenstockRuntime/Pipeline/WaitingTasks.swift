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

/// Jobs for which no task waited, on their way to the one that makes tasks.
struct JobQueue {
    private var jobs: [PipelineJob] = []
    private var taker: CheckedContinuation<[PipelineJob], Never>?
    private var isClosed = false

    /// Ignored after ``close()``.
    mutating func put(_ job: PipelineJob) {
        guard !self.isClosed else { return }
        guard let taker = self.taker.take() else { return self.jobs.append(job) }
        taker.resume(returning: [job])
    }

    /// Gives all jobs to the taker, now or when there are some; none only after ``close()``.
    mutating func take(_ taker: CheckedContinuation<[PipelineJob], Never>) {
        guard !self.jobs.isEmpty || self.isClosed else {
            self.taker = taker
            return
        }
        taker.resume(returning: self.jobs)
        self.jobs = []
    }

    /// Lets the taker go once it has what is inside.
    mutating func close() {
        self.isClosed = true
        self.taker.take()?.resume(returning: [])
    }
}
