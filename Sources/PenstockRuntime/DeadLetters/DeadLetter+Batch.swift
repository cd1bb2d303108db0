// SPDX-License-Identifier: Apache-2.0

import PenstockCore

extension DeadLetter {
    /// The letter's record as a batch of one.
    func batch(in partition: Partition, format: any EventFormat, receivedAt: Instant) -> Batch {
        let block = self.block(of: partition)
        let admitted = AdmittedBlock(
            block: block,
            firstDelivery: 0,
            receivedAt: receivedAt,
            sizes: format.sizes(of: block).sums
        )
        let run = Run(admitted: admitted, range: 0..<1)
        return Batch(id: BatchID(0), runs: [run], attempt: self.attemptCount + 1)
    }

    /// The letter's record as a block of one.
    func block(of partition: Partition) -> RecordBlock {
        var builder = RecordBlockBuilder(
            byteCapacity: (self.key?.count ?? 0) + (self.body?.count ?? 0) + 256,
            recordCapacity: 1
        )
        let index = builder.add(partition)
        unsafe Self.withBytes(self.key) { key in
            unsafe Self.withBytes(self.body) { body in
                unsafe builder.append(
                    position: self.position,
                    timestamp: self.timestamp,
                    tag: self.tag,
                    partitionIndex: index,
                    payload: RecordPayload(key: key, body: body)
                )
            }
        }
        for attribute in self.attributes {
            unsafe Self.withBytes(Array(attribute.name.utf8)) { name in
                unsafe Self.withBytes(attribute.value) { value in
                    guard let name = unsafe name else { return }
                    unsafe builder.appendAttribute(name: name, value: value)
                }
            }
        }
        return builder.finish()
    }

    private static func withBytes(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Void) {
        guard let bytes else { return body(nil) }
        unsafe bytes.withUnsafeBytes { unsafe body($0) }
    }
}
