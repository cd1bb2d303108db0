// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import Synchronization

/// Looks at a cluster for `penstock doctor`: whether a broker answers, which topics are there, whether they may be read, and
/// what the group has committed.
///
/// Joins no group, and reads behind the last record of each topic alone.
struct KafkaExamination {
    /// How long a broker has to answer.
    private static let patience = Duration.seconds(10)

    private var configuration: KafkaSourceConfiguration
    private let logger: Logger

    /// Looks at what a source reads.
    init(_ configuration: KafkaSourceConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Looks at what a destination writes to; it has no group.
    init(_ destination: KafkaDestinationConfiguration, logger: Logger) {
        self.configuration = KafkaSourceConfiguration(
            brokers: destination.brokers,
            topics: [destination.topic],
            group: "",
            security: destination.security
        )
        // Those of producers alone are passed over by librdkafka.
        self.configuration.properties = destination.properties
        self.logger = logger
    }

    /// What it finds, on a thread of its own.
    func run() async -> [Diagnosis] {
        let thread = KafkaThread()
        let found = Mutex<[Diagnosis]>([])
        await withCheckedContinuation { continuation in
            let isStarted = thread.start(name: "kafka-doctor") {
                let diagnoses = self.look()
                found.withLock { $0 = diagnoses }
                continuation.resume()
            }
            guard !isStarted else { return }
            found.withLock { $0 = [.error("settings", KafkaThread.noThread)] }
            continuation.resume()
        }
        return found.withLock { $0 }
    }

    private func look() -> [Diagnosis] {
        do {
            var configuration = self.configuration
            // librdkafka wants a group of whoever may commit.
            if configuration.group.isEmpty { configuration.group = "penstock-doctor" }
            let properties = try KafkaProperties.consumer(configuration)
            // What a fetch that is allowed and brings nothing is known by.
            try properties.set("enable.partition.eof", to: "true")
            let consumer = try RDKafkaConsumer(
                properties,
                context: RDKafkaContext(logger: self.logger),
                wakeup: Wakeup()
            )
            defer { consumer.close(within: .seconds(1)) {} }
            return self.look(with: consumer)
        } catch let error as RDKafkaConfiguration.Refusal {
            return [.error("settings", KafkaProperties.text(of: error))]
        } catch {
            return [.error("brokers", "\(error)")]
        }
    }

    private func look(with consumer: RDKafkaConsumer) -> [Diagnosis] {
        let brokers = self.configuration.brokers.joined(separator: ", ")
        var health = KafkaHealth(self.configuration)
        guard let topics = self.topics(consumer, &health) else {
            if case .disconnected(let text) = health.takeNews() { return [.error("brokers", text)] }
            return [
                .error(
                    "brokers",
                    "no broker of \(brokers) answered within \(Self.patience.configurationText); check that they are "
                        + "up and brokers is right"
                )
            ]
        }
        var diagnoses = [Diagnosis.ok("brokers", "\(brokers): a broker answers")]
        let names = self.configuration.topics.flatMap {
            self.diagnose($0, among: topics, brokers, &diagnoses)
        }
        guard !self.configuration.group.isEmpty else { return diagnoses }
        if let read = self.diagnoseReading(names.compactMap(\.first), consumer) { diagnoses.append(read) }
        diagnoses.append(self.diagnoseGroup(names.flatMap(\.self), consumer, &health))
        return diagnoses
    }

    /// The cluster's topics; nil when nobody answers in time.
    private func topics(_ consumer: RDKafkaConsumer, _ health: inout KafkaHealth) -> [RDKafkaTopic]? {
        let deadline = ContinuousClock.now + Self.patience
        var events = RDKafkaMessageBuffer(capacity: 16)
        while ContinuousClock.now < deadline {
            if let topics = consumer.topics(within: .seconds(1)) { return topics }
            consumer.serve(&events)
            while let event = events.pop() {
                _ = health.failed(RDKafkaError(event.code, event.detail))
                event.destroy()
            }
            for error in consumer.context.errors.takeAll() { _ = health.failed(error) }
        }
        return nil
    }

    /// Says what is known of a topic or pattern; returns the partitions, by topic.
    private func diagnose(
        _ topic: String,
        among topics: [RDKafkaTopic],
        _ brokers: String,
        _ diagnoses: inout [Diagnosis]
    ) -> [[KafkaPartitionName]] {
        let found: [RDKafkaTopic]
        if topic.hasPrefix("^") {
            // It was read as one already.
            guard let pattern = try? Regex(topic) else { return [] }
            found = topics.filter { (try? pattern.firstMatch(in: $0.name)) != nil }
            if found.isEmpty {
                diagnoses.append(.warning("topics", "no topic matches \(topic) yet on \(brokers)"))
            }
        } else {
            found = topics.filter { $0.name == topic }
            if found.isEmpty {
                let text = "topic \"\(topic)\" does not exist on \(brokers); create it, or fix its name"
                diagnoses.append(.error("topics", text))
            }
        }
        for topic in found {
            let count = topic.partitions == 1 ? "1 partition" : "\(topic.partitions) partitions"
            diagnoses.append(
                topic.code == .none
                    ? .ok("topics", "topic \"\(topic.name)\" has \(count)")
                    : .error("topics", "topic \"\(topic.name)\": \(topic.code.description)")
            )
        }
        return found.map { topic in
            (0..<topic.partitions).map { KafkaPartitionName(topic: topic.name, partition: Int32($0)) }
        }
    }

    /// Fetches from the end of a partition of each topic: a broker lets metadata be seen with DESCRIBE, and records with READ.
    ///
    /// Nil when there is none to read.
    private func diagnoseReading(_ names: [KafkaPartitionName], _ consumer: RDKafkaConsumer) -> Diagnosis? {
        guard !names.isEmpty else { return nil }
        do throws(RDKafkaError) {
            try consumer.assign(names.map { RDKafkaOffset(name: $0, offset: RDKafkaOffset.end) })
        } catch {
            return .error("read", "\(error)")
        }
        var check = KafkaReadCheck(names.map(\.topic), patience: Self.patience)
        let deadline = ContinuousClock.now + Self.patience
        var messages = RDKafkaMessageBuffer(capacity: 64)
        while check.isOpen, ContinuousClock.now < deadline {
            consumer.receive(&messages, atMost: messages.capacity)
            if messages.isEmpty { consumer.serve(&messages) }
            if messages.isEmpty { consumer.wakeup.wait(atMost: .milliseconds(50)) }
            while let message = messages.pop() {
                check.note(message.topic, RDKafkaError(message.code, message.detail))
                message.destroy()
            }
        }
        try? consumer.unassign(names)
        return check.diagnosis
    }

    private func diagnoseGroup(
        _ names: [KafkaPartitionName],
        _ consumer: RDKafkaConsumer,
        _ health: inout KafkaHealth
    ) -> Diagnosis {
        let group = "group \"\(self.configuration.group)\""
        guard !names.isEmpty else { return .ok("group", "\(group) has nothing to read yet") }
        do throws(RDKafkaError) {
            let offsets = try consumer.committed(names, within: Self.patience)
            let count = offsets.count { $0.offset >= 0 }
            let start = count == names.count ? "" : "; the others begin at \(self.configuration.start.text)"
            return .ok("group", "\(group) has offsets for \(count) of \(names.count) partitions\(start)")
        } catch {
            _ = health.failed(error)
            if case .disconnected(let text) = health.takeNews() { return .error("group", text) }
            return .error("group", "\(group): \(error)")
        }
    }
}

extension KafkaStart {
    fileprivate var text: String {
        switch self {
        case .earliest: "earliest"
        case .latest: "latest"
        case .timestamp(let time): time.configurationText
        }
    }
}

/// Which topics may be read, by what fetches of them bring.
///
/// Pure.
struct KafkaReadCheck {
    private let topics: Set<String>
    private let patience: Duration
    private var asked: Set<String>
    private var denied: Set<String> = []
    private var problem: RDKafkaError?

    /// Of these topics nothing is known yet; `patience` is how long their brokers have.
    init(_ topics: [String], patience: Duration) {
        self.topics = Set(topics)
        self.patience = patience
        self.asked = self.topics
    }

    /// Whether there are topics of which nothing is known yet.
    var isOpen: Bool { !self.asked.isEmpty }

    /// A fetch brought a message, the end of a partition, or an error; of a topic, or of none.
    mutating func note(_ topic: String?, _ error: RDKafkaError) {
        switch error.code {
        case .none, .partitionEnd: if let topic { self.asked.remove(topic) }
        case .topicAuthorizationFailed:
            if let topic, self.asked.remove(topic) != nil { self.denied.insert(topic) }
        default: self.problem = error
        }
    }

    /// What is known by now.
    var diagnosis: Diagnosis {
        let text = { (topics: Set<String>) in "topic \(topics.sorted().joined(separator: ", "))" }
        if !self.denied.isEmpty { return .error("read", "READ on \(text(self.denied)) is denied; allow it") }
        guard self.isOpen else { return .ok("read", "READ on \(text(self.topics)) allowed") }
        let why = self.problem.map { ": \($0)" } ?? ""
        return .warning(
            "read",
            "no answer from \(text(self.asked)) within \(self.patience.configurationText)\(why); look whether its "
                + "partitions have a leader"
        )
    }
}
