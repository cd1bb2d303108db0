// SPDX-License-Identifier: Apache-2.0

import Testing

/// A configuration with mistakes, and what `penstock validate` says about them.
///
/// Lines that begin with `! ` are what standard error must hold, word for word; the others are the file.
struct BrokenConfiguration: Sendable, CustomTestStringConvertible {
    let name: String
    let yaml: String
    let findings: [String]

    init(_ name: String, _ text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        self.name = name
        self.yaml = lines.filter { !$0.hasPrefix("! ") }.joined(separator: "\n") + "\n"
        self.findings = lines.filter { $0.hasPrefix("! ") }.map { String($0.dropFirst(2)) }
    }

    var testDescription: String { self.name }

    /// All of them.
    static var all: [BrokenConfiguration] {
        Self.files + Self.functions + Self.triggers + Self.orders + Self.queues + Self.databases
            + Self.answers
    }
}

extension BrokenConfiguration {
    /// Mistakes in YAML, in placeholders and at the top of a file.
    static let files: [BrokenConfiguration] = [
        .init(
            "The file is empty",
            #"""

            ! connectors.yaml: error: the file holds no configuration; start with `triggers:` [empty-file]
            """#
        ),
        .init(
            "The file holds only a comment",
            #"""
            # nothing yet
            ! connectors.yaml: error: the file holds no configuration; start with `triggers:` [empty-file]
            """#
        ),
        .init(
            "The file is a list",
            #"""
            - triggers
            ! connectors.yaml:1:1: error: the file must hold a mapping, not a list; begin with a key such as \#
            `state:` [wrong-type]
            """#
        ),
        .init(
            "The file is one word",
            #"""
            triggers
            ! connectors.yaml:1:1: error: the file must hold a mapping, not a text; begin with a key such as \#
            `state:` [wrong-type]
            """#
        ),
        .init(
            "The file has two documents",
            #"""
            state: sqlite:a.db
            ---
            state: sqlite:b.db
            ! connectors.yaml:2:1: error: the file holds more than one YAML document; keep one, and remove the \#
            line `---` [several-documents]
            """#
        ),
        .init(
            "A bracket is not closed",
            #"""
            functions: { f: { local: { command: [cat }
            ! connectors.yaml:1:42: error: not YAML: did not find expected ',' or ']' while parsing a flow \#
            sequence [bad-syntax]
            """#
        ),
        .init(
            "A quote is not closed",
            #"""
            state: "sqlite:a.db
            ! connectors.yaml:2:1: error: not YAML: found unexpected end of stream while scanning a quoted \#
            scalar that starts at line 1; close the quote [bad-syntax]
            """#
        ),
        .init(
            "A tab indents",
            #"""
            functions:
            \#tf: {}
            ! connectors.yaml:2:1: error: not YAML: found character that cannot start any token while scanning \#
            for the next token; indent with blanks, not with tabs [bad-syntax]
            """#
        ),
        .init(
            "A text holds a colon and a blank",
            #"""
            state: sqlite: a.db
            ! connectors.yaml:1:14: error: not YAML: mapping values are not allowed in this context; check the \#
            indent, and put a text that holds `: ` in quotes [bad-syntax]
            """#
        ),
        .init(
            "A control character",
            #"""
            state: sqlite:a\#u{1}.db
            ! connectors.yaml:1:16: error: not YAML: control characters are not allowed [bad-syntax]
            """#
        ),
        .init(
            "A key is given twice",
            #"""
            functions: { f: { local: { command: [cat] } } }
            functions: { f: { local: { command: [cat] } } }
            ! connectors.yaml:2:1: error: key "functions" is given twice, first at line 1; remove one of them \#
            [duplicate-key]
            """#
        ),
        .init(
            "An alias is not defined",
            #"""
            functions: *all
            ! connectors.yaml:1:12: error: not YAML: found undefined alias; define it with & above [bad-syntax]
            """#
        ),
        .init(
            "Aliases of aliases grow beyond all bounds",
            #"""
            x-a: &a [x, x, x, x, x, x, x, x, x, x]
            x-b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
            x-c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
            x-d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
            x-e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
            x-f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]
            x-g: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f, *f]
            ! connectors.yaml:1:34: error: the file has more than 200000 values, aliases counted; use fewer \#
            aliases [too-large]
            """#
        ),
        .init(
            "Lists are nested too deep",
            #"""
            x-deep: \#
            [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
            ! connectors.yaml:1:73: error: lists and mappings are nested more than 64 deep; flatten the value \#
            [too-deep]
            """#
        ),
        .init(
            "A YAML tag",
            #"""
            state: !!binary abc
            ! connectors.yaml:1:8: error: the YAML tag "tag:yaml.org,2002:binary" is not used here; remove it; \#
            each field knows its type [unsupported-yaml]
            """#
        ),
        .init(
            "A key at the top is misspelt",
            #"""
            trigers: {}
            ! connectors.yaml:1:1: error: unknown key "trigers" in the configuration; did you mean "triggers"? \#
            [unknown-key]
            """#
        ),
        .init(
            "A key of another program",
            #"""
            services: {}
            ! connectors.yaml:1:1: error: unknown key "services" in the configuration; its keys are state, \#
            admin, dead_letters, drain_timeout, functions, triggers [unknown-key]
            """#
        ),
        .init(
            "A store that there is not",
            #"""
            state: mysql:data
            ! connectors.yaml:1:8: error: "state" must be sqlite: and a path, or the URL of a Postgres database: write it like \#
            sqlite:data/penstock.db, or postgres://user@host:5432/database [bad-value]
            """#
        ),
        .init(
            "A store without a path",
            #"""
            state: "sqlite:"
            ! connectors.yaml:1:8: error: "state" must be sqlite: and a path, or the URL of a Postgres database: write it like \#
            sqlite:data/penstock.db, or postgres://user@host:5432/database [bad-value]
            """#
        ),
        .init(
            "A database for the store that cannot be, which is not shown",
            #"""
            state: "postgres://app:p@ss@db/penstock"
            ! connectors.yaml:1:8: error: "state" must be sqlite: and a path, or the URL of a Postgres database: it is no \#
            connection string; write postgresql://user@host:5432/database, or host=… dbname=…, and other than plain \#
            characters of a user or a password as %XX [bad-value]
            """#
        ),
        .init(
            "A schema for the store that is no name",
            #"""
            state: postgres://db/penstock?schema=my-store
            ! connectors.yaml:1:8: error: "state" must be sqlite: and a path, or the URL of a Postgres database: it names no \#
            schema; write schema= and a name of letters, digits and underscores, such as schema=penstock [bad-value]
            """#
        ),
        .init(
            "An admin address without a port",
            #"""
            admin: { listen: localhost }
            ! connectors.yaml:1:18: error: "listen" must be host:port: write it like 127.0.0.1:8077 [bad-value]
            """#
        ),
        .init(
            "An admin port that there is not",
            #"""
            admin: { listen: "127.0.0.1:99999" }
            ! connectors.yaml:1:18: error: "listen" must be host:port: 99999 is no port; they end at 65535 \#
            [bad-value]
            """#
        ),
        .init(
            "An address for others to which nobody can connect",
            #"""
            admin: { advertise: "10.0.0.7:0" }
            ! connectors.yaml:1:21: error: "advertise" has the port 0, to which nobody can connect; write the port at \#
            which other machines reach the API [conflict]
            """#
        ),
        .init(
            "An address for others that is a URL",
            #"""
            admin: { advertise: "http://a.example" }
            ! connectors.yaml:1:21: error: "advertise" must be host:port: write it like 127.0.0.1:8077 [bad-value]
            """#
        ),
        .init(
            "The admin API is open to all",
            #"""
            admin: { listen: "0.0.0.0:8077" }
            ! connectors.yaml:1:18: error: "listen" is reachable from outside, so "token" must be set; add \#
            `token: ${PENSTOCK_TOKEN}`, or listen on 127.0.0.1 [conflict]
            """#
        ),
        .init(
            "A token that is short",
            #"""
            admin: { listen: "0.0.0.0:8077", token: "${PENSTOCK_TEST_WORD}" }
            ! connectors.yaml:1:41: error: "token" must have at least 16 characters [out-of-range]
            """#
        ),
        .init(
            "A variable that is not set",
            #"""
            state: ${PENSTOCK_NOT_SET}
            ! connectors.yaml:1:8: error: environment variable PENSTOCK_NOT_SET is not set; set it, or give a \#
            default: ${PENSTOCK_NOT_SET:-value} [unset-variable]
            """#
        ),
        .init(
            "A placeholder that is not closed",
            #"""
            state: ${HOME
            ! connectors.yaml:1:8: error: cannot read the placeholder "${HOME"; write ${NAME}, ${NAME:-default} \#
            or ${file:/path}, and $${ for a literal ${ [bad-substitution]
            """#
        ),
        .init(
            "A file that is not there",
            #"""
            admin: { listen: "0.0.0.0:8077", token: "${file:/nonexistent/token}" }
            ! connectors.yaml:1:41: error: file "/nonexistent/token" does not exist; check the path and who may \#
            read it [unreadable-secret]
            """#
        ),
        .init(
            "A value from outside that does not fit",
            #"""
            drain_timeout: ${PENSTOCK_TEST_WORD}
            ! connectors.yaml:1:16: error: "drain_timeout" must be a duration such as 500ms, 5s, 10m or 24h, not \#
            "${PENSTOCK_TEST_WORD}"; the units are ms, s, m, h and d, whole numbers, larger units first \#
            [bad-duration]
            """#
        ),
        .init(
            "Five mistakes at once",
            #"""
            stat: x
            functions:
              f: { local: { comand: cat } }
            triggers:
              t: { function: g, source: { kafka: { brokers: a } } }
            ! connectors.yaml:1:1: error: unknown key "stat" in the configuration; did you mean "state"? \#
            [unknown-key]
            ! connectors.yaml:3:15: error: missing key "command" in local; it must be a list of texts \#
            [missing-key]
            ! connectors.yaml:3:17: error: unknown key "comand" in local; did you mean "command"? [unknown-key]
            ! connectors.yaml:5:18: error: there is no "g" in functions; known are f [unknown-reference]
            ! connectors.yaml:5:38: error: missing key "topics" in kafka; it must be a list of texts \#
            [missing-key]
            ! connectors.yaml:5:38: error: missing key "group" in kafka; it must be a text [missing-key]
            ! connectors.yaml:5:49: error: "brokers" holds "a", which is not host:port; write it like \#
            kafka-1.internal:9092 [bad-value]
            """#
        ),
    ]
}
