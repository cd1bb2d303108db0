// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// Names a record over all its deliveries.
struct RecordIdentity: Hashable {
    var partition: String
    var position: Position

    init(partition: String, position: Position) {
        self.partition = partition
        self.position = position
    }

    init(_ block: RecordBlock, _ index: Int) {
        self.init(partition: block.partition(at: index).name, position: block.entries[index].position)
    }
}

/// What is known of a record from its earlier deliveries.
struct PastAttempts: Equatable {
    /// Failed attempts.
    var count = 0
    /// Their details, as far as they are kept.
    var history: [Attempt] = []
    /// The request id of the last invocation.
    var invocation = ""

    mutating func add(_ more: [Attempt], invocation: String) {
        self.count += 1
        self.invocation = invocation
        self.append(more)
    }

    /// Adds details; the first and the latest are kept.
    mutating func append(_ more: [Attempt]) {
        self.history += more
        let surplus = self.history.count - DeadLetter.attemptsMax
        if surplus > 0 { self.history.removeSubrange(1...surplus) }
    }

    fileprivate var textBytes: Int {
        self.history.reduce(0) { $0 + $1.failure.type.utf8.count + $1.failure.message.utf8.count }
    }
}

/// The failed attempts of records that were given back and will come again.
///
/// Bounded. When it is full, the record that failed longest ago is forgotten, which only means that it may be tried more
/// often than the policy says. When the texts of failures take too much memory, numbers are kept without them.
struct AttemptTable {
    static let recordsMax = 65_536
    static let textBytesMax = 16 << 20

    private var known: [RecordIdentity: (attempts: PastAttempts, turn: UInt64)] = [:]
    private var order = Deque<(identity: RecordIdentity, turn: UInt64)>()
    private var lastTurn: UInt64 = 0
    private var textBytes = 0

    var isEmpty: Bool { self.known.isEmpty }
    var count: Int { self.known.count }

    subscript(identity: RecordIdentity) -> PastAttempts? { self.known[identity]?.attempts }

    mutating func set(_ attempts: PastAttempts, for identity: RecordIdentity) {
        self.forget(identity)
        var attempts = attempts
        if self.textBytes + attempts.textBytes > Self.textBytesMax { attempts.history = [] }
        self.textBytes += attempts.textBytes
        self.lastTurn += 1
        self.known[identity] = (attempts, self.lastTurn)
        self.order.append((identity, self.lastTurn))
        while self.known.count > Self.recordsMax, let oldest = self.order.popFirst() {
            if self.known[oldest.identity]?.turn == oldest.turn { self.forget(oldest.identity) }
        }
        // Entries of forgotten records and earlier failures are left behind: clear them away before they are many.
        if self.order.count > 2 * self.known.count + 1024 {
            self.order.removeAll { self.known[$0.identity]?.turn != $0.turn }
        }
    }

    mutating func forget(_ identity: RecordIdentity) {
        guard let old = self.known.removeValue(forKey: identity) else { return }
        self.textBytes -= old.attempts.textBytes
    }
}
