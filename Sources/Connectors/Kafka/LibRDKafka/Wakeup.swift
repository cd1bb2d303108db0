// SPDX-License-Identifier: Apache-2.0

import CReactor
import Glibc

/// An eventfd on which one thread waits for commands and for librdkafka's queues.
///
/// Any thread may signal; one thread waits. Closed when the last reference goes, so whoever gave ``descriptor`` away
/// keeps it until the other side has let go.
final class Wakeup: Sendable {
    /// The descriptor: non-blocking, as librdkafka wants it.
    let descriptor: Int32

    /// - Throws: ``RDKafkaError`` when the process has no descriptors left.
    init() throws(RDKafkaError) {
        self.descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard self.descriptor >= 0 else {
            throw RDKafkaError(.none, "eventfd failed with errno \(errno); raise the limit of open files")
        }
    }

    deinit {
        close(self.descriptor)
    }

    /// Wakes the waiting thread, now or when it waits next.
    func signal() {
        _ = eventfd_write(self.descriptor, 1)
    }

    /// Waits for a signal, at most so long, and takes it.
    func wait(atMost timeout: Duration) {
        var entry = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
        // Rounded up: waking a fraction of a millisecond early would spin.
        let milliseconds = (timeout + .microseconds(999)) / .milliseconds(1)
        let result = unsafe poll(&entry, 1, Int32(max(0, min(milliseconds, 3_600_000))))
        guard result > 0 else { return }
        var count: eventfd_t = 0
        _ = unsafe eventfd_read(self.descriptor, &count)
    }
}
