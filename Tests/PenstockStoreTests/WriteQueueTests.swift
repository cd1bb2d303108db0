// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PenstockStore

/// Which writes share a transaction, and who is told of a refusal.
@Suite struct WriteQueueTests {
    private typealias Queue = WriteQueue<Int>

    private let error = StoreError(.inputOutput, "refused")

    private func write(_ fences: [Fence] = [], bytes: Int = 10) -> PostgresWrite {
        var write = PostgresWrite([.init(String(repeating: "x", count: bytes))])
        write.fences = fences
        return write
    }

    private func queue(_ count: Int) -> Queue {
        var queue = Queue()
        for number in 0..<count { queue.add(self.write(), number) }
        return queue
    }

    /// The writers of the next groups, until there is none; `refuse` says what becomes of each group.
    private func groups(
        _ queue: inout Queue,
        _ refuse: (inout Queue, Queue.Group) -> [Queue.Answer]
    ) -> (groups: [[Int]], told: [Int]) {
        var (groups, told): ([[Int]], [Int]) = ([], [])
        while let group = queue.next() {
            groups.append(group.entries.map(\.waiter))
            told += refuse(&queue, group).map(\.waiter)
            guard groups.count < 200 else { break }
        }
        return (groups, told)
    }

    @Test("All that wait go together, in order, up to the limits of a group")
    func together() {
        var queue = self.queue(CommitGroup.writesMax + 5)
        #expect(!queue.isEmpty)
        let all = self.groups(&queue) { _, _ in [] }
        #expect(all.groups.map(\.count) == [CommitGroup.writesMax, 5])
        #expect(all.groups.flatMap(\.self) == Array(0..<(CommitGroup.writesMax + 5)))
        #expect(queue.isEmpty && queue.next() == nil)
        queue.add(self.write(bytes: CommitGroup.bytesMax), 1)
        queue.add(self.write(), 2)
        #expect(self.groups(&queue) { _, _ in [] }.groups == [[1], [2]])
    }

    @Test("A write that is refused is found among its neighbours, which go on in order", arguments: 0..<9)
    func one(bad: Int) {
        var queue = self.queue(9)
        var done: [Int] = []
        let all = self.groups(&queue) { queue, group in
            let writers = group.entries.map(\.waiter)
            guard writers.contains(bad) else {
                done += writers
                return []
            }
            return queue.refused(group, .one, self.error)
        }
        #expect(all.told == [bad])
        #expect(done == (0..<9).filter { $0 != bad })
        #expect(all.groups.count <= 9)
    }

    @Test("What the server gives up for another one's sake is tried again, not for ever")
    func again() {
        var queue = self.queue(1)
        let all = self.groups(&queue) { $0.refused($1, .again, self.error) }
        #expect(all.groups.count == Queue.failuresMax && all.told == [0])
        queue.add(self.write(), 7)
        let first = queue.next()
        queue.add(self.write(), 8)
        #expect(first.map { queue.refused($0, .again, self.error).count } == 0)
        #expect(self.groups(&queue) { _, _ in [] }.groups == [[7], [8]], "before what came later")
    }

    @Test("What all writes meet alike is told to all of the group, and to nobody else")
    func everybody() {
        var queue = self.queue(3)
        guard let group = queue.next() else { return #expect(Bool(false), "there is a group") }
        queue.add(self.write(), 3)
        #expect(queue.refused(group, .lost, self.error).map(\.waiter) == [0, 1, 2])
        #expect(self.groups(&queue) { _, _ in [] }.groups == [[3]])
    }

    @Test("Writes under a lease that was taken over are told, and the others go on")
    func fenced() {
        let (good, bad) = (Fence(lease: "a", epoch: 1), Fence(lease: "b", epoch: 2))
        var queue = Queue()
        for (number, fences) in [[], [good], [bad], [good, bad], [good]].enumerated() {
            queue.add(self.write(fences), number)
        }
        guard let group = queue.next() else { return #expect(Bool(false), "there is a group") }
        #expect(group.fences == [good, bad])
        let answers = queue.fenced(group, held: [good], self.error)
        #expect(answers.map(\.waiter) == [2, 3] && answers.allSatisfy { $0.error.code == .fenced })
        #expect(self.groups(&queue) { _, _ in [] }.groups == [[0, 1, 4]])
    }

    @Test("A refusal by leases that are all as they were ends, too")
    func contradiction() {
        var queue = Queue()
        queue.add(self.write([Fence(lease: "a", epoch: 1)]), 0)
        let all = self.groups(&queue) { queue, group in
            queue.fenced(group, held: [Fence(lease: "a", epoch: 1)], self.error)
        }
        #expect(all.told == [0] && all.groups.count == Queue.failuresMax)
    }

    @Test("Texts are kept exactly, and in the order of their bytes")
    func texts() {
        let texts = [
            "", "\0", "\0\0", "\0a", "\u{1}", "\u{1}\0", "\u{1}\u{1}", "\u{1}\u{2}", "\u{2}", "a", "ä\0",
        ]
        for text in texts {
            let stored = PostgresText.stored(text)
            #expect(!stored.utf8.contains(0))
            #expect(unsafe Array(stored.utf8).withUnsafeBytes { unsafe PostgresText.read($0) } == text)
        }
        let stored = texts.map { Array(PostgresText.stored($0).utf8) }
        #expect(zip(stored, stored.dropFirst()).allSatisfy { $0.lexicographicallyPrecedes($1) })
        #expect(PostgresText.elements(of: #"{}"#) == [])
        #expect(PostgresText.elements(of: #"{a,"b c","","\"\\{,}"}"#) == ["a", "b c", "", "\"\\{,}"])
    }

    @Test(
        "A location is read with its schema, and tells no password",
        arguments: [
            ("postgres://app:sesame@db/orders", "postgres orders at db:5432 as app"),
            (
                "postgresql://app:sesame@db:6432/orders?schema=own&sslmode=require",
                "postgres orders at db:6432 as app, schema own"
            ),
            ("postgres://db/orders?password=sesame", "postgres orders at db:5432"),
        ]
    )
    func location(text: String, shown: String) throws {
        let location = try PostgresLocation(text)
        #expect("\(location)" == shown && !String(reflecting: location).contains("sesame"))
        #expect(PostgresLocation.matches(text) && location.hasPassword == text.contains("sesame"))
    }

    @Test(
        "What is no location is refused, and not shown",
        arguments: [
            "postgres://a:sesame@b@c/d", "postgres://db/x?schema=sesame-1",
            "postgres://db/x?schema=pg_sesame",
        ]
    )
    func badLocation(text: String) {
        let error = #expect(throws: StoreError.self) { try PostgresLocation(text) }
        #expect(error?.detail.contains("sesame") == false)
    }
}
