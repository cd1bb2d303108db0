// SPDX-License-Identifier: Apache-2.0

import PostgresClient
import Testing

/// What needs no server.
@Suite struct PostgresTextTests {
    @Test(
        "A connection string is told without its password",
        arguments: [
            ("postgresql://app:sesame@db.example.com/orders", "orders at db.example.com:5432 as app"),
            ("postgres://app@[::1]:6432/orders?sslmode=require", "orders at ::1:6432 as app"),
            ("host=a,b port=1,2 dbname=x password=sesame", "x at a:1, b:2"),
            ("host=/run/postgresql user=app", "app at /run/postgresql as app"),
            ("", "postgres"),
        ]
    )
    func description(text: String, words: String) throws {
        let address = try PostgresAddress(text)
        #expect("\(address)" == words)
        #expect(!String(reflecting: address).contains("sesame"))
    }

    @Test(
        "What is no connection string is refused, without showing it",
        arguments: [
            "postgresql://app:se/sa@me@x:y:z/b?none=1", "sesame", "host=a password='sesame", "nokey=sesame",
            "postgresql://app:ses/ame@db/orders", "postgresql://app:sesame@ss@db/orders",
            "postgresql://app:1/sesame@db/orders",
        ]
    )
    func invalid(text: String) {
        #expect {
            try PostgresAddress(text)
        } throws: { error in
            (error as? PostgresError)?.code == .invalid && !"\(error)".contains("sesame")
        }
    }

    @Test("Names and literals are quoted, tables taken as they stand")
    func names() {
        #expect(PostgresName.quoted("a\"b") == "\"a\"\"b\"")
        #expect(PostgresName.literal("it's") == "'it''s'")
        // One Character, and still a quote to the server.
        for mark in ["\u{301}", "\u{200D}", "\u{FE0F}"] {
            #expect(Array(PostgresName.literal("'\(mark)").utf8) == Array("'''\(mark)'".utf8))
            #expect(Array(PostgresName.literal("\\\(mark)").utf8) == Array(" E'\\\\\(mark)'".utf8))
            #expect(Array(PostgresName.quoted("\"\(mark)").utf8) == Array("\"\"\"\(mark)\"".utf8))
        }
        #expect(PostgresName.literal("a\\'") == " E'a\\\\'''")
        #expect(PostgresTable("Orders")?.quoted == "\"public\".\"Orders\"")
        #expect(PostgresTable("app.outbox")?.description == "app.outbox")
        for text in ["", "a.b.c", ".b", "a.", String(repeating: "x", count: 64)] {
            #expect(PostgresTable(text) == nil)
        }
    }

    @Test(
        "What may go well later is told from what will not",
        arguments: [
            ("40001", true), ("40P01", true), ("57P03", true), ("53300", true), ("55P03", true),
            ("58030", true),
            ("42P01", false), ("23505", false), ("28P01", false), ("57014", false),
        ]
    )
    func transient(state: String, isTransient: Bool) {
        #expect(PostgresError(sqlState: state, message: "m", hint: nil).isTransient == isTransient)
    }
}
