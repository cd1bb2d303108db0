// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore
import PenstockTesting
import Synchronization
import Testing

/// The leases that simulations run with keep the same contract as real ones.
@Suite(.timeLimit(.minutes(5))) struct SimulatedLeaseStoreTests {
    private final class Clock: Sendable {
        private let state = Mutex(Instant.start)
        var now: Instant { self.state.withLock { $0 } }
        func advance(by duration: Duration) { self.state.withLock { $0 = $0 + duration } }
    }

    @Test("Simulated leases keep the contract of leases", arguments: LeaseStoreConformance.checks)
    func conforms(check: LeaseStoreConformance.Check) async throws {
        try await withTemporaryDirectory { directory in
            let base = try SQLiteStore.open(path: directory + "/penstock.db")
            let clock = Clock()
            let leases = SimulatedLeases { clock.now }
            let world = LeaseStoreConformance.World(
                one: SimulatedLeaseStore(leases, base: base),
                other: SimulatedLeaseStore(leases, base: base)
            ) { clock.advance(by: $0) }
            try await check.run(world)
            await base.close()
        }
    }
}
