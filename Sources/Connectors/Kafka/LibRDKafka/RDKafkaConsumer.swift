// SPDX-License-Identifier: Apache-2.0

import CLibrdkafka

/// A topic as a broker tells of it.
struct RDKafkaTopic: Equatable {
    /// Its name.
    var name: String
    /// How many partitions it has, which are numbered from 0.
    var partitions: Int
    /// What is wrong with it.
    var code: RDKafkaError.Code
}

/// A member of a consumer group.
///
/// Touched by one thread; ``close(within:)`` is how it ends.
///
/// Messages and everything else come on two queues: the partitions' own queues are forwarded to ``messages``, the
/// group's events stay on ``events``. So a consumer without room leaves its messages where they are, librdkafka stops
/// to fetch when its limits are reached, and the group is served all the same: nothing is fetched twice, as it would
/// be after `rd_kafka_pause_partitions`, which throws away what was fetched.
@safe
final class RDKafkaConsumer {
    /// What the callbacks noted; look after every poll.
    let context: RDKafkaContext

    private var client: OpaquePointer?
    private var events: OpaquePointer?
    private var messages: OpaquePointer?
    let wakeup: Wakeup

    /// Makes a client, not yet a member of its group.
    ///
    /// - Throws: ``RDKafkaConfiguration/Refusal`` when librdkafka refuses the settings.
    init(
        _ configuration: consuming RDKafkaConfiguration,
        context: RDKafkaContext,
        wakeup: Wakeup
    ) throws(RDKafkaConfiguration.Refusal) {
        context.register(on: configuration)
        context.registerRebalance(on: configuration)
        self.context = context
        self.wakeup = wakeup
        let client = unsafe try configuration.makeClient(RD_KAFKA_CONSUMER)
        unsafe rd_kafka_poll_set_consumer(client)
        unsafe self.client = unsafe client
        unsafe self.events = unsafe rd_kafka_queue_get_consumer(client)
        unsafe self.messages = unsafe rd_kafka_queue_new(client)
        var payload: UInt64 = 1
        unsafe rd_kafka_queue_io_event_enable(self.events, wakeup.descriptor, &payload, 8)
        unsafe rd_kafka_queue_io_event_enable(self.messages, wakeup.descriptor, &payload, 8)
    }

    deinit {
        // The plan is `close(within:)`; this is for an owner that failed before.
        unsafe self.destroy()
    }

    /// The handle.
    ///
    /// A closed consumer has none: to use one is a programming error.
    private var handle: OpaquePointer {
        @unsafe get {
            guard let client = unsafe self.client else { preconditionFailure("the consumer is closed") }
            return unsafe client
        }
    }

    // MARK: - Group

    /// Joins the group for these topics, which may be patterns (`^orders-.*`).
    func subscribe(to topics: [String]) throws(RDKafkaError) {
        let list = RDKafkaOffsetList(topics: topics)
        try unsafe Self.check(rd_kafka_subscribe(self.handle, list.pointer))
    }

    /// Whether partitions come and go one by one (`cooperative-sticky`), not all at once.
    var isCooperative: Bool {
        guard let name = unsafe rd_kafka_rebalance_protocol(self.handle) else { return false }
        return unsafe String(cString: name) == "COOPERATIVE"
    }

    /// Whether the partitions are gone without having been asked back: the group went on without this member.
    var isAssignmentLost: Bool { unsafe rd_kafka_assignment_lost(self.handle) != 0 }

    /// Takes partitions from these offsets on.
    ///
    /// With a cooperative group they are added, else they replace all.
    func assign(_ offsets: [RDKafkaOffset]) throws(RDKafkaError) {
        for offset in offsets { unsafe self.forward(offset.name) }
        let list = RDKafkaOffsetList(offsets)
        if self.isCooperative {
            try unsafe Self.check(rd_kafka_incremental_assign(self.handle, list.pointer))
        } else {
            try unsafe Self.check(rd_kafka_assign(self.handle, list.pointer))
        }
    }

    /// Gives partitions back.
    ///
    /// With a cooperative group these, else all.
    func unassign(_ names: [KafkaPartitionName]) throws(RDKafkaError) {
        if self.isCooperative {
            let list = RDKafkaOffsetList(names.map { RDKafkaOffset(name: $0, offset: RDKafkaOffset.invalid) })
            try unsafe Self.check(rd_kafka_incremental_unassign(self.handle, list.pointer))
        } else {
            try unsafe Self.check(rd_kafka_assign(self.handle, nil))
        }
    }

    /// Starts an assigned partition again from another offset, after librdkafka stopped fetching it.
    ///
    /// With a cooperative group it alone; else librdkafka wants the whole assignment anew, which is `others` besides.
    func restart(_ offset: RDKafkaOffset, others: [RDKafkaOffset]) throws(RDKafkaError) {
        let isCooperative = self.isCooperative
        let list = RDKafkaOffsetList(isCooperative ? [offset] : [offset] + others)
        if isCooperative {
            try unsafe Self.check(rd_kafka_incremental_unassign(self.handle, list.pointer))
        } else {
            try unsafe Self.check(rd_kafka_assign(self.handle, nil))
        }
        // librdkafka's own thread stops partitions after that call, and then undoes their forwarding. It takes requests
        // one after the other, so once it has answered this one, they can be forwarded anew.
        var assignment: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
        try unsafe Self.check(rd_kafka_assignment(self.handle, &assignment))
        if let assignment = unsafe assignment { unsafe rd_kafka_topic_partition_list_destroy(assignment) }
        try self.assign(list.offsets)
    }

    /// Stops fetching partitions, and throws away what was fetched but not received; ``resume(_:)`` fetches it again.
    func pause(_ names: [KafkaPartitionName]) throws(RDKafkaError) {
        let list = RDKafkaOffsetList(names.map { RDKafkaOffset(name: $0, offset: RDKafkaOffset.invalid) })
        try unsafe Self.check(rd_kafka_pause_partitions(self.handle, list.pointer))
    }

    /// Goes on with paused partitions behind the last message received.
    func resume(_ names: [KafkaPartitionName]) throws(RDKafkaError) {
        let list = RDKafkaOffsetList(names.map { RDKafkaOffset(name: $0, offset: RDKafkaOffset.invalid) })
        try unsafe Self.check(rd_kafka_resume_partitions(self.handle, list.pointer))
    }

    /// Sends a partition's messages to our queue.
    ///
    /// librdkafka leaves a forwarding that the application made alone.
    @unsafe
    private func forward(_ name: KafkaPartitionName) {
        let queue = unsafe rd_kafka_queue_get_partition(self.handle, name.topic, name.partition)
        guard let queue = unsafe queue else { return }
        unsafe rd_kafka_queue_forward(queue, self.messages)
        unsafe rd_kafka_queue_destroy(queue)
    }

    // MARK: - Receiving

    /// Runs the callbacks that are due, and receives errors.
    ///
    /// Counts as the poll the group wants of its members.
    func serve(_ buffer: inout RDKafkaMessageBuffer) {
        guard let queue = unsafe self.events else { return }
        unsafe buffer.fill(from: queue, atMost: buffer.capacity)
    }

    /// Receives messages, without waiting.
    func receive(_ buffer: inout RDKafkaMessageBuffer, atMost count: Int) {
        guard let queue = unsafe self.messages else { return }
        unsafe buffer.fill(from: queue, atMost: count)
    }

    // MARK: - Offsets

    /// Sends a commit.
    ///
    /// The answer comes into the context's `commits` under this number.
    func commit(_ offsets: [RDKafkaOffset], id: UInt) throws(RDKafkaError) {
        let list = RDKafkaOffsetList(offsets)
        let code = unsafe rd_kafka_commit_queue(
            self.handle,
            list.pointer,
            self.events,
            { client, code, list, opaque in
                guard let client = unsafe client else { return }
                let result = unsafe RDKafkaContext.CommitResult(
                    id: UInt(bitPattern: opaque),
                    code: .init(code),
                    offsets: RDKafkaOffsetList.offsets(of: list)
                )
                unsafe RDKafkaContext.of(client).commits.append(result)
            },
            UnsafeMutableRawPointer(bitPattern: id)
        )
        try Self.check(code)
    }

    /// What the group has committed; ``RDKafkaOffset/invalid`` where it has nothing.
    ///
    /// Waits for the broker.
    func committed(
        _ names: [KafkaPartitionName],
        within timeout: Duration
    ) throws(RDKafkaError) -> [RDKafkaOffset] {
        let list = RDKafkaOffsetList(names.map { RDKafkaOffset(name: $0, offset: RDKafkaOffset.invalid) })
        try unsafe Self.check(rd_kafka_committed(self.handle, list.pointer, Self.milliseconds(timeout)))
        return list.offsets
    }

    /// The first offset that is there, and the one behind the last.
    ///
    /// Waits for the broker.
    func watermarks(
        of name: KafkaPartitionName,
        within timeout: Duration
    ) throws(RDKafkaError) -> Range<Int64> {
        var low: Int64 = 0
        var high: Int64 = 0
        let code = unsafe rd_kafka_query_watermark_offsets(
            self.handle,
            name.topic,
            name.partition,
            &low,
            &high,
            Self.milliseconds(timeout)
        )
        try Self.check(code)
        return low..<max(low, high)
    }

    /// The offset behind the last record as fetches told it; nil when none did.
    ///
    /// Asks nobody.
    func knownEnd(of name: KafkaPartitionName) -> Int64? {
        var low = RDKafkaOffset.invalid
        var high = RDKafkaOffset.invalid
        let code = unsafe rd_kafka_get_watermark_offsets(self.handle, name.topic, name.partition, &low, &high)
        return code == RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0 ? high : nil
    }

    /// For each partition the first offset whose record is not older than its `offset`, a time in
    /// milliseconds; ``RDKafkaOffset/end`` where there is none.
    ///
    /// Waits for the broker.
    func offsets(
        forTimes times: [RDKafkaOffset],
        within timeout: Duration
    ) throws(RDKafkaError) -> [RDKafkaOffset] {
        let list = RDKafkaOffsetList(times)
        try unsafe Self.check(
            rd_kafka_offsets_for_times(self.handle, list.pointer, Self.milliseconds(timeout))
        )
        return list.offsets
    }

    /// Whether a broker answers within this time.
    func isReachable(within timeout: Duration) -> Bool {
        var metadata: UnsafePointer<rd_kafka_metadata>?
        let code = unsafe rd_kafka_metadata(self.handle, 0, nil, &metadata, Self.milliseconds(timeout))
        if let metadata = unsafe metadata { unsafe rd_kafka_metadata_destroy(metadata) }
        return code == RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// The cluster's topics; nil when no broker answers within this time.
    func topics(within timeout: Duration) -> [RDKafkaTopic]? {
        var metadata: UnsafePointer<rd_kafka_metadata>?
        let code = unsafe rd_kafka_metadata(self.handle, 1, nil, &metadata, Self.milliseconds(timeout))
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let metadata = unsafe metadata else { return nil }
        defer { unsafe rd_kafka_metadata_destroy(metadata) }
        let topics = unsafe UnsafeBufferPointer(
            start: metadata.pointee.topics,
            count: Int(metadata.pointee.topic_cnt)
        )
        return unsafe topics.map { topic in
            unsafe RDKafkaTopic(
                name: topic.topic.map { unsafe String(cString: $0) } ?? "",
                partitions: Int(topic.partition_cnt),
                code: RDKafkaError.Code(topic.err)
            )
        }
    }

    // MARK: - End

    /// Leaves the group and frees everything, at most in about this time.
    ///
    /// `answer` deals with what the context notes.
    func close(within timeout: Duration, answer: () -> Void) {
        guard let client = unsafe self.client else { return }
        let deadline = ContinuousClock.now + timeout
        let closing = unsafe rd_kafka_queue_new(client)
        var payload: UInt64 = 1
        unsafe rd_kafka_queue_io_event_enable(closing, self.wakeup.descriptor, &payload, 8)
        let error = unsafe RDKafkaError(consuming: rd_kafka_consumer_close_queue(client, closing))
        while error == nil, unsafe rd_kafka_consumer_closed(client) == 0, ContinuousClock.now < deadline {
            if unsafe rd_kafka_queue_poll_callback(closing, 0) == 0 {
                self.wakeup.wait(atMost: .milliseconds(20))
            }
            answer()
        }
        unsafe rd_kafka_queue_io_event_enable(closing, -1, nil, 0)
        unsafe rd_kafka_queue_destroy(closing)
        unsafe self.destroy()
    }

    @unsafe
    private func destroy() {
        guard let client = unsafe self.client.take() else { return }
        unsafe Self.destroy(self.events.take())
        unsafe Self.destroy(self.messages.take())
        unsafe rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
    }

    @unsafe
    private static func destroy(_ queue: OpaquePointer?) {
        guard let queue = unsafe queue else { return }
        unsafe rd_kafka_queue_io_event_enable(queue, -1, nil, 0)
        unsafe rd_kafka_queue_destroy(queue)
    }

    private static func check(_ code: rd_kafka_resp_err_t) throws(RDKafkaError) {
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw RDKafkaError(.init(code)) }
    }

    @unsafe
    private static func check(_ error: OpaquePointer?) throws(RDKafkaError) {
        if let error = unsafe RDKafkaError(consuming: error) { throw error }
    }

    private static func milliseconds(_ duration: Duration) -> Int32 {
        Int32(clamping: duration / .milliseconds(1) < 1 ? 1 : Int64(duration / .milliseconds(1)))
    }
}
