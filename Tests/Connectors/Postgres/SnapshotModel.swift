// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockStore
import PenstockTesting
import Testing

@testable import PostgresConnector

/// What somebody has who carries out each record on a copy of the tables: rows by table and key.
struct SnapshotModel {
    private(set) var rows: [String: String] = [:]
    /// The greatest version of each row, `"v":N`, that was seen.
    private var versions: [String: Int] = [:]
    /// Records that brought an older version than one before.
    private(set) var regressions: [String] = []
    private var last: Position?
    private(set) var disorder = 0

    /// Carries records out, in order.
    mutating func apply(_ records: some Sequence<ChangesProbe.Record>) {
        for record in records {
            if let last = self.last, record.position <= last { self.disorder += 1 }
            self.last = record.position
            if record.kind == .truncate {
                self.rows = self.rows.filter { !$0.key.hasPrefix(record.table + " ") }
                continue
            }
            let key = "\(record.table) \(record.key ?? record.new ?? "")"
            if let old = record.old, record.kind == .update { self.rows["\(record.table) \(old)"] = nil }
            guard let new = record.new else {
                self.rows[key] = nil
                continue
            }
            self.rows[key] = new
            let version = new.firstMatch(of: /"v":(\d+)/).flatMap { Int($0.output.1) } ?? 0
            if version < self.versions[key] ?? 0 {
                self.regressions.append("\(key): \(version) after \(self.versions[key] ?? 0)")
            }
            self.versions[key] = version
        }
    }

    /// The next records come again from there, as after a crash.
    mutating func crash() {
        self.last = nil
        self.versions = [:]
    }

    /// The rows of a table as the server has them, by the members of their JSON.
    static func rows(of table: String, on server: PostgresServer) throws -> Set<String> {
        let text = try server.run("SELECT to_jsonb(t)::text FROM \(table) t")
        return Set(text.split(separator: "\n").map { Self.normal(String($0)) })
    }

    /// The rows of a table as they are here.
    func rows(of table: String) -> Set<String> {
        Set(self.rows.filter { $0.key.hasPrefix(table + " ") }.values.map { Self.normal($0) })
    }

    /// Members in order, without blanks: enough for rows of plain values.
    private static func normal(_ json: String) -> String {
        json.dropFirst().dropLast().split(separator: ",").map { $0.filter { $0 != " " } }.sorted()
            .joined(separator: ",")
    }
}

/// Runs `body` with a store of its own, in a file that goes with it.
func withStore(_ body: (SQLiteStore) async throws -> Void) async throws {
    let file = StoreFile()
    let store = try SQLiteStore.open(path: file.url.path)
    try await body(store)
    await store.close()
    _ = file
}
