// SPDX-License-Identifier: Apache-2.0

import CLibrdkafka

/// A message to be produced.
///
/// Byte for byte: nil is a null, which is not the same as no bytes.
struct RDKafkaOutgoing: Sendable {
    /// Where to.
    var topic: String
    /// Which partition; nil lets the key decide.
    var partition: Int32?
    /// The key.
    var key: [UInt8]?
    /// The value.
    var value: [UInt8]?
    /// Headers in order; duplicates are kept.
    var headers: [(name: String, value: [UInt8]?)] = []
    /// Milliseconds since the epoch; nil for now.
    var timestamp: Int64?

    /// Bytes of key, value and headers.
    var size: Int {
        self.headers.reduce((self.key?.count ?? 0) + (self.value?.count ?? 0)) { size, header in
            size + header.name.utf8.count + (header.value?.count ?? 0)
        }
    }
}

/// A producer.
///
/// Touched by one thread; ``close()`` is how it ends.
@safe
final class RDKafkaProducer {
    /// What the callbacks noted; look after every poll.
    let context: RDKafkaContext

    private var client: OpaquePointer?
    private var events: OpaquePointer?

    /// Makes a client.
    ///
    /// - Throws: ``RDKafkaConfiguration/Refusal`` when librdkafka refuses the settings.
    init(
        _ configuration: consuming RDKafkaConfiguration,
        context: RDKafkaContext,
        wakeup: Wakeup
    ) throws(RDKafkaConfiguration.Refusal) {
        context.register(on: configuration)
        context.registerDelivery(on: configuration)
        self.context = context
        let client = unsafe try configuration.makeClient(RD_KAFKA_PRODUCER)
        unsafe self.client = unsafe client
        unsafe self.events = unsafe rd_kafka_queue_get_main(client)
        var payload: UInt64 = 1
        unsafe rd_kafka_queue_io_event_enable(self.events, wakeup.descriptor, &payload, 8)
    }

    /// Makes the client of a destination.
    ///
    /// - Throws: ``RDKafkaError`` when librdkafka refuses the settings.
    convenience init(
        for destination: KafkaDestinationConfiguration,
        context: RDKafkaContext,
        wakeup: Wakeup
    ) throws(RDKafkaError) {
        do throws(RDKafkaConfiguration.Refusal) {
            let settings = try KafkaProperties.producer(destination)
            try self.init(settings, context: context, wakeup: wakeup)
        } catch {
            throw RDKafkaError(.invalidArgument, KafkaProperties.text(of: error))
        }
    }

    deinit {
        self.close()
    }

    /// Puts a message into librdkafka's queue, which copies it.
    ///
    /// What becomes of it comes into the context's `reports` under this number.
    ///
    /// - Throws: ``RDKafkaError/Code/queueFull`` when it has to be tried again after a ``serve()``.
    func produce(_ message: RDKafkaOutgoing, id: UInt) throws(RDKafkaError) {
        guard let client = unsafe self.client else { throw RDKafkaError(.none, "the producer is closed") }
        let headers = unsafe message.headers.isEmpty ? nil : Self.headers(message.headers)
        let error = unsafe Self.withBytes(message.key) { key in
            unsafe Self.withBytes(message.value) { value in
                unsafe message.topic.withCString { topic in
                    var arguments: [rd_kafka_vu_t] = unsafe [
                        Self.argument(RD_KAFKA_VTYPE_TOPIC) { unsafe $0.cstr = topic },
                        Self.argument(RD_KAFKA_VTYPE_PARTITION) { unsafe $0.i32 = message.partition ?? -1 },
                        Self.argument(RD_KAFKA_VTYPE_MSGFLAGS) { unsafe $0.i = RD_KAFKA_MSG_F_COPY },
                        Self.argument(RD_KAFKA_VTYPE_KEY) { unsafe $0.mem = .init(ptr: key.0, size: key.1) },
                        Self.argument(RD_KAFKA_VTYPE_VALUE) {
                            unsafe $0.mem = .init(ptr: value.0, size: value.1)
                        },
                        Self.argument(RD_KAFKA_VTYPE_OPAQUE) {
                            unsafe $0.ptr = UnsafeMutableRawPointer(bitPattern: id)
                        },
                    ]
                    if let headers = unsafe headers {
                        unsafe arguments.append(
                            Self.argument(RD_KAFKA_VTYPE_HEADERS) { unsafe $0.headers = headers }
                        )
                    }
                    if let timestamp = message.timestamp {
                        unsafe arguments.append(
                            Self.argument(RD_KAFKA_VTYPE_TIMESTAMP) { unsafe $0.i64 = timestamp }
                        )
                    }
                    return unsafe RDKafkaError(
                        consuming: rd_kafka_produceva(client, arguments, arguments.count)
                    )
                }
            }
        }
        guard let error else { return }
        // librdkafka takes the headers over only when it takes the message.
        if let headers = unsafe headers { unsafe rd_kafka_headers_destroy(headers) }
        throw error
    }

    /// Like ``produce(_:id:)``, but says false when the queue is full.
    func accepts(_ message: RDKafkaOutgoing, id: UInt) throws(RDKafkaError) -> Bool {
        do throws(RDKafkaError) {
            try self.produce(message, id: id)
            return true
        } catch {
            guard error.code == .queueFull else { throw error }
            return false
        }
    }

    /// Runs the callbacks that are due, without waiting.
    func serve() {
        guard let client = unsafe self.client else { return }
        unsafe rd_kafka_poll(client, 0)
    }

    /// Frees everything.
    ///
    /// What is still in the queue is dropped, so its sender waits for the reports first. Idempotent.
    func close() {
        guard let client = unsafe self.client.take() else { return }
        if let queue = unsafe self.events.take() {
            unsafe rd_kafka_queue_io_event_enable(queue, -1, nil, 0)
            unsafe rd_kafka_queue_destroy(queue)
        }
        unsafe rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
        unsafe rd_kafka_poll(client, 0)
        unsafe rd_kafka_destroy(client)
    }

    @unsafe
    private static func headers(_ headers: [(name: String, value: [UInt8]?)]) -> OpaquePointer? {
        let list = unsafe rd_kafka_headers_new(headers.count)
        for header in headers {
            unsafe Self.withBytes(header.value) { value in
                _ = unsafe rd_kafka_header_add(list, header.name, -1, value.0, value.1)
            }
        }
        return unsafe list
    }

    /// A null pointer for nil, and a pointer to something for no bytes.
    @unsafe
    private static func withBytes<Result>(
        _ bytes: [UInt8]?,
        _ body: ((UnsafeMutableRawPointer?, Int)) -> Result
    ) -> Result {
        guard let bytes else { return unsafe body((nil, 0)) }
        guard !bytes.isEmpty else {
            var nothing: UInt8 = 0
            return unsafe withUnsafeMutableBytes(of: &nothing) { unsafe body(($0.baseAddress, 0)) }
        }
        return unsafe bytes.withUnsafeBytes { buffer in
            unsafe body((UnsafeMutableRawPointer(mutating: buffer.baseAddress), buffer.count))
        }
    }

    @unsafe
    private static func argument(
        _ type: rd_kafka_vtype_t,
        _ set: (inout rd_kafka_vu_t.__Unnamed_union_u) -> Void
    ) -> rd_kafka_vu_t {
        var argument = unsafe rd_kafka_vu_t()
        unsafe argument.vtype = type
        unsafe set(&argument.u)
        return unsafe argument
    }
}
