// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockStore
import PenstockTesting
import Testing

/// A directory of its own for one test, removed with all it holds.
func withTemporaryDirectory<Value>(_ body: (String) async throws -> Value) async throws -> Value {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("penstock-\(UUID())").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    return try await body(directory)
}

@Suite(.timeLimit(.minutes(5))) struct SQLiteStoreConformanceTests {
    @Test("The SQLite store keeps the contract", arguments: StateStoreConformance.checks)
    func conforms(check: StateStoreConformance.Check) async throws {
        try await withTemporaryDirectory { directory in
            let store = try SQLiteStore.open(path: directory + "/state/penstock.db")
            try await check.run(store)
            await store.close()
        }
    }
}
