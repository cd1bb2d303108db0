// SPDX-License-Identifier: Apache-2.0

import CLibrdkafka
import Logging

/// What librdkafka's callbacks tell one client, kept until its thread looks.
///
/// librdkafka has one opaque pointer for all callbacks of a client; it is this object, retained by the client until
/// the handle is destroyed. Callbacks only note what happened: all but the log callback run inside a poll on the
/// client's own thread, and nothing may call back into the client from there. The log callback runs on any of
/// librdkafka's threads and touches the logger alone, which never changes.
final class RDKafkaContext {
    /// The group gave partitions, or takes them back.
    struct Rebalance: Equatable {
        /// Whether they are given.
        var isAssignment: Bool
        /// The partitions.
        var partitions: [KafkaPartitionName]
    }

    /// The answer to a commit.
    struct CommitResult {
        /// Which commit, by the number its sender gave.
        var id: UInt
        /// What the broker said about all.
        var code: RDKafkaError.Code
        /// What it said about each.
        var offsets: [RDKafkaOffset]
    }

    /// The answer to one produced message.
    struct DeliveryReport {
        /// Which message, by the number its sender gave.
        var id: UInt
        /// What became of it.
        var code: RDKafkaError.Code
    }

    let logger: Logger
    var rebalances: [Rebalance] = []
    var errors: [RDKafkaError] = []
    var commits: [CommitResult] = []
    var reports: [DeliveryReport] = []

    init(logger: Logger) {
        self.logger = logger
    }

    /// Sets the callbacks every client has, and the opaque pointer.
    ///
    /// The caller keeps `self` alive.
    func register(on configuration: borrowing RDKafkaConfiguration) {
        let conf = unsafe configuration.pointer
        unsafe rd_kafka_conf_set_opaque(conf, Unmanaged.passUnretained(self).toOpaque())
        unsafe rd_kafka_conf_set_log_cb(conf) { client, _, facility, text in
            guard let client = unsafe client, let text = unsafe text else { return }
            let facility = unsafe facility.map { unsafe String(cString: $0) } ?? ""
            unsafe RDKafkaContext.of(client).logger.debug(
                "librdkafka",
                metadata: ["facility": "\(facility)", "text": "\(String(cString: text))"]
            )
        }
        unsafe rd_kafka_conf_set_error_cb(conf) { client, code, reason, opaque in
            guard let client = unsafe client, let opaque = unsafe opaque else { return }
            let context = unsafe Unmanaged<RDKafkaContext>.fromOpaque(opaque).takeUnretainedValue()
            let reason = unsafe reason.map { unsafe String(cString: $0) }
            guard code == RD_KAFKA_RESP_ERR__FATAL.rawValue else {
                context.errors.append(RDKafkaError(.init(rd_kafka_resp_err_t(code)), reason))
                return
            }
            let underlying = unsafe rd_kafka_fatal_error(client, nil, 0)
            context.errors.append(RDKafkaError(.init(underlying), reason, isFatal: true))
        }
    }

    /// Sets the callback of group members.
    func registerRebalance(on configuration: borrowing RDKafkaConfiguration) {
        unsafe rd_kafka_conf_set_rebalance_cb(configuration.pointer) { _, code, list, opaque in
            guard let opaque = unsafe opaque else { return }
            let context = unsafe Unmanaged<RDKafkaContext>.fromOpaque(opaque).takeUnretainedValue()
            let partitions = unsafe RDKafkaOffsetList.offsets(of: list).map(\.name)
            // Anything but an assignment takes everything away: that is the answer librdkafka waits for.
            let isAssignment = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS
            context.rebalances.append(Rebalance(isAssignment: isAssignment, partitions: partitions))
        }
    }

    /// Sets the callback of producers.
    func registerDelivery(on configuration: borrowing RDKafkaConfiguration) {
        unsafe rd_kafka_conf_set_dr_msg_cb(configuration.pointer) { _, message, opaque in
            guard let message = unsafe message, let opaque = unsafe opaque else { return }
            let context = unsafe Unmanaged<RDKafkaContext>.fromOpaque(opaque).takeUnretainedValue()
            let id = unsafe UInt(bitPattern: message.pointee._private)
            unsafe context.reports.append(DeliveryReport(id: id, code: .init(message.pointee.err)))
        }
    }

    /// The context of a client.
    ///
    /// Valid as long as the client is.
    @unsafe
    static func of(_ client: OpaquePointer) -> RDKafkaContext {
        // Every client of this module was made with one, see `register`.
        unsafe Unmanaged<RDKafkaContext>.fromOpaque(rd_kafka_opaque(client)).takeUnretainedValue()
    }
}
