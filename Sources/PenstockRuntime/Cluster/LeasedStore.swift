// SPDX-License-Identifier: Apache-2.0

package import PenstockStore

/// The store as a trigger sees it that works under leases: it writes only what its leases allow.
package struct LeasedStore: StoreView {
    private let store: any LeaseStore
    private let group: LeaseGroup
    private let lease: @Sendable (_ partition: String?) -> String

    /// A view of `store` for the holder of the group's leases; `lease` names the one that a partition is read under, and
    /// the trigger as a whole with nil.
    package init(
        _ store: any LeaseStore,
        _ group: LeaseGroup,
        lease: @escaping @Sendable (_ partition: String?) -> String
    ) {
        self.store = store
        self.group = group
        self.lease = lease
    }

    package func reader() throws(StoreError) -> any StateStore { self.store }

    package func write<Value: Sendable>(
        _ scope: WriteScope,
        _ body: @Sendable (any StateStore) async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let leases: Set<String>
        switch scope {
        case .operators: return try await body(self.store)
        case .trigger: leases = [self.lease(nil)]
        case .partitions(let names): leases = Set(names.map { self.lease($0) })
        }
        var fences: [Fence] = []
        for lease in leases {
            guard let fence = self.group.fence(of: lease) else { throw .fenced(lease) }
            fences.append(fence)
        }
        do {
            return try await body(self.store.fenced(by: fences))
        } catch {
            // Which one of them, the next beat tells.
            if error.code == .fenced, fences.count == 1 { self.group.lose(fences[0]) }
            throw error
        }
    }

    /// Nothing: the store is its owner's to close.
    package func close() async {}
}
