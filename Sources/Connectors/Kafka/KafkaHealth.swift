// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockRuntime

/// What keeps a source from its records now, in words for an operator.
///
/// Pure; holds no credentials.
struct KafkaHealth {
    /// One thing that can be wrong, and right again on its own.
    private enum Problem: Hashable, Comparable {
        case login, cluster, group
        case topic(String)
    }

    private let brokers: String
    private let group: String
    private let assignment: String
    private let sessionTimeout: String
    private var problems: [Problem: String] = [:]
    private var lastCause: String?
    private var isEncryptionAtFault = false
    /// A broker that misses our certificate just hangs up.
    private let certificateHint: String
    private var told: SourceStatus?
    private var isKnown = false

    init(_ configuration: KafkaSourceConfiguration) {
        self.brokers = configuration.brokers.joined(separator: ", ")
        self.group = configuration.group
        self.assignment = configuration.assignment.rawValue
        let tls = configuration.security.tls
        self.certificateHint =
            tls != nil && tls?.certificate == nil
            ? ", and whether they want tls.certificate and tls.key" : ""
        self.sessionTimeout = configuration.sessionTimeout.configurationText
    }

    /// Whether only asking a broker can tell that it is over.
    var needsProbe: Bool { self.problems[.cluster] != nil || self.problems[.login] != nil }

    /// The status, when it is another than the one told last.
    mutating func takeNews() -> SourceStatus? {
        let problem = self.problems.min { $0.key < $1.key }?.value
        guard problem != nil || self.isKnown else { return nil }
        let status = problem.map { SourceStatus.disconnected($0) } ?? .connected
        guard status != self.told else { return nil }
        self.told = status
        return status
    }

    /// librdkafka reported an error of the client.
    ///
    /// Returns whether it is one that an operator must hear of.
    mutating func failed(_ error: RDKafkaError) -> Bool {
        switch error.code {
        case .allBrokersDown:
            let cause = self.lastCause ?? error.detail
            self.problems[.cluster] =
                "no broker of \(self.brokers) can be reached: \(cause); "
                + (self.isEncryptionAtFault
                    ? "check tls: ca, certificate and key, and that the broker's certificate names its host"
                    : "check that they are up and brokers is right" + self.certificateHint)
        case .transport, .resolve, .ssl, .timedOut:
            self.lastCause = error.detail
            self.isEncryptionAtFault = error.code == .ssl
        case .authentication, .saslAuthenticationFailed:
            self.problems[.login] = "\(self.brokers) refused the login: \(error.detail); check sasl and tls"
        case .groupAuthorizationFailed:
            self.problems[.group] =
                "the login may not use group \"\(self.group)\" on \(self.brokers); allow READ on the group, or fix group"
        case .invalidSessionTimeout:
            self.problems[.group] =
                "\(self.brokers) does not allow session_timeout \(self.sessionTimeout); set it to what its "
                + "group.min.session.timeout.ms and group.max.session.timeout.ms allow, which is 6s to 30m unless they "
                + "were changed"
        case .inconsistentGroupProtocol:
            self.problems[.group] =
                "group \"\(self.group)\" has members with another assignment than \(self.assignment); give all of its "
                + "members the same assignment"
        case .groupMaxSizeReached:
            self.problems[.group] =
                "group \"\(self.group)\" is full; stop a member, or raise group.max.size on \(self.brokers)"
        default: return false
        }
        return true
    }

    /// A topic is not to be had.
    mutating func failed(topic: String, _ error: RDKafkaError) -> Bool {
        switch error.code {
        case .unknownTopic, .unknownTopicLocal, .unknownPartition:
            self.problems[.topic(topic)] =
                "topic \"\(topic)\" does not exist on \(self.brokers); create it or fix topics"
        case .topicAuthorizationFailed:
            self.problems[.topic(topic)] =
                "the login may not read topic \"\(topic)\" on \(self.brokers); allow READ on it, or fix topics"
        default: return false
        }
        return true
    }

    /// The group works, and these partitions' topics exist.
    mutating func assigned(_ names: [KafkaPartitionName]) {
        self.reached()
        self.problems[.group] = nil
        for name in names { self.problems[.topic(name.topic)] = nil }
    }

    /// A broker answered.
    mutating func reached() {
        self.isKnown = true
        self.lastCause = nil
        self.problems[.cluster] = nil
        self.problems[.login] = nil
    }
}
