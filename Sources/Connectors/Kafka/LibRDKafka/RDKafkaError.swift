// SPDX-License-Identifier: Apache-2.0

import CLibrdkafka

/// A librdkafka error: its code and its text.
///
/// Holds no payload and no credentials.
struct RDKafkaError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What happened, for a program.
    var code: Code

    /// What librdkafka or the broker said.
    var detail: String

    /// Whether the client is unusable from now on.
    var isFatal = false

    var description: String { "\(self.detail) (\(self.code.name))" }

    /// An error with librdkafka's own text for its code, or a better one.
    init(_ code: Code, _ detail: String? = nil, isFatal: Bool = false) {
        self.code = code
        self.detail = detail ?? code.description
        self.isFatal = isFatal
    }

    /// Copies all of `error`, then destroys it; nil when there is none.
    @unsafe
    init?(consuming error: OpaquePointer?) {
        guard let error = unsafe error else { return nil }
        self.code = unsafe Code(rd_kafka_error_code(error))
        self.detail = unsafe String(cString: rd_kafka_error_string(error))
        self.isFatal = unsafe rd_kafka_error_is_fatal(error) != 0
        unsafe rd_kafka_error_destroy(error)
    }

    /// A librdkafka error code: negative ones are local, positive ones are the protocol's.
    struct Code: Hashable, Sendable, CustomStringConvertible {
        /// The number, as in `rdkafka.h` and in Kafka's protocol guide.
        let rawValue: Int32

        /// The code with this number.
        init(_ code: rd_kafka_resp_err_t) {
            self.rawValue = code.rawValue
        }

        /// The symbolic name, `UNKNOWN_TOPIC_OR_PART`.
        var name: String {
            unsafe String(cString: rd_kafka_err2name(rd_kafka_resp_err_t(self.rawValue)))
        }

        /// The text, `Broker: Unknown topic or partition`.
        var description: String {
            unsafe String(cString: rd_kafka_err2str(rd_kafka_resp_err_t(self.rawValue)))
        }

        static let none = Code(RD_KAFKA_RESP_ERR_NO_ERROR)
        static let allBrokersDown = Code(RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        static let transport = Code(RD_KAFKA_RESP_ERR__TRANSPORT)
        static let resolve = Code(RD_KAFKA_RESP_ERR__RESOLVE)
        static let ssl = Code(RD_KAFKA_RESP_ERR__SSL)
        static let authentication = Code(RD_KAFKA_RESP_ERR__AUTHENTICATION)
        static let saslAuthenticationFailed = Code(RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED)
        static let timedOut = Code(RD_KAFKA_RESP_ERR__TIMED_OUT)
        static let partitionEnd = Code(RD_KAFKA_RESP_ERR__PARTITION_EOF)
        static let unknownTopic = Code(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        static let unknownTopicLocal = Code(RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
        static let unknownPartition = Code(RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
        static let topicAuthorizationFailed = Code(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        static let groupAuthorizationFailed = Code(RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        static let clusterAuthorizationFailed = Code(RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
        static let messageTooLarge = Code(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        static let batchTooLarge = Code(RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE)
        static let offsetOutOfRange = Code(RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
        static let autoOffsetReset = Code(RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
        static let invalidArgument = Code(RD_KAFKA_RESP_ERR__INVALID_ARG)
        static let queueFull = Code(RD_KAFKA_RESP_ERR__QUEUE_FULL)
        static let rebalanceInProgress = Code(RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS)
        static let invalidSessionTimeout = Code(RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT)
        static let inconsistentGroupProtocol = Code(RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL)
        static let groupMaxSizeReached = Code(RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED)
        static let coordinatorLoading = Code(RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS)
        static let coordinatorNotAvailable = Code(RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE)
        static let notCoordinator = Code(RD_KAFKA_RESP_ERR_NOT_COORDINATOR)
        static let waitCoordinator = Code(RD_KAFKA_RESP_ERR__WAIT_COORD)
        static let requestTimedOut = Code(RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT)

        /// Whether the same request may succeed a moment later.
        var isRetriable: Bool {
            switch self {
            case .coordinatorLoading, .coordinatorNotAvailable, .notCoordinator, .waitCoordinator,
                .requestTimedOut,
                .timedOut, .transport, .allBrokersDown, .rebalanceInProgress, .resolve:
                true
            default: false
            }
        }
    }
}
