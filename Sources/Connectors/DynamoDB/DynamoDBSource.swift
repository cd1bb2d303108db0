// SPDX-License-Identifier: Apache-2.0

import AWSClient
import PenstockCore
import PenstockRuntime
import PenstockStore
import Reactor
import Synchronization

/// Reads the stream of a table, shard by shard, in pages.
///
/// ``ShardTree`` decides which shards are read, ``ShardTurns`` when; each read is a task of ``run()``. Pinned to the reactor.
/// See ``Source`` for what it promises. Positions are kept in the store alone: a commit tells that they are, and with that
/// a shard may be over, and its children begin.
actor DynamoDBSource: WindowSource {
    nonisolated let format: any EventFormat = DynamoDBEventFormat()

    let configuration: DynamoDBSourceConfiguration
    nonisolated let hub: StreamHub
    /// How shards are shared with other Penstocks; nil when there are none.
    nonisolated let share: ShardShare?
    nonisolated let reactor: Reactor

    nonisolated let turns: Mutex<ShardTurns>
    nonisolated let committed = Mutex<[PartitionID: PartitionLag]>([:])
    /// What the pipeline has not seen yet.
    nonisolated let events = Mailbox<SourceEvent>()
    /// Wakes ``run()`` when there may be a turn; closed by the stop.
    nonisolated let calls = Mailbox<Void>()
    /// Wakes ``follow()`` when the shards are to be listed again; closed by the stop.
    nonisolated let looks = Mailbox<Void>()
    private nonisolated let hasStopped = Mutex(false)

    /// Behind which shards go on.
    var checkpoints: [StreamName: [String: Position]] = [:]
    /// The windows in which shards go on, by the partition's name.
    var windows: [String: KeptWindow] = [:]
    /// What the store has by now.
    var kept = KeptShards()
    /// The stream that is read, once one is found, and its shards.
    var stream: StreamName?
    var tree = ShardTree(checkpoints: [:], start: .earliest)
    var readers: [PartitionID: ShardReader] = [:]
    /// When its shards were listed, by the loop's clock and by the service's.
    var listed: Instant
    var listedAt = Timestamp(milliseconds: 0)
    var random = SplitMix64(seed: .random(in: .min ... .max))
    var lastPartition: UInt32 = 0
    /// Whether windows are kept.
    var hasWindows = false
    /// Shards that other members want, on their way.
    var leaving: [RevocationID: [PartitionID]] = [:]
    var lastRevocation: UInt64 = 0
    /// When the checkpoints of other members are looked at next.
    var refreshAt: Instant
    /// Wakes ``share(_:)`` when leases have changed, or what is wanted; closed by the stop.
    nonisolated let leaseCalls = Mailbox<Void>()
    /// Whether the pipeline was told that shards are listed.
    private var hasListed = false
    /// What is wrong with finding and listing; shown until that goes well again.
    private var problem: String?
    /// What is wrong with single shards.
    var shardProblems: [PartitionID: String] = [:]
    private var shownProblem: String?
    private(set) var isStopped = false
    private var running = SourceRun()

    /// How long a stream keeps changes.
    static let retention = Duration.seconds(86_400)

    /// Waits after failures.
    static let backoff = Backoff(initial: .milliseconds(200), factor: 2, max: .seconds(20), jitter: .full)

    /// A source that has called nothing yet; it is a member of the hub, and leaves it.
    init(_ configuration: DynamoDBSourceConfiguration, hub: StreamHub, share: ShardShare? = nil) {
        self.configuration = configuration
        self.hub = hub
        self.share = share
        self.reactor = hub.reactor
        self.refreshAt = hub.reactor.now
        self.listed = hub.reactor.now + .seconds(-1)
        self.turns = Mutex(ShardTurns(most: configuration.pollers))
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    // MARK: - The pipeline's side

    func start(checkpoints: [String: Position]) async throws(SourceError) {
        self.begin(checkpoints, [:])
    }

    func start(
        checkpoints: [String: Position],
        windows: [String: KeptWindow]
    ) async throws(SourceError) {
        self.hasWindows = true
        self.begin(checkpoints, windows)
    }

    private func begin(_ checkpoints: [String: Position], _ windows: [String: KeptWindow]) {
        self.windows = windows
        for (partition, position) in checkpoints {
            let name = ShardName(partition)
            guard let stream = StreamName(name.stream) else { continue }
            // What was kept is all there is: a shard goes on with its window, wherever that is.
            self.checkpoints[stream, default: [:]][name.shard] = windows[partition]?.position ?? position
            self.kept.keep(position, of: name.shard, in: stream)
        }
    }

    nonisolated func grant(_ budget: ReceiveBudget) {
        if self.turns.withLock({ $0.grant(budget) }) { self.calls.put(()) }
    }

    nonisolated func receive() async throws(SourceError) -> [SourceEvent] {
        var events = await self.events.takeAll()
        if self.hasStopped.withLock({ $0 }) {
            events.removeAll { if case .records = $0 { true } else { false } }
        }
        let (records, bytes) = events.received
        if records > 0 { self.turns.withLock { $0.returned(records: records, bytes: bytes) } }
        return events
    }

    func commit(
        _ positions: [PartitionPosition]
    ) async throws(SourceError) -> [PartitionPosition] {
        let owned = positions.filter { self.readers[$0.partition]?.partition.name == $0.name }
        var ended: [PartitionID] = []
        for position in owned {
            let id = position.partition
            if let reader = self.readers[id] {
                self.kept.keep(position.position, of: reader.shard.id, in: reader.stream)
            }
            if StreamPosition.isSequence(position.position) {
                self.committed.withLock { $0[id]?.committed = position.position }
            }
            guard position.position == StreamPosition.end, let reader = self.readers.removeValue(forKey: id)
            else { continue }
            ended.append(id)
            self.committed.withLock { $0[id] = nil }
            self.leave(reader)
            self.tree.finish(reader.shard.id)
            self.share?.leases.finish([reader.partition.name])
        }
        guard !ended.isEmpty else { return owned }
        self.events.put(.ended(ended))
        self.beginShards()
        if self.tree.isFinished { self.looks.put(()) }
        return owned
    }

    nonisolated func finishRevocation(_ id: RevocationID, positions: [PartitionPosition]) {
        self.reactor.submit { [weak self] in
            self?.assumeIsolated { $0.revoked(id, positions) }
        }
    }

    nonisolated func lag() -> [PartitionLag] {
        self.committed.withLock { $0.values.sorted { $0.partition < $1.partition } }
    }

    func stop() async {
        let isFirst = !self.isStopped
        self.isStopped = true
        self.hasStopped.withLock { $0 = true }
        self.calls.close()
        self.looks.close()
        self.leaseCalls.close()
        await withCheckedContinuation { self.running.wait($0) }
        self.events.close()
        guard isFirst else { return }
        for reader in self.readers.values { self.leave(reader) }
        self.share?.leases.clear()
        await self.hub.leave()
    }

    // MARK: - Running

    func run() async {
        guard !self.isStopped else { return }
        self.running.begin()
        defer { self.running.end() }
        let loop = self.reactor
        await withDiscardingTaskGroup { group in
            group.addTask(executorPreference: loop) { await self.follow() }
            if let share = self.share {
                group.addTask(executorPreference: loop) { await self.share(share) }
                group.addTask(executorPreference: loop) {
                    while await share.leases.changes() { self.leaseCalls.put(()) }
                }
            }
            while !self.isStopped {
                while let turn = self.turns.withLock({ $0.next() }) {
                    switch turn {
                    case .prepare(let id):
                        group.addTask(executorPreference: loop) { await self.prepare(id) }
                    case .read(let id): group.addTask(executorPreference: loop) { await self.read(id) }
                    case .handOut(let id, let records, let bytes):
                        self.handOut(id, records: records, bytes: bytes)
                    case .letGo(let id): self.readers[id]?.letGo()
                    }
                }
                if await self.calls.takeAll().isEmpty { break }
            }
            group.cancelAll()
        }
    }

    /// Begins the shards whose turn has come, or wants leases of them.
    func beginShards() {
        guard self.share == nil else {
            // That is all there may be to say where other members read all shards.
            if !self.hasListed { self.events.put(.assigned([])) }
            self.hasListed = true
            self.leaseCalls.put(())
            return
        }
        self.begin(self.tree.takeReady())
    }

    /// Begins these shards, under leases by the partition's name.
    func begin(
        _ ready: [(shard: ShardTree.Shard, reading: ShardTree.Reading)],
        under fences: [String: Fence] = [:]
    ) {
        guard let stream = self.stream, !ready.isEmpty else { return }
        let begun = ready.map { shard, reading in
            self.lastPartition += 1
            let id = PartitionID(self.lastPartition)
            let name = stream.partition(of: shard.id)
            let partition = DynamoDBEventFormat.partition(
                id,
                name: name,
                kept: self.windows.removeValue(forKey: name)
            )
            let reader = ShardReader(
                partition: partition,
                stream: stream,
                shard: shard,
                reading: reading,
                seat: self.hub.seat(shard, of: stream),
                now: self.listedAt
            )
            reader.fence = fences[name]
            return reader
        }
        self.events.put(.assigned(begun.map(\.partition)))
        self.committed.withLock { committed in
            for reader in begun {
                var lag = PartitionLag(
                    partition: reader.partition.name,
                    committed: reader.committed,
                    records: nil
                )
                lag.isBehind = true
                committed[reader.partition.id] = lag
            }
        }
        for reader in begun { self.begin(reader) }
        self.calls.put(())
    }

    /// Gives up its seat, at once: the hub runs where the source does.
    func leave(_ reader: ShardReader) {
        let seat = reader.seat
        self.hub.assumeIsolated { $0.leave(seat) }
    }

    /// Whether a shard is still read here: it may have been given up during a call.
    func isRead(_ reader: ShardReader) -> Bool {
        self.readers[reader.partition.id] === reader && !reader.isLeaving
    }

    private func begin(_ reader: ShardReader) {
        let id = reader.partition.id
        self.readers[id] = reader
        switch reader.reading {
        case .oldest(let since):
            // An operator who wants the oldest there is misses nothing.
            if let since, since.milliseconds > 0, self.listedAt - since > Self.retention {
                self.tellGap(reader, "nothing was read for longer than 24 hours: older changes may be lost")
            }
            self.turns.withLock { $0.add(id, isPrepared: true) }
        case .after: self.turns.withLock { $0.add(id, isPrepared: true) }
        case .latest:
            self.turns.withLock { $0.add(id, isPrepared: false) }
        case .skip: self.tellEnd(reader)
        case .gone:
            self.tellGap(
                reader,
                "the shard is gone before it was read to its end: changes older than 24 hours are lost"
            )
            self.tellEnd(reader)
        }
    }

    /// Tells that nothing else comes of a shard up to a position.
    func advance(_ reader: ShardReader, to position: Position) {
        self.events.put(.advanced([reader.position(position)]))
    }

    /// Tells that nothing else comes of a shard.
    func tellEnd(_ reader: ShardReader) {
        self.events.put(.readOut([reader.position(StreamPosition.end)]))
    }

    /// Notes whether a shard may have records that were not handed out.
    func note(_ id: PartitionID, isBehind: Bool) {
        self.committed.withLock { $0[id]?.isBehind = isBehind }
    }

    func tellGap(_ reader: ShardReader, _ detail: String) {
        self.events.put(.gap(SourceGap(partition: reader.partition.name, detail: detail)))
    }

    // MARK: - What is wrong

    /// Sets or clears what is wrong with finding the stream and its shards.
    func note(_ problem: String?) {
        self.problem = problem
        self.showProblem()
    }

    /// Sets or clears what is wrong with one shard.
    func note(_ problem: String?, of id: PartitionID) {
        self.shardProblems[id] = problem
        self.showProblem()
    }

    func showProblem() {
        let first = self.shardProblems.min { $0.key.rawValue < $1.key.rawValue }?.value
        let shown = self.problem ?? first
        guard shown != self.shownProblem else { return }
        self.shownProblem = shown
        self.events.put(.status(shown.map { .disconnected("dynamodb \($0)") } ?? .connected))
    }

    /// An error with what to do about it.
    func advice(_ error: AWSError) -> String {
        let advice =
            switch (error.kind, error.code) {
            case (.noCredentials, "Client.NoCredentials"):
                "; set \"credentials\" or \"profile\", or AWS_ACCESS_KEY_ID"
            case (.throttled, _):
                "; a shard serves two readers: look for others of this stream, or set fewer \"pollers\""
            case (_, "ResourceNotFoundException"): "; check the name, \"region\" and \"endpoint\""
            case (_, "AccessDeniedException"):
                "; allow dynamodb:DescribeStream, dynamodb:GetShardIterator and dynamodb:GetRecords, and with "
                    + "\"table\" dynamodb:ListStreams"
            default: ""
            }
        return "\(self.configuration.summary): \(error)\(advice)"
    }
}
