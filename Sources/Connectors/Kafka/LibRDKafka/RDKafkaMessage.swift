// SPDX-License-Identifier: Apache-2.0

import CLibrdkafka
import Glibc
import PenstockCore

/// A received message in librdkafka's memory: valid until ``destroy()``, which its holder calls once.
@safe
struct RDKafkaMessage {
    private let pointer: UnsafeMutablePointer<rd_kafka_message_t>

    fileprivate init(_ pointer: UnsafeMutablePointer<rd_kafka_message_t>) {
        unsafe self.pointer = unsafe pointer
    }

    /// An error that took the place of a message; `none` for a message.
    @inline(__always)
    var code: RDKafkaError.Code { unsafe .init(self.pointee.err) }

    /// The text of an error.
    var detail: String {
        let text = unsafe rd_kafka_message_errstr(self.pointer)
        return unsafe text.map { unsafe String(cString: $0) } ?? self.code.description
    }

    /// Identifies the topic among those subscribed to, while they are assigned.
    @inline(__always)
    var topicIdentity: UInt { unsafe UInt(bitPattern: self.pointer.pointee.rkt) }

    /// The partition's number.
    @inline(__always)
    var partition: Int32 { unsafe self.pointer.pointee.partition }

    /// Whether both are messages, not errors, of one partition.
    @inline(__always)
    fileprivate func isNeighbour(of other: RDKafkaMessage) -> Bool {
        unsafe self.pointer.pointee.partition == other.pointer.pointee.partition
            && self.pointer.pointee.rkt == other.pointer.pointee.rkt
            && self.pointer.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// The topic's name; copied, so not for each message.
    var topic: String? {
        guard let handle = unsafe self.pointer.pointee.rkt else { return nil }
        return unsafe rd_kafka_topic_name(handle).map { unsafe String(cString: $0) }
    }

    /// The offset.
    @inline(__always)
    var offset: Int64 { unsafe self.pointer.pointee.offset }

    /// Gives the memory back.
    @inline(__always)
    func destroy() {
        unsafe rd_kafka_message_destroy(self.pointer)
    }

    /// Copies the record with its headers into `builder`.
    ///
    /// Headers are parsed by librdkafka: that costs 0.15 µs a record which has some, and a call that returns at once
    /// for one which has none (there is no cheaper way to ask).
    @inline(__always)
    func append(to builder: inout RecordBlockBuilder, partitionIndex: UInt32) {
        let message = unsafe self.pointer.pointee
        var type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        let time = unsafe rd_kafka_message_timestamp(self.pointer, &type)
        unsafe builder.append(
            position: Position(UInt64(max(0, message.offset))),
            timestamp: Timestamp(milliseconds: time),
            tag: UInt8(truncatingIfNeeded: type.rawValue),
            partitionIndex: partitionIndex,
            payload: RecordPayload(
                key: Self.bytes(message.key, message.key_len),
                body: Self.bytes(message.payload, message.len)
            )
        )
        var headers: OpaquePointer?
        guard unsafe rd_kafka_message_headers(self.pointer, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR,
            let headers = unsafe headers
        else { return }
        var index = 0
        var name: UnsafePointer<CChar>?
        var value: UnsafeRawPointer?
        var size = 0
        while unsafe rd_kafka_header_get_all(headers, index, &name, &value, &size)
            == RD_KAFKA_RESP_ERR_NO_ERROR,
            let name = unsafe name
        {
            unsafe builder.appendAttribute(
                name: UnsafeRawBufferPointer(start: name, count: strlen(name)),
                value: Self.bytes(value, size)
            )
            index += 1
        }
    }

    /// The bytes at `start`; nil where librdkafka has a null, which is not the same as none.
    @inline(__always)
    @unsafe
    private static func bytes(_ start: UnsafeRawPointer?, _ count: Int) -> UnsafeRawBufferPointer? {
        unsafe start.map { unsafe UnsafeRawBufferPointer(start: $0, count: count) }
    }

    private var pointee: rd_kafka_message_t {
        @unsafe @inline(__always) get { unsafe self.pointer.pointee }
    }
}

/// Received messages that were not yet looked at, in order.
///
/// Owned by one thread; destroys what is left at its end.
@safe
struct RDKafkaMessageBuffer: ~Copyable {
    private let slots: UnsafeMutablePointer<UnsafeMutablePointer<rd_kafka_message_t>?>
    private var next = 0
    private var end = 0

    /// How many messages one call may bring.
    let capacity: Int

    /// An empty buffer.
    init(capacity: Int) {
        self.capacity = capacity
        unsafe self.slots = .allocate(capacity: capacity)
        unsafe self.slots.initialize(repeating: nil, count: capacity)
    }

    deinit {
        for index in self.next..<self.end {
            if let message = unsafe self.slots[index] { unsafe rd_kafka_message_destroy(message) }
        }
        unsafe self.slots.deallocate()
    }

    /// Whether everything was taken.
    var isEmpty: Bool { self.next == self.end }

    /// Takes the oldest message, which the caller destroys.
    @inline(__always)
    mutating func pop() -> RDKafkaMessage? {
        guard self.next < self.end else { return nil }
        defer { self.next += 1 }
        return unsafe self.slots[self.next].map { unsafe RDKafkaMessage($0) }
    }

    /// Destroys the messages that are picked; the others stay, in order.
    mutating func destroy(where isPicked: (RDKafkaMessage) -> Bool) {
        var kept = self.next
        for index in self.next..<self.end {
            guard let message = unsafe self.slots[index] else { continue }
            if unsafe isPicked(RDKafkaMessage(message)) {
                unsafe rd_kafka_message_destroy(message)
            } else {
                unsafe self.slots[kept] = unsafe message
                kept += 1
            }
        }
        self.end = kept
    }

    /// Takes the oldest message if it is one of the same partition as `other`; an error is none.
    @inline(__always)
    mutating func pop(likeOf other: RDKafkaMessage) -> RDKafkaMessage? {
        guard self.next < self.end,
            let message = unsafe self.slots[self.next].map({ unsafe RDKafkaMessage($0) }),
            message.isNeighbour(of: other)
        else { return nil }
        self.next += 1
        return message
    }

    /// Takes what is on a queue, without waiting, and runs the callbacks due.
    ///
    /// Only while empty.
    @unsafe
    mutating func fill(from queue: OpaquePointer, atMost count: Int) {
        precondition(self.isEmpty, "messages are left")
        let received = unsafe rd_kafka_consume_batch_queue(queue, 0, self.slots, min(count, self.capacity))
        self.next = 0
        self.end = max(0, received)
    }
}
