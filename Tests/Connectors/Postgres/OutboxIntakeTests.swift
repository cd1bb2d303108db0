// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import Testing

@testable import PostgresConnector

/// When an outbox table is asked.
@Suite struct OutboxIntakeTests {
    private static func at(_ seconds: Int) -> Instant { .start + .seconds(seconds) }

    private static func grant(_ intake: inout OutboxIntake, _ records: Int, bytes: Int = 1 << 20) {
        intake.grant(ReceiveBudget(records: records, bytes: bytes))
    }

    @Test("Nothing is asked without room, and one receive is under way at a time")
    func room() {
        var intake = OutboxIntake(poll: .seconds(5))
        #expect(intake.next(Self.at(0)) == nil && intake.nextLook == nil)
        Self.grant(&intake, 10)
        #expect(intake.next(Self.at(0)) == 10)
        Self.grant(&intake, 20)
        #expect(intake.next(Self.at(9)) == nil && intake.nextLook == nil)
        intake.ended(asked: 10, brought: 10, bytes: 100, looked: 0, at: Self.at(9))
        // It came back full: there is more. What was handed over counts until the pipeline has it.
        #expect(intake.next(Self.at(9)) == 10)
        intake.ended(asked: 10, brought: 3, bytes: 30, looked: 0, at: Self.at(9))
        Self.grant(&intake, 20)
        #expect(intake.next(Self.at(20)) == 7)
        intake.ended(asked: 7, brought: 0, bytes: 0, looked: 0, at: Self.at(20))
        intake.returned(records: 13, bytes: 130)
        Self.grant(&intake, 5000, bytes: 64 << 20)
        #expect(intake.next(Self.at(30)) == OutboxIntake.receiveMax)
    }

    @Test(
        "After a receive that was not full, the doorbell, a row that comes due, or the poll begins the next"
    )
    func waits() {
        var intake = OutboxIntake(poll: .seconds(5))
        Self.grant(&intake, 10)
        _ = intake.next(Self.at(0))
        intake.ended(asked: 10, brought: 0, bytes: 0, looked: 0, at: Self.at(1))
        #expect(intake.next(Self.at(2)) == nil)
        #expect(intake.nextLook == Self.at(6))
        intake.ring()
        #expect(intake.next(Self.at(2)) == 10)
        // A ring while it is under way is one for the next.
        intake.ring()
        intake.ended(asked: 10, brought: 0, bytes: 0, looked: 0, at: Self.at(2))
        #expect(intake.next(Self.at(2)) == 10)
        intake.ended(asked: 10, brought: 0, bytes: 0, looked: 0, at: Self.at(2))
        intake.comesDue(at: Self.at(4))
        intake.comesDue(at: Self.at(9))
        #expect(intake.next(Self.at(3)) == nil && intake.nextLook == Self.at(4))
        #expect(intake.next(Self.at(4)) == 10)
        intake.ended(asked: 10, brought: 0, bytes: 0, looked: 0, at: Self.at(4))
        #expect(intake.next(Self.at(8)) == nil)
        #expect(intake.next(Self.at(9)) == 10)
    }

    @Test("A failure is followed by a pause that no doorbell shortens")
    func failures() {
        var intake = OutboxIntake(poll: .seconds(5))
        Self.grant(&intake, 10)
        _ = intake.next(Self.at(0))
        #expect(intake.failed() == 1)
        intake.pauses(until: Self.at(3))
        intake.ring()
        #expect(intake.next(Self.at(2)) == nil && intake.nextLook == Self.at(3))
        #expect(intake.next(Self.at(3)) == 10)
        #expect(intake.failed() == 2)
    }

    @Test("It looks further when others hold what it looked at, and less far when it finds enough")
    func depth() {
        var intake = OutboxIntake(poll: .seconds(5))
        Self.grant(&intake, 10)
        let first = intake.depth
        _ = intake.next(Self.at(0))
        intake.ended(asked: 10, brought: 0, bytes: 0, looked: first, at: Self.at(0))
        // At once.
        #expect(intake.depth == 2 * first && intake.next(Self.at(0)) == 10)
        intake.ended(asked: 10, brought: 4, bytes: 40, looked: 2 * first, at: Self.at(0))
        let deeper = intake.depth
        // What is in hand is at the front.
        #expect(deeper == 4 * first && intake.reach == deeper + 4 && intake.next(Self.at(0)) == 6)
        // What it looked at may be its own: settlements make room, and ring.
        intake.ended(asked: 6, brought: 0, bytes: 0, looked: deeper + 4, at: Self.at(0))
        #expect(intake.depth == deeper && intake.next(Self.at(1)) == nil)
        intake.settled(2, rings: true, at: Self.at(1))
        #expect(intake.next(Self.at(1)) == 6)
        // Nothing was settled for a while.
        intake.ended(asked: 6, brought: 0, bytes: 0, looked: deeper + 2, at: Self.at(20))
        #expect(intake.depth == 2 * deeper && intake.next(Self.at(20)) == 6)
        intake.ended(asked: 6, brought: 6, bytes: 60, looked: 2 * deeper + 2, at: Self.at(20))
        #expect(intake.depth < 2 * deeper)
        intake.settled(8, rings: false, at: Self.at(21))
        intake.returned(records: 10, bytes: 100)
        Self.grant(&intake, 10)
        #expect(intake.next(Self.at(21)) == 10)
        // It has seen all there are.
        intake.ended(asked: 10, brought: 1, bytes: 10, looked: 50, at: Self.at(21))
        #expect(intake.depth == first && intake.next(Self.at(21)) == nil)
        // No more are in hand than there are.
        intake.ended(asked: 9, brought: 0, bytes: 0, looked: 0, at: Self.at(21))
        #expect(intake.reach == first)
    }

    @Test("Fewer rows are asked for when they are large")
    func sizes() {
        var intake = OutboxIntake(poll: .seconds(5))
        Self.grant(&intake, 1000, bytes: 1)
        #expect(intake.next(Self.at(0)) == 1)
        intake.ended(asked: 1, brought: 1, bytes: 1 << 20, looked: 0, at: Self.at(0))
        intake.returned(records: 1, bytes: 1 << 20)
        Self.grant(&intake, 1000, bytes: 1 << 20)
        let asked = intake.next(Self.at(0)) ?? 0
        #expect((1...4).contains(asked))
    }
}
