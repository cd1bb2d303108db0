// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import HTTPFunction

/// A batch of one block; each record is a key and a body at positions from 7.
private func batch(
    _ records: [(key: [UInt8]?, body: [UInt8]?)],
    partition: String = "orders-0"
) -> RecordBlock {
    var builder = RecordBlockBuilder(byteCapacity: 0, recordCapacity: records.count)
    let index = builder.add(Partition(id: PartitionID(1), name: partition))
    for (offset, record) in records.enumerated() {
        let key = record.key ?? []
        let body = record.body ?? []
        unsafe key.withUnsafeBytes { key in
            unsafe body.withUnsafeBytes { body in
                unsafe builder.append(
                    position: Position(UInt64(offset + 7)),
                    timestamp: Timestamp(milliseconds: 1_709_210_096_789),
                    tag: 0,
                    partitionIndex: index,
                    payload: RecordPayload(
                        key: record.key == nil ? nil : key,
                        body: record.body == nil ? nil : body
                    )
                )
            }
        }
    }
    return builder.finish()
}

private func encode(
    _ block: RecordBlock,
    _ format: some EventFormat
) -> (buffer: EventBuffer, batch: Batch, room: Int) {
    let sizes = format.sizes(of: block).sums
    let admitted = AdmittedBlock(block: block, firstDelivery: 0, receivedAt: .start, sizes: sizes)
    let run = Run(admitted: admitted, range: 0..<block.count)
    let batch = Batch(id: BatchID(1), runs: [run], attempt: 1)
    let room = format.size(of: batch) - 1
    let buffer = EventBuffer()
    buffer.write(upTo: room) { format.encode(batch, into: &$0) }
    return (buffer, batch, room)
}

@Suite struct CloudEventsTests {
    @Test("A batch is an array of CloudEvents of exactly the announced size")
    func events() throws {
        let block = batch([
            (Array("k\"1".utf8), Array("{\"a\":1}".utf8)), (nil, Array("{\"a\":".utf8)), ([0xFF], nil),
            ([1], []),
        ])
        let format = CloudEventsFormat(
            trigger: "my trigger",
            type: "t\"",
            dataContentType: "application/json"
        )
        let (buffer, batch, room) = encode(block, format)
        #expect(buffer.count == room)
        let data = unsafe Data(buffer.bytes)
        let events = try #require(try JSONSerialization.jsonObject(with: data) as? [[String: Any]])
        #expect(
            events.map { $0["id"] as? String } == ["orders-0/7", "orders-0/8", "orders-0/9", "orders-0/10"]
        )
        #expect(events.allSatisfy { $0["specversion"] as? String == "1.0" })
        #expect(events.allSatisfy { $0["source"] as? String == "/penstock/my%20trigger" })
        #expect(events.allSatisfy { $0["type"] as? String == "t\"" })
        #expect(events.allSatisfy { $0["time"] as? String == "2024-02-29T12:34:56.789Z" })
        #expect(events.map { $0["partitionkey"] as? String } == ["k\"1", nil, nil, nil])
        #expect((events[0]["data"] as? [String: Int]) == ["a": 1])
        #expect(events[0]["datacontenttype"] as? String == "application/json")
        #expect(events[1]["data_base64"] as? String == Data("{\"a\":".utf8).base64EncodedString())
        #expect(events[1]["datacontenttype"] as? String == "application/octet-stream")
        #expect(events[2]["data"] == nil && events[2]["data_base64"] == nil)
        #expect(events[3]["data_base64"] as? String == "")
        #expect(format.index(of: .text("orders-0/9"), in: batch) == 2)
        #expect(format.index(of: .offset(partition: "orders-0", offset: 10), in: batch) == 3)
        #expect(format.index(of: .text("orders-1/9"), in: batch) == nil)
        #expect(format.index(of: .text("orders-0/11"), in: batch) == nil)
    }

    @Test(
        "Only JSON passes for JSON",
        arguments: [
            ("{}", true), ("[1,-0.5e+3,\"\\u00e9\",null,true]", true), (" 0 ", true), ("\"ü\"", true),
            ("", false), ("{", false), ("[1,]", false), ("{\"a\":1,}", false), ("01", false), ("1.", false),
            ("-", false),
            ("\"\\x\"", false), ("\"\u{1}\"", false), ("nul", false), ("{}x", false), ("{\"a\" 1}", false),
            ("NaN", false),
        ]
    )
    func scanner(text: String, isValid: Bool) {
        let bytes = Array(text.utf8)
        #expect(unsafe bytes.withUnsafeBytes { unsafe JSONScanner.isValid($0) } == isValid)
    }

    @Test("JSON that is not UTF-8, or nested too deep, does not pass")
    func hostileJSON() {
        let deep = [UInt8](repeating: UInt8(ascii: "["), count: 1_000_000)
        #expect(unsafe !deep.withUnsafeBytes { unsafe JSONScanner.isValid($0) })
        let bytes: [UInt8] = [0x22, 0xFF, 0x22]
        #expect(unsafe !bytes.withUnsafeBytes { unsafe JSONScanner.isValid($0) })
    }

    @Test("A raw record is its own bytes, with key and position in headers")
    func raw() async throws {
        let server = try TestHTTPServer { $1.respond() }
        defer { server.stop() }
        let (buffer, _, room) = encode(batch([(Array("a\r\nb".utf8), [0, 1, 0xFF])]), RawFormat())
        #expect(buffer.count <= room)
        try await withFunction(server, "format: raw") { function, reactor in
            #expect(function.batchSizeMax == 1)
            var call = invocation("", reactor, type: RawFormat.marker)
            call.body = buffer
            #expect(await function.invoke(call) == .responded([]))
            call = invocation("", reactor, type: RawFormat.marker)
            call.body = encode(batch([(nil, [1]), (nil, [2])]), RawFormat()).buffer
            guard case .failed(let failure) = await function.invoke(call) else {
                Issue.record("not failed")
                return
            }
            #expect(failure.message.contains("set batch.size to 1"))
        }
        let request = try #require(server.requests.first)
        #expect(request.body == [0, 1, 0xFF])
        #expect(request.headers["x-penstock-key"] == "a%0D%0Ab")
        #expect(request.headers["x-penstock-partition"] == "orders-0")
        #expect(request.headers["x-penstock-position"] == "7")
        #expect(request.headers["content-type"] == "application/octet-stream")
        #expect(server.requests.count == 1)
    }
}
