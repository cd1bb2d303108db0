// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime

/// Decides how many receives are under way side by side, and how many messages each asks for.
///
/// Pure. No more is asked for than the budget allows, whatever is under way. One receive is always under way when there
/// is room, so that an idle queue costs one long poll. A receive that came back full says that there is a backlog, and
/// doubles the number; one that did not takes one away again.
struct SQSIntake {
    /// Receives side by side at most.
    let most: Int

    /// Receives side by side that are worth it now.
    private(set) var target = 1

    /// Receives under way.
    private(set) var underWay = 0

    /// Failures since the last receive that did not.
    private var failuresInRow = 0

    /// What is left of the standing budget.
    private var records = 0
    private var bytes = 0

    /// Messages that receives under way may bring.
    private var asked = 0

    /// What was handed over and is not with the pipeline yet: the next budget is made without knowing of it.
    private var unreturned = 0
    private var unreturnedBytes = 0

    init(most: Int) {
        self.most = most
    }

    /// The pipeline replaced the budget.
    ///
    /// Returns whether a receive is to begin now.
    @discardableResult
    mutating func grant(_ budget: ReceiveBudget) -> Bool {
        self.records = budget.records - self.unreturned
        self.bytes = budget.bytes - self.unreturnedBytes
        return self.hasRoom
    }

    /// Whether a receive is to begin now.
    private var hasRoom: Bool {
        self.records > self.asked && self.bytes > 0 && self.underWay < self.target
    }

    /// How many messages the next receive is to ask for; nil when none is to begin now.
    mutating func next() -> Int? {
        guard self.hasRoom else { return nil }
        let room = min(SQSClient.batchMax, self.records - self.asked)
        self.underWay += 1
        self.asked += room
        return room
    }

    /// A receive brought so many messages, which are handed over.
    ///
    /// Returns whether another one is to begin now.
    @discardableResult
    mutating func ended(asked: Int, brought: Int, bytes: Int) -> Bool {
        self.ended(asked: asked)
        self.failuresInRow = 0
        self.records -= brought
        self.bytes -= bytes
        self.unreturned += brought
        self.unreturnedBytes += bytes
        self.target = brought >= asked ? min(self.most, 2 * self.target) : max(1, self.target - 1)
        return self.hasRoom
    }

    /// A receive under way failed: others are not worth it now.
    ///
    /// Returns how often in a row that was so.
    mutating func failed() -> Int {
        self.failuresInRow += 1
        self.target = 1
        return self.failuresInRow
    }

    /// A receive ended without an answer.
    mutating func ended(asked: Int) {
        self.underWay -= 1
        self.asked -= asked
    }

    /// The pipeline took what was handed over.
    mutating func returned(records: Int, bytes: Int) {
        self.unreturned -= records
        self.unreturnedBytes -= bytes
    }
}
