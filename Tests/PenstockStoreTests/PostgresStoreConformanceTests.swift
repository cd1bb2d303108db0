// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore
import PenstockTesting
import Testing

@Suite(.ownThreads, .timeLimit(.minutes(5))) struct PostgresStoreConformanceTests {
    @Test("The Postgres store keeps the contract", arguments: StateStoreConformance.checks)
    func conforms(check: StateStoreConformance.Check) async throws {
        let schema = try PostgresSchema()
        try await withReactor { reactor in
            let store = try await PostgresStore.open(schema.location(), on: reactor)
            try await check.run(store)
            await store.close()
        }
    }

    @Test(
        "The Postgres store keeps the contract of leases",
        arguments: LeaseStoreConformance.checks + LeaseStoreConformance.raceChecks
    )
    func conforms(check: LeaseStoreConformance.Check) async throws {
        let schema = try PostgresSchema()
        try await withReactor { reactor in
            let store = try await PostgresStore.open(schema.location(), on: reactor)
            let other = try await PostgresStore.open(schema.location(), on: reactor)
            let world = LeaseStoreConformance.World(one: store, other: other) { duration in
                // The server's own clock.
                let seconds = Double(duration.wholeMilliseconds) / 1000
                try schema.server.run("SELECT pg_sleep(\(seconds))")
            }
            try await check.run(world)
            await store.close()
            await other.close()
        }
    }
}
