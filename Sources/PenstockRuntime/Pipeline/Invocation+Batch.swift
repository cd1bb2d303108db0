// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

extension EventBuffer {
    /// Replaces the contents by the event of `batch`.
    func write(_ batch: Batch, as format: any EventFormat) {
        self.write(upTo: format.size(of: batch)) { format.encode(batch, into: &$0) }
    }
}

extension Invocation {
    /// The call of a batch whose event is in `body`: its stable id, and the function's time from `now` on.
    package init(
        of batch: Batch,
        trigger: String,
        body: EventBuffer,
        contentType: String,
        timing: (now: TriggerEngine.Moment, timeout: Duration)
    ) {
        let (now, timeout) = timing
        self.init(
            id: InvocationID.make(trigger: trigger, batch: batch),
            trigger: trigger,
            attempt: batch.attempt,
            body: body,
            contentType: contentType,
            deadline: now.instant + timeout,
            wallDeadline: Timestamp(milliseconds: now.wall.milliseconds + timeout.wholeMilliseconds)
        )
    }
}
