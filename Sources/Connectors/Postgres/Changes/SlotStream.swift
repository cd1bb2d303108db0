// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockRuntime
import PostgresClient
import Reactor
import Synchronization

/// The one connection that reads a slot, for all triggers that name it.
///
/// Each has a position and a budget of its own (``SlotReader``). The server hears of the least of what is settled for all that are
/// configured, running or not: what is acknowledged is gone. While one of them is unknown, nothing is acknowledged. On the
/// reactor's thread, but for ``claim(_:trigger:on:)`` and ``find(_:on:_:)``.
final class SlotStream: @unchecked Sendable {
    // @unchecked: touched on the reactor's thread only, but for the table.

    private struct Key: Hashable {
        var reactor: ObjectIdentifier
        var address: PostgresAddress
        var slot: String
    }

    private static let table = Mutex<[Key: SlotStream]>([:])

    let reactor: Reactor
    let address: PostgresAddress
    let slot: String
    var logger: Logger
    var random = SplitMix64(seed: .random(in: .min ... .max))

    /// How often each trigger is configured: twice while a reload replaces it.
    private var claims: [String: Int] = [:]
    /// Up to where all is settled and durable, by trigger; none for one that has not said so yet.
    private var floors: [String: LogSequenceNumber] = [:]
    private(set) var readers: [SlotReader] = []
    /// Those that name another publication than the readers do: they are let in when those have left.
    private var refused: [SlotReader] = []

    // The connections; see SlotStream+Connection.
    var control: PostgresLink?
    var link: PostgresLink?
    /// A connection whose stream is about to begin.
    var pending: PostgresLink?
    var openings: [PostgresLink.Opening] = []
    /// Which attempt it is: what an earlier one still brings is not heard.
    var generation: UInt64 = 0
    var isConnecting = false
    var failures = 0
    var retry: TimerID?
    var heartbeat: TimerID?
    /// The process that reads for us now or did last.
    var ownBackend: Int32?
    var hasWaitedForOthers = false
    /// What the slot is like, to be told once; nil while it is well.
    var concern: String?
    /// Whether the session of a stopped owner may be ended; false as long as nobody else can say that it is stopped.
    var mayTerminateOwner: @Sendable () -> Bool = { false }
    /// Names those that share the store; only their sessions may be ended.
    var cluster: String?
    /// How often the slot was found with another owner, in a row.
    var foundOwned = 0
    /// Tells sessions that belong to this stream from those of other processes.
    let mark = String(UInt32.random(in: .min ... .max), radix: 16)
    /// Which server it reads from, or did last, as that tells of itself.
    var system: String?

    // What arrives.
    private var transaction: ReplicatedTransaction?
    private var index: UInt64 = 0
    private var tables: [UInt32: ReplicatedTable] = [:]
    private var isAsking = false
    private var received = LogSequenceNumber.none
    private var acknowledged = LogSequenceNumber.none
    var lastHeard = Instant.start
    private var isTurnDue = false
    private var problem: String?
    /// Up to where the stream is: what comes next is behind it.
    private var place = Position(0)
    private var turns = SlotTurns()
    /// When a turn is due that nothing else brings about.
    private var alarm: Instant?

    /// Messages, and bytes, of a turn, so that others on the thread have theirs.
    private static let turnMessages = 2000
    private static let turnBytes = 1 << 20

    private init(_ address: PostgresAddress, slot: String, _ reactor: Reactor) {
        self.address = address
        self.slot = slot
        self.reactor = reactor
        self.logger = Logger(label: "penstock")
    }

    // MARK: - Who is configured, and who reads

    /// The stream of a slot.
    ///
    /// Any thread; `use` is called on the loop.
    private static func withStream(
        _ address: PostgresAddress,
        _ slot: String,
        on reactor: Reactor,
        _ use: @escaping @Sendable (SlotStream) -> Void
    ) -> SlotStream {
        let key = Key(reactor: ObjectIdentifier(reactor), address: address, slot: slot)
        let stream = Self.table.withLock { table in
            let stream = table[key] ?? SlotStream(address, slot: slot, reactor)
            table[key] = stream
            return stream
        }
        reactor.submit { use(stream) }
        return stream
    }

    /// What keeps a trigger's part of the slot as long as it is configured.
    struct Claim: SourceClaim {
        fileprivate let stream: SlotStream
        fileprivate let trigger: String

        func release() {
            self.stream.reactor.submit { self.stream.release(self.trigger) }
        }
    }

    /// A trigger that is configured to read the slot, running or not.
    ///
    /// Any thread.
    static func claim(
        _ configuration: ChangesConfiguration,
        trigger: String,
        on reactor: Reactor
    ) -> Claim? {
        guard let address = configuration.address else { return nil }
        let stream = Self.withStream(address, configuration.slot, on: reactor) { stream in
            stream.claims[trigger, default: 0] += 1
            stream.keep()
        }
        return Claim(stream: stream, trigger: trigger)
    }

    private func release(_ trigger: String) {
        let left = (self.claims[trigger] ?? 1) - 1
        self.claims[trigger] = left > 0 ? left : nil
        self.forgetUnless(trigger)
    }

    /// Whoever is neither configured nor reads does not count any more.
    private func forgetUnless(_ trigger: String) {
        if self.claims[trigger] == nil, !self.readers.contains(where: { $0.trigger == trigger }) {
            self.floors[trigger] = nil
            self.acknowledge()
        }
        if self.readers.isEmpty { self.disconnect() }
        guard self.claims.isEmpty, self.readers.isEmpty else { return }
        let key = Key(reactor: ObjectIdentifier(self.reactor), address: self.address, slot: self.slot)
        Self.table.withLock { table in
            if table[key] === self { table[key] = nil }
        }
    }

    /// Another stream of this process and the same slot, by another URL.
    func other(where condition: (SlotStream) -> Bool) -> SlotStream? {
        Self.table.withLock { table in
            table.first { key, stream in
                stream !== self && stream.reactor === self.reactor && key.slot == self.slot
                    && condition(stream)
            }?.value
        }
    }

    /// Another one may have left the table to it meanwhile.
    private func keep() {
        let key = Key(reactor: ObjectIdentifier(self.reactor), address: self.address, slot: self.slot)
        Self.table.withLock { $0[key] = $0[key] ?? self }
    }

    /// Lets a reader have what the slot brings, until ``leave(_:)``.
    ///
    /// On the loop.
    static func join(
        _ reader: SlotReader,
        address: PostgresAddress,
        on reactor: Reactor,
        context: RuntimeContext
    ) -> SlotStream {
        let stream = Self.withStream(address, reader.configuration.slot, on: reactor) { stream in
            stream.logger = context.logger
            // Whoever has the lease may end the session of the one that had it, and may stand still.
            if let holdsLease = context.holdsLease { stream.mayTerminateOwner = holdsLease }
            stream.cluster = context.cluster
            stream.add(reader)
        }
        return stream
    }

    private func add(_ reader: SlotReader) {
        self.keep()
        let publication = reader.configuration.publication
        if let other = self.readers.first(where: { $0.configuration.publication != publication }) {
            // One connection has one set of publications.
            self.refused.append(reader)
            return reader.show(
                .disconnected(
                    "postgres \(self.address): the trigger \(other.trigger) reads the slot \(self.slot) with the publication "
                        + "\(other.configuration.publication); name the same one, and choose by \"tables\""
                )
            )
        }
        self.readers.append(reader)
        if let (commit, _) = reader.position.flatMap({ ChangePosition.parts($0) }) {
            self.floors[reader.trigger] = commit
        }
        // Also while a stream is on its way: where it begins, and which tables it has, is decided for those that were there.
        let isDecided = self.link != nil || (self.isConnecting && self.retry == nil)
        self.begin(again: isDecided)
    }

    /// Nothing more comes to it; what it has settled still counts while it is configured.
    ///
    /// On the loop.
    func leave(_ reader: SlotReader) {
        self.readers.removeAll { $0 === reader }
        self.refused.removeAll { $0 === reader }
        reader.detach()
        let refused = self.refused
        self.refused = []
        for other in refused { self.add(other) }
        self.forgetUnless(reader.trigger)
    }

    /// All of a trigger up to a position is settled, and durable.
    ///
    /// On the loop.
    func commit(_ position: Position, of reader: SlotReader) {
        guard let (commit, _) = ChangePosition.parts(position) else { return }
        self.floors[reader.trigger] = commit
        self.acknowledge()
    }

    /// Up to where the server may forget; none while somebody has not said what it has.
    private var floor: LogSequenceNumber {
        var least: LogSequenceNumber?
        for trigger in self.claims.keys {
            guard let floor = self.floors[trigger] else { return .none }
            least = min(least ?? floor, floor)
        }
        for reader in self.readers {
            guard let floor = self.floors[reader.trigger] else { return .none }
            least = min(least ?? floor, floor)
        }
        return least ?? .none
    }

    /// The triggers that are configured, or read.
    var triggers: [String] { Set(self.claims.keys).union(self.readers.map(\.trigger)).sorted() }

    /// Whether all that are configured read.
    var isWhole: Bool { self.claims.keys.allSatisfy { name in self.readers.contains { $0.trigger == name } } }

    // MARK: - Telling the server

    /// Tells the server what it may forget, when that is more than before.
    private func acknowledge() {
        if self.link != nil, self.floor > self.acknowledged { self.sendStatus(wantsReply: false) }
    }

    func sendStatus(wantsReply: Bool) {
        let floor = self.floor
        self.acknowledged = max(self.acknowledged, floor)
        let status = StandbyStatus(
            received: max(self.received, floor),
            flushed: floor,
            clock: (self.reactor.wallNow.milliseconds - Self.epoch) * 1000,
            wantsReply: wantsReply
        )
        self.link?.putCopy(status.bytes)
    }

    /// Milliseconds from 1970 to 2000.
    private static let epoch: Int64 = 946_684_800_000

    // MARK: - A turn

    /// The stream has begun, on a server whose log ends at `end`.
    func begun(confirmed: LogSequenceNumber, end: LogSequenceNumber, at start: LogSequenceNumber) {
        self.transaction = nil
        self.tables = [:]
        self.isAsking = false
        self.acknowledged = .none
        self.received = .none
        self.lastHeard = self.reactor.now
        for reader in self.readers {
            if !reader.attach(confirmed: confirmed, end: end) { self.floors[reader.trigger] = confirmed }
            reader.showConnected()
        }
        self.place = ChangePosition.change(start, 0)
        self.turns.begun(self.reactor.now, isBehind: self.isBehind)
        self.askEnd()
        self.poke()
    }

    /// Something may be there to do: a budget, or data.
    func poke() {
        guard !self.isTurnDue else { return }
        self.isTurnDue = true
        self.reactor.submit { self.turn() }
    }

    private func turn() {
        self.isTurnDue = false
        for reader in self.readers { reader.beginTurn() }
        let now = self.reactor.now
        let place = self.place
        let isTaking = self.readers.contains { $0.hasRoom && $0.isAt(place) }
        self.turns.note(now, isBehind: self.isBehind, isTaking: isTaking)
        let waits = now < self.turns.waitEnd && self.readers.contains { $0.isAt(place) }
        var (messages, bytes) = (0, 0)
        var isMore = false
        self.problem = nil
        while let link = self.link, self.wantsMore(waits) {
            guard messages < Self.turnMessages, bytes < Self.turnBytes else {
                isMore = true
                break
            }
            let arrival = unsafe link.takeCopy { message in
                bytes += message.count
                unsafe self.take(message)
            }
            guard arrival == .message, self.problem == nil else { break }
            messages += 1
        }
        for reader in self.readers {
            reader.endTurn()
            reader.turned?()
        }
        if let problem = self.problem.take() {
            return self.lose("postgres \(self.address): \(problem); the slot \(self.slot) cannot be read on")
        }
        guard let link = self.link else { return }
        link.isReadingCopy = self.wantsMore(waits)
        if isMore { self.poke() }
        if waits, !link.isReadingCopy { self.wake(at: self.turns.waitEnd) }
        self.catchUp()
    }

    /// Whether somebody could take a change; of those the stream waits for, when it does.
    private func wantsMore(_ waits: Bool) -> Bool {
        guard !self.isAsking else { return false }
        guard waits else { return self.readers.contains(where: \.hasRoom) }
        return self.readers.contains { $0.hasRoom && $0.isAt(self.place) }
    }

    /// Whether somebody who reads has what comes next.
    private var isBehind: Bool { self.readers.contains { $0.isAhead(of: self.place) } }

    /// Sees to it that there is a turn then.
    private func wake(at time: Instant) {
        guard self.alarm.map({ time < $0 }) ?? true else { return }
        self.alarm = time
        _ = self.reactor.schedule(at: time) {
            if self.alarm == time { self.alarm = nil }
            if self.link != nil { self.poke() }
        }
    }

    /// Lets the stream begin again for one that was left behind and has room.
    private func catchUp() {
        guard self.readers.contains(where: \.isHungry) else { return }
        let now = self.reactor.now
        let isAlone = !self.readers.contains { $0.isAttached && !$0.isAtLimit }
        // While it is on its way to those ahead, what comes brings turns about.
        guard let time = self.turns.restart(now, isAlone: isAlone) else { return }
        guard time <= now else { return self.wake(at: time) }
        self.logger.info("a trigger goes on where it was left behind", metadata: ["slot": "\(self.slot)"])
        self.begin(again: true)
    }

    /// Asks the server how far its log is: what is told then is not before what was there.
    func askEnd() { self.sendStatus(wantsReply: true) }

    // MARK: - Messages

    private func take(_ bytes: UnsafeRawBufferPointer) {
        self.lastHeard = self.reactor.now
        guard let message = unsafe ReplicationMessage(bytes) else {
            self.problem = "it sent what is not of the replication protocol"
            return
        }
        switch message {
        case .keepalive(let end, let isReplyRequested):
            // Within a transaction it says nothing of that.
            if self.transaction == nil { self.reach(end) }
            if isReplyRequested { self.sendStatus(wantsReply: false) }
        case .data(let lsn, let data):
            do throws(PgoutputError) {
                try unsafe self.take(PgoutputMessage(data), lsn, data)
            } catch {
                self.problem = "\(error)"
            }
        }
    }

    private func take(
        _ message: PgoutputMessage,
        _ lsn: LogSequenceNumber,
        _ bytes: UnsafeRawBufferPointer
    ) throws(PgoutputError) {
        switch message {
        case .insert, .update, .delete:
            guard let id = message.relation, let table = self.tables[id] else {
                throw PgoutputError("a row of a table that was not named")
            }
            let place = try self.place(lsn)
            guard let change = message.change(of: table, at: place) else { return }
            for reader in self.readers { unsafe reader.offer(change, bytes) }
            self.place = place.position
        case .begin(let transaction):
            self.transaction = transaction
            self.index = 0
        case .commit(let end):
            self.transaction = nil
            self.reach(end)
        case .truncate(let ids):
            for id in ids {
                guard let table = self.tables[id] else {
                    throw PgoutputError("a table that was not named")
                }
                let place = try self.place(lsn)
                guard let change = message.change(of: table, at: place) else { continue }
                for reader in self.readers { unsafe reader.offer(change, bytes) }
                self.place = place.position
            }
        case .relation(let relation): self.note(relation)
        case .other: break
        }
    }

    /// The place of the next change of the transaction under way.
    private func place(_ lsn: LogSequenceNumber) throws(PgoutputError) -> ChangePlace {
        guard let transaction = self.transaction else {
            throw PgoutputError("a change outside of a transaction")
        }
        self.index += 1
        guard self.index < ChangePosition.changesMax else { throw PgoutputError("too many changes") }
        return ChangePlace(
            position: ChangePosition.change(transaction.commit, self.index),
            lsn: lsn,
            time: Timestamp(milliseconds: transaction.time / 1000 + Self.epoch),
            transaction: transaction.id
        )
    }

    /// Everything before a place was offered.
    private func reach(_ end: LogSequenceNumber) {
        self.received = max(self.received, end)
        let position = ChangePosition.change(end, 0)
        self.place = max(self.place, position)
        for reader in self.readers where reader.isAttached { reader.reach(position) }
    }

    // MARK: - Tables

    /// A table is as it says from now on; what it does not say is asked, and nothing is taken meanwhile.
    private func note(_ relation: RelationMessage) {
        guard let question = TableFacts.question(relation), let control = self.control else {
            self.tables[relation.id] = ReplicatedTable(relation, TableFacts())
            return
        }
        self.isAsking = true
        let generation = self.generation
        control.send(question, within: .seconds(30)) { result in
            guard self.generation == generation else { return }
            switch result {
            case .success(let rows):
                self.tables[relation.id] = ReplicatedTable(relation, TableFacts(rows))
                self.isAsking = false
                self.poke()
            case .failure(let error): self.lose(PostgresAdvice.text(error, self.address))
            }
        }
    }
}
