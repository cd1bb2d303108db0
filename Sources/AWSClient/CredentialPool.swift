// SPDX-License-Identifier: Apache-2.0

import Reactor
import Synchronization

/// The credentials that clients of one process have in common: those that look in the same places share one fetch of them.
///
/// It keeps none alive that no client uses.
package final class CredentialPool: Sendable {
    private struct Entry {
        var chain: CredentialChain
        var reactor: ObjectIdentifier
        weak var refresher: CredentialRefresher?
    }

    private struct State {
        var entries: [Entry] = []
        /// Where those go that are due, while the task runs.
        var due: AsyncStream<CredentialRefresher>.Continuation?
    }

    private let state = Mutex(State())
    private let times: CredentialRenewal.Times

    /// No credentials yet.
    package convenience init() {
        self.init(CredentialRenewal.Times())
    }

    init(_ times: CredentialRenewal.Times) {
        self.times = times
    }

    /// Fetches credentials ahead of their end as long as they are used, so that no call has to wait for that; without this
    /// task, a call does it.
    ///
    /// Returns when the task is cancelled. At most one at a time.
    package func run() async {
        let (stream, due) = AsyncStream<CredentialRefresher>.makeStream()
        self.state.withLock { $0.due = due }
        await withDiscardingTaskGroup { group in
            for await refresher in stream {
                group.addTask { await refresher.renew() }
            }
            group.cancelAll()
        }
        self.state.withLock { $0.due = nil }
    }

    /// The credentials of a chain.
    ///
    /// Any thread. Who comes with a configuration that was read anew finds what the shared files say now.
    func refresher(of chain: CredentialChain, reactor: Reactor) -> CredentialRefresher {
        let id = ObjectIdentifier(reactor)
        let (refresher, isNew) = self.state.withLock { state in
            state.entries.removeAll { $0.refresher == nil }
            for entry in state.entries where entry.reactor == id && entry.chain == chain {
                if let refresher = entry.refresher { return (refresher, false) }
            }
            let refresher = CredentialRefresher(chain, in: self, self.times, reactor: reactor)
            state.entries.append(Entry(chain: chain, reactor: id, refresher: refresher))
            return (refresher, true)
        }
        if !isNew { reactor.submit { refresher.assumeIsolated { $0.lookAtFiles() } } }
        return refresher
    }

    /// It is time to fetch these.
    func isDue(_ refresher: CredentialRefresher) {
        self.state.withLock { $0.due }?.yield(refresher)
    }
}
