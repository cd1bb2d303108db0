// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockStore
package import Reactor

/// Sends dead letters to their function again, one by one and in order.
///
/// A letter leaves the store only after the function has dealt with its record; one that fails again stays, with the
/// attempt added to its history, and so do all later ones of its partition: order holds in a redrive, too.
package struct Redriver: Sendable {
    /// Which letters, how fast, and where to.
    package struct Order: Sendable {
        /// The letters.
        package var query: DeadLetterQuery
        /// Of those, only these; nil for all.
        package var ids: Set<DeadLetterID>?
        /// Invocations a second at most; nil for no limit.
        package var rate: Double?

        /// An order.
        package init(query: DeadLetterQuery, ids: Set<DeadLetterID>? = nil, rate: Double? = nil) {
            self.query = query
            self.ids = ids
            self.rate = rate
        }
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
        }

        /// The letter.
        package var id: DeadLetterID
        /// What became of it.
        package var kind: Kind
        /// Why, unless it succeeded.
        package var failure: Failure?
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

    /// Carries out an order, telling what becomes of each letter as it happens.
    ///
    /// Stops early when the task is cancelled, or when `report` returns false: nobody listens any more.
    package func run(
        _ order: Order,
        report: (_ outcome: Outcome, _ total: Int) async -> Bool
    ) async throws(StoreError) {
        let letters = try await self.store.deadLetters(matching: order.query).filter {
            order.ids?.contains($0.id) ?? true
        }
        var stuck: Set<String> = []
        var earliest = self.loop.now
        for summary in letters {
            if Task.isCancelled { return }
            let partition = "\(summary.trigger)/\(summary.partition)"
            guard !stuck.contains(partition) else {
                guard await report(Outcome(id: summary.id, kind: .skipped), letters.count) else { return }
                continue
            }
            if let rate = order.rate, rate > 0 {
                await self.loop.pause(until: earliest)
                earliest = max(self.loop.now, earliest) + .nanoseconds(Int64(1e9 / rate))
            }
            let failure = try await self.send(summary.id)
            if failure != nil { stuck.insert(partition) }
            let kind: Outcome.Kind = failure == nil ? .succeeded : .failed
            let outcome = Outcome(id: summary.id, kind: kind, failure: failure)
            guard await report(outcome, letters.count) else { return }
        }
    }

    /// Sends one letter; returns why it failed, nil when it is gone from the store.
    private func send(_ id: DeadLetterID) async throws(StoreError) -> Failure? {
        guard let stored = try await self.store.deadLetter(id) else { return nil }
        let letter = stored.letter
        guard let route = self.route(letter.trigger) else {
            return Failure(
                type: "Penstock.UnknownTrigger",
                message:
                    "the trigger \"\(letter.trigger)\" is not configured any more: name one whose events are alike with "
                    + "--like, and another function than its own with --function"
            )
        }
        let wall = self.loop.wallNow
        let started = self.loop.now
        let verdict = await self.invoke(letter, route)
        let failure: Failure
        switch verdict {
        case .succeeded:
            try await self.store.removeDeadLetters([id])
            return nil
        case .throttled(_, let reason):
            // No room is not an attempt.
            return reason
        case .failed(let reason), .partial(_, let reason), .poison(let reason):
            failure = reason
        }
        let attempt = Attempt(at: wall, duration: self.loop.now - started, failure: failure)
        try await self.store.recordRedrive([id], attempt: attempt)
        return failure
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
