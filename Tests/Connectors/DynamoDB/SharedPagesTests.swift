// SPDX-License-Identifier: Apache-2.0

import PenstockTesting
import Testing

@testable import DynamoDBConnector
@testable import PenstockCore

/// Pages that several readers share.
@Suite struct SharedPagesTests {
    /// A page with records of these numbers.
    private static func page(_ numbers: [Int], next: String? = "next") throws -> StreamPage {
        let records = numbers.map { number in
            #"{"dynamodb":{"SequenceNumber":"\#(number)"},"eventName":"INSERT"}"#
        }
        let next = next.map { #""\#($0)""# } ?? "null"
        let text = #"{"NextShardIterator":\#(next),"Records":[\#(records.joined(separator: ","))]}"#
        return try StreamPage(Array(text.utf8))
    }

    private static func place(_ number: UInt64) -> FeedPlace { .after(Position(number)) }

    @Test("A reader finds its place by the last record that it has seen")
    func places() throws {
        var pages = SharedPages(from: Self.place(10))
        #expect(pages.find(Self.place(10)) == .before(0))
        #expect(pages.find(Self.place(9)) == .behind)
        #expect(pages.find(Self.place(11)) == .ahead)
        #expect(pages.find(.oldest) == .behind)
        for numbers in [[12, 14], [16, 18], [20]] { #expect(pages.add(try Self.page(numbers))) }
        #expect(pages.find(Self.place(10)) == .before(0))
        #expect(pages.find(Self.place(12)) == .before(0))
        #expect(pages.find(Self.place(14)) == .before(1))
        #expect(pages.find(Self.place(15)) == .before(1))
        #expect(pages.find(Self.place(18)) == .before(2))
        #expect(pages.find(Self.place(20)) == .before(3))
        #expect(pages.find(Self.place(21)) == .ahead)
        pages.drop(before: 2)
        #expect(pages.first == 2 && pages.end == 3 && pages.floor == Self.place(18))
        #expect(pages.find(Self.place(17)) == .behind)
        #expect(pages.find(Self.place(18)) == .before(2))
        #expect(pages.page(1) == nil && pages.page(2) != nil && pages.page(3) == nil)
        pages.drop(before: 9)
        #expect(pages.end == 3 && pages.bytes == 0 && pages.tip == Position(20))
        #expect(pages.find(Self.place(20)) == .before(3))
        #expect(pages.place == Self.place(20))
    }

    @Test("Who begins with the oldest record joins only while nothing of it is gone")
    func oldest() throws {
        var pages = SharedPages(from: .oldest)
        #expect(pages.find(.oldest) == .before(0))
        #expect(pages.find(Self.place(1)) == .ahead)
        #expect(pages.add(try Self.page([5, 6])))
        #expect(pages.find(.oldest) == .before(0))
        // What follows it may have been trimmed.
        #expect(pages.find(Self.place(3)) == .behind)
        #expect(pages.find(Self.place(5)) == .before(0))
        pages.drop(before: 1)
        #expect(pages.find(.oldest) == .behind)
    }

    @Test("What came before reading of new records began is not among the pages")
    func latest() throws {
        var pages = SharedPages(from: .latest)
        #expect(pages.find(Self.place(4)) == .unknown)
        #expect(pages.find(.oldest) == .behind)
        #expect(pages.place == .oldest)
        #expect(pages.add(try Self.page([8, 9])))
        #expect(pages.find(Self.place(7)) == .behind)
        #expect(pages.find(Self.place(8)) == .before(0))
        #expect(pages.find(Self.place(9)) == .before(1))
    }

    @Test("Pages that overlap are cut, and older ones are not taken")
    func overlap() throws {
        var pages = SharedPages(from: .oldest)
        #expect(pages.add(try Self.page([1, 2, 3])))
        #expect(pages.add(try Self.page([2, 3, 4, 5])))
        #expect(pages.page(1)?.records.map(\.position) == [Position(4), Position(5)])
        #expect(pages.add(try Self.page([4, 5])))
        #expect(!pages.add(try Self.page([3, 4])))
        #expect(pages.add(try Self.page([])))
        #expect(pages.end == 2)
    }

    @Test("The oldest pages go when there are too many bytes, the last one never")
    func bounds() throws {
        var pages = SharedPages(from: .oldest)
        for number in 1...5 { #expect(pages.add(try Self.page([number]))) }
        let each = pages.bytes / 5
        pages.trim(to: each * 3)
        #expect(pages.first == 2 && pages.bytes == each * 3)
        pages.trim(to: 0)
        #expect(pages.first == 4 && pages.end == 5)
    }
}
