// SPDX-License-Identifier: Apache-2.0

/// What a trigger's configuration tells its engine.
package struct TriggerPolicy: Sendable {
    /// Records of a batch at most.
    package var batchSize: Int

    /// How long to wait for a full batch.
    package var batchWindow: Duration

    /// When the wait for a full batch begins.
    package var windowStart: WindowStart

    /// Bytes of an invocation's body at most.
    package var bodyBytesMax: Int

    /// Invocations side by side at most.
    package var concurrency: Int

    /// In what order records are invoked.
    package var ordering: Ordering

    /// What to do about failures.
    package var retry: RetryPolicy

    /// How records are leased; nil for records that are settled by their position.
    package var lease: LeasePolicy?

    /// How records are gathered in tumbling windows; nil for not at all.
    ///
    /// With `ordering: partition`, without a lease and without filters only.
    package var tumbling: TumblingPolicy?

    /// What becomes of records that no filter matches.
    package var filtered: FilteredDisposition

    /// Waits after throttling, and before a dead letter is written again.
    package var patience: Backoff

    /// A partition that has waited for longer is worth an operator's look.
    package var blockedAfter: Duration

    /// How often the watermark is committed upstream.
    package var commitInterval: Duration

    /// Bytes of records received and not settled, at most.
    package var intakeBytes: Int

    /// Records received and not settled, at most.
    package var intakeRecords: Int

    /// A policy; the defaults are those of the configuration.
    package init(
        batchSize: Int = 100,
        batchWindow: Duration = .milliseconds(500),
        bodyBytesMax: Int = 6_291_456,
        concurrency: Int = 1,
        ordering: Ordering = .partition,
        retry: RetryPolicy = RetryPolicy(),
        filtered: FilteredDisposition = .acknowledge
    ) {
        self.batchSize = batchSize
        self.batchWindow = batchWindow
        self.windowStart = .firstRecord
        self.bodyBytesMax = bodyBytesMax
        self.concurrency = concurrency
        self.ordering = ordering
        self.retry = retry
        self.filtered = filtered
        self.patience = Backoff(initial: .milliseconds(100), factor: 2, max: .seconds(30), jitter: .full)
        self.blockedAfter = .seconds(300)
        self.commitInterval = .seconds(1)
        self.intakeBytes = 24 << 20
        self.intakeRecords = 200_000
    }
}

/// When the wait for a full batch begins (esm-spec section 2): a matter of the source's family.
package enum WindowStart: Sendable, Equatable {
    /// With the arrival of the batch's first record: Kafka.
    case firstRecord
    /// With the end of the partition's last invocation: queues and change streams. Windows without a record follow each
    /// other.
    case lastInvocation
}
