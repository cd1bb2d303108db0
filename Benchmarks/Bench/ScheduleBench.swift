// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Logging
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockSchedules
import PenstockStore
import Reactor
import ScheduleConnector
import Synchronization

/// Many schedules of one trigger: all due at once, a steady stream of fires, and at rest.
struct ScheduleBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedules",
        abstract: "Fires many schedules of one trigger through the real pipeline, or watches them rest."
    )

    /// What is measured.
    enum Load: String, ExpressibleByArgument {
        /// All are due at one instant.
        case burst
        /// Each fires each second, in a millisecond of its own.
        case stream
        /// None is due.
        case rest
    }

    @Option(help: "burst, stream or rest.") var load: Load
    @Option(help: "How many schedules.") var schedules = 100_000
    @Option(help: "How long stream and rest are watched.") var seconds = 5.0
    @Option(help: "A file for the schedules, which is written.") var file: String
    @Option(help: "A store file, which must not be there.") var store: String

    func validate() throws {
        if self.schedules < 1 || self.schedules > ScheduleSet.countMax || self.seconds <= 0 {
            throw ValidationError("--schedules must be 1 to \(ScheduleSet.countMax), and --seconds positive")
        }
    }

    func run() throws {
        let reactor = try Reactor(name: "bench")
        defer { reactor.stop() }
        switch self.load {
        case .burst: try self.burst(reactor).print()
        case .stream: try self.stream(reactor).print()
        case .rest: try self.rest(reactor).print()
        }
    }

    // MARK: - Loads

    private func burst(_ reactor: Reactor) throws -> JSONLine {
        // Late enough for the file to be read before.
        let instant = reactor.wallNow.milliseconds / 1000 + 4 + Int64(self.schedules / 10_000)
        let local = Timestamp(milliseconds: instant * 1000).configurationText.dropLast()
        let configuration = try self.configuration("") { _ in "at(\(local))" }
        let set = try self.set(of: configuration)
        var line = JSONLine()
        line.add("schedules", set.count)
        let before = Timestamp(milliseconds: (instant - 1) * 1000)
        var planner = Self.planner(set, configuration, now: before)
        let started = Reading.now
        var decided = 0
        while let plan = planner.plan(now: instant * 1000) { decided += plan.fires.count }
        line.add("decided_ms", Reading.now.seconds(since: started) * 1000)
        guard decided == set.count else { throw BenchFailure("\(decided) of \(set.count) were decided") }
        let function = ArrivalFunction(loop: reactor) { _, _ in instant * 1000 }
        let cost = try self.fire(configuration, function, reactor) {
            function.count >= set.count || reactor.wallNow.milliseconds > (instant + 120) * 1000
        }
        let lateness = function.lateness
        guard lateness.count == set.count else {
            throw BenchFailure("\(lateness.count) of \(set.count) fires arrived")
        }
        line.add("last_ms", Double(lateness.max() ?? 0))
        line.add("cpu_us_per_fire", cost.cpu / Double(set.count))
        return line
    }

    private func stream(_ reactor: Reactor) throws -> JSONLine {
        let configuration = try self.configuration("jitter: 999ms\n") { _ in "* * * * * *" }
        let set = try self.set(of: configuration)
        let planner = Self.planner(set, configuration, now: reactor.wallNow)
        let function = ArrivalFunction(loop: reactor) { planner.due($0, $1) }
        // The first seconds are those of a start.
        let begin = reactor.wallNow.milliseconds + 2000
        let end = begin + Int64(self.seconds * 1000)
        let cost = try self.fire(configuration, function, reactor) {
            reactor.wallNow.milliseconds > end + 500
        }
        let lateness = function.lateness(dueIn: begin..<end)
        // Each millisecond of a second has its part of the schedules: within one in a hundred, all must be there.
        let expected = Double(set.count) * self.seconds
        guard Double(lateness.count) > expected * 0.9 else {
            throw BenchFailure("\(lateness.count) of \(Int(expected)) fires arrived")
        }
        let late = Latencies(lateness.map { $0 * 1_000_000 })
        var line = JSONLine()
        line.add("fires", lateness.count)
        line.add("fires_per_second", (Double(lateness.count) / self.seconds).rounded())
        line.add("p50_ms", late.microseconds(atPercent: 50) / 1000)
        line.add("p99_ms", late.microseconds(atPercent: 99) / 1000)
        line.add("cpu_us_per_fire", cost.cpu / Double(max(1, function.count)))
        return line
    }

    private func rest(_ reactor: Reactor) throws -> JSONLine {
        // No two alike, and none is due for some time.
        let month = Calendar.current.component(.month, from: Date()) % 12 + 1
        func expression(_ number: Int) -> String {
            "\(number % 60) \(number / 60 % 60) \(number / 3600 % 24) \(number / 86_400 % 28 + 1) \(month) *"
        }
        var started = Reading.now
        let configuration = try self.configuration("", expression)
        let set = try self.set(of: configuration)
        var line = JSONLine()
        line.add("schedules", set.count)
        line.add("read_seconds", Reading.now.seconds(since: started))
        let function = ArrivalFunction(loop: reactor) { _, _ in 0 }
        started = .now
        _ = try self.fire(configuration, function, reactor) { true }
        line.add("first_start_seconds", Reading.now.seconds(since: started))
        started = .now
        let end = reactor.now + .nanoseconds(Int64(self.seconds * 1e9)) + .seconds(2)
        let cost = try self.fire(configuration, function, reactor) { reactor.now >= end }
        line.add("start_seconds", cost.started.seconds(since: started))
        line.add("idle_cpu_percent", cost.cpu / 1e4 / cost.seconds)
        line.add("bytes_per_schedule", try self.bytesPerSchedule(expression))
        return line
    }

    /// What one more set with its planner takes, besides names and inputs: what reading it took for a while is reused.
    private func bytesPerSchedule(_ expression: (Int) -> String) throws -> Int {
        var held: [(set: ScheduleSet, planner: ScheduleSetPlanner)] = []
        var resident: [Int] = []
        for _ in 0..<5 {
            let configuration = try self.configuration("", expression)
            let set = try self.set(of: configuration)
            held.append((set, Self.planner(set, configuration, now: Timestamp(milliseconds: 0))))
            resident.append(Reading.maxRSS)
        }
        let grown = ((resident.last ?? 0) - resident[1]) * 1024 / (resident.count - 2)
        let texts = held[0].set.textBytes
        return (grown - texts) / self.schedules
    }

    // MARK: - Parts

    /// Writes the file, and reads it as a trigger's source.
    private func configuration(
        _ more: String,
        _ expression: (Int) -> String
    ) throws -> ScheduleConfiguration {
        var text = ""
        for number in 0..<self.schedules {
            // In the order of their numbers.
            let name = String(10_000_000 + number)
            text += "{\"name\":\"\(name)\",\"expression\":\"\(expression(number))\","
            text += "\"input\":[\(number),\"<aws.scheduler.scheduled-time>\"]}\n"
        }
        let path = self.file + ".jsonl"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        let result = ConfigurationLoader.process.parse(
            "file: \(JSONValue.string(path).text)\noverlap: allow\n\(more)",
            file: "bench"
        ).read(ScheduleConfiguration.self)
        guard let configuration = result.value else { throw BenchFailure("\(result.findings)") }
        return configuration
    }

    private func set(of configuration: ScheduleConfiguration) throws -> ScheduleSet {
        guard let set = configuration.set else { throw BenchFailure("no schedules were read") }
        return set
    }

    private static func planner(
        _ set: ScheduleSet,
        _ configuration: ScheduleConfiguration,
        now: Timestamp
    ) -> ScheduleSetPlanner {
        ScheduleSetPlanner(
            set,
            policy: configuration.policy,
            seed: SchedulePolicy.hash("bench".utf8),
            mark: nil,
            members: [],
            now: now.milliseconds
        )
    }

    private struct Cost: Sendable {
        /// When the source had started.
        var started: Reading
        /// From two seconds after that to the end, in microseconds of CPU.
        var cpu: Double
        var seconds: Double
    }

    /// Runs the pipeline until the end.
    private func fire(
        _ configuration: ScheduleConfiguration,
        _ function: ArrivalFunction,
        _ reactor: Reactor,
        until isOver: @escaping @Sendable () -> Bool
    ) throws -> Cost {
        let store = try SQLiteStore.open(path: self.store)
        let set = try self.set(of: configuration)
        var logger = Logger(label: "bench", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = .error
        let source = JournalSource(
            journal: "bench",
            partition: Partition(id: PartitionID(1), name: "schedule"),
            format: ScheduleEventFormat(isList: true),
            store: store,
            feed: ScheduleSetFeed(set, configuration, trigger: "bench"),
            loop: reactor
        )
        let parts = PipelineParts(
            name: "bench",
            source: source,
            function: function,
            destination: StoreDestination(store: store),
            store: store,
            policy: TriggerPolicy(
                batchSize: 100,
                batchWindow: .zero,
                concurrency: function.concurrency,
                ordering: .none
            )
        )
        let pipeline = Pipeline(parts, loop: reactor, logger: logger)
        return try onReactor(reactor) {
            let cost = try await withThrowingTaskGroup(of: Cost?.self) { group in
                group.addTask(executorPreference: reactor) {
                    try await pipeline.run()
                    return nil
                }
                group.addTask(executorPreference: reactor) {
                    // The first look is over when the next time is known.
                    while source.next == nil, !Task.isCancelled {
                        await reactor.sleep(.milliseconds(5))
                    }
                    var cost = Cost(started: .now, cpu: 0, seconds: 0)
                    var counted = cost.started
                    repeat {
                        await reactor.sleep(.milliseconds(50))
                        if Reading.now.seconds(since: cost.started) < 1 { counted = .now }
                    } while !isOver() && !Task.isCancelled
                    let ended = Reading.now
                    cost.seconds = ended.seconds(since: counted)
                    cost.cpu = ended.cpuMicroseconds - counted.cpuMicroseconds
                    await pipeline.stop(within: .seconds(10))
                    return cost
                }
                var cost: Cost?
                for try await one in group { cost = one ?? cost }
                return cost
            }
            await store.close()
            guard let cost else { throw BenchFailure("the pipeline ended by itself") }
            return cost
        }
    }
}

/// A function that answers success at once, and notes when the fires of a list came, and when they were due.
private final class ArrivalFunction: Function {
    private struct Arrivals {
        var due: [Int64] = []
        var late: [Int64] = []
    }

    let name = "discard"
    let concurrency = 8
    let timeout = Duration.seconds(30)
    private let loop: any EventLoop
    private let due: @Sendable (_ number: Int, _ time: Int) -> Int64
    private let arrivals = Mutex(Arrivals())

    /// `due` is when a schedule's time is due, in milliseconds.
    init(loop: any EventLoop, due: @escaping @Sendable (_ number: Int, _ time: Int) -> Int64) {
        self.loop = loop
        self.due = due
    }

    var count: Int { self.arrivals.withLock { $0.late.count } }

    /// Milliseconds between due time and arrival.
    var lateness: [Int64] { self.arrivals.withLock { $0.late } }

    func lateness(dueIn range: Range<Int64>) -> [Int64] {
        self.arrivals.withLock { arrivals in
            zip(arrivals.due, arrivals.late).compactMap { range.contains($0) ? $1 : nil }
        }
    }

    func format(for source: any EventFormat, trigger: String) -> any EventFormat { source }

    /// Of `[[17,"2026-11-24T00:01:00Z"],…]`.
    func invoke(_ invocation: Invocation) async -> InvocationResult {
        let now = self.loop.wallNow.milliseconds
        let body = unsafe [UInt8](invocation.body.bytes)
        self.arrivals.withLock { arrivals in
            var index = 0
            while index < body.count {
                guard (0x30...0x39).contains(body[index]) else {
                    index += 1
                    continue
                }
                var number = 0
                while (0x30...0x39).contains(body[index]) {
                    number = number * 10 + Int(body[index] - 0x30)
                    index += 1
                }
                // Behind the comma and the quote.
                let time = LocalTime.seconds(body[(index + 2)..<(index + 21)]) ?? 0
                index += 23
                let due = self.due(number, time)
                arrivals.due.append(due)
                arrivals.late.append(now - due)
            }
        }
        return .responded([])
    }

    func shutdown() async {}
}

extension Reactor {
    /// Waits on the reactor's own clock.
    fileprivate func sleep(_ length: Duration) async {
        let deadline = self.now + length
        await withCheckedContinuation { continuation in
            self.submit { _ = self.schedule(at: deadline) { continuation.resume() } }
        }
    }
}
