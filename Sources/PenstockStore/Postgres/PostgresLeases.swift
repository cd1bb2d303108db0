// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// The statements of members and leases.
///
/// Each script is one transaction; rows come as text.
///
/// Time is the server's alone. A member lives while its row says so; whoever looks for free leases deletes the rows of those
/// that do not live any more, so that none of them can come back behind that. A lease whose owner has no row is free.
enum PostgresLeases {
    private typealias Text = PostgresText

    private static func expiry(_ ttl: Duration) -> String {
        "clock_timestamp() + interval '\(max(1, ttl.wholeMilliseconds)) milliseconds'"
    }

    private static let lives = "expires_at > clock_timestamp()"

    /// Names and epochs, as a table `given`.
    private static func given(_ fences: [Fence]) -> String {
        let epochs = fences.map { "\(Int64(clamping: $0.epoch))" }.joined(separator: ", ")
        return "unnest(\(Text.array(fences.map(\.lease))), ARRAY[\(epochs)]::bigint[]) AS given (name, epoch)"
    }

    /// Whether `lease` is one of the given ones.
    private static let isGiven = "lease.name = given.name COLLATE \"C\" AND lease.epoch = given.epoch"

    /// Makes a member; a row for it when it lives.
    static func join(_ member: ClusterMember, for ttl: Duration) -> String {
        let values = [
            Text.literal(member.id.rawValue), Text.literal(member.name), Text.literal(member.version),
            Text.literal(member.admin), Text.literal(member.started.milliseconds),
            Text.array(member.pools.sorted()), Self.expiry(ttl),
        ]
        return """
            INSERT INTO members (id, name, version, admin, started, pools, expires_at)
            VALUES (\(values.joined(separator: ", ")))
            ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, pools = excluded.pools
            WHERE members.\(Self.lives)
            """
    }

    /// Says that a member lives: its rows tell whether it did, then members, then leases.
    static func beat(_ member: MemberID, pools: Set<String>, for ttl: Duration) -> String {
        let (id, pools) = (Text.literal(member.rawValue), Text.array(pools.sorted()))
        return """
            UPDATE members SET expires_at = \(Self.expiry(ttl)), pools = \(pools) WHERE id = \(id) AND \(Self.lives);
            \(Self.members);
            \(Self.leases(where: "lease.pool = ANY(\(pools)) OR lease.owner = \(id)"))
            """
    }

    /// Members, then leases.
    static let cluster = "\(Self.members);\n\(Self.leases(where: "true"))"

    private static let members = """
        SELECT id, name, version, admin, started, pools FROM members WHERE \(Self.lives) ORDER BY id
        """

    private static func leases(where condition: String) -> String {
        let living = "(SELECT id FROM members WHERE id = lease.NAME AND \(Self.lives)"
        return """
            SELECT lease.name, lease.pool, \(living.replacing("NAME", with: "owner"))), lease.epoch,
                \(living.replacing("NAME", with: "asked_by")) AND lease.pool = ANY(pools))
            FROM leases AS lease WHERE \(condition) ORDER BY lease.name
            """
    }

    /// Makes members that look for free leases do it one after the other, and deletes those that do not live any more.
    private static func turn(_ schema: String) -> String {
        """
        SELECT pg_advisory_xact_lock(hashtextextended('penstock leases ' || \(Text.literal(schema)), 0));
        DELETE FROM members WHERE id IN (
            SELECT id FROM members WHERE NOT \(Self.lives) FOR UPDATE SKIP LOCKED
        )
        """
    }

    /// Takes what is free; its last result has a row for each lease that was taken.
    ///
    /// Members do it one after the other, so that none takes what another one took since it looked. What a write holds at the
    /// moment is left for the next time.
    static func acquire(_ leases: [LeaseName], for member: MemberID, schema: String) -> String {
        let id = Text.literal(member.rawValue)
        let given = """
            unnest(\(Text.array(leases.map(\.name))), \(Text.array(leases.map(\.pool)))) AS given (name, pool)
            """
        return """
            \(Self.turn(schema));
            INSERT INTO leases (name, pool, epoch, since)
            SELECT DISTINCT ON (given.name) given.name, given.pool, 0, clock_timestamp() FROM \(given)
            ON CONFLICT (name) DO NOTHING;
            WITH free AS MATERIALIZED (
                SELECT lease.name FROM leases AS lease WHERE lease.name = ANY(\(Text.array(leases.map(\.name))))
                    AND EXISTS (SELECT 1 FROM members WHERE id = \(id) AND \(Self.lives))
                    AND (lease.owner IS NULL OR NOT EXISTS (SELECT 1 FROM members WHERE id = lease.owner))
                    AND NOT EXISTS (
                        SELECT 1 FROM members WHERE id = lease.asked_by AND id <> \(id) AND lease.pool = ANY(pools)
                    )
                ORDER BY lease.name FOR UPDATE OF lease SKIP LOCKED
            )
            UPDATE leases AS lease SET owner = \(id), epoch = nextval('lease_epochs'), asked_by = NULL,
                since = clock_timestamp(), pool = given.pool
            FROM free JOIN \(given) ON given.name = free.name COLLATE "C" WHERE lease.name = free.name
            RETURNING lease.name, lease.epoch
            """
    }

    /// Marks leases that others hold as wanted.
    static func ask(for leases: [String], by member: MemberID) -> String {
        let id = Text.literal(member.rawValue)
        return """
            UPDATE leases AS lease SET asked_by = \(id)
            WHERE lease.name = ANY(\(Text.array(leases))) AND lease.owner <> \(id)
                AND EXISTS (SELECT 1 FROM members WHERE id = lease.owner AND \(Self.lives))
                AND EXISTS (SELECT 1 FROM members WHERE id = \(id) AND \(Self.lives))
                AND NOT EXISTS (
                    SELECT 1 FROM members WHERE id = lease.asked_by AND lease.pool = ANY(pools) AND \(Self.lives)
                )
            """
    }

    /// Gives leases back.
    static func release(_ fences: [Fence]) -> String {
        """
        UPDATE leases AS lease SET owner = NULL, since = clock_timestamp() FROM \(Self.given(fences))
        WHERE \(Self.isGiven)
        """
    }

    /// Removes leases.
    static func remove(_ fences: [Fence]) -> String {
        "DELETE FROM leases AS lease USING \(Self.given(fences)) WHERE \(Self.isGiven)"
    }

    /// Removes leases that nobody has had for so long.
    ///
    /// A write that holds one at the moment leaves it for the next time. Writes under a lease that is not there are refused, and
    /// its next epoch is a larger one: epochs are the sequence's.
    static func sweep(unusedFor age: Duration, schema: String) -> String {
        """
        \(Self.turn(schema));
        DELETE FROM leases WHERE name IN (
            SELECT lease.name FROM leases AS lease
            WHERE lease.since <= clock_timestamp() - interval '\(max(0, age.wholeMilliseconds)) milliseconds'
                AND NOT EXISTS (SELECT 1 FROM members WHERE id = lease.owner)
                AND NOT EXISTS (SELECT 1 FROM members WHERE id = lease.asked_by AND lease.pool = ANY(pools))
            FOR UPDATE OF lease SKIP LOCKED
        )
        """
    }

    /// Gives all of a member back, and ends it.
    static func leave(_ member: MemberID) -> String {
        let id = Text.literal(member.rawValue)
        return """
            UPDATE leases SET owner = NULL, since = clock_timestamp() WHERE owner = \(id);
            UPDATE leases SET asked_by = NULL WHERE asked_by = \(id);
            DELETE FROM members WHERE id = \(id)
            """
    }
}
