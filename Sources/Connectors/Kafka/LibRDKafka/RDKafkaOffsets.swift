// SPDX-License-Identifier: Apache-2.0

import CLibrdkafka

/// A partition of a topic, as Kafka names it.
struct KafkaPartitionName: Hashable, Sendable, CustomStringConvertible {
    /// The topic.
    var topic: String

    /// The number of the partition.
    var partition: Int32

    /// `orders-3`, as AWS events and our checkpoints have it.
    var description: String { "\(self.topic)-\(self.partition)" }
}

/// A partition with an offset, as requests take it and answers give it.
struct RDKafkaOffset: Sendable, Equatable {
    /// The partition.
    var name: KafkaPartitionName

    /// An offset, a time in milliseconds, or one of the logical offsets below.
    var offset: Int64

    /// What the broker said about this one.
    var code = RDKafkaError.Code.none

    /// The first record that is still there.
    static let beginning: Int64 = -2
    /// Behind the last record.
    static let end: Int64 = -1
    /// No offset: nothing is committed.
    static let invalid: Int64 = -1001
}

/// A list of partitions in C memory, freed at its end.
@safe
struct RDKafkaOffsetList: ~Copyable {
    private let handle: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>

    /// A copy of these.
    init(_ offsets: [RDKafkaOffset]) {
        unsafe self.handle = rd_kafka_topic_partition_list_new(Int32(clamping: offsets.count))
        for offset in offsets {
            let entry = unsafe rd_kafka_topic_partition_list_add(
                self.handle,
                offset.name.topic,
                offset.name.partition
            )
            unsafe entry?.pointee.offset = offset.offset
        }
    }

    /// A list of topics to subscribe to.
    init(topics: [String]) {
        self.init(
            topics.map { RDKafkaOffset(name: .init(topic: $0, partition: -1), offset: RDKafkaOffset.invalid) }
        )
    }

    deinit {
        unsafe rd_kafka_topic_partition_list_destroy(self.handle)
    }

    /// The C list.
    ///
    /// Must not outlive `self`.
    @unsafe
    var pointer: UnsafeMutablePointer<rd_kafka_topic_partition_list_t> { unsafe self.handle }

    /// What it holds.
    var offsets: [RDKafkaOffset] { unsafe Self.offsets(of: self.handle) }

    /// Copies a list that librdkafka lends.
    @unsafe
    static func offsets(of list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?) -> [RDKafkaOffset] {
        guard let list = unsafe list else { return [] }
        return unsafe (0..<Int(list.pointee.cnt)).map { index in
            let entry = unsafe list.pointee.elems[index]
            return unsafe RDKafkaOffset(
                name: KafkaPartitionName(topic: String(cString: entry.topic), partition: entry.partition),
                offset: entry.offset,
                code: .init(entry.err)
            )
        }
    }
}
