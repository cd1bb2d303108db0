// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockStore

/// What a member knows of its own life, without asking the store.
package struct MembershipFigures: Sendable, Equatable {
    /// Living members at the last beat.
    package var members = 0
    /// Leases held now.
    package var leasesHeld = 0
    /// Leases that were lost, not given back, since the start.
    package var leasesLost: UInt64 = 0
    /// Beats that failed since the start.
    package var beatFailures: UInt64 = 0
    /// How often it was taken for dead, and joined anew.
    package var deaths: UInt64 = 0
    /// When it beat last; nil when it never did.
    package var lastBeat: Timestamp?

    /// Nothing yet.
    package init() {}
}

/// Those that share a store, as one of them sees it now.
package struct ClusterStatus: Sendable, Equatable {
    /// The member that tells it.
    package var me: MemberID
    /// All members and leases.
    package var view: ClusterView

    /// A status.
    package init(me: MemberID, view: ClusterView) {
        self.me = me
        self.view = view
    }
}
