// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// Decides which shards of a stream are read, and from where: parents before children, children from their beginning.
///
/// Pure. A shard is finished when all of it is settled and that is durable. A shard of which a descendant has a checkpoint
/// is finished: no descendant begins before.
struct ShardTree {
    /// A shard as the stream lists it.
    struct Shard: Sendable, Equatable {
        /// Its id.
        var id: String
        /// What it was split or merged from, listed or not.
        var parents: [String] = []
        /// Whether nothing is written to it any more.
        var isClosed = false
        /// Its first sequence number, when there is one.
        var first: String?
    }

    /// Where an unknown stream begins.
    enum Start: Sendable {
        /// With the oldest records that it has.
        case earliest
        /// With what is written from now on.
        case latest
    }

    /// What is to be done with a shard.
    enum Reading: Sendable, Equatable {
        /// It is read from its oldest record that was written since then, if that says anything.
        case oldest(since: Timestamp?)
        /// It is read from now on.
        case latest
        /// It is read behind this sequence number.
        case after(Position)
        /// It is not read, and counts as read to its end.
        case skip
        /// It is no longer there, and records of it were never read.
        case gone
    }

    private enum State: Equatable {
        case waiting(Reading)
        /// With how it was begun.
        case reading(Reading)
        case finished
    }

    private struct Node {
        var shard: Shard
        var state: State
        var isListed = true
    }

    private let checkpoints: [String: Position]
    private let unfinished: Set<String>
    private let start: Start
    private var nodes: [String: Node] = [:]
    private var hasListed = false
    /// What listed shards come from.
    private var parents: Set<String> = []

    /// A stream of which nothing is listed yet.
    ///
    /// - Parameters:
    ///   - checkpoints: The last settled positions by shard; without any the stream is unknown.
    ///   - unfinished: Shards that are not finished even if their checkpoint says that they are read to their end: a window
    ///     of theirs is open.
    ///   - start: Where an unknown stream begins.
    init(checkpoints: [String: Position], unfinished: Set<String> = [], start: Start) {
        self.checkpoints = checkpoints
        self.unfinished = unfinished
        self.start = start
    }

    // MARK: - Listing

    /// Takes in what the stream lists now, whole.
    mutating func list(_ shards: [Shard]) {
        let isFirst = !self.hasListed
        self.hasListed = true
        self.parents = Set(shards.flatMap(\.parents))
        for shard in shards {
            if self.nodes[shard.id] != nil {
                let wasClosed = self.nodes[shard.id]?.shard.isClosed == true
                self.nodes[shard.id]?.shard = shard
                self.nodes[shard.id]?.shard.isClosed = shard.isClosed || wasClosed
                self.nodes[shard.id]?.isListed = true
            } else {
                self.nodes[shard.id] = Node(shard: shard, state: self.state(of: shard, isFirst: isFirst))
            }
        }
        if isFirst { self.lookBack() }
        let listed = Set(shards.map(\.id))
        for (id, node) in self.nodes where !listed.contains(id) {
            switch node.state {
            case .finished: self.nodes[id] = nil
            case .reading, .waiting(.skip): self.nodes[id]?.isListed = false
            case .waiting:
                self.nodes[id]?.isListed = false
                self.nodes[id]?.state = .waiting(.gone)
            }
        }
    }

    private func state(of shard: Shard, isFirst: Bool) -> State {
        if let position = self.checkpoints[shard.id] {
            if position == StreamPosition.end {
                return self.unfinished.contains(shard.id) ? .waiting(.skip) : .finished
            }
            if let time = StreamPosition.time(in: position) { return .waiting(.oldest(since: time)) }
            return .waiting(.after(position))
        }
        guard isFirst, self.checkpoints.isEmpty, self.start == .latest else {
            return .waiting(.oldest(since: nil))
        }
        guard shard.isClosed else { return .waiting(.latest) }
        // What its children's checkpoints will say needs none of its own.
        return self.parents.contains(shard.id) ? .finished : .waiting(.skip)
    }

    /// Finishes what checkpoints say to be finished, and finds shards that are gone.
    private mutating func lookBack() {
        var ancestors = self.checkpoints.keys.flatMap { self.nodes[$0]?.shard.parents ?? [] }
        while let id = ancestors.popLast() {
            guard let node = self.nodes[id], self.checkpoints[id] == nil, node.state != .finished else {
                continue
            }
            self.nodes[id]?.state = .finished
            ancestors += node.shard.parents
        }
        for (id, position) in self.checkpoints where self.nodes[id] == nil {
            let isReadOut = position == StreamPosition.end
            guard !isReadOut || self.unfinished.contains(id) else { continue }
            let reading = isReadOut ? Reading.skip : .gone
            self.nodes[id] = Node(shard: Shard(id: id), state: .waiting(reading), isListed: false)
        }
    }

    // MARK: - Reading

    /// The shards that are to be begun now, in the order of their ids; each comes once.
    mutating func takeReady() -> [(shard: Shard, reading: Reading)] {
        var ready: [(shard: Shard, reading: Reading)] = []
        for (id, node) in self.nodes {
            guard case .waiting(let reading) = node.state, self.isDue(node) else { continue }
            self.nodes[id]?.state = .reading(reading)
            ready.append((node.shard, reading))
        }
        return ready.sorted { $0.shard.id < $1.shard.id }
    }

    /// Whether a shard is read, or may be begun.
    private func isDue(_ node: Node) -> Bool {
        switch node.state {
        case .finished: return false
        case .reading, .waiting(.gone): return true
        case .waiting:
            return node.shard.parents.allSatisfy { parent in
                self.nodes[parent].map { $0.state == .finished } ?? true
            }
        }
    }

    // MARK: - Shards that others read

    /// The shards that are being read or may be begun, here or by somebody else.
    var due: Set<String> { Set(self.nodes.filter { self.isDue($0.value) }.keys) }

    /// What is kept of a shard by now; it changes nothing while the shard is read here.
    ///
    /// - Parameters:
    ///   - id: The shard.
    ///   - position: Behind what it goes on.
    ///   - isUnfinished: Whether a window of it is open.
    mutating func update(_ id: String, _ position: Position, isUnfinished: Bool) {
        guard let node = self.nodes[id], case .waiting(let reading) = node.state else { return }
        if position == StreamPosition.end {
            if isUnfinished { self.nodes[id]?.state = .waiting(.skip) } else { self.finish(id) }
        } else if reading != .gone {
            let time = StreamPosition.time(in: position)
            self.nodes[id]?.state = .waiting(time.map { .oldest(since: $0) } ?? .after(position))
        }
    }

    /// Begins one shard that is due; nil when it is not, or is read here already.
    mutating func take(_ id: String) -> (shard: Shard, reading: Reading)? {
        guard let node = self.nodes[id], case .waiting(let reading) = node.state, self.isDue(node) else {
            return nil
        }
        self.nodes[id]?.state = .reading(reading)
        return (node.shard, reading)
    }

    /// A shard is not read here any more, and not at its end.
    mutating func giveBack(_ id: String) {
        guard case .reading(let reading) = self.nodes[id]?.state else { return }
        self.nodes[id]?.state = .waiting(reading)
    }

    /// All of a shard is settled, and that is durable: its children may begin.
    mutating func finish(_ id: String) {
        self.nodes[id]?.state = .finished
        if self.nodes[id]?.isListed == false { self.nodes[id] = nil }
    }

    /// Whether a shard was in the latest list.
    func isListed(_ id: String) -> Bool { self.nodes[id]?.isListed == true }

    /// Whether the lists say that nothing is written to a shard any more: it is closed, or gone.
    func isOver(_ id: String) -> Bool {
        guard let node = self.nodes[id], node.isListed else { return true }
        return node.shard.isClosed
    }

    /// Whether children of a shard are known.
    func hasChildren(_ id: String) -> Bool { self.parents.contains(id) }

    /// Whether a shard is finished whose children are not listed.
    var awaitsChildren: Bool {
        self.nodes.contains { id, node in
            node.state == .finished && node.isListed && !self.parents.contains(id)
        }
    }

    /// Whether all that was ever listed is finished.
    var isFinished: Bool { self.hasListed && self.nodes.values.allSatisfy { $0.state == .finished } }
}
