// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockRuntime
import PostgresClient
import Reactor

// MARK: - Others that read the slot, or did

extension SlotStream {
    /// Whether it has the slot by this process of the server, or is about to.
    func reads(by process: Int32) -> Bool {
        self.ownBackend == process && (self.link != nil || self.pending != nil)
    }

    /// Leaves the slot to another stream of this process: two that take turns would each acknowledge what the other one's
    /// triggers have not settled.
    func standBack(for other: SlotStream) {
        self.pending.take()?.close()
        self.failures = 0
        self.foundOwned = 0
        let names = other.triggers.joined(separator: ", ")
        self.show(
            .disconnected(
                "postgres \(self.address): the slot \(self.slot) is read by this Penstock already, for \(names) by another \"url\" "
                    + "(\(other.address)): write the same \"url\" in all triggers of a slot"
            )
        )
        self.tryAgain(in: Self.standbyPause)
    }

    /// Ends the sessions by which a member that had the lease before still reads a snapshot: it may stand still, and its locks and
    /// its old transaction with it.
    func endSnapshots(_ use: @escaping @Sendable () -> Void) {
        guard let cluster = self.cluster, let control = self.control, self.mayTerminateOwner() else {
            return use()
        }
        let query = SlotSession.endSnapshots(of: self.slot, cluster: cluster, but: self.mark)
        let generation = self.generation
        control.send(query, within: Self.askTimeout) { result in
            guard self.generation == generation else { return }
            switch result {
            case .success(let rows):
                let count = rows.rows > 0 ? rows.integer(0, 0) ?? 0 : 0
                if count > 0 {
                    self.logger.warning(
                        "ended the snapshot of a former owner",
                        metadata: ["sessions": "\(count)"]
                    )
                }
            case .failure(let error):
                // What it holds is not needed to read.
                self.logger.warning(
                    "the snapshot of a former owner, if there is one, cannot be ended",
                    metadata: ["detail": "\(PostgresAdvice.text(error, self.address))"]
                )
            }
            use()
        }
    }

    /// Asks which server it is: another URL may lead to it, too, and whoever has read the slot first keeps it while it is configured.
    func identify(_ link: PostgresLink, _ use: @escaping @Sendable () -> Void) {
        let generation = self.generation
        link.send(PostgresQuery(script: "IDENTIFY_SYSTEM"), within: Self.askTimeout) { result in
            guard self.generation == generation else { return }
            switch result {
            case .success(let rows):
                // With the timeline: a clone that was promoted is another server.
                let system = rows.rows > 0 ? "\(rows.text(0, 0) ?? "") \(rows.text(0, 1) ?? "")" : nil
                if let system, let other = self.other(where: { $0.system == system }) {
                    return self.standBack(for: other)
                }
                self.system = system
                use()
            case .failure(let error): self.lose(PostgresAdvice.text(error, self.address))
            }
        }
    }
}
