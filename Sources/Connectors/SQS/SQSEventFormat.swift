// SPDX-License-Identifier: Apache-2.0

import Crypto
package import PenstockCore
import PenstockRuntime

/// The Lambda event of SQS messages (esm-spec 3.1; AWS: "Using Lambda with Amazon SQS").
///
/// A record that did not come from a queue (a test of the configuration) gets what it lacks: an id from its position, no
/// attributes, and the digest of its body.
package struct SQSEventFormat: EventFormat {
    /// Whether records without attributes of their sender say so by a null digest: AWS does when the batch window is a
    /// second or longer.
    private let showsNoDigest: Bool
    private let form: SQSEventForm

    init(batchWindow: Duration, form: SQSEventForm = .sqs) {
        self.showsNoDigest = batchWindow >= .seconds(1)
        self.form = form
    }

    package var contentType: String { "application/json" }

    private static let head: StaticString = #"{"Records":["#

    package var envelope: Int { Self.head.utf8CodeUnitCount + 2 }

    /// The partition of a queue by its ARN; it holds how each of its records ends.
    static func partition(_ id: PartitionID, name arn: String) -> Partition {
        let region = SQSQueueARN.region(in: arn)
        let end =
            Array(#","eventSource":"aws:sqs","#.utf8) + JSONText.member("eventSourceARN", arn)
            + Array(",".utf8) + JSONText.member("awsRegion", region) + Array("}".utf8)
        return Partition(id: id, name: arn, eventPrefix: end)
    }

    // MARK: - A record's parts

    /// Where the parts of a record are, valid while its block is alive.
    @unsafe
    private struct Parts {
        var messageID: UnsafeRawBufferPointer?
        var receiptHandle: UnsafeRawBufferPointer?
        var attributes: UnsafeRawBufferPointer?
        var messageAttributes: UnsafeRawBufferPointer?
        var attributesDigest: UnsafeRawBufferPointer?
        var bodyDigest: UnsafeRawBufferPointer?

        init(_ block: RecordBlock, _ index: Int) {
            unsafe block.forEachAttribute(at: index) { name, value in
                if unsafe SQSAttribute.messageID.isEqual(to: name) {
                    unsafe self.messageID = unsafe value
                } else if unsafe SQSAttribute.receiptHandle.isEqual(to: name) {
                    unsafe self.receiptHandle = unsafe value
                } else if unsafe SQSAttribute.attributes.isEqual(to: name) {
                    unsafe self.attributes = unsafe value
                } else if unsafe SQSAttribute.messageAttributes.isEqual(to: name) {
                    unsafe self.messageAttributes = unsafe value
                } else if unsafe SQSAttribute.attributesDigest.isEqual(to: name) {
                    unsafe self.attributesDigest = unsafe value
                } else if unsafe SQSAttribute.bodyDigest.isEqual(to: name) {
                    unsafe self.bodyDigest = unsafe value
                }
            }
        }
    }

    /// `"name":` with what stands before it.
    private enum Key {
        static let messageID: StaticString = #"{"messageId":"#
        static let receiptHandle: StaticString = #","receiptHandle":"#
        static let body: StaticString = #","body":"#
        static let attributes: StaticString = #","attributes":"#
        static let messageAttributes: StaticString = #","messageAttributes":"#
        static let attributesDigest: StaticString = #","md5OfMessageAttributes":"#
        static let bodyDigest: StaticString = #","md5OfBody":"#

        static let always =
            [
                Self.messageID, Self.receiptHandle, Self.body, Self.attributes, Self.messageAttributes,
                Self.bodyDigest,
            ].reduce(0) { $0 + $1.utf8CodeUnitCount }
    }

    /// Two quotes around 32 hexadecimal digits.
    private static let digestSize = 34

    // MARK: - Sizes

    package func sizes(of block: RecordBlock) -> RecordSizes {
        RecordSizes(count: block.count) { index in
            let entry = block.entries[index]
            let parts = unsafe Parts(block, index)
            var size = Key.always + block.partitions[Int(entry.partitionIndex)].eventPrefix.count
            size += unsafe Self.stringSize(parts.messageID) ?? SQSMessageID.byteCount + 2
            size += unsafe Self.stringSize(parts.receiptHandle) ?? 2
            size += unsafe Self.stringSize(block.body(at: index)) ?? 2
            size += unsafe parts.attributes?.count ?? Self.defaultAttributes(entry).count
            size += unsafe parts.messageAttributes?.count ?? 2
            size += unsafe Self.stringSize(parts.bodyDigest) ?? Self.digestSize
            if let digest = unsafe parts.attributesDigest {
                size += unsafe Key.attributesDigest.utf8CodeUnitCount + EventWriter.stringSize(of: digest)
            } else if self.showsNoDigest {
                size += Key.attributesDigest.utf8CodeUnitCount + 4
            }
            return size + self.form.surplus
        }
    }

    private static func stringSize(_ bytes: UnsafeRawBufferPointer?) -> Int? {
        unsafe bytes.map { unsafe EventWriter.stringSize(of: $0) }
    }

    // MARK: - Writing

    package func encode(_ batch: Batch, into writer: inout EventWriter) {
        if self.form == .raw { writer.byte(UInt8(ascii: "[")) } else { writer.literal(Self.head) }
        var isEmpty = true
        for run in batch.runs {
            for index in run.indices {
                let block = run.admitted.block
                if self.form == .sqs {
                    self.encode(block, index, into: &writer)
                } else if let unwrapped = unsafe self.form.unwrap(block.body(at: index)) {
                    guard !unwrapped.isEmpty else { continue }
                    writer.raw(unwrapped)
                } else {
                    self.encode(block, index, into: &writer)
                }
                writer.byte(UInt8(ascii: ","))
                isEmpty = false
            }
        }
        if !isEmpty { writer.removeLast() }
        if self.form == .raw { writer.byte(UInt8(ascii: "]")) } else { writer.literal("]}") }
    }

    private func encode(_ block: RecordBlock, _ index: Int, into writer: inout EventWriter) {
        let entry = block.entries[index]
        let parts = unsafe Parts(block, index)
        writer.literal(Key.messageID)
        if let id = unsafe parts.messageID {
            unsafe writer.string(id)
        } else {
            writer.byte(UInt8(ascii: "\""))
            writer.raw(Array(SQSMessageID.text(of: entry.position).utf8))
            writer.byte(UInt8(ascii: "\""))
        }
        writer.literal(Key.receiptHandle)
        unsafe Self.string(parts.receiptHandle, into: &writer)
        writer.literal(Key.body)
        unsafe Self.string(block.body(at: index), into: &writer)
        writer.literal(Key.attributes)
        if let attributes = unsafe parts.attributes {
            unsafe writer.raw(attributes)
        } else {
            writer.raw(Self.defaultAttributes(entry))
        }
        writer.literal(Key.messageAttributes)
        if let attributes = unsafe parts.messageAttributes {
            unsafe writer.raw(attributes)
        } else {
            writer.literal("{}")
        }
        if let digest = unsafe parts.attributesDigest {
            writer.literal(Key.attributesDigest)
            unsafe writer.string(digest)
        } else if self.showsNoDigest {
            writer.literal(Key.attributesDigest)
            writer.literal("null")
        }
        writer.literal(Key.bodyDigest)
        if let digest = unsafe parts.bodyDigest {
            unsafe writer.string(digest)
        } else {
            writer.byte(UInt8(ascii: "\""))
            writer.raw(unsafe Self.digest(of: block.body(at: index)))
            writer.byte(UInt8(ascii: "\""))
        }
        writer.raw(block.partitions[Int(entry.partitionIndex)].eventPrefix)
    }

    private static func string(_ bytes: UnsafeRawBufferPointer?, into writer: inout EventWriter) {
        if let bytes = unsafe bytes {
            unsafe writer.string(bytes)
        } else {
            writer.literal("\"\"")
        }
    }

    private static func defaultAttributes(_ entry: RecordEntry) -> [UInt8] {
        let time = entry.timestamp.milliseconds
        return Array(
            (#"{"ApproximateReceiveCount":"1","SentTimestamp":"\#(time)","#
                + #""ApproximateFirstReceiveTimestamp":"\#(time)"}"#).utf8
        )
    }

    private static func digest(of body: UnsafeRawBufferPointer?) -> [UInt8] {
        var hash = Insecure.MD5()
        if let body = unsafe body { unsafe hash.update(bufferPointer: body) }
        return Hexadecimal.digits(hash.finalize())
    }

    // MARK: - Item failures

    package func index(of item: ItemIdentifier, in batch: Batch) -> Int? {
        guard case .text(let id) = item else { return nil }
        let position = SQSMessageID.position(of: id.utf8)
        var before = 0
        for run in batch.runs {
            let entries = run.admitted.block.entries
            for index in run.indices {
                if entries[index].position == position { return before }
                before += 1
            }
        }
        return nil
    }
}

extension SQSEventFormat {
    /// What filters can look at (esm-spec 5.3): the members of a record in the event.
    static let fields = RecordFields([
        RecordFields.Field("messageId", .text("messageId")),
        RecordFields.Field("receiptHandle", .text("receiptHandle")),
        RecordFields.Field("body", .body(.unmet)),
        RecordFields.Field("attributes", .document("attributes")),
        RecordFields.Field("messageAttributes", .document("messageAttributes")),
        RecordFields.Field("md5OfMessageAttributes", .text("md5OfMessageAttributes")),
        RecordFields.Field("md5OfBody", .text("md5OfBody")),
        RecordFields.Field("eventSource", .partitionText { _ in "aws:sqs" }),
        RecordFields.Field("eventSourceARN", .partitionText { $0.name }),
        RecordFields.Field("awsRegion", .partitionText { SQSQueueARN.region(in: $0.name) }),
    ])
}
