// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore

// MARK: - Leased records

extension Pipeline {
    /// Tells the source what becomes of leased records.
    func settle(_ settlements: [Settlement], as id: SettlementID) async {
        var outcome: SettlementOutcome?
        do {
            outcome = try await self.leaseSource?.settle(settlements)
        } catch {
            self.logger.warning(
                "settlements refused; they are tried again while the lease lasts",
                metadata: ["error": "\(error)"]
            )
        }
        self.engine.settlementEnded(id, outcome, now: self.now)
        self.flush()
    }

    /// Makes leases longer.
    func extend(_ ticket: LeaseTicket) async {
        var outcome: LeaseExtension?
        do {
            outcome = try await self.leaseSource?.extend(ticket)
        } catch {
            self.logger.warning(
                "leases not extended; it is tried again while they last",
                metadata: ["error": "\(error)"]
            )
        }
        self.engine.extensionEnded(ticket.id, outcome, now: self.now)
        self.flush()
    }
}
