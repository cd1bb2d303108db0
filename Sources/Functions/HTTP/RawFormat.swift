// SPDX-License-Identifier: Apache-2.0

import CurlClient
import PenstockCore

/// The record's own bytes, one record a request.
///
/// The encoded body begins with a prelude for ``RawBody``: count, then key, partition and position as texts
/// with their lengths, because key and position become headers. It never leaves the process.
struct RawFormat: EventFormat {
    /// Tells a body with a prelude from one that was given by hand.
    static let marker = "application/x-penstock-raw"

    var contentType: String { Self.marker }

    func sizes(of block: RecordBlock) -> RecordSizes {
        RecordSizes(count: block.count) { index in
            let entry = block.entries[index]
            return Int(max(0, entry.bodyLength)) + Int(max(0, entry.keyLength))
        }
    }

    /// Four lengths of up to 20 digits with a comma, position of up to 58 digits.
    var envelope: Int { 4 * 21 + 58 }

    func overhead(of partition: Partition) -> Int { partition.name.utf8.count }

    func encode(_ batch: Batch, into writer: inout EventWriter) {
        writer.decimal(UInt64(batch.count))
        writer.byte(UInt8(ascii: ","))
        // More than one record has no place in a request; the function refuses it by the count.
        guard batch.count == 1, let run = batch.runs.first else { return }
        let block = run.admitted.block
        let index = run.first
        Self.text(Array(run.partition.name.utf8), into: &writer)
        Self.text(Array(block.entries[index].position.description.utf8), into: &writer)
        if let key = unsafe block.key(at: index) {
            writer.decimal(UInt64(key.count + 1))
            writer.byte(UInt8(ascii: ","))
            unsafe writer.raw(key)
        } else {
            writer.literal("0,")
        }
        if let body = unsafe block.body(at: index) { unsafe writer.raw(body) }
    }

    private static func text(_ bytes: [UInt8], into writer: inout EventWriter) {
        writer.decimal(UInt64(bytes.count))
        writer.byte(UInt8(ascii: ","))
        writer.raw(bytes)
    }

    func index(of item: ItemIdentifier, in batch: Batch) -> Int? {
        batch.index(ofPosition: item)
    }
}

/// A raw body cannot be sent.
struct RawBodyError: Error {
    var detail: String
}

/// The prelude of a ``RawFormat`` body, read back.
struct RawBody {
    /// Where the record's bytes begin.
    var skip: Int

    /// `X-Penstock-Partition`, `X-Penstock-Position`, and `X-Penstock-Key` for a key that headers can hold.
    var headers: [CurlHeader?]

    init(_ buffer: EventBuffer) throws(RawBodyError) {
        var cursor = 0
        let count = Self.number(buffer, &cursor)
        guard count == 1 else {
            throw RawBodyError(
                detail:
                    "format raw sends one record a request, and the batch has \(count ?? 0); set batch.size to 1"
            )
        }
        guard let partition = Self.text(buffer, Self.number(buffer, &cursor), &cursor),
            let position = Self.text(buffer, Self.number(buffer, &cursor), &cursor),
            let keyLength = Self.number(buffer, &cursor)
        else { throw RawBodyError(detail: "the body was not encoded for format raw") }
        self.headers = [
            CurlHeader("X-Penstock-Partition", Self.sanitised(partition)),
            CurlHeader("X-Penstock-Position", Self.sanitised(position)),
        ]
        if keyLength > 0 {
            guard let key = Self.text(buffer, keyLength - 1, &cursor) else {
                throw RawBodyError(detail: "the body was not encoded for format raw")
            }
            self.headers.append(CurlHeader("X-Penstock-Key", Self.sanitised(key)))
        }
        self.skip = cursor
    }

    private static func number(_ buffer: EventBuffer, _ cursor: inout Int) -> Int? {
        var value = 0
        while cursor < buffer.count {
            let byte = unsafe buffer.bytes[cursor]
            cursor += 1
            if byte == UInt8(ascii: ",") { return value }
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9"), value < 1 << 40 else { return nil }
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return nil
    }

    private static func text(_ buffer: EventBuffer, _ length: Int?, _ cursor: inout Int) -> [UInt8]? {
        guard let length, length <= buffer.count - cursor else { return nil }
        defer { cursor += length }
        return unsafe Array(UnsafeRawBufferPointer(rebasing: buffer.bytes[cursor..<cursor + length]))
    }

    /// Printable ASCII as it is, all else and `%` percent-encoded (RFC 3986 section 2.1); at most 1024 bytes
    /// of input.
    static func sanitised(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var result: [UInt8] = []
        for byte in bytes.prefix(1024) {
            if byte > 0x20, byte < 0x7F, byte != UInt8(ascii: "%") {
                result.append(byte)
            } else {
                result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}

extension Batch {
    /// The record that is named `<partition>/<position>`, or by partition and offset; nil when it is not in
    /// the batch.
    func index(ofPosition item: ItemIdentifier) -> Int? {
        let partition: Substring
        let position: Position
        switch item {
        case .offset(let name, let offset): (partition, position) = (name[...], Position(offset))
        case .text(let text):
            guard let slash = text.lastIndex(of: "/"),
                let parsed = Position(String(text[text.index(after: slash)...]))
            else { return nil }
            (partition, position) = (text[..<slash], parsed)
        }
        var before = 0
        for run in self.runs {
            if run.partition.name == partition, let place = run.offset(of: position) { return before + place }
            before += run.count
        }
        return nil
    }
}
