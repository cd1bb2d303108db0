// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import Reactor

/// One delivery of a row, and which receipt it is.
struct OutboxEntry: Sendable {
    var run: Run
    var receipt: OutboxStatements.Receipt
    var hold = OutboxStatements.Hold()
}

/// Brings settlements together: what comes while a statement is under way is in the next one, so that they share a commit.
///
/// Pinned to the reactor. Who comes first runs the statement, and hands the next one over to one of those who wait.
actor OutboxAcknowledgements {
    /// Settles entries, and gives those that are no longer ours.
    typealias Statement = @Sendable ([OutboxEntry]) async -> Result<[Run], SourceError>

    private enum Turn {
        /// It was settled by another one's statement.
        case settled(Result<[Run], SourceError>)
        /// The next statement is to be run.
        case leads
    }

    private struct Waiting {
        var entries: [OutboxEntry]
        var continuation: CheckedContinuation<Turn, Never>
    }

    private nonisolated let reactor: Reactor
    private var isUnderWay = false
    private var waiting: [Waiting] = []

    /// Rows of one statement, unless one settlement alone has more.
    private static let rowsMax = 2000

    init(on reactor: Reactor) {
        self.reactor = reactor
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    /// Settles entries by a statement that may have others in it; gives those that are no longer ours.
    func add(_ entries: [OutboxEntry], by statement: Statement) async throws(SourceError) -> [Run] {
        if self.isUnderWay {
            let turn: Turn = await withCheckedContinuation { continuation in
                guard self.isUnderWay else { return continuation.resume(returning: .leads) }
                self.waiting.append(Waiting(entries: entries, continuation: continuation))
            }
            if case .settled(let result) = turn { return try result.get() }
        }
        self.isUnderWay = true
        let others = self.takeOthers(beside: entries.count)
        let result = await statement(entries + others.flatMap(\.entries))
        for other in others {
            other.continuation.resume(returning: .settled(result.map { Self.part($0, of: other.entries) }))
        }
        if self.waiting.isEmpty {
            self.isUnderWay = false
        } else {
            self.waiting.removeFirst().continuation.resume(returning: .leads)
        }
        return Self.part(try result.get(), of: entries)
    }

    /// Those that fit in a statement, the oldest first.
    private func takeOthers(beside count: Int) -> [Waiting] {
        var (rows, places) = (count, 0)
        while places < self.waiting.count, rows + self.waiting[places].entries.count <= Self.rowsMax {
            rows += self.waiting[places].entries.count
            places += 1
        }
        defer { self.waiting.removeFirst(places) }
        return Array(self.waiting.prefix(places))
    }

    /// The runs that are of these entries.
    private static func part(_ runs: [Run], of entries: [OutboxEntry]) -> [Run] {
        guard !runs.isEmpty else { return [] }
        return runs.filter { run in
            entries.contains { $0.run.admitted === run.admitted && $0.run.range == run.range }
        }
    }
}
