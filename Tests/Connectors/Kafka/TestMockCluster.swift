// SPDX-License-Identifier: Apache-2.0

import CLibrdkafka
import PenstockTesting

@testable import KafkaConnector

/// librdkafka's own cluster of one broker, which fails as it is told.
@safe
final class TestMockCluster {
    struct Unavailable: Error {}

    /// Where it listens, `127.0.0.1:PORT`.
    let address: String

    private let client: OpaquePointer
    private let cluster: OpaquePointer

    init(topic: String) throws {
        guard let client = unsafe rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), nil, 0) else {
            throw Unavailable()
        }
        guard let cluster = unsafe rd_kafka_mock_cluster_new(client, 1),
            let address = unsafe rd_kafka_mock_cluster_bootstraps(cluster)
        else {
            unsafe rd_kafka_destroy(client)
            throw Unavailable()
        }
        unsafe self.client = unsafe client
        unsafe self.cluster = unsafe cluster
        self.address = unsafe String(cString: address)
        unsafe rd_kafka_mock_topic_create(cluster, topic, 1, 1)
    }

    deinit {
        unsafe rd_kafka_mock_cluster_destroy(self.cluster)
        unsafe rd_kafka_destroy(self.client)
    }

    /// Keeps the port while the broker does not listen on it: others ask the system for free ones meanwhile.
    private var held: HeldPort?

    /// Whether the broker takes no connections.
    var isDown = false {
        didSet {
            if self.isDown {
                unsafe rd_kafka_mock_broker_set_down(self.cluster, 1)
                let port = self.address.split(separator: ":").last.flatMap { UInt16($0) }
                self.held = port.flatMap { HeldPort($0) }
            } else {
                unsafe rd_kafka_mock_broker_set_up(self.cluster, 1)
                self.held = nil
            }
        }
    }

    /// Answers the next Produce requests with these errors.
    func refuseProduce(_ codes: [RDKafkaError.Code]) { self.refuse(request: 0, codes) }

    /// Answers the next InitProducerId requests with these errors.
    func refuseProducerIDs(_ codes: [RDKafkaError.Code]) { self.refuse(request: 22, codes) }

    /// Answers all questions about a topic with this error.
    func refuseTopic(_ topic: String, _ code: RDKafkaError.Code) {
        unsafe rd_kafka_mock_topic_set_error(self.cluster, topic, rd_kafka_resp_err_t(code.rawValue))
    }

    private func refuse(request: Int16, _ codes: [RDKafkaError.Code]) {
        let errors = codes.map { rd_kafka_resp_err_t($0.rawValue) }
        unsafe rd_kafka_mock_push_request_errors_array(self.cluster, request, errors.count, errors)
    }
}

extension RDKafkaError.Code {
    static let outOfOrderSequence = Self(RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER)
}
