// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Synchronization

/// A member of a simulated cluster that runs, with its way to the store and one group of leases.
final class SimulatedMember: Sendable {
    let keeper: LeaseKeeper
    let store: SimulatedLeaseStore
    let group: LeaseGroup
    let ended = Latch()

    init(_ name: String, _ loop: VirtualLoop, _ leases: SimulatedLeases) {
        let lives = Lives()
        self.store = SimulatedLeaseStore(leases)
        self.keeper = LeaseKeeper(
            self.store,
            as: ClusterMember(
                id: MemberID(""),
                name: name,
                version: "1",
                started: Timestamp(milliseconds: 0)
            ),
            loop: loop,
            logger: SupervisorFixture.quiet
        ) { MemberID("\(name)-\(lives.next())") }
        self.group = self.keeper.table.group(pool: "p")
        let (keeper, ended) = (self.keeper, self.ended)
        Task(executorPreference: loop) {
            await keeper.run()
            ended.open()
        }
    }

    private final class Lives: Sendable {
        private let count = Mutex(0)

        func next() -> Int {
            self.count.withLock { count in
                count += 1
                return count
            }
        }
    }

    /// The names of what it holds.
    var held: Set<String> { Set(self.group.held().keys) }

    /// Gives back what others ask for.
    func yield() {
        self.group.giveBack(Set(self.group.held().filter { $0.value.isAsked }.keys))
    }
}
