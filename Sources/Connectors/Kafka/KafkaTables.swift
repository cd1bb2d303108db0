// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore

extension KafkaSourceConfiguration: ConfigurationTable {
    static let brokersField = Field.strings("brokers", "Bootstrap servers, each host:port.", count: 1...100)
    static let topicsField = Field.strings(
        "topics",
        "Topics by name, or patterns that begin with ^; new topics that match are picked up.",
        count: 1...1000
    )
    static let groupField = Field.string(
        "group",
        "The consumer group; its committed offsets say where to go on. Members with the same group share the work."
    )
    static let startField = Field<KafkaStart>(
        "start",
        "Where a partition begins that the group has no offset for: `earliest`, `latest`, or an RFC 3339 time.",
        .parsed("earliest, latest, or a time like 2026-01-31T00:00:00Z", placeholder: .earliest) {
            try KafkaStart($0)
        },
        absence: .value(.earliest, shown: .string("earliest"))
    )
    static let assignmentField = Field.choice(
        "assignment",
        "How the group shares partitions; all members must agree.",
        of: KafkaAssignment.self,
        default: .cooperativeSticky
    )
    static let sessionTimeoutField = Field.duration(
        "session_timeout",
        "How long the group waits for a silent member before it gives its partitions away.",
        default: .seconds(45),
        in: .milliseconds(500) ... .seconds(1800)
    )
    static let drainTimeoutField = Field.duration(
        "drain_timeout",
        "How long partitions that the group asks back may drain; never longer than the session allows.",
        default: .seconds(30),
        in: .zero ... .seconds(1800)
    )
    static let eventSourceField = Field.string(
        "event_source",
        "`eventSource` of the event: SelfManagedKafka, aws:SelfManagedKafka or aws:kafka.",
        default: "SelfManagedKafka"
    )
    static let eventSourceARNField = Field.string(
        "event_source_arn",
        "`eventSourceArn` of the event, as MSK has it."
    ).optional
    static let saslField = Field<KafkaSASL>("sasl", "Logs in by name and password.", .table()).optional
    static let tlsField = Field<KafkaTLS>(
        "tls",
        "Encrypts, and may log in by certificate; {} for plain TLS.",
        .table()
    )
    .optional
    static let propertiesField = Field.properties(
        "properties",
        "Any other property of librdkafka, by its own name."
    )

    package static let table = FieldTable(
        "kafka",
        "Reads topics as a member of a consumer group.",
        [
            brokersField, topicsField, groupField, startField, assignmentField, sessionTimeoutField,
            drainTimeoutField, eventSourceField, eventSourceARNField, saslField, tlsField, propertiesField,
        ]
    )

    package init(_ reader: inout ConfigurationReader) {
        self.init(
            brokers: reader[Self.brokersField],
            topics: reader[Self.topicsField],
            group: reader[Self.groupField]
        )
        self.start = reader[Self.startField]
        self.assignment = reader[Self.assignmentField]
        self.sessionTimeout = reader[Self.sessionTimeoutField]
        self.drainTimeout = reader[Self.drainTimeoutField]
        self.eventSource = reader[Self.eventSourceField]
        self.eventSourceARN = reader[Self.eventSourceARNField]
        self.security.sasl = reader[Self.saslField]
        self.security.tls = reader[Self.tlsField]
        self.properties = reader[Self.propertiesField]
        KafkaChecks.brokers(self.brokers, at: Self.brokersField, &reader)
        KafkaChecks.topics(self.topics, at: Self.topicsField, &reader)
        reader.require(!self.group.isEmpty, at: Self.groupField, code: .badValue, "must not be empty")
        KafkaChecks.properties(self.properties, at: Self.propertiesField, &reader)
        // A mechanism that could not be read has another finding already.
        if self.security.tls == nil, self.security.sasl?.mechanism == .plain, !reader.findings.hasErrors {
            reader.advise(
                false,
                at: Self.saslField,
                "sends the password in clear text",
                suggestion: "add `tls: {}`, or use scram-sha-256"
            )
        }
    }
}

extension KafkaDestinationConfiguration: ConfigurationTable {
    static let brokersField = Field.strings("brokers", "Bootstrap servers, each host:port.", count: 1...100)
    static let topicField = Field.string(
        "topic",
        "The topic. Penstock does not create it; brokers that create topics by themselves may."
    )
    static let formatField = Field.choice(
        "format",
        "What messages hold: `record` the record's own value, `document` AWS's failure document with the record in it.",
        of: KafkaLetterFormat.self,
        default: .record
    )
    static let timeoutField = Field.duration(
        "timeout",
        "How long a letter may take to be accepted, retries included.",
        default: .seconds(30),
        in: .seconds(1) ... .seconds(600)
    )
    static let saslField = KafkaSourceConfiguration.saslField
    static let tlsField = KafkaSourceConfiguration.tlsField
    static let propertiesField = KafkaSourceConfiguration.propertiesField

    package static let table = FieldTable(
        "kafka",
        "Produces dead letters to a topic, acknowledged by all in-sync replicas.",
        [brokersField, topicField, formatField, timeoutField, saslField, tlsField, propertiesField]
    )

    package init(_ reader: inout ConfigurationReader) {
        self.init(connection: &reader)
        self.format = reader[Self.formatField]
    }

    /// All but the format.
    fileprivate init(connection reader: inout ConfigurationReader) {
        self.init(brokers: reader[Self.brokersField], topic: reader[Self.topicField])
        self.timeout = reader[Self.timeoutField]
        self.security.sasl = reader[Self.saslField]
        self.security.tls = reader[Self.tlsField]
        self.properties = reader[Self.propertiesField]
        KafkaChecks.brokers(self.brokers, at: Self.brokersField, &reader)
        KafkaChecks.topics([self.topic], at: Self.topicField, &reader)
        reader.require(
            !self.topic.hasPrefix("^"),
            at: Self.topicField,
            code: .badValue,
            "must be one topic, not a pattern"
        )
        KafkaChecks.properties(self.properties, at: Self.propertiesField, &reader)
    }
}

/// `on_success.kafka:` of a trigger: messages are always documents.
struct KafkaResultConfiguration: ConfigurationTable {
    static let table = FieldTable(
        "kafka",
        "Produces a message for each invocation to a topic, acknowledged by all in-sync replicas.",
        KafkaDestinationConfiguration.table.fields.filter {
            $0.name != KafkaDestinationConfiguration.formatField.name
        }
    )

    let destination: KafkaDestinationConfiguration

    init(_ reader: inout ConfigurationReader) {
        self.destination = KafkaDestinationConfiguration(connection: &reader)
    }
}

extension KafkaSASL: ConfigurationTable {
    static let mechanismField = Field.choice(
        "mechanism",
        "How the password is proved; `plain` sends it, so use TLS with it.",
        of: Mechanism.self
    )
    static let usernameField = Field.string("username", "The user.")
    static let passwordField = Field.secret(
        "password",
        "The password; take it from ${NAME} or ${file:/path}."
    )
    package static let table = FieldTable(
        "sasl",
        "Logs in by name and password.",
        [mechanismField, usernameField, passwordField]
    )

    package init(_ reader: inout ConfigurationReader) {
        self.init(
            mechanism: reader[Self.mechanismField],
            username: reader[Self.usernameField],
            password: reader[Self.passwordField].reveal()
        )
        reader.require(!self.username.isEmpty, at: Self.usernameField, code: .badValue, "must not be empty")
    }
}

extension KafkaTLS: ConfigurationTable {
    static let caField = Field.string(
        "ca",
        "PEM file of the certificates to trust; the system's when left out."
    ).optional
    static let certificateField = Field.string("certificate", "PEM file of our certificate, for mTLS.")
        .optional
    static let keyField = Field.string("key", "PEM file of our certificate's key.").optional
    static let keyPasswordField = Field.secret("key_password", "The key's password.").optional
    static let verifyField = Field.boolean(
        "verify",
        "Whether the broker's certificate and host name are checked; never switch it off in production.",
        default: true
    )
    package static let table = FieldTable(
        "tls",
        "Encrypts, and may log in by certificate.",
        [caField, certificateField, keyField, keyPasswordField, verifyField]
    )

    package init(_ reader: inout ConfigurationReader) {
        self.init()
        self.ca = reader[Self.caField]
        self.certificate = reader[Self.certificateField]
        self.key = reader[Self.keyField]
        self.keyPassword = reader[Self.keyPasswordField]?.reveal()
        self.verify = reader[Self.verifyField]
        reader.require(
            (self.certificate == nil) == (self.key == nil),
            at: Self.certificateField,
            "and \"key\" go together"
        )
        reader.advise(self.verify, at: Self.verifyField, "lets anybody pose as the broker")
    }
}

extension KafkaStart {
    /// Why a start could not be read.
    struct Malformed: Error, CustomStringConvertible {
        let description: String
    }

    init(_ text: String) throws {
        switch text {
        case "earliest": self = .earliest
        case "latest": self = .latest
        default:
            guard let time = Timestamp(configurationText: text) else {
                throw Malformed(description: "\"\(text.prefix(60))\" is none of these")
            }
            self = .timestamp(time)
        }
    }
}

/// Rules that source and destination share.
private enum KafkaChecks {
    static func brokers(_ brokers: [String], at field: any AnyField, _ reader: inout ConfigurationReader) {
        for broker in brokers {
            let colon = broker.lastIndex(of: ":") ?? broker.startIndex
            let port = Int(broker[colon...].dropFirst()).map { (1...65_535).contains($0) } ?? false
            let host = broker[..<colon]
            reader.require(
                port && !host.isEmpty && !host.contains("/") && !host.contains(","),
                at: field,
                code: .badValue,
                "holds \"\(broker.prefix(80))\", which is not host:port",
                suggestion: "write it like kafka-1.internal:9092"
            )
        }
    }

    static func topics(_ topics: [String], at field: any AnyField, _ reader: inout ConfigurationReader) {
        for topic in topics {
            if topic.hasPrefix("^") {
                let isValid = (try? Regex(topic)) != nil
                reader.require(
                    isValid,
                    at: field,
                    code: .badValue,
                    "holds \"\(topic.prefix(80))\", which is no regular expression"
                )
                continue
            }
            let legal = topic.utf8.allSatisfy { byte in
                UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
                    || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || "._-".utf8.contains(byte)
            }
            reader.require(
                legal && (1...249).contains(topic.utf8.count) && topic != "." && topic != "..",
                at: field,
                code: .badValue,
                "holds \"\(topic.prefix(80))\", which Kafka does not allow as a topic name",
                suggestion: "use letters, digits, '.', '_' and '-', at most 249; a pattern begins with ^"
            )
        }
    }

    /// Asks librdkafka itself whether it knows the properties and takes the values.
    static func properties(
        _ properties: [String: String],
        at field: any AnyField,
        _ reader: inout ConfigurationReader
    ) {
        for (name, value) in properties.sorted(by: { $0.key < $1.key }) {
            if let instead = KafkaProperties.owned[name] {
                reader.require(
                    false,
                    at: field,
                    code: .conflict,
                    "sets \(name), which is Penstock's own: \(instead)"
                )
                continue
            }
            do throws(RDKafkaConfiguration.Refusal) {
                try RDKafkaConfiguration().set(name, to: value)
            } catch {
                let reason =
                    error.isUnknown ? "librdkafka has no such property" : "librdkafka refuses the value"
                reader.require(false, at: field, code: .badValue, "sets \(name): \(reason)")
            }
        }
    }
}
