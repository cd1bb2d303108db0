// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockTesting
import Synchronization
import Testing

@testable import PenstockRuntime

/// A destination of which letters of a position from 100 on are too large, and that may refuse others once.
private final class NarrowDestination: Destination {
    let name = "narrow"
    private let state = Mutex<(taken: [UInt64], refusals: Set<UInt64>)>(([], []))

    init(refusing refusals: Set<UInt64> = []) { self.state.withLock { $0.refusals = refusals } }

    var taken: [UInt64] { self.state.withLock { $0.taken } }

    func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        for (place, letter) in letters.enumerated() {
            let number = UInt64(letter.position.description) ?? 0
            if number >= 100 {
                throw DestinationError("too large", delivered: Array(0..<place), refused: [place])
            }
            let isRefused = self.state.withLock { $0.refusals.remove(number) != nil }
            if isRefused { throw DestinationError("refused", delivered: Array(0..<place)) }
            self.state.withLock { $0.taken.append(number) }
        }
    }

    func close() async {}
}

@Suite struct OverflowDestinationTests {
    private static func letters(_ numbers: [UInt64]) -> [DeadLetter] {
        numbers.map { DocumentTrial.letter($0) }
    }

    @Test("What is too large goes to the store, the rest where it belongs, in order and once")
    func divides() async throws {
        let (narrow, store) = (NarrowDestination(), KeptLetters())
        let destination = OverflowDestination(narrow, store: store, logger: .silent)
        try await destination.deliver(Self.letters([100, 1, 2, 101, 102, 3]))
        #expect(narrow.taken == [1, 2, 3])
        #expect(store.positions == ["100", "101", "102"])
        #expect(destination.name == "narrow")
    }

    @Test("A refusal after that tells all that is durable, wherever it is")
    func refused() async throws {
        let (narrow, store) = (NarrowDestination(refusing: [2]), KeptLetters())
        let destination = OverflowDestination(narrow, store: store, logger: .silent)
        await #expect {
            try await destination.deliver(Self.letters([1, 100, 2, 3]))
        } throws: { error in
            (error as? DestinationError)?.delivered == [0, 1]
        }
        #expect(narrow.taken == [1] && store.positions == ["100"])
    }

    @Test("When the store refuses, the letter is not told as delivered")
    func storeRefuses() async throws {
        let (narrow, store) = (NarrowDestination(), KeptLetters(isFull: true))
        let destination = OverflowDestination(narrow, store: store, logger: .silent)
        await #expect {
            try await destination.deliver(Self.letters([1, 100, 2]))
        } throws: { error in
            let error = error as? DestinationError
            return error?.delivered == [0] && error?.detail == "the disk is full"
        }
    }
}

/// Stands for the store.
private final class KeptLetters: Destination {
    let name = "dead_letters"
    private let isFull: Bool
    private let kept = Mutex<[String]>([])

    init(isFull: Bool = false) { self.isFull = isFull }

    var positions: [String] { self.kept.withLock { $0 } }

    func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        if self.isFull { throw DestinationError("the disk is full") }
        self.kept.withLock { $0 += letters.map(\.position.description) }
    }

    func close() async {}
}

extension Logger {
    fileprivate static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}
