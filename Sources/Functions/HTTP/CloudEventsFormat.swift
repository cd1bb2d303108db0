// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// A batch of CloudEvents 1.0 (JSON format, section 4: `application/cloudevents-batch+json`), one for each
/// record.
///
/// `id` is `<partition>/<position>`, so it is the same for each delivery of a record. A body goes into
/// `data_base64`, unless the configured content type is JSON and the body is valid JSON: then it is embedded
/// as `data`. A record without a body has neither. `partitionkey` is the key when it is text that CloudEvents
/// allow.
struct CloudEventsFormat: EventFormat {
    var contentType: String { "application/cloudevents-batch+json" }

    /// `,"source":…,"type":…,"specversion":"1.0"`, the same for all.
    private let common: [UInt8]

    /// `,"datacontenttype":…`; empty when none is configured.
    private let declaredType: [UInt8]

    /// Whether bodies are JSON when they are valid.
    private let isJSON: Bool

    init(trigger: String, type: String, dataContentType: String?) {
        let source = JSONText.escaped("/penstock/" + RawBody.sanitised(Array(trigger.utf8)))
        let type = JSONText.escaped(type)
        self.common = Self.sourceKey + source + Self.typeKey + type + Self.versionMember
        self.declaredType = dataContentType.map { Self.contentTypeKey + JSONText.escaped($0) } ?? []
        let essence = (dataContentType ?? "").prefix { $0 != ";" }.filter { $0 != " " }.lowercased()
        self.isJSON = essence == "application/json" || essence == "text/json" || essence.hasSuffix("+json")
    }

    private static let sourceKey = Array(",\"source\":".utf8)
    private static let typeKey = Array(",\"type\":".utf8)
    private static let versionMember = Array(",\"specversion\":\"1.0\"".utf8)
    private static let contentTypeKey = Array(",\"datacontenttype\":".utf8)
    /// What is said of a body that is not the JSON it was declared to be.
    private static let bytesType = Array(",\"datacontenttype\":\"application/octet-stream\"".utf8)

    // MARK: - Sizes

    func sizes(of block: RecordBlock) -> RecordSizes {
        // `{"id":"` + partition + `/` + position + `"` … `}`
        let names = block.partitions.map {
            JSONText.escaped($0.name).count - 2 + 7 + 1 + 1 + 1 + self.common.count
        }
        return RecordSizes(count: block.count) { index in
            let entry = block.entries[index]
            var size = names[Int(entry.partitionIndex)] + Self.size(of: entry.position)
            if Self.hasTime(entry.timestamp) { size += 9 + 24 + 1 }
            if let key = unsafe block.key(at: index), let text = unsafe Self.keySize(key) {
                size += 17 + text + 1
            }
            if let body = unsafe block.body(at: index) { size += unsafe self.dataSize(body) }
            return size
        }
    }

    var envelope: Int { 2 }

    private static func size(of position: Position) -> Int {
        position.offset.map { EventWriter.digits(of: $0) } ?? position.description.utf8.count
    }

    private func dataSize(_ body: UnsafeRawBufferPointer) -> Int {
        if self.isJSON, unsafe JSONScanner.isValid(body) { return self.declaredType.count + 8 + body.count }
        let type = self.isJSON ? Self.bytesType : self.declaredType
        return type.count + 16 + EventWriter.base64Size(of: body.count) + 1
    }

    // MARK: - Writing

    func encode(_ batch: Batch, into writer: inout EventWriter) {
        writer.byte(UInt8(ascii: "["))
        var isFirst = true
        for run in batch.runs {
            let name = Array(run.partition.quotedName.dropFirst().dropLast())
            for index in run.indices {
                if !isFirst { writer.byte(UInt8(ascii: ",")) }
                isFirst = false
                self.encode(run.admitted.block, index, name, into: &writer)
            }
        }
        writer.byte(UInt8(ascii: "]"))
    }

    private func encode(_ block: RecordBlock, _ index: Int, _ name: [UInt8], into writer: inout EventWriter) {
        let entry = block.entries[index]
        writer.literal("{\"id\":\"")
        writer.raw(name)
        writer.byte(UInt8(ascii: "/"))
        if let offset = entry.position.offset {
            writer.decimal(offset)
        } else {
            writer.raw(Array(entry.position.description.utf8))
        }
        writer.byte(UInt8(ascii: "\""))
        writer.raw(self.common)
        if Self.hasTime(entry.timestamp) {
            writer.literal(",\"time\":\"")
            writer.dateTime(entry.timestamp)
            writer.byte(UInt8(ascii: "\""))
        }
        if let key = unsafe block.key(at: index), unsafe Self.keySize(key) != nil {
            writer.literal(",\"partitionkey\":\"")
            unsafe Self.writeKey(key, into: &writer)
            writer.byte(UInt8(ascii: "\""))
        }
        if let body = unsafe block.body(at: index) { unsafe self.encode(body, into: &writer) }
        writer.byte(UInt8(ascii: "}"))
    }

    private func encode(_ body: UnsafeRawBufferPointer, into writer: inout EventWriter) {
        if self.isJSON, unsafe JSONScanner.isValid(body) {
            writer.raw(self.declaredType)
            writer.literal(",\"data\":")
            unsafe writer.raw(body)
            return
        }
        writer.raw(self.isJSON ? Self.bytesType : self.declaredType)
        writer.literal(",\"data_base64\":\"")
        unsafe writer.base64(body)
        writer.byte(UInt8(ascii: "\""))
    }

    // MARK: - Keys and times

    /// Bytes of the key in JSON; nil when it is empty, not UTF-8, or holds characters that a CloudEvents
    /// string must not have (control characters and noncharacters).
    private static func keySize(_ key: UnsafeRawBufferPointer) -> Int? {
        guard key.count > 0, let text = unsafe String(validating: key, as: UTF8.self) else { return nil }
        var size = 0
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22, 0x5C: size += 2
            case 0..<0x20, 0x7F..<0xA0, 0xFDD0...0xFDEF: return nil
            default:
                guard scalar.value & 0xFFFE != 0xFFFE else { return nil }
                size += UTF8.width(scalar)
            }
        }
        return size
    }

    private static func writeKey(_ key: UnsafeRawBufferPointer, into writer: inout EventWriter) {
        for index in 0..<key.count {
            let byte = unsafe key[index]
            if byte == 0x22 || byte == 0x5C { writer.byte(UInt8(ascii: "\\")) }
            writer.byte(byte)
        }
    }

    /// RFC 3339 has years of four digits; a negative time is a source's "unknown".
    private static func hasTime(_ time: Timestamp) -> Bool {
        time.milliseconds >= 0 && time.milliseconds < 253_402_300_800_000
    }

    func index(of item: ItemIdentifier, in batch: Batch) -> Int? {
        batch.index(ofPosition: item)
    }
}

extension EventWriter {
    /// Writes `2026-11-23T00:00:00.000Z` (RFC 3339), 24 bytes, for times from 1970 to 9999.
    mutating func dateTime(_ time: Timestamp) {
        let (days, rest) = time.milliseconds.quotientAndRemainder(dividingBy: 86_400_000)
        let date = CivilDate(daysSinceEpoch: Int(days))
        self.padded(Int64(date.year), 4)
        self.byte(UInt8(ascii: "-"))
        self.padded(Int64(date.month), 2)
        self.byte(UInt8(ascii: "-"))
        self.padded(Int64(date.day), 2)
        self.byte(UInt8(ascii: "T"))
        self.padded(rest / 3_600_000, 2)
        self.byte(UInt8(ascii: ":"))
        self.padded(rest / 60_000 % 60, 2)
        self.byte(UInt8(ascii: ":"))
        self.padded(rest / 1000 % 60, 2)
        self.byte(UInt8(ascii: "."))
        self.padded(rest % 1000, 3)
        self.byte(UInt8(ascii: "Z"))
    }

    private mutating func padded(_ value: Int64, _ digits: Int) {
        var place: Int64 = 1
        for _ in 1..<digits { place *= 10 }
        while place > 0 {
            self.byte(UInt8(ascii: "0") + UInt8(value / place % 10))
            place /= 10
        }
    }
}
