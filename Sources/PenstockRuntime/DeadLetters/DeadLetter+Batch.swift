// SPDX-License-Identifier: Apache-2.0

import PenstockCore

extension DeadLetter {
    /// The letter's record as a batch of one.
    func batch(
        in partition: Partition,
        format: any EventFormat,
        receivedAt: Instant,
        window: BatchWindow? = nil
    ) -> Batch {
        let block = self.block(of: partition)
        let admitted = AdmittedBlock(
            block: block,
            firstDelivery: 0,
            receivedAt: receivedAt,
            sizes: format.sizes(of: block).sums
        )
        let run = Run(admitted: admitted, range: 0..<1)
        return Batch(id: BatchID(0), runs: [run], attempt: self.attemptCount + 1, window: window)
    }

    /// A window of the letter's time for its record alone, whose one call is the final one: the window that it came in is
    /// over, or has another state by now.
    func window(in partition: Partition, length: Duration) -> BatchWindow {
        let time = self.timestamp.milliseconds > 0 ? min(self.timestamp, self.at) : self.at
        var open = OpenWindow(WindowSpan(holding: time, length: length))
        open.isEndingEarly = true
        return BatchWindow(partition: partition, open: open, isFinal: true, settled: self.position)
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
