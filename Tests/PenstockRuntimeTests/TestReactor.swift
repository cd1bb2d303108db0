// SPDX-License-Identifier: Apache-2.0

import Reactor
import Synchronization

/// A reactor that stops with its last reference.
final class TestReactor: Sendable {
    let reactor: Reactor

    init() throws {
        self.reactor = try Reactor()
    }

    deinit {
        self.reactor.stop()
    }

    private static let kept = Mutex<TestReactor?>(nil)

    /// One for all that only need to name one.
    static func shared() throws -> Reactor {
        try self.kept.withLock { kept in
            let reactor = try kept ?? TestReactor()
            kept = reactor
            return reactor.reactor
        }
    }
}
