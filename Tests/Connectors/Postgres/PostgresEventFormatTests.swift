// SPDX-License-Identifier: Apache-2.0

import PenstockRuntime
import PostgresConnector
import Testing

@testable import PenstockCore
@testable import PostgresConnector

/// The events, byte by byte.
@Suite struct PostgresEventFormatTests {
    private static func block(_ records: [(body: String?, attributes: [(String, String)])]) -> RecordBlock {
        var builder = RecordBlockBuilder(byteCapacity: 64, recordCapacity: records.count)
        let index = builder.add(Partition(id: PartitionID(1), name: "orders"))
        for (number, record) in records.enumerated() {
            let body = record.body.map { Array($0.utf8) } ?? []
            unsafe body.withUnsafeBytes { bytes in
                unsafe builder.append(
                    position: Position(UInt64(number + 7)),
                    timestamp: Timestamp(milliseconds: 1_773_478_840_512),
                    tag: 0,
                    partitionIndex: index,
                    payload: RecordPayload(key: nil, body: record.body == nil ? nil : bytes)
                )
            }
            for (name, value) in record.attributes {
                unsafe Array(name.utf8).withUnsafeBytes { name in
                    unsafe Array(value.utf8).withUnsafeBytes {
                        unsafe builder.appendAttribute(name: name, value: $0)
                    }
                }
            }
        }
        return builder.finish()
    }

    private static func encode(_ format: PostgresEventFormat, _ block: RecordBlock) -> (String, Batch) {
        let sizes = format.sizes(of: block).sums
        let admitted = AdmittedBlock(block: block, firstDelivery: 0, receivedAt: .start, sizes: sizes)
        let batch = Batch(id: BatchID(0), runs: [Run(admitted: admitted, range: 0..<block.count)], attempt: 1)
        let buffer = EventBuffer()
        buffer.write(upTo: format.size(of: batch)) { format.encode(batch, into: &$0) }
        let bytes = unsafe [UInt8](buffer.bytes)
        #expect(bytes.count <= format.envelope + sizes[block.count] + block.count - 1)
        return (String(decoding: bytes, as: UTF8.self), batch)
    }

    @Test("Head and tail go out as they came, the payload as a string")
    func encode() {
        let attributes = [("eventID", "e:1"), ("head", "{\"a\":{\"payload\":"), ("tail", ",\"t\":1}}")]
        let block = Self.block([("say \"hi\"\n", attributes), (nil, attributes)])
        let format = PostgresEventFormat(kind: .notify)
        let (text, batch) = Self.encode(format, block)
        #expect(
            text == #"{"Records":[{"a":{"payload":"say \"hi\"\n","t":1}},{"a":{"payload":null,"t":1}}]}"#
        )
        #expect(format.index(of: .text("e:1"), in: batch) == 0)
        #expect(format.index(of: .text("7"), in: batch) == nil)
    }

    @Test("A record that no database made is told from its position")
    func made() {
        let block = Self.block([("{}", [])])
        let (notify, batch) = Self.encode(PostgresEventFormat(kind: .notify), block)
        #expect(
            notify
                == #"{"Records":[{"eventID":"7","eventVersion":"1.0","eventName":"NOTIFY","eventSource":"postgres:notify","#
                + #""eventSourceARN":"arn:aws:postgres:local:000000000000:postgres/channel/orders","awsRegion":"local","#
                + #""postgres":{"database":"postgres","channel":"orders","payload":"{}","backendPid":0,"#
                + #""receivedAt":1773478840.512,"sessionEpoch":"0000","sequence":0,"possibleGap":false}}]}"#
        )
        #expect(PostgresEventFormat(kind: .notify).index(of: .text("7"), in: batch) == 0)
        let (outbox, _) = Self.encode(PostgresEventFormat(kind: .outbox), block)
        #expect(
            outbox
                == #"{"Records":[{"eventID":"7","eventVersion":"1.0","eventName":"INSERT","eventSource":"postgres:outbox","#
                + #""eventSourceARN":"arn:aws:postgres:local:000000000000:postgres/outbox/public.orders","#
                + #""awsRegion":"local","postgres":{"database":"postgres","schema":"public","table":"orders","id":"7","#
                + #""groupKey":null,"payload":"{}","headers":{},"createdAt":1773478840.512,"receiveCount":1}}]}"#
        )
    }
}
