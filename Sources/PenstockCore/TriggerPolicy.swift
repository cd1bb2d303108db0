// SPDX-License-Identifier: Apache-2.0

/// What a trigger's configuration tells its engine.
package struct TriggerPolicy: Sendable {
    /// Records of a batch at most.
    package var batchSize: Int

    /// How long to wait for a full batch, from the arrival of its first record.
    package var batchWindow: Duration

    /// Bytes of an invocation's body at most.
    package var bodyBytesMax: Int

    /// Invocations side by side at most.
    package var concurrency: Int

    /// What to do about failures.
    package var retry: RetryPolicy

    /// Waits after throttling, and before a dead letter is written again.
    package var patience: Backoff

    /// How often the watermark is committed upstream.
    package var commitInterval: Duration

    /// Bytes and records received and not settled, at most.
    package var intakeBytes: Int

    /// Records received and not settled, at most.
    package var intakeRecords: Int

    /// A policy; the defaults are those of the configuration.
    package init(
        batchSize: Int = 100,
        batchWindow: Duration = .milliseconds(500),
        bodyBytesMax: Int = 6_291_456,
        concurrency: Int = 1,
        retry: RetryPolicy = RetryPolicy()
    ) {
        self.batchSize = batchSize
        self.batchWindow = batchWindow
        self.bodyBytesMax = bodyBytesMax
        self.concurrency = concurrency
        self.retry = retry
        self.patience = Backoff(initial: .milliseconds(100), factor: 2, max: .seconds(30), jitter: .full)
        self.commitInterval = .seconds(1)
        self.intakeBytes = 64 << 20
        self.intakeRecords = 200_000
    }
}
