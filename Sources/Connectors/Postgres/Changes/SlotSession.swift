// SPDX-License-Identifier: Apache-2.0

import PostgresClient

/// What sessions about a slot call themselves, by which those who share a store know each other's, and how these are ended.
///
/// A name is an `application_name`, of which a server keeps 63 bytes. `cluster` names those who share the store.
enum SlotSession {
    /// How sessions that read a slot begin their names.
    static func reader(of cluster: String) -> String { "penstock \(cluster)" }

    /// How a session that reads the snapshot of a slot begins its name; `stream` tells this process' sessions from others.
    static func snapshot(of cluster: String, slot: String, stream: String) -> String {
        Self.snapshots(of: cluster, slot: slot) + stream
    }

    private static func snapshots(of cluster: String, slot: String) -> String {
        let hash = slot.utf8.reduce(UInt32(0x811C_9DC5)) { hash, byte in (hash ^ UInt32(byte)) &* 0x0100_0193
        }
        return "penstock \(cluster) snapshot \(String(hash, radix: 16)) "
    }

    /// Ends the session of a member that reads a slot; gives whether that was so.
    ///
    /// In one statement with the look at whose it is: the number of a process is given again.
    static func endReader(_ process: Int32, of slot: String, cluster: String) -> PostgresQuery {
        PostgresQuery(
            """
            SELECT count(pg_terminate_backend(a.pid)) FROM pg_replication_slots s
            JOIN pg_stat_activity a ON a.pid = s.active_pid
            WHERE s.slot_name = $1 AND s.active_pid = $2::int
              AND (a.application_name = $3 OR left(a.application_name, length($3) + 1) = $3 || ' ')
            """,
            [.text(slot), .integer(Int64(process)), .text(Self.reader(of: cluster))]
        )
    }

    /// Ends the sessions of members that read a snapshot of the slot, but for those of this stream; gives how many.
    static func endSnapshots(of slot: String, cluster: String, but stream: String) -> PostgresQuery {
        PostgresQuery(
            """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE left(application_name, length($1)) = $1
              AND application_name <> $2 AND left(application_name, length($2) + 1) <> $2 || ' '
            """,
            [
                .text(Self.snapshots(of: cluster, slot: slot)),
                .text(Self.snapshot(of: cluster, slot: slot, stream: stream)),
            ]
        )
    }
}

extension PostgresAddress {
    /// The same for a connection that replicates, by whose name, of ``SlotSession``, others see who shares the store; nil for a
    /// store of its own.
    ///
    /// Texts of values are the same there whatever the server's settings are.
    func replicating(named name: String? = nil) -> PostgresAddress {
        var address = self
        address["replication"] = "database"
        if let name {
            // What a server has too little room for is cut off at the end.
            address["application_name"] = name + (self["application_name"].map { " " + $0 } ?? "")
        }
        address["options"] =
            (self["options"].map { $0 + " " } ?? "")
            + "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1 -c timezone=UTC -c bytea_output=hex"
        return address
    }
}
