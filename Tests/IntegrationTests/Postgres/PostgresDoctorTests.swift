// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// `penstock doctor` in front of real servers of Postgres.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(5)))
struct PostgresDoctorTests {
    private static func examine(_ triggers: String) throws -> (status: Int32, checks: [DoctorTests.Check]) {
        let home = try TemporaryFolder()
        let server = try TestHTTPServer { $1.respond() }
        defer { server.stop() }
        return try DoctorTests.examine(
            """
            state: "sqlite:\(home.url.path)/penstock.db"
            functions:
              f: { http: { url: "\(server.url())" } }
            triggers:
            \(triggers)
            """,
            in: home.url
        )
    }

    private static func trigger(_ name: String, _ source: String) -> String {
        "  \(name): { source: { postgres: { \(source) } }, function: f }\n"
    }

    /// What was found of a trigger's source, as `grade check`, with those that are well.
    private static func found(_ name: String, _ checks: [DoctorTests.Check]) -> [String: String] {
        let own = checks.filter { $0.part == "\(name): source" }
        return Dictionary(own.map { ($0.check, "\($0.grade): \($0.detail)") }) { $1 }
    }

    @Test("What a slot needs is looked at: level, publication, tables, rights, room, identity, sessions")
    func changes() throws {
        let server = try PostgresServer(settings: ["wal_level=logical"])
        for sql in [
            "CREATE TABLE whole (id int PRIMARY KEY)", "CREATE TABLE bare (id int)", "CREATE ROLE app LOGIN",
            "CREATE PUBLICATION partial FOR TABLE bare WITH (publish = 'insert')",
            "CREATE PUBLICATION empty",
            "CREATE ROLE owner LOGIN REPLICATION", "GRANT CREATE ON DATABASE postgres TO owner",
        ] { try server.run(sql) }
        let url = server.url()
        func other(_ user: String) -> String { "postgres://\(user)@127.0.0.1:\(server.port)/postgres" }
        let (status, checks) = try Self.examine(
            [
                ("well", "changes: { url: \"\(url)\", slot: well, tables: [whole], create: true }"),
                ("app", "changes: { url: \"\(other("app"))\", slot: app, tables: [whole], create: true }"),
                (
                    "owner",
                    "changes: { url: \"\(other("owner"))\", slot: owner, tables: [whole], create: true }"
                ),
                ("all", "changes: { url: \"\(other("owner"))\", slot: every, create: true }"),
                (
                    "partial",
                    "changes: { url: \"\(url)\", slot: partial, tables: [bare, nowhere], create: true }"
                ),
                ("bare", "changes: { url: \"\(url)\", slot: bare, publication: partial, tables: [bare] }"),
                ("none", "changes: { url: \"\(url)\", slot: none, publication: empty, create: true }"),
            ].map { Self.trigger($0.0, $0.1) }.joined()
        )
        #expect(status == 1)
        let well = Self.found("well", checks)
        #expect(well["wal_level"] == "ok: logical")
        #expect(
            well["slot"]?.hasPrefix("warning: at the first start this is run: CREATE PUBLICATION") == true
        )
        #expect(well["permissions"] == "ok: a superuser, who may make the publication well")
        #expect(well["room"]?.hasPrefix("ok: ") == true && well["replication"]?.hasPrefix("ok: ") == true)
        #expect(well["identity"]?.hasPrefix("ok: ") == true && well["publication"] == nil)

        let app = Self.found("app", checks)
        #expect(
            app["permissions"]?.hasPrefix("error: GRANT CREATE ON DATABASE postgres is missing; or") == true
        )
        #expect(app["replication"]?.contains("ALTER ROLE … REPLICATION") == true)
        let owner = Self.found("owner", checks)
        #expect(
            owner["permissions"]?.hasPrefix("error: only the owner of \"public\".\"whole\" may publish it")
                == true
        )
        #expect(owner["replication"]?.hasPrefix("ok: ") == true)
        let all = Self.found("all", checks)
        #expect(all["identity"]?.hasPrefix("warning: public.bare: without a primary key") == true)
        #expect(all["permissions"]?.hasPrefix("error: only a superuser may publish all tables") == true)

        let partial = Self.found("partial", checks)
        #expect(
            partial["publication"] == "error: there is no table public.nowhere; make it, or change \"tables\""
        )
        let bare = Self.found("bare", checks)
        #expect(
            bare["publication"]?.hasPrefix("warning: partial has 1 table, without update, delete, truncate: ")
                == true
        )
        #expect(bare["identity"]?.hasPrefix("ok: ") == true, "only inserts are published")
        #expect(bare["slot"]?.contains("there is no slot bare; run SELECT pg_create_logical") == true)
        let none = Self.found("none", checks)
        #expect(none["publication"]?.hasPrefix("warning: empty has 0 tables: nothing comes") == true)
        // It looked, and made nothing.
        #expect(try server.run("SELECT count(*) FROM pg_replication_slots") == "0")
        #expect(try server.run("SELECT count(*) FROM pg_publication") == "2")
    }

    @Test(
        "A snapshot that could not go on after a break is told with the reason, and so is a key that is left out"
    )
    func keys() throws {
        let server = try PostgresServer(settings: ["wal_level=logical"])
        try server.run(
            """
            CREATE TABLE whole (id int PRIMARY KEY);
            CREATE TABLE bare (id int);
            CREATE TABLE part (a int, b int, v int, PRIMARY KEY (a, b));
            CREATE TYPE pair AS (x int, y int);
            CREATE TABLE odd (p pair PRIMARY KEY);
            CREATE TABLE made (a int, b int GENERATED ALWAYS AS (a) STORED PRIMARY KEY);
            CREATE PUBLICATION p FOR TABLE whole, bare, part (a, v), odd, made;
            """
        )
        func source(_ tables: String) -> String {
            "changes: { url: \"\(server.url())\", slot: s, publication: p, create: true, snapshot: [\(tables)], tables: [\(tables)] }"
        }
        let (_, checks) = try Self.examine(
            Self.trigger("well", source("whole"))
                + Self.trigger("ill", source("whole, bare, part, odd, made"))
        )
        let (well, ill) = (Self.found("well", checks), Self.found("ill", checks))
        #expect(well["snapshot"] == "ok: all rows of 1 tables can be read", "\(well)")
        let text = ill["snapshot"] ?? ""
        for part in [
            "warning: public.bare has no primary key; add one. ",
            "public.part has a key of which only a part is published; publish all of its columns",
            "public.odd has a key of types that are neither the server's own nor enums; ",
            "public.made has a key of which only a part is published",
            ". A snapshot that is broken off reads such a table from its beginning again",
        ] { #expect(text.contains(part), "\(text)") }
        #expect(!text.contains("whole"))
        #expect(
            ill["columns"]?.hasPrefix(
                "warning: public.part: the list of columns in the publication p lacks some"
            )
                == true,
            "\(ill)"
        )
    }

    @Test("A server without logical decoding is told, and so are a standby and a pooler where they matter")
    func servers() throws {
        let plain = try PostgresServer()
        try plain.run("CREATE TABLE t (id int PRIMARY KEY)")
        let standby = try PostgresServer()
        try standby.becomeStandby()
        let outbox = "outbox: { url: \"\(standby.url())\", table: app.outbox }"
        let (status, checks) = try Self.examine(
            Self.trigger("plain", "changes: { url: \"\(plain.url())\", slot: s, tables: [t] }")
                + Self.trigger("standby", outbox)
        )
        #expect(status == 1)
        #expect(
            Self.found("plain", checks)["slot"]
                == "error: wal_level is replica; ALTER SYSTEM SET wal_level = logical, and restart the server"
        )
        let found = Self.found("standby", checks)
        #expect(found["server"]?.contains("a standby in recovery, where nothing can") == true, "\(found)")
        #expect(found["table"]?.hasPrefix("error: ") == true)
    }
}
