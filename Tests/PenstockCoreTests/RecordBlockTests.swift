// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import Testing

/// Blocks and their builder.
@Suite struct RecordBlockTests {
    private static func bytes(_ text: StaticString) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    @Test("An attribute that is written in its place is like one that is copied, however large the block is")
    func writtenAttributes() {
        var builder = RecordBlockBuilder(byteCapacity: 0, recordCapacity: 1)
        let partition = builder.add(Partition(id: PartitionID(1), name: "p", eventPrefix: []))
        let long = [UInt8](repeating: UInt8(ascii: "x"), count: 700)
        for record in 0..<20 {
            unsafe builder.append(
                position: Position(UInt64(record)),
                timestamp: Timestamp(milliseconds: 0),
                tag: 0,
                partitionIndex: partition,
                payload: RecordPayload(key: nil, body: Self.bytes("body"))
            )
            unsafe builder.appendAttribute(name: Self.bytes("first"), value: Self.bytes("1"))
            unsafe builder.appendAttribute(name: Self.bytes("written"), upTo: 1000) { $0.raw(long) }
            unsafe builder.appendAttribute(name: Self.bytes("empty"), upTo: 0) { _ in }
            unsafe builder.appendAttribute(name: Self.bytes("last"), value: nil)
        }
        let block = builder.finish()
        for record in 0..<20 {
            var seen: [String] = []
            unsafe block.forEachAttribute(at: record) { name, value in
                let value = unsafe value.map { unsafe String(decoding: $0, as: UTF8.self) }
                seen.append("\(unsafe String(decoding: name, as: UTF8.self)) \(value ?? "null")")
            }
            let written = "written " + String(repeating: "x", count: 700)
            #expect(seen == ["first 1", written, "empty ", "last null"])
            #expect(unsafe block.body(at: record)?.count == 4)
        }
    }
}
