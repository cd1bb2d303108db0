// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockStore

/// Reads the letters of a redrive page by page, and finds the lane of each.
///
/// Of one task.
struct RedriveReader {
    /// A letter's trigger, as far as a redrive needs it.
    private struct Way {
        var route: Redriver.Route?
        var function: Int
    }

    private struct Stream: Hashable {
        var trigger: String
        var partition: String
    }

    private static let pageSize = 256

    /// How many letters there were at the start.
    let total: Int

    private let store: any StateStore
    private let route: @Sendable (_ trigger: String) -> Redriver.Route?
    private var query: DeadLetterQuery
    private let last: DeadLetterID?
    private var left: Int
    private var ways: [String: Way] = [:]
    private var functions: [String: Int] = [:]
    private var streams: [Stream: UInt32] = [:]

    /// A reader of the letters that there are now.
    init(
        _ query: DeadLetterQuery,
        of store: any StateStore,
        route: @escaping @Sendable (_ trigger: String) -> Redriver.Route?
    ) async throws(StoreError) {
        let count = try await store.countDeadLetters(matching: query)
        self.total = count.count
        self.last = count.last
        self.left = count.count
        self.query = query
        self.store = store
        self.route = route
    }

    /// Adds the next page to a schedule, or ends it.
    mutating func read(into schedule: inout RedriveSchedule) async throws(StoreError) {
        guard let last = self.last, self.left > 0 else { return schedule.end() }
        self.query.limit = min(Self.pageSize, self.left)
        let page = try await self.store.deadLetters(matching: self.query)
        for summary in page where summary.id <= last {
            let way = self.way(of: summary.trigger, &schedule)
            let lane = try await self.lane(of: summary, way.route)
            schedule.add(.init(id: summary.id, function: way.function, lane: lane))
        }
        self.left -= page.count
        self.query.after = page.last?.id
        // What came after the start is not of this redrive; what was dropped meanwhile leaves nothing to read.
        if page.isEmpty || page.contains(where: { $0.id >= last }) { self.left = 0 }
    }

    private mutating func way(of trigger: String, _ schedule: inout RedriveSchedule) -> Way {
        if let way = self.ways[trigger] { return way }
        let route = self.route(trigger)
        let name = route?.function.name ?? ""
        let room = route?.function.concurrency ?? .max
        let function = self.functions[name] ?? schedule.function(concurrency: room)
        self.functions[name] = function
        let way = Way(route: route, function: function)
        self.ways[trigger] = way
        return way
    }

    /// The lane of a letter; nil when it waits for no other.
    private mutating func lane(
        of summary: StoredDeadLetter.Summary,
        _ route: Redriver.Route?
    ) async throws(StoreError) -> RedriveSchedule.Lane? {
        let stream = Stream(trigger: summary.trigger, partition: summary.partition)
        let number = self.streams[stream] ?? UInt32(self.streams.count)
        switch route?.ordering ?? .partition {
        case .none: return nil
        case .partition:
            self.streams[stream] = number
            return .init(stream: number, key: 0)
        case .key(let key):
            guard let hash = try await self.hash(of: summary, by: key, route) else { return nil }
            self.streams[stream] = number
            return .init(stream: number, key: hash)
        }
    }

    private func hash(
        of summary: StoredDeadLetter.Summary,
        by key: any OrderingKey,
        _ route: Redriver.Route?
    ) async throws(StoreError) -> UInt64? {
        if key is RecordKey {
            return summary.key.map { key in unsafe key.withUnsafeBytes { unsafe RecordKey.hash($0) } }
        }
        // The key is in what a summary does not have.
        guard let route, let letter = try await self.store.deadLetter(summary.id)?.letter else { return nil }
        return key.hash(of: letter.block(of: route.source.partition(PartitionID(0), letter.partition)), at: 0)
    }
}
