// SPDX-License-Identifier: Apache-2.0

import Foundation
package import Testing

/// Gives the tests of a suite threads of their own, which they may block: to wait for another program, for example.
///
/// Swift's pool has about as many threads as the machine has processors, for all tests of the process; a test that
/// blocks one holds up tests that have nothing to do with it, until their time limits end them.
package struct OwnThreads: SuiteTrait, TestScoping {
    package func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @Sendable @concurrent () async throws -> Void
    ) async throws {
        try await withTaskExecutorPreference(ThreadForEachJob.shared) { try await function() }
    }
}

extension Trait where Self == OwnThreads {
    /// Threads that the suite's tests may block.
    package static var ownThreads: Self { Self() }
}

/// Runs what a task does between two waits on a new thread: as many block as want to.
private final class ThreadForEachJob: TaskExecutor {
    static let shared = ThreadForEachJob()

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        // Unowned for the thread only: the one executor that there is lives for ever.
        let executor = unsafe self.asUnownedTaskExecutor()
        Thread.detachNewThread { unsafe job.runSynchronously(on: executor) }
    }
}
