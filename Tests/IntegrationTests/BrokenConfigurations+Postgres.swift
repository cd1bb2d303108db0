// SPDX-License-Identifier: Apache-2.0

extension BrokenConfiguration {
    /// Mistakes about databases.
    static let databases: [BrokenConfiguration] = [
        .init(
            "A URL of a database that is none, which is not shown",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { postgres: { notify: { url: "postgres//app:${PENSTOCK_TEST_WORD}@db", channels: c } } }
                function: f
            ! connectors.yaml:4:42: error: "url" is no connection string; write postgresql://user@host:5432/database, or \#
            host=… dbname=…, and other than plain characters of a user or a password as %XX [bad-value]
            """#
        ),
        .init(
            "A password in two places",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source:
                  postgres:
                    notify:
                      url: "postgres://app:${PENSTOCK_TEST_WORD}@db/orders"
                      password: "${PENSTOCK_TEST_WORD}"
                      channels: c
                function: f
            ! connectors.yaml:8:21: error: "password" is in "url" already; keep one of them [conflict]
            """#
        ),
        .init(
            "Passwords of databases that stand in the file",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source:
                  postgres:
                    changes: { url: "host=db user=app password=in-the-file", slot: s }
                function: f
                on_failure:
                  postgres:
                    url: "postgres://app:${PENSTOCK_TEST_NONE:-in-the-file}@db/orders"
                    table: letters
                on_success:
                  postgres: { url: "postgres://app:${PENSTOCK_TEST_WORD}@db/orders", table: results }
            ! connectors.yaml:6:25: warning: the URL in "url" holds a password; take it from the environment \#
            with ${NAME}, or from a file with ${file:/path} [literal-secret]
            ! connectors.yaml:10:14: warning: the URL in "url" holds a password; take it from the environment \#
            with ${NAME}, or from a file with ${file:/path} [literal-secret]
            """#
        ),
        .init(
            "A channel whose name is too long, and one that stands there twice",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { postgres: { notify: { url: "postgres://db", channels: ["c", "c", ""] } } }
                function: f
            ! connectors.yaml:4:69: error: "channels" holds "", which is no name of a channel: 1 to 63 bytes [bad-value]
            ! connectors.yaml:4:69: error: "channels" holds a channel twice; keep one of them [conflict]
            """#
        ),
        .init(
            "A catch-up query without its last number",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source:
                  postgres:
                    notify:
                      url: "postgres://db"
                      channels: c
                      catch_up: { query: "SELECT id, body FROM orders;" }
                function: f
            ! connectors.yaml:9:30: error: "query" must have $last in its condition; write WHERE id > $last [bad-value]
            ! connectors.yaml:9:30: error: "query" must be one statement without a semicolon [bad-value]
            """#
        ),
        .init(
            "An outbox table that is none, and rows that are marked without a column",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source:
                  postgres:
                    outbox:
                      url: "postgres://db"
                      table: a.b.c
                      columns: { group: key }
                      on_success: mark
                function: f
            ! connectors.yaml:8:18: error: "table" must be a table's name: "a.b.c" is none; write outbox or \#
            schema.outbox, each name at most 63 bytes [bad-value]
            ! connectors.yaml:10:23: error: "on_success" needs a column for the time; name it by columns.done_at \#
            [conflict]
            """#
        ),
        .init(
            "A source of a database of no kind",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source: { postgres: { listen: { url: "postgres://db" } } }
                function: f
            ! connectors.yaml:4:27: error: unknown key "listen" in triggers.t.source.postgres; use one of notify, outbox, changes \#
            [unknown-key]
            """#
        ),
        .init(
            "A slot and its tables that cannot be",
            #"""
            functions: { f: { local: { command: [cat] } } }
            triggers:
              t:
                source:
                  postgres:
                    changes:
                      url: "postgres://db"
                      slot: Orders
                      tables: [a, public.a]
                      snapshot: [a, b]
                function: f
            ! connectors.yaml:8:17: error: "slot" is no name of a slot: 1 to 63 lower case letters, digits and _ [bad-value]
            ! connectors.yaml:9:19: error: "tables" holds a table twice; keep one of them [conflict]
            ! connectors.yaml:10:21: error: "snapshot" holds public.b, which is not one of "tables"; add it there, so that \#
            its changes follow [conflict]
            """#
        ),
    ]
}
