// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
import PostgresClient

/// The event of changes of rows: `Records` as those of the other Postgres sources (esm-spec 3.5).
///
/// The rows are JSON already. What is the same for all of a slot is the partition's prefix.
package struct ChangesEventFormat: EventFormat {
    package var contentType: String { "application/json" }

    private static let start: StaticString = #"{"Records":["#

    package var envelope: Int { Self.start.utf8CodeUnitCount + 2 }

    /// `eventSource` of the events.
    static let eventSource = "postgres:logical"

    /// A slot as a partition.
    static func partition(
        _ id: PartitionID,
        slot: String,
        database: String
    ) -> Partition {
        let arn = PostgresEventFormat.arn(database: database, "slot", slot)
        var prefix = Array(#","eventVersion":"1.0","#.utf8) + JSONText.member("eventSource", Self.eventSource)
        prefix += Array(",".utf8) + JSONText.member("eventSourceARN", arn)
        prefix += Array(#","awsRegion":"\#(PostgresEventFormat.region)","postgres":{"#.utf8)
        prefix += JSONText.member("database", database) + Array(",".utf8)
        return Partition(id: id, name: slot, eventPrefix: prefix)
    }

    // MARK: - A record's parts

    /// Where the parts of a record are, valid while its block is alive.
    @unsafe
    private struct Parts {
        var schema: UnsafeRawBufferPointer?
        var table: UnsafeRawBufferPointer?
        var lsn: UnsafeRawBufferPointer?
        var transaction: UnsafeRawBufferPointer?
        var old: UnsafeRawBufferPointer?
        var unchanged: UnsafeRawBufferPointer?

        init(_ block: RecordBlock, _ index: Int) {
            unsafe block.forEachAttribute(at: index) { name, value in
                if unsafe ChangeAttribute.schema.isEqual(to: name) {
                    unsafe self.schema = unsafe value
                } else if unsafe ChangeAttribute.table.isEqual(to: name) {
                    unsafe self.table = unsafe value
                } else if unsafe ChangeAttribute.lsn.isEqual(to: name) {
                    unsafe self.lsn = unsafe value
                } else if unsafe ChangeAttribute.transaction.isEqual(to: name) {
                    unsafe self.transaction = unsafe value
                } else if unsafe ChangeAttribute.old.isEqual(to: name) {
                    unsafe self.old = unsafe value
                } else if unsafe ChangeAttribute.unchanged.isEqual(to: name) {
                    unsafe self.unchanged = unsafe value
                }
            }
        }
    }

    private static let eventID: StaticString = #"{"eventID":""#
    private static let eventName: StaticString = #"","eventName":"#
    private static let schema: StaticString = #""schema":"#
    private static let table: StaticString = #","table":"#
    private static let key: StaticString = #","key":"#
    private static let old: StaticString = #","old":"#
    private static let new: StaticString = #","new":"#
    private static let unchanged: StaticString = #","unchanged":"#
    private static let lsn: StaticString = #","lsn":"#
    private static let commitLSN: StaticString = #","commitLsn":""#
    private static let commitTime: StaticString = #"","commitTime":"#
    private static let transaction: StaticString = #","transactionId":"#
    private static let index: StaticString = #","index":"#

    /// Of the words above, of the longest numbers and of the name of the change, and a few more.
    private static let fixedSize = 376

    /// Where a test of a configuration says nothing.
    private static let defaultSchema: StaticString = "public"
    private static let defaultTable: StaticString = "table"

    private static func bytes(_ text: StaticString) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    // MARK: - Writing

    package func sizes(of block: RecordBlock) -> RecordSizes {
        RecordSizes(count: block.count) { index in
            let entry = block.entries[index]
            let parts = unsafe Parts(block, index)
            var size = Self.fixedSize + block.partitions[Int(entry.partitionIndex)].eventPrefix.count
            size += max(4, Int(entry.keyLength)) + max(4, Int(entry.bodyLength))
            size += unsafe EventWriter.stringSize(of: parts.schema ?? Self.bytes(Self.defaultSchema))
            size += unsafe EventWriter.stringSize(of: parts.table ?? Self.bytes(Self.defaultTable))
            size += unsafe (parts.old?.count ?? 4) + (parts.unchanged?.count ?? 2)
            size += unsafe (parts.lsn?.count ?? 4) + (parts.transaction?.count ?? 4)
            return size
        }
    }

    package func encode(_ batch: Batch, into writer: inout EventWriter) {
        writer.literal(Self.start)
        var isFirst = true
        for run in batch.runs {
            for index in run.indices {
                if !isFirst { writer.byte(UInt8(ascii: ",")) }
                isFirst = false
                self.encode(run.admitted.block, index, into: &writer)
            }
        }
        writer.literal("]}")
    }

    private func encode(_ block: RecordBlock, _ index: Int, into writer: inout EventWriter) {
        let entry = block.entries[index]
        let parts = unsafe Parts(block, index)
        let place = ChangePosition.parts(entry.position)
        writer.literal(Self.eventID)
        Self.write(place, entry.position, into: &writer)
        writer.literal(Self.eventName)
        writer.literal((ChangeKind(rawValue: entry.tag) ?? .insert).quoted)
        writer.raw(block.partitions[Int(entry.partitionIndex)].eventPrefix)
        writer.literal(Self.schema)
        unsafe writer.string(parts.schema ?? Self.bytes(Self.defaultSchema))
        writer.literal(Self.table)
        unsafe writer.string(parts.table ?? Self.bytes(Self.defaultTable))
        writer.literal(Self.key)
        unsafe Self.write(block.key(at: index), into: &writer)
        writer.literal(Self.old)
        unsafe Self.write(parts.old, into: &writer)
        writer.literal(Self.new)
        unsafe Self.write(block.body(at: index), into: &writer)
        if let unchanged = unsafe parts.unchanged {
            writer.literal(Self.unchanged)
            unsafe writer.raw(unchanged)
        }
        writer.literal(Self.lsn)
        if let lsn = unsafe parts.lsn { unsafe writer.string(lsn) } else { writer.literal("null") }
        writer.literal(Self.commitLSN)
        writer.utf8("\(place.map { ChangePosition.snapshot($0.commit) ?? $0.commit } ?? .none)")
        writer.literal(Self.commitTime)
        writer.utf8(PostgresEventFormat.seconds(entry.timestamp))
        writer.literal(Self.transaction)
        unsafe Self.write(parts.transaction, into: &writer)
        writer.literal(Self.index)
        writer.decimal(place?.index ?? entry.position.offset ?? 0)
        writer.literal("}}")
    }

    private static func write(
        _ place: (commit: LogSequenceNumber, index: UInt64)?,
        _ position: Position,
        into writer: inout EventWriter
    ) {
        guard let (commit, index) = place, ChangePosition.snapshot(commit) == nil else {
            return writer.utf8(ChangePosition.text(position))
        }
        writer.utf8("\(commit)")
        writer.byte(UInt8(ascii: "-"))
        writer.decimal(index)
    }

    /// JSON as it stands, or null.
    private static func write(_ json: UnsafeRawBufferPointer?, into writer: inout EventWriter) {
        if let json = unsafe json, unsafe !json.isEmpty {
            unsafe writer.raw(json)
        } else {
            writer.literal("null")
        }
    }

    // MARK: - Item failures

    package func index(of item: ItemIdentifier, in batch: Batch) -> Int? {
        guard case .text(let id) = item, let position = ChangePosition.read(id) else { return nil }
        var before = 0
        for run in batch.runs {
            if run.count > 0, let place = run.offset(of: position) { return before + place }
            before += run.count
        }
        return nil
    }
}

extension ChangesEventFormat {
    /// What filters can look at.
    static let fields = RecordFields([
        RecordFields.Field("eventName", .tag { (ChangeKind(rawValue: $0) ?? .insert).name }),
        RecordFields.Field("schema", .text("schema")),
        RecordFields.Field("table", .text("table")),
        RecordFields.Field("key", .key(.unmet)),
        RecordFields.Field("new", .body(.unmet)),
        RecordFields.Field("old", .document("old")),
        RecordFields.Field("unchanged", .document("unchanged")),
        RecordFields.Field("timestamp", .timestamp),
    ])
}
