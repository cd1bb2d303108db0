// SPDX-License-Identifier: Apache-2.0

import GRDB
import PenstockCore

/// The write of one checkpoint: it is run for each partition in each second.
struct CheckpointStatement {
    private static let sql = """
        INSERT INTO checkpoints ("trigger", partition, position, updated_at, window) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT ("trigger", partition)
        DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at, window = excluded.window
        """

    private let statement: DirectStatement

    /// The statement of the writer's connection, prepared once for it.
    init(_ database: Database) throws {
        self.statement = try DirectStatement(Self.sql, database)
    }

    /// Writes a checkpoint at a time (Unix milliseconds), inside the transaction that the caller opened.
    ///
    /// - Throws: `DatabaseError`; the statement can be used again.
    func save(_ checkpoint: Checkpoint, at time: Int64) throws {
        try self.statement.bind(checkpoint.trigger, at: 1)
        try self.statement.bind(checkpoint.partition, at: 2)
        try self.statement.bind(checkpoint.position.description, at: 3)
        try self.statement.bind(time, at: 4)
        try self.statement.bind(checkpoint.window.map { WindowCoding.encode($0) }, at: 5)
        try self.statement.run()
    }
}
