// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockRuntime
import PenstockTesting
import Testing

@testable import KafkaConnector

@Suite(.serialized, .ownThreads, .timeLimit(.minutes(2)))
struct KafkaExaminationTests {
    private static func find(_ cluster: TestMockCluster) async -> [String: Diagnosis] {
        let configuration = KafkaSourceConfiguration.fixture(cluster.address, ["t"], group: "g")
        let found = await KafkaExamination(configuration, logger: Logger(label: "test")).run()
        return Dictionary(found.map { ($0.check, $0) }) { $1 }
    }

    @Test("Topics that may be described and not read are told, others and errors of the connection are not")
    func denied() {
        var check = KafkaReadCheck(["a", "b", "c"], patience: .seconds(10))
        check.note("b", RDKafkaError(.topicAuthorizationFailed, "no"))
        check.note("a", RDKafkaError(.partitionEnd, "end"))
        check.note(nil, RDKafkaError(.transport, "lost"))
        #expect(check.isOpen)
        check.note("c", RDKafkaError(.topicAuthorizationFailed, "no"))
        // A broker says so again with each fetch.
        check.note("b", RDKafkaError(.topicAuthorizationFailed, "no"))
        #expect(!check.isOpen)
        #expect(check.diagnosis == .error("read", "READ on topic b, c is denied; allow it"))
    }

    @Test("A topic that does not answer is told with the last error")
    func silent() {
        var check = KafkaReadCheck(["a", "b"], patience: .seconds(10))
        check.note("a", RDKafkaError(.none, ""))
        check.note(nil, RDKafkaError(.transport, "lost"))
        #expect(check.diagnosis.grade == .warning)
        #expect(check.diagnosis.detail.hasPrefix("no answer from topic b within 10s: "))
    }

    @Test("A topic that may be read is told, and nothing is committed")
    func allowed() async throws {
        let cluster = try TestMockCluster(topic: "t")
        let found = await Self.find(cluster)
        #expect(found["read"] == .ok("read", "READ on topic t allowed"))
        #expect(found["group"]?.detail.contains("offsets for 0 of 1 partitions") == true)
    }
}
