// SPDX-License-Identifier: Apache-2.0

import AWSClient
import PenstockCore
import PenstockRuntime
import Reactor

// MARK: - Finding the stream and its shards

extension DynamoDBSource {
    /// How long a list of shards holds when nothing asks for another.
    private static let listingMax = Duration.seconds(60)

    /// Between two lists at least, and at first when children are awaited.
    private static let listingMin = Duration.seconds(1)

    /// How often in a row a stream is not there before it is taken for gone.
    private static let missedMax = 5
    private static let notFound = "ResourceNotFoundException"

    /// Between looks for a stream that is not there.
    private static let waitForStream = Duration.seconds(10)

    /// Finds the stream, lists its shards whenever one is over and now and then, and goes on with the stream that follows.
    func follow() async {
        var failures = 0
        var listings = 0
        var missed = 0
        while !self.isStopped, !Task.isCancelled {
            do throws(AWSError) {
                let found = try await self.look(acceptsNone: missed >= Self.missedMax)
                (failures, missed) = (0, 0)
                listings = found == .awaitsChildren ? listings + 1 : 0
                switch found {
                case .another: continue
                case .complete:
                    // Until the list is that old: another trigger may have made it a while ago, or make the next one.
                    await self.pauseFollowing(for: Self.listingMax - (self.reactor.now - self.listed))
                case .awaitsChildren:
                    let wait = Self.listingMin * (1 << min(listings - 1, 5))
                    await self.pauseFollowing(for: wait)
                case .nothing: await self.pauseFollowing(for: Self.waitForStream)
                }
            } catch {
                guard !self.isStopped else { return }
                failures += 1
                missed = error.code == Self.notFound ? missed + 1 : 0
                self.note(self.advice(error))
                var delay = Self.backoff.delay(attempt: failures, using: &self.random)
                if case .throttled(let after?) = error.kind { delay = max(delay, min(after, .seconds(60))) }
                await self.reactor.pause(for: max(delay, .milliseconds(50)))
            }
        }
    }

    /// Until something asks for a list, but for no longer, and not at once.
    private func pauseFollowing(for pause: Duration) async {
        await self.reactor.pause(for: Self.listingMin)
        let timer = self.reactor.schedule(at: self.reactor.now + max(.zero, pause - Self.listingMin)) {
            [weak self] in self?.looks.put(())
        }
        _ = await self.looks.takeAll()
        self.reactor.cancel(timer)
    }

    /// What a look at the stream found.
    private enum Found {
        /// Shards, of which the children are known.
        case complete
        /// Shards that are over, and no children yet.
        case awaitsChildren
        /// Another stream, which is looked at next.
        case another
        /// No stream to read.
        case nothing
    }

    /// Looks at the stream once; one that is not there is only taken for gone when that is accepted.
    private func look(acceptsNone: Bool) async throws(AWSError) -> Found {
        guard let stream = try await self.chosen() else { return .nothing }
        let description: StreamDescription?
        do throws(AWSError) {
            let ends = self.readers.values.compactMap(\.endTold)
            let newer = max(self.listed, ends.max() ?? self.listed)
            (description, self.listed) = try await self.hub.describe(stream, newerThan: newer)
        } catch {
            let isKnown = self.checkpoints[stream] != nil || !self.readers.isEmpty
            guard error.code == Self.notFound, acceptsNone, isKnown || self.configuration.isTable else {
                throw error
            }
            description = nil
        }
        guard !self.isStopped else { return .nothing }
        self.tree.list(description?.shards ?? [])
        self.judgeEnds()
        let forgotten = self.kept.listed(Set(description?.shards.map(\.id) ?? []), of: stream)
        if !forgotten.isEmpty { self.events.put(.forgotten(forgotten)) }
        self.listedAt = description?.time ?? self.reactor.wallNow
        self.beginShards()
        if let description, description.isOpen {
            self.note(nil)
            return self.awaitsChildren ? .awaitsChildren : .complete
        }
        // A closed stream has no more children to wait for, and what follows it begins when all of it is settled.
        guard self.tree.isFinished else { return .complete }
        return try await self.goOn(behind: stream)
    }

    /// Whether a shard is read to its end whose children are not listed, or which was not listed since.
    private var awaitsChildren: Bool {
        self.readers.values.contains {
            $0.isReadOut && ($0.endTold != nil || !self.tree.hasChildren($0.shard.id))
        }
            || self.tree.awaitsChildren
    }

    /// The stream to be read: the one of the checkpoints, so that it is read to its end, or the latest.
    private func chosen() async throws(AWSError) -> StreamName? {
        if let stream = self.stream { return stream }
        let stream: StreamName?
        switch self.configuration.origin {
        case .stream(let name): stream = name
        case .table(let table):
            let region = self.configuration.options.region
            if let known = self.checkpoints.keys.filter({ $0.table == table && $0.region == region }).max() {
                stream = known
            } else {
                stream = try await self.hub.streams(of: table).last
            }
        }
        guard let stream else {
            self.note("\(self.configuration.summary): it has no stream; enable one on the table")
            return nil
        }
        let start: ShardTree.Start = self.configuration.start == .latest ? .latest : .earliest
        self.begin(stream, start: start)
        return stream
    }

    private func begin(_ stream: StreamName, start: ShardTree.Start) {
        self.stream = stream
        let checkpoints = self.checkpoints[stream] ?? [:]
        let unfinished = checkpoints.keys.filter { self.windows[stream.partition(of: $0)]?.open != nil }
        self.tree = ShardTree(checkpoints: checkpoints, unfinished: Set(unfinished), start: start)
    }

    /// The stream is read to its end: the table's next one follows, if there is one.
    private func goOn(behind stream: StreamName) async throws(AWSError) -> Found {
        guard case .table(let table) = self.configuration.origin else {
            self.note(
                "\(self.configuration.summary): it was disabled and is read to its end; name its table instead to go on "
                    + "with the stream that follows"
            )
            return .nothing
        }
        let streams = try await self.hub.streams(of: table)
        guard let next = streams.first(where: { $0 > stream }) else {
            self.note(
                "\(self.configuration.summary): its stream was disabled and is read to its end; enable one on the table"
            )
            return .nothing
        }
        self.events.put(
            .gap(
                SourceGap(
                    partition: stream.arn,
                    detail:
                        "the table has another stream now, \(next.label): what was changed between the two is in none"
                )
            )
        )
        self.checkpoints[stream] = nil
        // Whatever came since it began is wanted.
        self.begin(next, start: .earliest)
        return .another
    }
}
