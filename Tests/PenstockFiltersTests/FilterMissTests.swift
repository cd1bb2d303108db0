// SPDX-License-Identifier: Apache-2.0

import Testing

/// Why a record passes no filter.
@Suite struct FilterMissTests {
    private static let paid = #"{"value": {"status": ["paid"], "amount": [{"numeric": [">", 10]}]}}"#

    @Test("Of a record that passes nothing is told")
    func passes() throws {
        let record = SampleRecord.text(#"{"status":"paid","amount":11}"#)
        #expect(try FilterFixture.misses([Self.paid], record) == [])
        #expect(try FilterFixture.misses([#"{"offset": [8]}"#, Self.paid], record) == [])
    }

    @Test("Each condition that is not met is named, filter by filter")
    func names() throws {
        let record = SampleRecord.text(#"{"status":"open","amount":11}"#)
        #expect(try FilterFixture.misses([Self.paid], record) == ["1 value.status"])
        #expect(
            try FilterFixture.misses([Self.paid, #"{"offset": [8], "kind": ["one"]}"#], record)
                == ["1 value.status", "2 offset"]
        )
        let empty = SampleRecord.text(#"{}"#)
        #expect(try FilterFixture.misses([Self.paid], empty) == ["1 value.status", "1 value.amount"])
    }

    @Test("Each branch of $or is named once")
    func alternatives() throws {
        let pattern = #"{"$or": [{"offset": [8]}, {"kind": ["other"]}], "topic": ["orders"]}"#
        let misses = try FilterFixture.misses([pattern], SampleRecord())
        #expect(
            misses.count == 2 && misses[0].hasSuffix("offset") && misses[1].hasSuffix("kind"),
            "\(misses)"
        )
    }

    @Test("Conditions that hold only of different elements of an array are told as that")
    func joint() throws {
        let pattern = #"{"value": {"items": {"a": [1], "b": [2]}}}"#
        let record = SampleRecord.text(#"{"items":[{"a":1,"b":0},{"a":0,"b":2}]}"#)
        #expect(
            try FilterFixture.misses([pattern], record) == ["1 value.items.a joint", "1 value.items.b joint"]
        )
    }
}
