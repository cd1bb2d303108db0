// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockStore
package import Reactor

/// Sends dead letters to their function again, one by one and in order.
///
/// A letter leaves the store only after the function has dealt with its record; one that fails again stays, with the
/// attempt added to its history, and so do all later ones of its partition, or of its key where the trigger keeps order by
/// key: order holds in a redrive, too. A function without room is waited for, as ``RedrivePatience`` says. What is held in
/// memory does not depend on how many letters there are, but for the lanes that failed.
package struct Redriver: Sendable {
    /// Which letters, how fast, and where to.
    package struct Order: Sendable {
        /// The letters.
        package var query: DeadLetterQuery
        /// Invocations at most; nil for no limit.
        package var rate: RedriveRate?
        /// Letters under way side by side at most, of those whose order does not count; of one function never more than
        /// it invokes side by side.
        package var concurrency: Int

        /// What ``concurrency`` may be.
        package static let concurrencyRange = 1...100

        /// An order.
        package init(
            query: DeadLetterQuery,
            ids: Set<DeadLetterID>? = nil,
            rate: RedriveRate? = nil,
            concurrency: Int = 1
        ) {
            self.query = query
            self.query.ids = ids
            self.rate = rate
            self.concurrency = concurrency
        }
    }

    /// What a redrive tells while it goes on.
    package enum Event: Sendable, Equatable {
        /// What became of a letter; once for each.
        case outcome(Outcome)
        /// The function has no room for a letter, which is tried again.
        case waiting(Waiting)
    }

    /// What became of one letter.
    package struct Outcome: Sendable, Equatable {
        /// The kinds of outcomes.
        package enum Kind: String, Sendable, CaseIterable {
            /// The function dealt with the record; the letter is gone.
            case succeeded
            /// The function failed again; the letter stays.
            case failed
            /// An earlier letter of the same partition or key failed, so this one was not tried.
            case skipped
            /// The function had no room for long, so this letter was not tried; it stays as it was.
            case unavailable
            /// Somebody else dropped or redrove the letter before its turn came.
            case gone
        }

        /// The letter.
        package var id: DeadLetterID
        /// What became of it.
        package var kind: Kind
        /// Why it failed, or why there was no room.
        package var failure: Failure?
        /// The letter that failed, when one was skipped behind it.
        package var behind: DeadLetterID?
    }

    /// A wait for a function without room.
    package struct Waiting: Sendable, Equatable {
        /// The letter for which there was none.
        package var id: DeadLetterID
        /// How long it waits.
        package var duration: Duration
        /// What the function said.
        package var failure: Failure
    }

    /// What a trigger's letters need to be sent.
    package struct Route: Sendable {
        /// The source's format and partitions.
        package var source: SourcePlan
        /// The function.
        package var function: any Function
        /// Whether answers say what came of single records.
        package var itemReports: ItemReports
        /// Which letters wait for others.
        package var ordering: Ordering
        /// How long the trigger's tumbling windows are; nil for none.
        package var tumblingWindow: Duration?

        /// A route.
        package init(
            source: SourcePlan,
            function: any Function,
            itemReports: ItemReports,
            ordering: Ordering,
            tumblingWindow: Duration? = nil
        ) {
            self.source = source
            self.function = function
            self.itemReports = itemReports
            self.ordering = ordering
            self.tumblingWindow = tumblingWindow
        }
    }

    private let store: any StateStore
    private let loop: any EventLoop
    private let route: @Sendable (_ trigger: String) -> Route?

    /// A redriver; `route` gives the way of a trigger's letters, or nil when the trigger is not configured any more.
    package init(
        store: any StateStore,
        loop: any EventLoop,
        route: @escaping @Sendable (_ trigger: String) -> Route?
    ) {
        self.store = store
        self.loop = loop
        self.route = route
    }

    /// What the task of a redrive waits for.
    private enum News: Sendable {
        case answered(RedriveSchedule.Letter, Result<RedriveSchedule.Answer, StoreError>)
        case woke
    }

    /// Carries out an order, telling what becomes of each letter as it happens: those that there were at the start.
    ///
    /// `report` is called by the caller's task alone. Stops early when the task is cancelled, or when `report` returns
    /// false: nobody listens any more. What is under way then is ended, or comes to its end; what did not succeed stays as
    /// it was.
    ///
    /// - Returns: Whether all was tried.
    @discardableResult
    package func run(
        _ order: Order,
        report: (_ event: Event, _ total: Int) async -> Bool
    ) async throws(StoreError) -> Bool {
        var reader = try await RedriveReader(order.query, of: self.store, route: self.route)
        let total = reader.total
        var schedule = RedriveSchedule(concurrency: order.concurrency, interval: order.rate?.interval)
        var failure: StoreError?
        var isHeard = true
        var isDone = false
        await withTaskGroup(of: News.self) { group in
            var alarm = Alarm()
            steps: while isHeard, failure == nil, !Task.isCancelled {
                switch schedule.next(now: self.loop.now) {
                case .done:
                    isDone = true
                    break steps
                case .tell(let event): isHeard = await report(event, total)
                case .read:
                    do throws(StoreError) {
                        try await reader.read(into: &schedule)
                    } catch {
                        failure = error
                    }
                case .send(let letter):
                    group.addTask(executorPreference: self.loop) {
                        await .answered(letter, self.answer(letter.id))
                    }
                case .wait(let deadline):
                    if let deadline, let pause = alarm.set(deadline) {
                        group.addTask(executorPreference: self.loop) {
                            await pause.wait(until: deadline, on: self.loop)
                            return .woke
                        }
                    }
                    guard let news = await group.next() else { break steps }
                    self.note(news, &schedule, &alarm, &failure)
                }
            }
            alarm.end()
            while let news = await group.next() {
                self.note(news, &schedule, &alarm, &failure)
                while isHeard, let event = schedule.nextEvent() { isHeard = await report(event, total) }
            }
        }
        if let failure { throw failure }
        return isDone
    }

    private func note(
        _ news: News,
        _ schedule: inout RedriveSchedule,
        _ alarm: inout Alarm,
        _ failure: inout StoreError?
    ) {
        switch news {
        case .woke: alarm.rang(at: self.loop.now)
        case .answered(let letter, .success(let answer)):
            schedule.finished(letter, answer, now: self.loop.now)
        case .answered(_, .failure(let error)): failure = failure ?? error
        }
    }

    /// The one wait of a redrive's task that is set.
    private struct Alarm {
        private var deadline: Instant?
        private var pause: LoopPause?

        /// Returns what is to wait until then; nil when that is so already.
        mutating func set(_ deadline: Instant) -> LoopPause? {
            if let set = self.deadline, set <= deadline { return nil }
            self.end()
            let pause = LoopPause()
            self.deadline = deadline
            self.pause = pause
            return pause
        }

        /// One that was set has ended: this one, or one before it.
        mutating func rang(at now: Instant) {
            if let deadline, deadline <= now { self.end() }
        }

        mutating func end() {
            self.pause?.end()
            self.pause = nil
            self.deadline = nil
        }
    }

    private func answer(_ id: DeadLetterID) async -> Result<RedriveSchedule.Answer, StoreError> {
        do throws(StoreError) {
            return .success(try await self.send(id))
        } catch {
            return .failure(error)
        }
    }

    /// Sends one letter, and removes it from the store when its function has dealt with it.
    private func send(_ id: DeadLetterID) async throws(StoreError) -> RedriveSchedule.Answer {
        guard let stored = try await self.store.deadLetter(id) else { return .gone }
        let letter = stored.letter
        guard let route = self.route(letter.trigger) else {
            let failure = Failure(
                type: "Penstock.UnknownTrigger",
                message:
                    "the trigger \"\(letter.trigger)\" is not configured any more: name one whose events are alike with "
                    + "--like, and another function than its own with --function"
            )
            return .failed(failure)
        }
        let wall = self.loop.wallNow
        let started = self.loop.now
        switch await self.invoke(letter, route) {
        case .succeeded:
            try await self.store.removeDeadLetters([id])
            return .succeeded
        case .throttled(let retryAfter, let failure):
            // No room is not an attempt.
            return .noRoom(retryAfter: retryAfter, failure)
        case .failed(let failure), .partial(_, let failure), .poison(let failure), .cancelled(let failure):
            // An invocation that was cut off with its redrive says nothing of the record.
            if Task.isCancelled { return .noRoom(retryAfter: nil, failure) }
            let attempt = Attempt(at: wall, duration: self.loop.now - started, failure: failure)
            try await self.store.recordRedrive([id], attempt: attempt)
            return .failed(failure)
        }
    }

    /// The request body that sending this letter would make; nil when the letter or its trigger is gone.
    package func event(of id: DeadLetterID) async throws(StoreError) -> (contentType: String, body: [UInt8])?
    {
        guard let stored = try await self.store.deadLetter(id), let route = self.route(stored.letter.trigger)
        else {
            return nil
        }
        let request = Request(stored.letter, route, receivedAt: self.loop.now)
        return (request.format.contentType, unsafe [UInt8](request.body.bytes))
    }

    /// A letter as a batch of one, encoded.
    private struct Request {
        let format: any EventFormat
        let batch: Batch
        let body = EventBuffer()

        init(_ letter: DeadLetter, _ route: Route, receivedAt: Instant) {
            let partition = route.source.partition(PartitionID(0), letter.partition)
            let format = route.function.format(for: route.source.format, trigger: letter.trigger)
            let window = route.tumblingWindow.map { letter.window(in: partition, length: $0) }
            let batch = letter.batch(in: partition, format: format, receivedAt: receivedAt, window: window)
            self.format = format
            self.batch = batch
            self.body.write(batch, as: format)
        }
    }

    private func invoke(_ letter: DeadLetter, _ route: Route) async -> BatchVerdict {
        let request = Request(letter, route, receivedAt: self.loop.now)
        let (format, batch) = (request.format, request.batch)
        let now = TriggerEngine.Moment(instant: self.loop.now, wall: self.loop.wallNow)
        let invocation = Invocation(
            of: batch,
            trigger: letter.trigger,
            body: request.body,
            contentType: format.contentType,
            timing: (now, route.function.timeout)
        )
        let result = await route.function.invoke(invocation)
        return ResponseContract.verdict(
            of: result,
            batch: batch,
            format: format,
            itemReports: route.itemReports
        )
    }
}
