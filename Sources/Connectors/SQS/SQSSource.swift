// SPDX-License-Identifier: Apache-2.0

import AWSClient
import PenstockCore
import PenstockRuntime
import Reactor
import Synchronization

/// Reads one queue by long polls, and settles its messages one by one.
///
/// ``SQSIntake`` decides how many polls there are; each is a task of ``run()``. Pinned to the reactor. See ``LeaseSource``
/// for what it promises.
actor SQSSource: LeaseSource {
    nonisolated let format: any EventFormat

    let settings: SQSSettings
    let client: SQSClient
    nonisolated let reactor: Reactor

    private nonisolated let intake: Mutex<SQSIntake>
    /// What the pipeline has not seen yet.
    private nonisolated let events = Mailbox<SourceEvent>()
    /// How many messages wait, as far as known.
    private nonisolated let backlog = Mutex<[PartitionLag]>([])
    /// When the queue was asked for that last.
    private var measuredAt: Instant?
    private var mayMeasure = true

    /// Wakes ``run()`` when a poll may begin; closed by the stop.
    private nonisolated let turns = Mailbox<Void>()

    private var reader: SQSMessageReader?
    private var random = SplitMix64(seed: .random(in: .min ... .max))
    /// The queue's URL, once it is known.
    private(set) var url: String?
    /// The same as a string of JSON, as calls name it.
    private(set) var urlText: [UInt8] = []
    /// What is wrong, by what it is wrong with; shown until that goes well again.
    private var problems: [Activity: String] = [:]
    private(set) var isStopped = false
    private var running = SourceRun()
    private let grace: Duration
    /// Polls under way, and who waits until there is none.
    private var polls = 0
    private var pollsEnded: CheckedContinuation<Void, Never>?
    /// What polls brought after the stop.
    private var late: [RecordBlock] = []

    /// What a source does, each of which may fail by itself.
    enum Activity: String, CaseIterable {
        case finding, receiving, settling
    }

    /// Between two looks at how many messages wait.
    private static let measureInterval = Duration.seconds(10)

    /// The same while none wait: a FIFO queue that is idle.
    private static let idleInterval = Duration.seconds(300)

    /// Between two looks while nothing is received.
    private static let watchInterval = Duration.seconds(30)

    /// Waits after failures of a receive.
    private static let backoff = Backoff(
        initial: .milliseconds(200),
        factor: 2,
        max: .seconds(20),
        jitter: .full
    )

    /// A source that has called nothing yet; it closes the client.
    ///
    /// `grace` is for how long a stop lets receives go on: what is on its way in a busy queue arrives, and is given back, and
    /// for one that is idle nobody waits long.
    init(
        _ settings: SQSSettings,
        format: SQSEventFormat,
        client: SQSClient,
        reactor: Reactor,
        grace: Duration = .milliseconds(500)
    ) {
        self.settings = settings
        self.grace = grace
        self.format = format
        self.client = client
        self.reactor = reactor
        self.intake = Mutex(SQSIntake(most: settings.pollers))
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    // MARK: - The pipeline's side

    func start(checkpoints: [String: Position]) async throws(SourceError) {}

    nonisolated func grant(_ budget: ReceiveBudget) {
        if self.intake.withLock({ $0.grant(budget) }) { self.turns.put(()) }
    }

    nonisolated func receive() async throws(SourceError) -> [SourceEvent] {
        let events = await self.events.takeAll()
        let (records, bytes) = events.received
        if records > 0 { self.intake.withLock { $0.returned(records: records, bytes: bytes) } }
        return events
    }

    nonisolated func lag() -> [PartitionLag] { self.backlog.withLock { $0 } }

    func stop() async {
        self.isStopped = true
        self.turns.close()
        await withCheckedContinuation { self.running.wait($0) }
        self.events.close()
        await self.client.close()
    }

    // MARK: - Polling

    func run() async {
        self.running.begin()
        defer { self.running.end() }
        let loop = self.reactor
        await withDiscardingTaskGroup { group in
            group.addTask(executorPreference: loop) { await self.find() }
            group.addTask(executorPreference: loop) { await self.watchBacklog() }
            while !self.isStopped {
                while let url = self.url, let ask = self.intake.withLock({ $0.next() }) {
                    group.addTask(executorPreference: loop) { await self.poll(ask, url) }
                }
                if await self.turns.takeAll().isEmpty { break }
            }
            await self.letPollsEnd()
            // Messages on their way to a poll that ends so come again when their visibility ends.
            group.cancelAll()
        }
        for block in self.late { await self.giveBack(block) }
    }

    /// Waits until no poll is under way, or until the grace ends.
    private func letPollsEnd() async {
        let timer = self.reactor.schedule(at: self.reactor.now + self.grace) { [weak self] in
            self?.assumeIsolated { $0.pollsEnded.take()?.resume() }
        }
        await withCheckedContinuation { waiter in
            if self.polls == 0 { waiter.resume() } else { self.pollsEnded = waiter }
        }
        self.reactor.cancel(timer)
    }

    /// Learns the queue's URL.
    private func find() async {
        var failures = 0
        while !self.isStopped, self.url == nil, !Task.isCancelled {
            do throws(AWSError) {
                let queue = self.settings.queue
                if let url = queue.url {
                    self.found(url, account: queue.account)
                } else {
                    let url = try await self.client.url(of: queue.name, account: queue.account)
                    self.found(url, account: queue.account ?? SQSQueueName(url)?.account)
                }
            } catch {
                failures += 1
                await self.complain(error, of: .finding, failures: failures)
            }
        }
    }

    private func found(_ url: String, account: String?) {
        let arn = SQSQueueARN(
            region: self.settings.region,
            account: account,
            name: self.settings.queue.name
        )
        let partition = SQSEventFormat.partition(PartitionID(1), name: arn.description)
        self.reader = SQSMessageReader(partition: partition, hasGroups: self.settings.queue.isFIFO)
        self.url = url
        self.urlText = JSONText.escaped(url)
        self.note(nil, of: .finding)
        self.events.put(.assigned([partition]))
        self.turns.put(())
    }

    /// One long poll, and in a FIFO queue its repetitions while nobody knows what it brought.
    private func poll(_ ask: Int, _ url: String) async {
        self.polls += 1
        defer {
            self.polls -= 1
            if self.polls == 0 { self.pollsEnded.take()?.resume() }
        }
        var receive = SQSClient.Receive(
            messages: ask,
            wait: self.settings.wait,
            visibility: self.settings.visibility
        )
        if self.settings.queue.isFIFO { receive.attempt = self.newAttempt() }
        while !self.isStopped, !Task.isCancelled {
            let lease = BlockLease(until: self.reactor.now + .seconds(self.settings.visibility))
            do throws(AWSError) {
                let block = try self.read(try await self.client.receive(receive, from: self.urlText), lease)
                if self.isStopped {
                    if let block { self.late.append(block) }
                    return
                }
                let hasRoom = self.intake.withLock {
                    $0.ended(asked: ask, brought: block?.count ?? 0, bytes: block?.byteCount ?? 0)
                }
                self.note(nil, of: .receiving)
                if let block { self.events.put(.records(block)) }
                if hasRoom { self.turns.put(()) }
                return await self.measure(isEmpty: block == nil, url)
            } catch {
                if self.isStopped { return }
                let failures = self.intake.withLock { $0.failed() }
                await self.complain(error, of: .receiving, failures: failures)
                // A lost answer may have had messages, which nobody else in the group overtakes: ask for the same again.
                if receive.attempt != nil, error.kind == .noAnswer { continue }
                self.intake.withLock { $0.ended(asked: ask) }
                return self.turns.put(())
            }
        }
    }

    /// Keeps how many messages wait: none after a long poll that brought none, else what the queue says, now and then; an
    /// idle standard queue is asked for nothing, an idle FIFO queue hardly.
    private func measure(isEmpty: Bool, _ url: String) async {
        // In a FIFO queue others of a group may wait behind what is in flight.
        if isEmpty, !self.settings.queue.isFIFO { return self.keepBacklog(0) }
        let isIdle = isEmpty && self.lag().first?.records == 0
        let now = self.reactor.now
        let wait = isIdle ? Self.idleInterval : Self.measureInterval
        guard self.mayMeasure, self.measuredAt.map({ now >= $0 + wait }) ?? true else { return }
        self.measuredAt = now
        do throws(AWSError) {
            self.keepBacklog(SQSQueueFacts(try await self.client.attributes(of: url)).visible)
        } catch {
            // Without the permission, the number stays unknown; a receive says what else is wrong.
            if AWSError.isDenial(SQSErrorCode.bare(error.code)) { self.mayMeasure = false }
            self.keepBacklog(nil)
        }
    }

    /// Asks while nothing is received: a trigger that is paused or held up must not show what was.
    private func watchBacklog() async {
        while !self.isStopped, !Task.isCancelled {
            await self.reactor.pause(for: Self.watchInterval)
            guard let url = self.url, self.intake.withLock({ $0.underWay == 0 }) else { continue }
            await self.measure(isEmpty: false, url)
        }
    }

    private func keepBacklog(_ records: Int?) {
        guard let partition = self.reader?.partition.name else { return }
        let lag = PartitionLag(partition: partition, committed: nil, records: records.map { Int64($0) })
        self.backlog.withLock { $0 = [lag] }
    }

    /// At most 128 letters and digits, different from all others for five minutes.
    private func newAttempt() -> String {
        String(self.random.next(), radix: 36) + String(self.random.next(), radix: 36)
    }

    private func read(_ answer: [UInt8], _ lease: BlockLease) throws(AWSError) -> RecordBlock? {
        do throws(JSONCursor.Malformed) {
            return try self.reader?.read(answer, lease: lease)
        } catch {
            throw AWSError(
                .noAnswer,
                code: "Client.Malformed",
                message: "the answer to ReceiveMessage is not the JSON of SQS, at byte \(error.offset)"
            )
        }
    }

    /// Says what is wrong, and waits before the next try.
    private func complain(_ error: AWSError, of activity: Activity, failures: Int) async {
        guard !self.isStopped else { return }
        self.note(error, of: activity)
        var delay = Self.backoff.delay(attempt: failures, using: &self.random)
        if case .throttled(let after?) = error.kind { delay = max(delay, min(after, .seconds(60))) }
        await self.reactor.pause(for: max(delay, .milliseconds(50)))
    }

    /// Tells the pipeline what is wrong, when that has changed; nil when it went well.
    func note(_ error: AWSError?, of activity: Activity) {
        let problem = error.map { self.advice($0) }
        guard self.problems[activity] != problem else { return }
        self.problems[activity] = problem
        let all = Activity.allCases.compactMap { self.problems[$0] }
        self.events.put(.status(all.first.map { .disconnected($0) } ?? .connected))
    }

    private func advice(_ error: AWSError) -> String {
        let advice =
            switch (error.kind, SQSErrorCode.bare(error.code)) {
            case (.noCredentials, "NoCredentials"):
                "; set \"credentials\" or \"profile\", or AWS_ACCESS_KEY_ID"
            case (_, "OverLimit"):
                "; too many of its messages are in flight, which others may have received"
            case (_, let code):
                SQSErrorCode.advice(
                    code,
                    allowing:
                        "sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility and sqs:GetQueueUrl"
                )
            }
        return "sqs queue \(self.settings.queue.name): \(error)\(advice)"
    }
}
