// SPDX-License-Identifier: Apache-2.0

import PenstockStore
import Synchronization

/// Throws an error at whoever passes, while one is set.
final class Gate: Sendable {
    private let error = Mutex<StoreError?>(nil)

    func set(_ error: StoreError?) {
        self.error.withLock { $0 = error }
    }

    func pass() throws(StoreError) {
        if let error = self.error.withLock({ $0 }) { throw error }
    }
}
