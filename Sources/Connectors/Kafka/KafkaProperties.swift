// SPDX-License-Identifier: Apache-2.0

/// Which librdkafka properties are ours, and what we set the others to.
enum KafkaProperties {
    /// Properties that Penstock sets itself, with what to use instead.
    ///
    /// Setting them by hand would break the delivery contract, or say one thing twice.
    static let owned: [String: String] = [
        "bootstrap.servers": "use brokers",
        "metadata.broker.list": "use brokers",
        "group.id": "use group",
        "enable.auto.commit": "offsets are committed when records are settled",
        "auto.commit.enable": "offsets are committed when records are settled",
        "auto.commit.interval.ms": "offsets are committed when records are settled",
        "enable.auto.offset.store": "offsets are committed when records are settled",
        "auto.offset.reset": "use start",
        "partition.assignment.strategy": "use assignment",
        "group.protocol": "use assignment",
        "session.timeout.ms": "use session_timeout",
        "message.timeout.ms": "use timeout",
        "delivery.timeout.ms": "use timeout",
        "security.protocol": "use sasl and tls",
        "sasl.mechanism": "use sasl",
        "sasl.mechanisms": "use sasl",
        "sasl.username": "use sasl",
        "sasl.password": "use sasl",
        "ssl.ca.location": "use tls",
        "ssl.certificate.location": "use tls",
        "ssl.key.location": "use tls",
        "ssl.key.password": "use tls",
        "enable.ssl.certificate.verification": "use tls",
        "ssl.endpoint.identification.algorithm": "use tls",
        "enable.partition.eof": "Penstock has no use for it",
        "enable.idempotence": "dead letters are always produced idempotently",
        "plugin.library.paths": "Penstock loads no plugins",
        "log.queue": "Penstock reads the log itself",
    ]

    /// What to look at when librdkafka cannot use what one of our keys names.
    private static let advice: [String: String] = [
        "ssl.ca.location": "check that tls.ca is a readable PEM file of certificates",
        "ssl.certificate.location": "check that tls.certificate is a readable PEM file of our certificate",
        "ssl.key.location":
            "check that tls.key is the readable PEM key of tls.certificate, and tls.key_password",
    ]

    /// A refusal, with what to do about it.
    static func text(of refusal: RDKafkaConfiguration.Refusal) -> String {
        guard let advice = refusal.property.flatMap({ Self.advice[$0] }) else { return refusal.description }
        return "\(refusal); \(advice)"
    }

    /// What every client gets, unless `properties` says otherwise.
    private static let common = [
        ("client.id", "penstock"),
        // New topics and partitions are seen in seconds, not in the five minutes of the default.
        ("topic.metadata.refresh.interval.ms", "10000"),
        ("reconnect.backoff.ms", "100"),
        ("reconnect.backoff.max.ms", "5000"),
        ("socket.keepalive.enable", "true"),
    ]

    /// What consumers get, unless `properties` says otherwise.
    ///
    /// The limits hold for all partitions together, the last one for each answer of a broker. Small ones are faster:
    /// memory is used again while it is in a cache (measured: 0.51 µs of CPU a record and 84 MB resident with these, 0.64 and
    /// 485 with librdkafka's own).
    private static let consumer = [
        ("queued.min.messages", "30000"),
        ("queued.max.messages.kbytes", "32768"),
        ("fetch.max.bytes", "4194304"),
        ("fetch.wait.max.ms", "250"),
        ("allow.auto.create.topics", "false"),
    ]

    /// The settings of a group member.
    static func consumer(
        _ source: KafkaSourceConfiguration
    ) throws(RDKafkaConfiguration.Refusal) -> RDKafkaConfiguration {
        let configuration = RDKafkaConfiguration()
        for (name, value) in Self.common + Self.consumer { try configuration.set(name, to: value) }
        // From 2.2 on a full queue postpones the next fetch by a second, in which a fast reader starves.
        configuration.setIfKnown("fetch.queue.backoff.ms", to: "10")
        let session = source.sessionTimeout / .milliseconds(1)
        let sessionMilliseconds = Int64(max(1, session))
        try configuration.set("heartbeat.interval.ms", to: String(max(1, min(3000, sessionMilliseconds / 4))))
        try configuration.set("max.poll.interval.ms", to: String(max(300_000, sessionMilliseconds)))
        for (name, value) in source.properties.sorted(by: { $0.key < $1.key }) {
            try Self.refuseOwned(name)
            try configuration.set(name, to: value)
        }
        try Self.connect(configuration, brokers: source.brokers, security: source.security)
        try configuration.set("group.id", to: source.group)
        try configuration.set("session.timeout.ms", to: String(sessionMilliseconds))
        try configuration.set("partition.assignment.strategy", to: source.assignment.rawValue)
        try configuration.set("enable.auto.commit", to: "false")
        try configuration.set("enable.auto.offset.store", to: "false")
        // Tells us when an offset is gone, where the other settings would jump in silence.
        try configuration.set("auto.offset.reset", to: "error")
        return configuration
    }

    /// The settings of a producer.
    static func producer(
        _ destination: KafkaDestinationConfiguration
    ) throws(RDKafkaConfiguration.Refusal) -> RDKafkaConfiguration {
        let configuration = RDKafkaConfiguration()
        for (name, value) in Self.common { try configuration.set(name, to: value) }
        try configuration.set("linger.ms", to: "5")
        // The topic says what is too large: its own limit is above librdkafka's, and a record that was read has to fit.
        try configuration.set("message.max.bytes", to: "1000000000")
        // A topic that does not exist is told as such, before the letters time out without a cause.
        let timeout = Int64(max(1, destination.timeout / .milliseconds(1)))
        try configuration.set("topic.metadata.propagation.max.ms", to: String(min(5000, timeout / 2)))
        for (name, value) in destination.properties.sorted(by: { $0.key < $1.key }) {
            try Self.refuseOwned(name)
            try configuration.set(name, to: value)
        }
        try Self.connect(configuration, brokers: destination.brokers, security: destination.security)
        try configuration.set("enable.idempotence", to: "true")
        try configuration.set("message.timeout.ms", to: String(timeout))
        return configuration
    }

    private static func connect(
        _ configuration: borrowing RDKafkaConfiguration,
        brokers: [String],
        security: KafkaSecurity
    ) throws(RDKafkaConfiguration.Refusal) {
        try configuration.set("bootstrap.servers", to: brokers.joined(separator: ","))
        for (name, value) in security.properties { try configuration.set(name, to: value) }
    }

    private static func refuseOwned(_ name: String) throws(RDKafkaConfiguration.Refusal) {
        guard let instead = Self.owned[name] else { return }
        throw RDKafkaConfiguration.Refusal(
            property: name,
            isUnknown: false,
            reason: "it is Penstock's own; \(instead)"
        )
    }
}
