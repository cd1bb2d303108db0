// SPDX-License-Identifier: Apache-2.0

package import Logging
import PenstockConfiguration
import PenstockCore
package import PenstockStore
package import Reactor

/// How long members live, and how often they say that they do.
package struct LeaseTiming: Sendable, Equatable {
    /// A member that has not been heard of for so long is taken for dead.
    package var ttl: Duration

    /// The time between two beats.
    package var interval: Duration

    /// Timing of these.
    package init(ttl: Duration, interval: Duration) {
        self.ttl = ttl
        self.interval = interval
    }

    /// A dead member's work is taken over within 12.5 s.
    package static let standard = LeaseTiming(ttl: .seconds(10), interval: .milliseconds(2500))
}

/// Makes this process a member of those that share a store: beats, takes its share of the leases that its triggers want, and
/// gives back what others ask for.
///
/// Where the store does not answer for `ttl`, all leases are lost here, because they may be taken elsewhere. A beat is one
/// short call; nothing here grows with records.
package actor LeaseKeeper {
    private nonisolated let loop: any EventLoop
    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.loop.asUnownedSerialExecutor()
    }

    /// The leases of this process.
    package nonisolated let table: LeaseTable

    /// The store that the members share.
    package nonisolated let store: any LeaseStore

    private let timing: LeaseTiming
    private let makeID: @Sendable () -> MemberID
    private let logger: Logger
    private var member: ClusterMember
    private var hasJoined = false
    private var figures = MembershipFigures()
    private var isFailing = false
    private var isStopping = false
    private let beats = Mailbox<Void>()
    private var share: LeaseShare
    private var onBeat: (@Sendable () async -> Void)?
    private let signal = LoopSignal()
    private var nextSweep: Instant

    /// Rounds that changes bring about are at least so far apart.
    private static let roundsApart = Duration.milliseconds(50)

    /// How often leases are looked for that nobody has had for ``unusedMax``, such as those of triggers that are no more.
    private static let sweepPause = Duration.seconds(60)
    private static let unusedMax = Duration.seconds(600)

    /// A keeper; `makeID` is called for each life as a member.
    package init(
        _ store: any LeaseStore,
        as member: ClusterMember,
        timing: LeaseTiming = .standard,
        loop: any EventLoop,
        logger: Logger,
        makeID: @escaping @Sendable () -> MemberID
    ) {
        self.store = store
        self.member = member
        self.timing = timing
        self.loop = loop
        self.logger = logger
        self.makeID = makeID
        self.share = LeaseShare(patience: timing.interval * 2)
        self.nextSweep = loop.now
        self.table = LeaseTable { loop.now }
        let signal = self.signal
        self.table.onPoke { signal.raise() }
    }

    /// Who this process is among the members; a new one after it was taken for dead.
    package var id: MemberID { self.member.id }

    /// What it knows of its own life.
    package var membership: MembershipFigures {
        var figures = self.figures
        (figures.leasesHeld, figures.leasesLost) = self.table.counts
        return figures
    }

    /// All members and leases, read now.
    package func status() async throws(StoreError) -> ClusterStatus {
        ClusterStatus(me: self.member.id, view: try await self.store.cluster())
    }

    /// Calls this after each beat.
    package func afterBeat(_ body: @escaping @Sendable () async -> Void) { self.onBeat = body }

    /// Beats until ``stop()``; then gives everything back and leaves.
    package func run() async {
        let (loop, beats) = (self.loop, self.beats)
        await withDiscardingTaskGroup { group in
            // Beside the next beats, which must not wait for it.
            group.addTask(executorPreference: loop) {
                while await !beats.takeAll().isEmpty { await self.onBeat?() }
            }
            await self.beat()
            beats.close()
        }
    }

    private func beat() async {
        while !self.isStopping, !Task.isCancelled {
            let started = self.loop.now
            do {
                try await self.round(started)
                if self.isFailing { self.logger.notice("the store answers again; this member lives") }
                self.isFailing = false
            } catch {
                if !self.isFailing {
                    self.logger.error(
                        "a beat failed; leases are lost when none succeeds in time",
                        metadata: ["error": "\(error)", "within": "\(self.timing.ttl.configurationText)"]
                    )
                }
                self.isFailing = true
                self.figures.beatFailures += 1
            }
            guard !self.isStopping else { break }
            await self.loop.pause(until: started + Self.roundsApart)
            let wait = self.isFailing ? min(.seconds(1), self.timing.interval) : self.timing.interval
            await self.signal.wait(until: started + wait, on: self.loop)
        }
        do {
            try await self.giveBack()
            if self.hasJoined { try await self.store.leave(self.member.id) }
        } catch {
            self.logger.warning(
                "this member could not leave; its leases end by themselves",
                metadata: ["error": "\(error)", "within": "\(self.timing.ttl.configurationText)"]
            )
        }
        self.table.loseAll()
    }

    /// Ends ``run()``.
    ///
    /// Idempotent; call it when nothing works under a lease any more.
    package func stop() {
        self.isStopping = true
        self.signal.raise()
    }

    /// One beat, and what follows from it.
    ///
    /// The beat comes first: nothing else may keep it waiting.
    private func round(_ started: Instant) async throws(StoreError) {
        self.table.expire()
        if !self.hasJoined { try await self.join(started) }
        let wanted = self.table.wanted
        self.member.pools = Set(wanted.map(\.pool))
        let sent = self.loop.now
        let pools = self.member.pools
        guard let view = try await self.store.beat(self.member.id, pools: pools, for: self.timing.ttl) else {
            self.logger.error(
                "this member was taken for dead: it did not beat in time; it begins anew",
                metadata: ["member": "\(self.member.id.rawValue)"]
            )
            self.table.loseAll()
            self.hasJoined = false
            self.figures.deaths += 1
            self.signal.raise()
            return
        }
        self.renew(sent)
        self.figures.members = view.members.count
        self.figures.lastBeat = self.loop.wallNow
        self.table.reconcile(view, me: self.member.id)
        self.beats.put(())
        do {
            try await self.giveBack()
            try await self.share(wanted, view)
            if self.loop.now >= self.nextSweep {
                self.nextSweep = self.loop.now + Self.sweepPause
                try await self.store.sweep(unusedFor: Self.unusedMax)
            }
        } catch {
            // Such as a lock that another member has for a moment: the next round tries again.
            self.logger.notice(
                "leases could not change hands; it is tried again",
                metadata: ["error": "\(error)"]
            )
        }
    }

    /// Takes this member's share, and asks for what is missing.
    private func share(_ wanted: Set<LeaseName>, _ view: ClusterView) async throws(StoreError) {
        let decision = self.share.decide(for: self.member.id, wanted: wanted, view, now: self.loop.now)
        if !decision.acquire.isEmpty {
            let fences = try await self.store.acquire(decision.acquire, for: self.member.id)
            self.table.gain(fences)
            if !fences.isEmpty {
                self.logger.info(
                    "leases acquired",
                    metadata: ["count": "\(fences.count)", "leases": "\(Self.list(fences.map(\.lease)))"]
                )
            }
        }
        if !decision.ask.isEmpty {
            try await self.store.ask(for: decision.ask, by: self.member.id)
            self.logger.info(
                "leases asked for",
                metadata: ["count": "\(decision.ask.count)", "leases": "\(Self.list(decision.ask))"]
            )
        }
    }

    private func join(_ started: Instant) async throws(StoreError) {
        self.member.id = self.makeID()
        self.member.started = self.loop.wallNow
        self.member.pools = Set(self.table.wanted.map(\.pool))
        try await self.store.join(self.member, for: self.timing.ttl)
        self.hasJoined = true
        self.logger.info("joined", metadata: ["member": "\(self.member.id.rawValue)"])
    }

    private func renew(_ sent: Instant) {
        let deadline = sent + self.timing.ttl
        self.table.renew(until: deadline)
        let table = self.table
        _ = self.loop.schedule(at: deadline) { table.expire() }
    }

    private func giveBack() async throws(StoreError) {
        let (released, removed) = self.table.returns
        if !released.isEmpty {
            try await self.store.release(released)
            self.table.returned(released)
        }
        if !removed.isEmpty {
            try await self.store.remove(removed)
            self.table.returned(removed)
        }
    }

    private static func list(_ names: [String]) -> String {
        names.count <= 8
            ? names.sorted().joined(separator: ", ")
            : names.sorted().prefix(8).joined(separator: ", ") + ", …"
    }
}
