// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSConfiguration
import PenstockCore
import PenstockRuntime
import Reactor
import Synchronization

/// Reads streams for all triggers of a process that name the same account and endpoint, so that each shard has one reader.
///
/// Each trigger has a seat for each of its shards. Those who have come to the front of a shard share its pages: one of them
/// reads, whose turn comes first, the others wait for that. Pages are kept until all of them have taken them, within
/// ``Limits``. Who does not keep up reads by himself, one at a time in each shard and
/// beside the one in front: two readers, which is what AWS allows. He comes back when the last record that he has read is
/// among the pages. So nobody waits for anybody, and nothing is left out.
///
/// Pinned to the reactor, which it shares with its sources. Its client is closed when the last of them has left.
actor StreamHub {
    nonisolated let reactor: Reactor
    nonisolated let client: StreamsClient

    /// How much is kept for those who are not in front.
    struct Limits: Sendable {
        /// Bytes of pages of one shard, but for its last page.
        var feedBytes = 4 << 20
        /// Bytes of pages in all.
        var hubBytes = 32 << 20
    }

    let limits: Limits
    private nonisolated let members = Mutex((count: 0, isClosed: false))
    private nonisolated let lastSeat = Mutex<UInt64>(0)

    var lanes: [StreamName: [String: ShardLane]] = [:]
    var states: [UInt64: SeatState] = [:]
    /// Bytes of all pages that are kept.
    var bytes = 0
    var random = SplitMix64(seed: .random(in: .min ... .max))

    private var lists: [String: SharedCall<[StreamName]>] = [:]
    private var descriptions: [StreamName: SharedCall<StreamDescription>] = [:]
    private var lastWaiter: UInt64 = 0
    private var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]

    /// A hub without members.
    init(client: StreamsClient, limits: Limits, reactor: Reactor) {
        self.client = client
        self.limits = limits
        self.reactor = reactor
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    // MARK: - Members

    /// One more source uses it; false when it is closed already.
    ///
    /// Any thread.
    nonisolated func enter() -> Bool {
        self.members.withLock { members in
            if !members.isClosed { members.count += 1 }
            return !members.isClosed
        }
    }

    /// A source uses it no more, and has left its seats; with the last one calls and connections end.
    func leave() async {
        let isLast = self.members.withLock { members in
            members.count -= 1
            if members.count == 0 { members.isClosed = true }
            return members.isClosed
        }
        if isLast { await self.client.close() }
    }

    /// A seat for a shard, which is taken with the first page that is asked for.
    ///
    /// Any thread.
    nonisolated func seat(_ shard: ShardTree.Shard, of stream: StreamName) -> FeedSeat {
        let id = self.lastSeat.withLock { last in
            last += 1
            return last
        }
        return FeedSeat(id: id, stream: stream, shard: shard)
    }

    /// Gives a seat up, also one whose first call is under way.
    func leave(_ seat: FeedSeat) {
        self.states[seat.id] = nil
        guard let lane = self.lanes[seat.stream]?[seat.shard.id], lane.seats.remove(seat.id) != nil else {
            return
        }
        if let feed = lane.feed {
            if lane.seats.isEmpty { self.bytes -= feed.pages.bytes } else { self.tidy(feed, in: lane) }
        }
        guard lane.seats.isEmpty else { return }
        self.lanes[seat.stream]?[seat.shard.id] = nil
        if self.lanes[seat.stream]?.isEmpty == true { self.lanes[seat.stream] = nil }
    }

    /// Lets pages go that all have taken, and the oldest ones when there are too many.
    func tidy(_ feed: ShardFeed, in lane: ShardLane) {
        let before = feed.pages.bytes
        var (next, isAnyBehind) = (feed.pages.end, false)
        for id in lane.seats {
            guard let state = self.states[id] else { continue }
            let follows = state.feed === feed && state.number >= feed.pages.first
            if follows { next = min(next, state.number) } else { isAnyBehind = true }
        }
        // Who is about to come back finds his place by the last page.
        feed.pages.drop(before: isAnyBehind ? next - 1 : next)
        feed.pages.trim(to: self.limits.feedBytes)
        guard lane.feed === feed else { return }
        self.bytes += feed.pages.bytes - before
        while self.bytes > self.limits.hubBytes, let largest = self.largestFeed {
            let before = largest.pages.bytes
            largest.pages.drop(before: largest.pages.first + 1)
            self.bytes += largest.pages.bytes - before
        }
    }

    private var largestFeed: ShardFeed? {
        let feeds = self.lanes.values.joined().compactMap(\.value.feed).filter { $0.pages.bytes > 0 }
        return feeds.max { $0.pages.bytes < $1.pages.bytes }
    }

    // MARK: - Finding streams and shards

    /// The streams of a table, see ``StreamsClient/streams(of:)``, as they were a second ago at most.
    func streams(of table: String) async throws(AWSError) -> [StreamName] {
        let call = self.lists[table] ?? SharedCall()
        self.lists[table] = call
        let newer = self.reactor.now + .seconds(-1)
        return try await self.share(call, newerThan: newer) { () throws(AWSError) in
            try await self.client.streams(of: table)
        }.value
    }

    /// A stream with all its shards, and when that was asked: later than `seen`.
    func describe(
        _ stream: StreamName,
        newerThan seen: Instant
    ) async throws(AWSError) -> (description: StreamDescription, at: Instant) {
        let call = self.descriptions[stream] ?? SharedCall()
        self.descriptions[stream] = call
        let made = try await self.share(call, newerThan: seen) { () throws(AWSError) in
            try await self.client.describe(stream)
        }
        return (made.value, made.at)
    }

    /// The value of a call that began later than that, made by whoever comes first.
    private func share<Value: Sendable>(
        _ call: SharedCall<Value>,
        newerThan seen: Instant,
        _ make: () async throws(AWSError) -> Value
    ) async throws(AWSError) -> (value: Value, at: Instant) {
        var hasWaited = false
        while true {
            if let made = call.made, made.at > seen {
                if case .success(let value) = made.result { return (value, made.at) }
                if hasWaited, case .failure(let error) = made.result { throw error }
            }
            try self.checkCancelled()
            guard call.isUnderWay else { break }
            hasWaited = true
            await self.wait(isDone: { !call.isUnderWay }, { call.waiters.append($0) })
        }
        let at = self.reactor.now
        call.isUnderWay = true
        defer { self.wake(&call.waiters) }
        do throws(AWSError) {
            let value = try await make()
            call.isUnderWay = false
            call.made = (.success(value), at)
            return (value, at)
        } catch {
            call.isUnderWay = false
            // What was cut off says nothing to the others: one of them makes the call again.
            if !Task.isCancelled { call.made = (.failure(error), at) }
            throw error
        }
    }

    // MARK: - What it is doing

    /// How many seats are at the front of their shards.
    var followers: Int {
        self.states.values.count { state in
            let lane = self.lanes[state.seat.stream]?[state.seat.shard.id]
            return state.feed.map { $0 === lane?.feed } ?? false
        }
    }

    /// How many calls wait for what another one brings.
    var waiting: Int { self.waiters.count }

    // MARK: - Waiting for what another task does

    /// Waits until ``wake(_:)`` or until the task is cancelled.
    ///
    /// - Parameters:
    ///   - isDone: Whether there is nothing to wait for any more.
    ///   - note: Keeps the number of the waiter for ``wake(_:)``.
    func wait(isDone: () -> Bool, _ note: (UInt64) -> Void) async {
        self.lastWaiter += 1
        let number = self.lastWaiter
        await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                // Looked at again here: the call may have waited for the executor.
                if isDone() || Task.isCancelled {
                    waiter.resume()
                } else {
                    note(number)
                    self.waiters[number] = waiter
                }
            }
        } onCancel: {
            self.reactor.submit { [weak self] in
                self?.assumeIsolated { hub in hub.waiters.removeValue(forKey: number)?.resume() }
            }
        }
    }

    /// Lets those go on that wait.
    func wake(_ numbers: inout [UInt64]) {
        for number in numbers { self.waiters.removeValue(forKey: number)?.resume() }
        numbers = []
    }

    func checkCancelled() throws(AWSError) {
        guard Task.isCancelled else { return }
        throw AWSError(.unreachable, code: "Client.Closed", message: "the call was cancelled")
    }
}

/// A call whose answer several want.
///
/// Belongs to the hub's actor.
private final class SharedCall<Value: Sendable> {
    /// What came of the last one, and when it began.
    var made: (result: Result<Value, AWSError>, at: Instant)?
    var isUnderWay = false
    var waiters: [UInt64] = []
}

/// The hubs of a process: one for each account and endpoint that triggers name.
final class StreamHubs: Sendable {
    /// What triggers must have in common to share a hub.
    private struct Key: Equatable {
        var region: String
        var endpoint: String?
        var profile: String?
        var credentials: AWSCredentials?
    }

    private struct Entry {
        var key: Key
        weak var hub: StreamHub?
    }

    private let entries = Mutex<[Entry]>([])
    private let limits: StreamHub.Limits

    /// No hubs yet.
    init(_ limits: StreamHub.Limits = StreamHub.Limits()) {
        self.limits = limits
    }

    /// Calls in flight of one hub at most: connections are opened as they are needed.
    private static let connections = 512

    /// The hub of these options, which counts the caller as a member.
    ///
    /// - Throws: ``AWSError`` for an endpoint that is no URL, or when libcurl cannot be set up.
    func hub(_ options: AWSOptions, reactor: Reactor) throws(AWSError) -> StreamHub {
        let key = Key(
            region: options.region,
            endpoint: options.endpoint,
            profile: options.profile,
            credentials: options.credentials
        )
        return try self.entries.withLock { entries throws(AWSError) in
            entries.removeAll { $0.hub == nil }
            if let hub = entries.first(where: { $0.key == key })?.hub, hub.enter() { return hub }
            entries.removeAll { $0.key == key }
            var options = options
            options.connections = Self.connections
            let hub = StreamHub(
                client: try StreamsClient(options, reactor: reactor),
                limits: self.limits,
                reactor: reactor
            )
            _ = hub.enter()
            entries.append(Entry(key: key, hub: hub))
            return hub
        }
    }
}
