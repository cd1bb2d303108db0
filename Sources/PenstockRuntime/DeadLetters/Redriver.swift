// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockStore
package import Reactor

/// Sends dead letters to their function again, one by one and in order.
///
/// A letter leaves the store only after the function has dealt with its record; one that fails again stays, with the
/// attempt added to its history, and so do all later ones of its partition: order holds in a redrive, too. A function
/// without room is waited for, as ``RedrivePatience`` says.
package struct Redriver: Sendable {
    /// Which letters, how fast, and where to.
    package struct Order: Sendable {
        /// The letters.
        package var query: DeadLetterQuery
        /// Of those, only these; nil for all.
        package var ids: Set<DeadLetterID>?
        /// Invocations at most; nil for no limit.
        package var rate: RedriveRate?

        /// An order.
        package init(query: DeadLetterQuery, ids: Set<DeadLetterID>? = nil, rate: RedriveRate? = nil) {
            self.query = query
            self.ids = ids
            self.rate = rate
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
            /// An earlier record of the same partition failed, so this one was not tried.
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

        /// A route.
        package init(source: SourcePlan, function: any Function, itemReports: ItemReports) {
            self.source = source
            self.function = function
            self.itemReports = itemReports
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

    /// What the function made of a letter.
    private enum Answer {
        case succeeded
        case failed(Failure)
        case noRoom(retryAfter: Duration?, Failure)
        case gone
    }

    /// Carries out an order, telling what becomes of each letter as it happens.
    ///
    /// Stops early when the task is cancelled, or when `report` returns false: nobody listens any more.
    package func run(
        _ order: Order,
        report: (_ event: Event, _ total: Int) async -> Bool
    ) async throws(StoreError) {
        let letters = try await self.store.deadLetters(matching: order.query).filter {
            order.ids?.contains($0.id) ?? true
        }
        var stuck: Set<String> = []
        var patience: [String: RedrivePatience] = [:]
        var closed: [String: Failure] = [:]
        var earliest = self.loop.now
        for summary in letters {
            if Task.isCancelled { return }
            let partition = "\(summary.trigger)/\(summary.partition)"
            let function = self.route(summary.trigger)?.function.name ?? ""
            var outcome = Outcome(id: summary.id, kind: .skipped)
            if let failure = closed[function] {
                outcome = Outcome(id: summary.id, kind: .unavailable, failure: failure)
            }
            var isDecided = stuck.contains(partition) || closed[function] != nil
            while !isDecided {
                if let rate = order.rate {
                    await self.loop.pause(until: earliest)
                    earliest = max(self.loop.now, earliest) + rate.interval
                }
                let answer = try await self.send(summary.id)
                isDecided = true
                switch answer {
                case .succeeded: outcome.kind = .succeeded
                case .gone: outcome.kind = .gone
                case .failed(let failure):
                    outcome = Outcome(id: summary.id, kind: .failed, failure: failure)
                    stuck.insert(partition)
                case .noRoom(let retryAfter, let failure):
                    let now = self.loop.now
                    switch patience[function, default: .init()].refused(retryAfter: retryAfter, now: now) {
                    case .giveUp:
                        closed[function] = failure
                        outcome = Outcome(id: summary.id, kind: .unavailable, failure: failure)
                    case .wait(let duration):
                        let waiting = Waiting(id: summary.id, duration: duration, failure: failure)
                        guard await report(.waiting(waiting), letters.count) else { return }
                        await self.loop.pause(for: duration)
                        if Task.isCancelled { return }
                        isDecided = false
                    }
                    continue
                }
                patience[function]?.hadRoom()
            }
            guard await report(.outcome(outcome), letters.count) else { return }
        }
    }

    /// Sends one letter, and removes it from the store when its function has dealt with it.
    private func send(_ id: DeadLetterID) async throws(StoreError) -> Answer {
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
        case .failed(let failure), .partial(_, let failure), .poison(let failure):
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
            let batch = letter.batch(in: partition, format: format, receivedAt: receivedAt)
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

extension DeadLetter {
    /// The letter's record as a batch of one.
    func batch(in partition: Partition, format: any EventFormat, receivedAt: Instant) -> Batch {
        let block = self.block(of: partition)
        let admitted = AdmittedBlock(
            block: block,
            firstDelivery: 0,
            receivedAt: receivedAt,
            sizes: format.sizes(of: block).sums
        )
        let run = Run(admitted: admitted, range: 0..<1)
        return Batch(id: BatchID(0), runs: [run], attempt: self.attemptCount + 1)
    }

    /// The letter's record as a block of one.
    func block(of partition: Partition) -> RecordBlock {
        var builder = RecordBlockBuilder(
            byteCapacity: (self.key?.count ?? 0) + (self.body?.count ?? 0) + 256,
            recordCapacity: 1
        )
        let index = builder.add(partition)
        unsafe Self.withBytes(self.key) { key in
            unsafe Self.withBytes(self.body) { body in
                unsafe builder.append(
                    position: self.position,
                    timestamp: self.timestamp,
                    tag: self.tag,
                    partitionIndex: index,
                    payload: RecordPayload(key: key, body: body)
                )
            }
        }
        for attribute in self.attributes {
            unsafe Self.withBytes(Array(attribute.name.utf8)) { name in
                unsafe Self.withBytes(attribute.value) { value in
                    guard let name = unsafe name else { return }
                    unsafe builder.appendAttribute(name: name, value: value)
                }
            }
        }
        return builder.finish()
    }

    private static func withBytes(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Void) {
        guard let bytes else { return body(nil) }
        unsafe bytes.withUnsafeBytes { unsafe body($0) }
    }
}
