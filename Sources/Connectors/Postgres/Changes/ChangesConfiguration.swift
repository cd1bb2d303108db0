// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore
import PostgresClient

/// `changes:` of a Postgres source.
package struct ChangesConfiguration: ConfigurationTable {
    static let slotField = Field.string(
        "slot",
        "The replication slot, which keeps on the server what was not read yet: lower case letters, digits and _."
    )
    static let publicationField = Field.string(
        "publication",
        "The publication, which says which tables are read; by default it has the name of the slot."
    ).optional
    static let tablesField = Field<[PostgresTable]>.list(
        "tables",
        "The tables whose changes are wanted: `orders`, or `schema.orders`; all of the publication when it is left out.",
        of: Self.tableKind,
        count: 0...1000
    )
    static let snapshotField = Field<[PostgresTable]>.list(
        "snapshot",
        "Tables of which all rows are read once, before the changes that follow them; a part of `tables`.",
        of: Self.tableKind,
        count: 0...1000
    )
    static let createField = Field.boolean(
        "create",
        "Whether publication and slot are made when they are missing, and `tables` are added to the publication.",
        default: false
    )
    static let heartbeatField = Field.duration(
        "heartbeat",
        "How often the server is asked how far its log is, so that the slot moves on also when nothing changes in these tables; shorter than half of the server's wal_sender_timeout.",
        default: .seconds(10),
        in: .seconds(1) ... .seconds(600)
    )
    static let lagAlarmField = Field.size(
        "lag_alarm",
        "From how many bytes of the server's log that are not settled yet a warning is given.",
        default: 1 << 30,
        in: (1 << 20)...(1 << 50)
    )
    package static let table = FieldTable(
        "changes",
        "Changes of rows, by logical replication: each one a record, in the order of the commits.",
        PostgresFields.all + [
            slotField, publicationField, tablesField, snapshotField, createField, heartbeatField,
            lagAlarmField,
        ]
    )

    static let tableKind = Kind<PostgresTable>.parsed(
        "a table's name",
        placeholder: PostgresTable(schema: "public", name: "table")
    ) { text in
        guard let table = PostgresTable(text) else { throw OutboxConfiguration.Malformed(text: text) }
        return table
    }

    let address: PostgresAddress?
    let slot: String
    let publication: String
    let tables: [PostgresTable]
    let snapshot: [PostgresTable]
    let isCreated: Bool
    let heartbeat: Duration
    let lagAlarm: Int
    private let wanted: Set<PostgresTable>

    package init(_ reader: inout ConfigurationReader) {
        self.address = PostgresFields.address(&reader)
        self.slot = reader[Self.slotField]
        let publication = reader[Self.publicationField]
        self.publication = publication ?? self.slot
        self.tables = reader[Self.tablesField]
        self.snapshot = reader[Self.snapshotField]
        self.isCreated = reader[Self.createField]
        self.heartbeat = reader[Self.heartbeatField]
        self.lagAlarm = reader[Self.lagAlarmField]
        self.wanted = Set(self.tables)
        if reader.has(Self.slotField) {
            let isName = self.slot.utf8.allSatisfy { byte in
                0x61...0x7A ~= byte || 0x30...0x39 ~= byte || byte == UInt8(ascii: "_")
            }
            reader.require(
                isName && PostgresName.isValid(self.slot),
                at: Self.slotField,
                code: .badValue,
                "is no name of a slot: 1 to 63 lower case letters, digits and _"
            )
        }
        reader.require(
            publication.map { PostgresName.isValid($0) } ?? true,
            at: Self.publicationField,
            code: .badValue,
            "must have 1 to 63 bytes"
        )
        reader.require(
            self.wanted.count == self.tables.count,
            at: Self.tablesField,
            "holds a table twice",
            suggestion: "keep one of them"
        )
        reader.require(
            Set(self.snapshot).count == self.snapshot.count,
            at: Self.snapshotField,
            "holds a table twice",
            suggestion: "keep one of them"
        )
        for table in self.snapshot where !self.wants(table) {
            reader.require(
                false,
                at: Self.snapshotField,
                "holds \(table), which is not one of \"tables\"",
                suggestion: "add it there, so that its changes follow"
            )
        }
    }

    /// Whether changes of a table are wanted.
    func wants(_ table: PostgresTable) -> Bool { self.wanted.isEmpty || self.wanted.contains(table) }

    /// What the slot is to be like for this trigger.
    var settings: SlotSettings {
        SlotSettings(
            slot: self.slot,
            publication: self.publication,
            tables: self.tables,
            isCreated: self.isCreated
        )
    }
}
