// SPDX-License-Identifier: Apache-2.0

import PostgresClient

/// What a receive of an outbox table brought: the results of the script ``OutboxStatements/receive(limit:depth:lease:)``.
struct OutboxReceive: Sendable {
    /// The rows, by ``OutboxStatements/Column``.
    let rows: PostgresResult
    /// How many rows were looked at.
    let looked: Int
    /// Whether there were more that may be taken than fit.
    let isCut: Bool

    /// Reads the results; nil for those of something else.
    init?(_ results: [PostgresResult]) {
        // The receipt, the commit, what keeps the next transaction to indexes, the rows.
        guard let rows = results.last, results.count >= 4 else { return nil }
        let receipt = results[results.count - 4]
        guard receipt.rows == 1, receipt.columns == 3 else { return nil }
        self.rows = rows
        self.looked = Int(receipt.integer(0, 0) ?? 0)
        self.isCut = receipt.boolean(0, 1) == true
    }
}
