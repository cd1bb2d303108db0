// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Reactor
import Testing

/// Members of a simulated cluster, on a virtual clock.
@Suite(.timeLimit(.minutes(5)))
struct LeaseKeeperTests {
    private let loop: VirtualLoop
    private let leases: SimulatedLeases

    init() {
        let loop = VirtualLoop()
        self.loop = loop
        self.leases = SimulatedLeases { loop.now }
    }

    private func member(_ name: String, wants: Set<String>) -> SimulatedMember {
        let member = SimulatedMember(name, self.loop, self.leases)
        member.group.want(wants)
        return member
    }

    private func names(_ count: Int) -> Set<String> { Set((0..<count).map { "l\($0)" }) }

    /// Lets virtual time pass.
    private func pass(_ duration: Duration, each body: () -> Void = {}) {
        let end = self.loop.now + duration
        while self.loop.now < end {
            let step = Latch()
            _ = self.loop.schedule(at: min(end, self.loop.now + .milliseconds(100))) { step.open() }
            #expect(self.loop.run { step.isOpen })
            body()
        }
    }

    private static let down = StoreError(.inputOutput, "the simulated store is not reachable")

    @Test("A second member gets its half, once the first has given it back, and all when the first leaves")
    func shares() async {
        let first = self.member("a", wants: self.names(6))
        self.pass(.seconds(1))
        #expect(first.held.count == 6)
        let second = self.member("b", wants: self.names(6))
        self.pass(.seconds(10))
        #expect(first.held.count == 6, "nothing is taken from a member that works")
        #expect(second.held.isEmpty)
        self.pass(.seconds(5)) { first.yield() }
        #expect(first.held.count == 3 && second.held.count == 3)
        #expect(first.held.isDisjoint(with: second.held))
        #expect(second.group.owner(of: first.held.first ?? "") == "a")
        first.group.close()
        self.stop(first)
        self.pass(.seconds(6))
        #expect(second.held.count == 6)
    }

    private func stop(_ member: SimulatedMember) {
        let keeper = member.keeper
        Task(executorPreference: self.loop) { await keeper.stop() }
        #expect(self.loop.run(for: .seconds(20)) { member.ended.isOpen })
    }

    @Test("A member that is cut off has lost its leases before another takes them, which is within 15 s")
    func takeover() {
        let first = self.member("a", wants: self.names(4))
        self.pass(.seconds(1))
        let second = self.member("b", wants: self.names(4))
        self.pass(.seconds(10)) { first.yield() }
        #expect(first.held.count == 2 && second.held.count == 2)
        first.store.cut(Self.down)
        let cut = self.loop.now
        var lostAt: Instant?
        var takenAt: Instant?
        self.pass(.seconds(20)) {
            if first.held.isEmpty { lostAt = lostAt ?? self.loop.now }
            if second.held.count == 4 { takenAt = takenAt ?? self.loop.now }
            #expect(first.held.isDisjoint(with: second.held))
        }
        #expect(lostAt != nil && takenAt != nil)
        if let lostAt, let takenAt {
            #expect(lostAt <= takenAt)
            #expect(takenAt - cut <= .seconds(15))
        }
        first.store.cut(nil)
        self.pass(.seconds(15)) { second.yield() }
        #expect(first.held.count == 2 && second.held.count == 2, "it comes back as a new member")
        #expect(self.leases.view().members.map(\.id) == [MemberID("a-2"), MemberID("b-1")])
    }

    @Test("A lease that ran out here and not in the store is acquired anew")
    func answersLost() {
        let member = self.member("a", wants: ["l0"])
        self.pass(.seconds(1))
        #expect(member.held == ["l0"])
        member.store.loseAnswers(Self.down)
        self.pass(.seconds(12))
        #expect(member.held.isEmpty)
        member.store.loseAnswers(nil)
        self.pass(.seconds(6))
        #expect(member.held == ["l0"])
        #expect(self.leases.view().members.map(\.id) == [MemberID("a-1")], "the store never lost sight of it")
    }

    @Test("What was asked for and is not wanted any more comes to who wants it")
    func unwanted() {
        let first = self.member("a", wants: self.names(2))
        self.pass(.seconds(1))
        let second = self.member("b", wants: self.names(2).union(["own"]))
        self.pass(.seconds(5))
        second.group.want(["own"])
        self.pass(.seconds(30)) { first.yield() }
        #expect(first.held == self.names(2))
        #expect(second.held == ["own"])
    }

    @Test("A write under a lease that changed hands is refused, and the lease is lost at once")
    func fenced() async throws {
        let first = self.member("a", wants: ["l0"])
        self.pass(.seconds(1))
        let store = LeasedStore(first.store, first.group) { _ in "l0" }
        // Somebody else: the store's clock has gone further than this member's.
        let other = SimulatedLeaseStore(self.leases)
        let fence = try #require(first.group.fence(of: "l0"))
        try await other.remove([fence])
        let checkpoint = Checkpoint(trigger: "t", partition: "p", position: Position(1))
        await #expect { try await store.save([checkpoint]) } throws: { ($0 as? StoreError)?.code == .fenced }
        #expect(first.held.isEmpty)
        self.pass(.seconds(3))
        #expect(first.group.fence(of: "l0")?.epoch ?? 0 > fence.epoch, "it is acquired anew")
    }

    @Test("Leases that nobody wants any more are removed after a while, and come again under larger epochs")
    func swept() throws {
        let first = self.member("a", wants: self.names(4))
        self.pass(.seconds(1))
        let epoch = try #require(first.group.fence(of: "l3")).epoch
        first.group.want(["l0"])
        self.pass(.seconds(300))
        #expect(self.leases.view().leases.count == 4)
        self.pass(.seconds(500))
        #expect(self.leases.view().leases.map(\.lease.name) == ["l0"])
        first.group.want(["l0", "l3"])
        self.pass(.seconds(6))
        #expect(try #require(first.group.fence(of: "l3")).epoch > epoch)
    }

    @Test("A lease that two groups use is given back when both have let go")
    func twoGroups() {
        let member = self.member("a", wants: ["slot"])
        let other = member.keeper.table.group(pool: "p")
        self.pass(.seconds(1))
        other.want(["slot"])
        #expect(other.held().keys.first == "slot")
        member.group.close()
        self.pass(.seconds(3))
        #expect(self.leases.view().leases.first?.owner == MemberID("a-1"))
        other.close()
        self.pass(.seconds(1))
        #expect(self.leases.view().leases.first?.owner == nil)
    }

    @Test(
        "Whatever is cut, comes and goes: no lease is held twice, and all are held in the end",
        arguments: 0..<24
    )
    func chaos(seed: Int) {
        var random = SplitMix64(seed: UInt64(seed))
        let names = self.names(7)
        var members = [self.member("m0", wants: names)]
        for round in 1...12 {
            switch Int.random(in: 0..<5, using: &random) {
            case 0 where members.count < 4: members.append(self.member("m\(round)", wants: names))
            case 1 where members.count > 1:
                let gone = members.remove(at: Int.random(in: 0..<members.count, using: &random))
                gone.group.close()
                self.stop(gone)
            case 2, 3: members.randomElement(using: &random)?.store.cut(Self.down)
            default: for member in members { member.store.cut(nil) }
            }
            self.pass(.milliseconds(Int.random(in: 100...15_000, using: &random))) {
                for member in members { member.yield() }
                let all = members.flatMap(\.held)
                #expect(Set(all).count == all.count, "a lease is held twice")
            }
        }
        for member in members { member.store.cut(nil) }
        self.pass(.seconds(60)) { for member in members { member.yield() } }
        #expect(Set(members.flatMap(\.held)) == names)
        let counts = members.map(\.held.count)
        #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 1, "\(counts)")
    }
}
