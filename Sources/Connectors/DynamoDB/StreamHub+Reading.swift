// SPDX-License-Identifier: Apache-2.0

import AWSClient
import PenstockCore
import PenstockRuntime
import Reactor

/// What a hub has for a seat.
enum FeedAnswer: Sendable {
    /// The next records of its shard; whether the shard ends behind them; when it is to ask again, nil for at once.
    case page(StreamPage, isLast: Bool, restUntil: Instant?)
    /// Nothing more comes of the shard.
    case end
    /// Nothing now: it is to ask again at that time. Whether all is well.
    case rest(until: Instant, isWell: Bool)
}

// MARK: - Reading shards

extension StreamHub {
    /// Waits after failures.
    private static let backoff = Backoff(
        initial: .milliseconds(200),
        factor: 2,
        max: .seconds(20),
        jitter: .full
    )

    /// Between reads of those who are behind, unless pages are full.
    ///
    /// Together with the reader in front that is at most five in a second.
    private static let catchUpPause = Duration.seconds(1)

    /// Takes a seat at the end of its shard.
    func takeLatest(_ seat: FeedSeat) async throws(AWSError) {
        let lane = self.lane(of: seat)
        if lane.feed == nil {
            let iterator = try await self.client.iterator(.latest, of: seat.shard.id, in: seat.stream)
            guard lane.seats.contains(seat.id) else { return }
            // Another one may have begun meanwhile.
            if lane.feed == nil {
                let feed = ShardFeed(from: .latest, now: self.reactor.now)
                feed.iterator = iterator
                lane.feed = feed
            }
        }
        guard let feed = lane.feed else { return }
        // Should it fall behind before the first record, the trigger leaves out what is older than its beginning.
        let state = SeatState(seat, at: feed.pages.place)
        self.states[seat.id] = state
        state.follow(feed, from: feed.pages.end)
    }

    /// The next page of a shard for a seat.
    ///
    /// - Parameters:
    ///   - seat: The seat; one call at a time.
    ///   - place: Where it goes on if that is elsewhere than behind the last page that it was given; needed with the first call.
    ///   - isEndDenied: Whether the list of shards has denied the end that was the last answer.
    /// - Returns: the page, or when to ask again.
    /// - Throws: What the service said, to each seat once that waits for it.
    func next(
        _ seat: FeedSeat,
        from place: FeedPlace?,
        isEndDenied: Bool = false
    ) async throws(AWSError) -> FeedAnswer {
        let lane = self.lane(of: seat)
        let state = self.states[seat.id] ?? SeatState(seat, at: place ?? .oldest)
        self.states[seat.id] = state
        if let place { state.move(to: place) }
        if isEndDenied { lane.feed?.reopen() }
        while true {
            try self.checkCancelled()
            guard let feed = self.feed(of: state, in: lane) else {
                if let answer = try await self.catchUp(state, in: lane) { return answer }
                continue
            }
            if let answer = self.take(state, from: feed, in: lane) { return answer }
            if let failure = feed.failure, failure.number != state.failureSeen {
                state.failureSeen = failure.number
                throw failure.error
            }
            let now = self.reactor.now
            if feed.restsUntil > now { return .rest(until: feed.restsUntil, isWell: feed.failure == nil) }
            if feed.isReading {
                await self.wait(isDone: { !feed.isReading }, { feed.waiters.append($0) })
            } else {
                try await self.read(feed, for: state, in: lane)
            }
        }
    }

    private func lane(of seat: FeedSeat) -> ShardLane {
        let known = self.lanes[seat.stream]?[seat.shard.id]
        let lane = known ?? ShardLane(now: self.reactor.now)
        if known == nil { self.lanes[seat.stream, default: [:]][seat.shard.id] = lane }
        lane.seats.insert(seat.id)
        return lane
    }

    /// The feed that a seat follows, now that it may; nil when it is behind.
    private func feed(of state: SeatState, in lane: ShardLane) -> ShardFeed? {
        if let feed = state.feed {
            let isThere = state.number >= feed.pages.first
            let hasMore = !feed.isReplaced || state.number < feed.pages.end
            if isThere, hasMore { return feed }
            state.leaveFeed()
        }
        if let feed = lane.feed {
            switch feed.pages.find(state.place) {
            case .before(let number): state.follow(feed, from: number)
            case .ahead: self.begin(state, in: lane)
            case .behind, .unknown:
                // With nobody else there is nothing to share.
                if lane.seats.count == 1 { self.begin(state, in: lane) }
            }
        } else {
            self.begin(state, in: lane)
        }
        return state.feed
    }

    /// The feed begins anew where a seat is.
    private func begin(_ state: SeatState, in lane: ShardLane) {
        if let old = lane.feed {
            old.isReplaced = true
            self.bytes -= old.pages.bytes
        }
        let feed = ShardFeed(from: state.place, now: self.reactor.now)
        feed.iterator = state.iterator
        feed.isFresh = state.isFresh
        lane.feed = feed
        state.follow(feed, from: feed.pages.end)
    }

    /// Gives a seat the page that waits for it.
    private func take(_ state: SeatState, from feed: ShardFeed, in lane: ShardLane) -> FeedAnswer? {
        guard var page = feed.pages.page(state.number) else {
            return feed.pages.isOver && state.number == feed.pages.end ? .end : nil
        }
        if case .after(let position) = state.place, let first = page.first, first <= position {
            page.remove(through: position)
        }
        state.number += 1
        if let last = page.last { state.place = .after(last) }
        self.tidy(feed, in: lane)
        let isAtEnd = state.number == feed.pages.end
        let rest = isAtEnd && feed.restsUntil > self.reactor.now ? feed.restsUntil : nil
        return .page(page, isLast: isAtEnd && feed.pages.isOver, restUntil: rest)
    }

    /// Reads the next page of a feed, for all that follow it.
    private func read(_ feed: ShardFeed, for state: SeatState, in lane: ShardLane) async throws(AWSError) {
        let seat = state.seat
        feed.isReading = true
        defer { self.wake(&feed.waiters) }
        do throws(AWSError) {
            var iterator = feed.iterator
            if iterator == nil {
                iterator = try await self.client.iterator(feed.pages.place, of: seat)
                feed.iterator = iterator
                feed.isFresh = true
            }
            let page = try await self.client.records(iterator ?? "")
            feed.isReading = false
            let before = feed.pages.bytes
            feed.arrived(page, by: iterator ?? "", now: self.reactor.now)
            if lane.feed === feed { self.bytes += feed.pages.bytes - before }
        } catch {
            feed.isReading = false
            try self.checkCancelled()
            let wasFresh = feed.isFresh
            if case .refused = error.kind { feed.iterator = nil }
            if error.code == StreamsClient.expired, !wasFresh { return }
            feed.failed(error, resting: self.delay(error, feed.failuresInRow + 1), now: self.reactor.now)
            state.failureSeen = feed.failure?.number ?? 0
            if error.code == StreamsClient.trimmed, lane.feed === feed {
                // Each of its readers finds out where it can go on.
                feed.isReplaced = true
                self.bytes -= feed.pages.bytes
                lane.feed = nil
            }
            throw error
        }
    }

    private func delay(_ error: AWSError, _ failures: Int) -> Duration {
        var delay = Self.backoff.delay(attempt: failures, using: &self.random)
        if case .throttled(let after?) = error.kind { delay = max(delay, min(after, .seconds(60))) }
        return max(delay, .milliseconds(50))
    }

    // MARK: - Those who are behind

    /// Reads a page for one seat alone; nil when it can follow the feed from here on.
    private func catchUp(_ state: SeatState, in lane: ShardLane) async throws(AWSError) -> FeedAnswer? {
        if !state.hasMore, lane.catchUpAt > self.reactor.now {
            return .rest(until: lane.catchUpAt, isWell: true)
        }
        if lane.isCatchingUp {
            await self.wait(isDone: { !lane.isCatchingUp }, { lane.waiters.append($0) })
            return nil
        }
        lane.isCatchingUp = true
        defer {
            lane.isCatchingUp = false
            self.wake(&lane.waiters)
        }
        do throws(AWSError) {
            var iterator = state.iterator
            if iterator == nil {
                iterator = try await self.client.iterator(state.place, of: state.seat)
                state.iterator = iterator
                state.isFresh = true
            }
            let page = try await self.client.records(iterator ?? "")
            return self.caughtUp(state, with: page, in: lane)
        } catch {
            try self.checkCancelled()
            let wasFresh = state.isFresh
            if case .refused = error.kind { state.iterator = nil }
            if error.code == StreamsClient.expired, !wasFresh { return nil }
            throw error
        }
    }

    private func caughtUp(_ state: SeatState, with page: StreamPage, in lane: ShardLane) -> FeedAnswer {
        state.iterator = page.next
        state.isFresh = false
        state.hasMore = page.isFull
        if !page.isFull { lane.catchUpAt = self.reactor.now + Self.catchUpPause }
        var rest = page.isFull ? nil : lane.catchUpAt
        if let first = page.first, let last = page.last {
            state.place = .after(last)
            if let feed = lane.feed, let tip = feed.pages.tip, first <= tip, last > tip {
                // It has come further than the feed, which goes on with what is new to it.
                let before = feed.pages.bytes
                feed.arrived(page, by: "", now: self.reactor.now)
                self.bytes += feed.pages.bytes - before
                state.follow(feed, from: feed.pages.end)
                rest = page.isFull ? nil : feed.restsUntil
                self.tidy(feed, in: lane)
                self.wake(&feed.waiters)
            }
        }
        if page.records.isEmpty, page.next == nil { return .end }
        return .page(page, isLast: page.next == nil, restUntil: rest)
    }
}

extension StreamsClient {
    fileprivate static let expired = "ExpiredIteratorException"
    fileprivate static let trimmed = "TrimmedDataAccessException"

    /// An iterator at a place in a seat's shard.
    fileprivate func iterator(_ place: FeedPlace, of seat: FeedSeat) async throws(AWSError) -> String {
        let digits = max(StreamPosition.digitsMin, seat.shard.first?.utf8.count ?? 0)
        let wanted: Place =
            switch place {
            case .oldest: .oldest
            case .latest: .latest
            case .after(let position): .after(StreamPosition.text(position, digits: digits))
            }
        return try await self.iterator(wanted, of: seat.shard.id, in: seat.stream)
    }
}
