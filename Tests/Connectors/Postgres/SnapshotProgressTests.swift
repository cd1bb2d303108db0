// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient
import Testing

@testable import PostgresConnector

/// How far a snapshot is, and its rows.
@Suite struct SnapshotProgressTests {
    private typealias Part = SnapshotProgress.Part

    private static let a = PostgresTable(schema: "public", name: "a")
    private static let b = PostgresTable(schema: "public", name: "b")
    private static let c = PostgresTable(schema: "public", name: "c")

    private static func row(_ number: UInt64, at place: UInt64 = 0x100_0000) -> Position {
        ChangePosition.row(LogSequenceNumber(place), number)
    }

    private static func rest(_ progress: SnapshotProgress, _ settled: Position?) -> [Part] {
        var copy = progress
        return copy.resume(behind: settled)
    }

    private static func progress(_ tables: [PostgresTable], isFirst: Bool = true) -> SnapshotProgress {
        var progress = SnapshotProgress(slot: "s")
        let isNew = progress.want(tables, isFirst: isFirst)
        let isChanged = progress.want(tables, isFirst: false)
        #expect(isNew && !isChanged)
        return progress
    }

    @Test("A new snapshot reads all tables, and nothing of them was handed out before")
    func begins() {
        let progress = Self.progress([Self.a, Self.b])
        #expect(Self.rest(progress, nil) == [Part(table: Self.a), Part(table: Self.b)])
        #expect(progress.untouched == [Self.a, Self.b])
        let later = Self.progress([Self.a], isFirst: false)
        #expect(later.untouched.isEmpty && Self.rest(later, Self.row(0)) == [Part(table: Self.a)])
    }

    @Test("It goes on with the page of the first row that is not settled, and with the tables behind it")
    func goesOn() {
        var progress = Self.progress([Self.a, Self.b, Self.c])
        progress.begin(Self.a, after: nil, behind: Self.row(0))
        progress.begin(Self.a, after: ["10"], behind: Self.row(10))
        progress.end(Self.a, at: Self.row(15))
        progress.begin(Self.b, after: nil, behind: Self.row(15))
        #expect(progress.untouched == [Self.c])
        func rest(_ settled: Position?) -> [Part] { Self.rest(progress, settled) }
        let others = [Part(table: Self.b), Part(table: Self.c)]
        #expect(rest(nil) == [Part(table: Self.a)] + others)
        #expect(rest(ChangePosition.change(LogSequenceNumber(8), 1)) == [Part(table: Self.a)] + others)
        #expect(rest(Self.row(9)) == [Part(table: Self.a)] + others)
        #expect(rest(Self.row(10)) == [Part(table: Self.a, after: ["10"])] + others)
        #expect(rest(Self.row(14)) == [Part(table: Self.a, after: ["10"])] + others)
        #expect(rest(Self.row(15)) == others)
        progress.end(Self.b, at: Self.row(40))
        progress.end(Self.c, at: Self.row(40))
        #expect(rest(Self.row(39)) == others)
        #expect(rest(Self.row(40)).isEmpty)
        #expect(rest(ChangePosition.change(LogSequenceNumber(0x100_0000), 7)).isEmpty)
    }

    @Test("Pages that are settled go; a later snapshot goes on where the one before was")
    func prunes() {
        var progress = Self.progress([Self.a])
        for page in 0..<5 as Range<UInt64> {
            progress.settle(Self.row(page * 10))
            progress.begin(Self.a, after: page == 0 ? nil : ["\(page)"], behind: Self.row(page * 10))
            #expect(progress.pages.count <= 2)
        }
        // Broken off, and begun again at a later place with what is behind the last page that was handed out.
        progress.begin(Self.a, after: ["5"], behind: Self.row(0, at: 0x200_0000))
        #expect(Self.rest(progress, Self.row(45)) == [Part(table: Self.a, after: ["4"])])
        #expect(Self.rest(progress, Self.row(0, at: 0x200_0000)) == [Part(table: Self.a, after: ["5"])])
        #expect(SnapshotProgress(mark: progress.mark, slot: "s") == progress)
        #expect(SnapshotProgress(mark: progress.mark, slot: "other") == nil)
        #expect(SnapshotProgress(mark: "x", slot: "s") == nil)
    }

    @Test("Tables come and go: one that was left out and named again is read again, others are not")
    func changes() {
        var progress = Self.progress([Self.a, Self.b])
        progress.begin(Self.a, after: nil, behind: Self.row(0))
        progress.end(Self.a, at: Self.row(5))
        progress.begin(Self.b, after: nil, behind: Self.row(5))
        progress.begin(Self.b, after: ["7"], behind: Self.row(9))
        _ = progress.want([Self.c, Self.b], isFirst: false)
        let rest = [Part(table: Self.b, after: ["7"]), Part(table: Self.c)]
        #expect(Self.rest(progress, Self.row(9)) == rest)
        _ = progress.want([Self.a, Self.b, Self.c], isFirst: false)
        #expect(Self.rest(progress, Self.row(9)) == [rest[0], Part(table: Self.a), rest[1]])
        progress.end(Self.b, at: Self.row(12))
        progress.settle(Self.row(12))
        progress.restart()
        #expect(Self.rest(progress, nil) == [Self.a, Self.b, Self.c].map { Part(table: $0) })
        #expect(progress.untouched.isEmpty)
    }

    @Test(
        "A key is kept with what it is made of; what cannot begin holds back no changes; what is left out is told"
    )
    func keysAndTables() {
        var progress = Self.progress([Self.a, Self.b])
        #expect(progress.unread(without: [Self.b]) == [Self.a])
        progress.touchAll()
        #expect(progress.untouched.isEmpty)
        #expect(Self.rest(progress, nil) == [Part(table: Self.a), Part(table: Self.b)])
        progress.begin(Self.a, after: ["5"], by: ["id 23"], behind: Self.row(0))
        let part = Part(table: Self.a, after: ["5"], by: ["id 23"])
        #expect(Self.rest(progress, Self.row(0)) == [part, Part(table: Self.b)])
        progress.end(Self.a, at: Self.row(9))
        progress.settle(Self.row(9))
        #expect(progress.unread(without: []) == [Self.b])
    }

    // MARK: - Rows

    /// The tables' answers come from a server only; the columns are enough for rows.
    private static let table = SnapshotTable(
        columns: ["id", "v \"x\"", "n"],
        key: [0],
        of: Self.b
    )

    @Test("A row of COPY is what the plugin would write; what is none is refused")
    func rows() throws {
        func values(_ text: String) -> [String?]? {
            var bytes: [UInt8] = []
            guard Self.table.message(Array(text.utf8)[...], into: &bytes) else { return nil }
            return unsafe bytes.withUnsafeBytes { bytes in
                guard case .insert(_, var tuple)? = try? unsafe PgoutputMessage(bytes) else { return nil }
                var values: [String?] = []
                while let value = tuple.next() {
                    if case .text(let text) = value {
                        values.append(unsafe String(decoding: text, as: UTF8.self))
                    } else {
                        values.append(nil)
                    }
                }
                return values
            }
        }
        #expect(values("1\ta b\t\\N") == ["1", "a b", nil])
        #expect(values("\\N\t\t") == [nil, "", ""])
        #expect(values("1\t\\\\N\\t\\n\\r\\b\\f\\v\\\\\t☃") == ["1", "\\N\t\n\r\u{8}\u{c}\u{b}\\", "☃"])
        for text in ["", "1", "1\t2", "1\t2\t3\t4", "\\Nx\t1\t2"] { #expect(values(text) == nil, "\(text)") }
        var bytes: [UInt8] = []
        #expect(Self.table.message(Array("a'\\\\b\t\\N\tx".utf8)[...], into: &bytes))
        #expect(Self.table.key(of: bytes) == ["a'\\b"])
    }

    @Test("A table is read behind a key, in its order")
    func statement() {
        #expect(
            Self.table.copy(behind: nil)
                == #"COPY (SELECT "id", "v ""x""", "n" FROM ONLY "public"."b" ORDER BY "id") TO STDOUT"#
        )
        #expect(
            Self.table.copy(behind: ["a'\\"])
                == #"COPY (SELECT "id", "v ""x""", "n" FROM ONLY "public"."b" WHERE ("id") > ( E'a''\\') ORDER BY "id") TO STDOUT"#
        )
        let none = SnapshotTable(columns: ["x"], key: [], of: Self.b)
        #expect(none.copy(behind: ["1"]) == #"COPY (SELECT "x" FROM ONLY "public"."b") TO STDOUT"#)
    }
}
