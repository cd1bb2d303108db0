// SPDX-License-Identifier: Apache-2.0

/// Whether a source's ``Source/run()`` is under way, and who waits for its end.
///
/// State of the source's actor.
package struct SourceRun {
    private var isUnderWay = false
    private var waiters: [CheckedContinuation<Void, Never>] = []

    /// Nothing runs.
    package init() {}

    /// It begins.
    package mutating func begin() { self.isUnderWay = true }

    /// It has ended, and whoever waits goes on.
    package mutating func end() {
        self.isUnderWay = false
        for waiter in self.waiters { waiter.resume() }
        self.waiters = []
    }

    /// Resumes it at the end, or at once when nothing runs.
    package mutating func wait(_ waiter: CheckedContinuation<Void, Never>) {
        if self.isUnderWay { self.waiters.append(waiter) } else { waiter.resume() }
    }
}
