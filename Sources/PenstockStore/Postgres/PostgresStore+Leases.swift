// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient

extension PostgresStore: LeaseStore {
    /// The server may take so long for a statement about members and leases: less than a member lives without a beat.
    private static let patience = Duration.seconds(4)

    package func join(_ member: ClusterMember, for ttl: Duration) async throws(StoreError) {
        let results = try await self.sessions.leases.run(
            script: PostgresLeases.join(member, for: ttl),
            within: Self.patience
        )
        guard results.last?.affected == 1 else {
            throw StoreError(.fenced, "the member \(member.name) is dead already; it joins under a new id")
        }
    }

    package func beat(
        _ member: MemberID,
        pools: Set<String>,
        for ttl: Duration
    ) async throws(StoreError) -> ClusterView? {
        let script = PostgresLeases.beat(member, pools: pools, for: ttl)
        let results = try await self.sessions.leases.run(script: script, within: Self.patience)
        guard results.first?.affected == 1 else { return nil }
        return try Self.view(results.dropFirst())
    }

    package func acquire(
        _ leases: [LeaseName],
        for member: MemberID
    ) async throws(StoreError) -> [Fence] {
        guard !leases.isEmpty else { return [] }
        let schema = self.sessions.location.schema
        let script = PostgresLeases.acquire(leases, for: member, schema: schema)
        guard let rows = try await self.sessions.leases.run(script: script, within: Self.patience).last else {
            return []
        }
        return try (0..<rows.rows).map { (row) throws(StoreError) in
            try Self.fence(rows, row, name: 0, epoch: 1)
        }
    }

    package func ask(for leases: [String], by member: MemberID) async throws(StoreError) {
        guard !leases.isEmpty else { return }
        _ = try await self.sessions.leases.run(
            script: PostgresLeases.ask(for: leases, by: member),
            within: Self.patience
        )
    }

    package func release(_ fences: [Fence]) async throws(StoreError) {
        guard !fences.isEmpty else { return }
        _ = try await self.sessions.leases.run(script: PostgresLeases.release(fences), within: Self.patience)
    }

    package func remove(_ fences: [Fence]) async throws(StoreError) {
        guard !fences.isEmpty else { return }
        _ = try await self.sessions.leases.run(script: PostgresLeases.remove(fences), within: Self.patience)
    }

    package func sweep(unusedFor age: Duration) async throws(StoreError) {
        let script = PostgresLeases.sweep(unusedFor: age, schema: self.sessions.location.schema)
        _ = try await self.sessions.leases.run(script: script, within: Self.patience)
    }

    package func leave(_ member: MemberID) async throws(StoreError) {
        _ = try await self.sessions.leases.run(script: PostgresLeases.leave(member), within: Self.patience)
    }

    package func cluster() async throws(StoreError) -> ClusterView {
        try Self.view((try await self.sessions.leases.run(script: PostgresLeases.cluster))[...])
    }

    package func fenced(by fences: [Fence]) -> any StateStore {
        var view = self
        view.fences = fences
        view.isView = true
        return view
    }

    // MARK: - Rows, which come as text

    private static func text(_ rows: PostgresResult, _ row: Int, _ column: Int) -> String? {
        unsafe rows.bytes(row, column).map { unsafe PostgresText.read($0) }
    }

    private static func fence(
        _ rows: PostgresResult,
        _ row: Int,
        name: Int,
        epoch: Int
    ) throws(StoreError) -> Fence {
        guard let lease = Self.text(rows, row, name), let number = rows.integer(row, epoch),
            let epoch = UInt64(exactly: number)
        else { throw .unreadable("a lease") }
        return Fence(lease: lease, epoch: epoch)
    }

    private static func view(_ results: ArraySlice<PostgresResult>) throws(StoreError) -> ClusterView {
        guard results.count == 2, let members = results.first, let leases = results.last else {
            throw .unreadable("the cluster")
        }
        return ClusterView(
            members: try (0..<members.rows).map { (row) throws(StoreError) in try Self.member(members, row) },
            leases: try (0..<leases.rows).map { (row) throws(StoreError) in
                let fence = try Self.fence(leases, row, name: 0, epoch: 3)
                guard let pool = Self.text(leases, row, 1) else { throw .unreadable("a lease") }
                return LeaseState(
                    lease: LeaseName(fence.lease, pool: pool),
                    owner: Self.text(leases, row, 2).map { MemberID($0) },
                    epoch: fence.epoch,
                    askedBy: Self.text(leases, row, 4).map { MemberID($0) }
                )
            }
        )
    }

    private static func member(_ rows: PostgresResult, _ row: Int) throws(StoreError) -> ClusterMember {
        guard let id = Self.text(rows, row, 0), let name = Self.text(rows, row, 1),
            let version = Self.text(rows, row, 2), let started = rows.integer(row, 4),
            let pools = rows.text(row, 5).flatMap({ PostgresText.elements(of: $0) })
        else { throw .unreadable("a member") }
        return ClusterMember(
            id: MemberID(id),
            name: name,
            version: version,
            admin: Self.text(rows, row, 3),
            started: Timestamp(milliseconds: started),
            pools: Set(pools)
        )
    }
}
