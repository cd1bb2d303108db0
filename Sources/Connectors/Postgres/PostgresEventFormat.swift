// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
import PostgresClient

/// What a record of Postgres has besides its payload, which is its body.
enum PostgresAttribute {
    /// The event up to the payload, and what follows it, as they are sent.
    static let head: StaticString = "head"
    static let tail: StaticString = "tail"
    /// What the event calls itself, and what `batchItemFailures` names.
    static let id: StaticString = "eventID"
    /// How often a row was received, this time included: which receipt this is.
    static let attempts: StaticString = "attempts"
    /// The channel of a notification.
    static let channel: StaticString = "channel"
    /// The headers of a row, as JSON.
    static let headers: StaticString = "headers"
}

/// The event of Postgres records: `Records` as those of SQS (esm-spec 3.5).
///
/// Head and tail of each record's event are made when it is received, so that it is written without looking at it again.
/// A record that did not come from a database (a test of the configuration) gets them from its position.
package struct PostgresEventFormat: EventFormat {
    /// Where records come from.
    enum Kind: String, Sendable {
        case notify = "postgres:notify"
        case outbox = "postgres:outbox"
    }

    let kind: Kind

    package var contentType: String { "application/json" }

    private static let start: StaticString = #"{"Records":["#

    package var envelope: Int { Self.start.utf8CodeUnitCount + 2 }

    // MARK: - Names

    /// What stands for a region where there is none.
    static let region = "local"

    /// The ARN of a channel or a table; the form is that of AWS, so that tools take it.
    static func arn(database: String, _ kind: String, _ name: String) -> String {
        "arn:aws:postgres:\(Self.region):000000000000:\(database)/\(kind)/\(name)"
    }

    /// The event up to what is in `postgres`.
    static func head(id: String, name: String, kind: Kind, arn: String) -> [UInt8] {
        var text = Array("{".utf8) + JSONText.member("eventID", id)
        text += Array(#","eventVersion":"1.0","#.utf8) + JSONText.member("eventName", name)
        text += Array(",".utf8) + JSONText.member("eventSource", kind.rawValue)
        text += Array(",".utf8) + JSONText.member("eventSourceARN", arn)
        return text + Array(#","awsRegion":"\#(Self.region)","postgres":{"#.utf8)
    }

    /// Milliseconds since 1970 as seconds.
    static func seconds(_ time: Timestamp) -> String {
        let (whole, rest) = time.milliseconds.quotientAndRemainder(dividingBy: 1000)
        let digits = String(1000 + rest.magnitude).dropFirst()
        return "\(time.milliseconds < 0 && whole == 0 ? "-" : "")\(whole).\(digits)"
    }

    // MARK: - A record's parts

    /// Where the parts of a record are, valid while its block is alive.
    @unsafe
    private struct Parts {
        var head: UnsafeRawBufferPointer?
        var tail: UnsafeRawBufferPointer?

        init(_ block: RecordBlock, _ index: Int) {
            unsafe block.forEachAttribute(at: index) { name, value in
                if unsafe PostgresAttribute.head.isEqual(to: name) {
                    unsafe self.head = unsafe value
                } else if unsafe PostgresAttribute.tail.isEqual(to: name) {
                    unsafe self.tail = unsafe value
                }
            }
        }
    }

    /// The head of a record that no database made.
    private func defaultHead(_ block: RecordBlock, _ index: Int) -> [UInt8] {
        let name = block.partition(at: index).name
        let id = block.entries[index].position.description
        switch self.kind {
        case .notify:
            let arn = Self.arn(database: "postgres", "channel", name)
            return Self.head(id: id, name: "NOTIFY", kind: self.kind, arn: arn)
                + Array(#""database":"postgres","#.utf8) + JSONText.member("channel", name)
                + Array(#","payload":"#.utf8)
        case .outbox:
            let table = PostgresTable(name) ?? PostgresTable(schema: "public", name: "outbox")
            let arn = Self.arn(database: "postgres", "outbox", "\(table)")
            return Self.head(id: id, name: "INSERT", kind: self.kind, arn: arn)
                + Array(#""database":"postgres","#.utf8) + JSONText.member("schema", table.schema)
                + Array(",".utf8) + JSONText.member("table", table.name) + Array(",".utf8)
                + JSONText.member("id", id) + Array(#","groupKey":null,"payload":"#.utf8)
        }
    }

    /// The tail of a record that no database made.
    private func defaultTail(_ entry: RecordEntry) -> [UInt8] {
        let time = Self.seconds(entry.timestamp)
        switch self.kind {
        case .notify:
            let rest = #""sessionEpoch":"0000","sequence":0,"possibleGap":false}}"#
            return Array(#","backendPid":0,"receivedAt":\#(time),\#(rest)"#.utf8)
        case .outbox: return Array(#","headers":{},"createdAt":\#(time),"receiveCount":1}}"#.utf8)
        }
    }

    // MARK: - Writing

    package func sizes(of block: RecordBlock) -> RecordSizes {
        RecordSizes(count: block.count) { index in
            let parts = unsafe Parts(block, index)
            let head = unsafe parts.head?.count ?? self.defaultHead(block, index).count
            let tail = unsafe parts.tail?.count ?? self.defaultTail(block.entries[index]).count
            let body = unsafe block.body(at: index).map { unsafe EventWriter.stringSize(of: $0) } ?? 4
            return head + body + tail + 1
        }
    }

    package func encode(_ batch: Batch, into writer: inout EventWriter) {
        writer.literal(Self.start)
        var isFirst = true
        for run in batch.runs {
            let block = run.admitted.block
            for index in run.indices {
                if !isFirst { writer.byte(UInt8(ascii: ",")) }
                isFirst = false
                let parts = unsafe Parts(block, index)
                if let head = unsafe parts.head {
                    unsafe writer.raw(head)
                } else {
                    writer.raw(self.defaultHead(block, index))
                }
                if let body = unsafe block.body(at: index) {
                    unsafe writer.string(body)
                } else {
                    writer.literal("null")
                }
                if let tail = unsafe parts.tail {
                    unsafe writer.raw(tail)
                } else {
                    writer.raw(self.defaultTail(block.entries[index]))
                }
            }
        }
        writer.literal("]}")
    }

    // MARK: - Item failures

    package func index(of item: ItemIdentifier, in batch: Batch) -> Int? {
        guard case .text(let id) = item else { return nil }
        let wanted = Array(id.utf8)
        var before = 0
        for run in batch.runs {
            for index in run.indices {
                if Self.isNamed(wanted, run.admitted.block, index) { return before }
                before += 1
            }
        }
        return nil
    }

    private static func isNamed(_ id: [UInt8], _ block: RecordBlock, _ index: Int) -> Bool {
        var (isNamed, isFound) = (false, false)
        unsafe block.forEachAttribute(at: index) { name, value in
            guard !isFound, unsafe PostgresAttribute.id.isEqual(to: name) else { return }
            isFound = true
            isNamed = unsafe value.map { unsafe $0.elementsEqual(id) } ?? false
        }
        return isFound ? isNamed : block.entries[index].position.description.utf8.elementsEqual(id)
    }
}

extension PostgresEventFormat {
    /// What filters can look at.
    var fields: RecordFields {
        var fields = [
            RecordFields.Field("eventID", .text("eventID")),
            RecordFields.Field("payload", .body(.unmet)),
        ]
        switch self.kind {
        case .notify: fields.append(RecordFields.Field("channel", .text("channel")))
        case .outbox:
            fields.append(RecordFields.Field("groupKey", .key(.unmet)))
            fields.append(RecordFields.Field("headers", .document("headers")))
        }
        return RecordFields(fields + [RecordFields.Field("timestamp", .timestamp)])
    }
}

extension StaticString {
    /// Whether a text is this one.
    func isEqual(to text: UnsafeRawBufferPointer) -> Bool {
        guard text.count == self.utf8CodeUnitCount else { return false }
        for index in 0..<text.count {
            guard unsafe text[index] == self.utf8Start[index] else { return false }
        }
        return true
    }

    /// Its bytes.
    var bytes: [UInt8] { Array(self.description.utf8) }
}
