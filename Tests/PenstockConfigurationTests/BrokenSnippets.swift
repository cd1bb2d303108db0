// SPDX-License-Identifier: Apache-2.0

import Testing

/// A configuration with a mistake, followed by what is to be said about it: lines that begin with `! `, in
/// the form `! line:column severity code: message; suggestion`.
struct BrokenSnippet: Sendable, CustomTestStringConvertible {
    let yaml: String
    let findings: [String]

    init(_ text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        self.yaml = lines.filter { !$0.hasPrefix("! ") }.joined(separator: "\n")
        self.findings = lines.filter { $0.hasPrefix("! ") }.map { String($0.dropFirst(2)) }
    }

    var testDescription: String { self.yaml.debugDescription }

    /// Files that are not a YAML mapping.
    static let yaml = [
        #"""

        ! -:- error empty-file: the file holds no configuration; start with `triggers:`
        """#,
        #"""
        # only a comment

        ! -:- error empty-file: the file holds no configuration; start with `triggers:`
        """#,
        #"""
        ~
        ! -:- error empty-file: the file holds no configuration; start with `triggers:`
        """#,
        #"""
        state: a
        ---
        state: b
        ! 2:1 error several-documents: the file holds more than one YAML document; keep one, and remove \#
        the line `---`
        """#,
        #"""
        state: [a, b
        ! 2:1 error bad-syntax: not YAML: did not find expected ',' or ']' while parsing a flow sequence \#
        that starts at line 1
        """#,
        #"""
        state: a
        \#tfunctions: {}
        ! 2:1 error bad-syntax: not YAML: found a tab character that violates indentation while scanning \#
        a plain scalar that starts at line 1; indent with blanks, not with tabs
        """#,
        #"""
        state: a: b
        ! 1:9 error bad-syntax: not YAML: mapping values are not allowed in this context; check the \#
        indent, and put a text that holds `: ` in quotes
        """#,
        #"""
        state: {a: ${X}}
        ! 1:13 error bad-syntax: not YAML: did not find expected ',' or '}' while parsing a flow \#
        mapping; inside { } and [ ] put a placeholder in quotes: "${NAME}"
        """#,
        #"""
        state: "abc
        ! 1:12 error bad-syntax: not YAML: found unexpected end of stream while scanning a quoted \#
        scalar; close the quote
        """#,
        #"""
        state: a
        state: b
        ! 2:1 error duplicate-key: key "state" is given twice, first at line 1; remove one of them
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              command: y
        ! 5:7 error duplicate-key: key "command" is given twice, first at line 4; remove one of them
        """#,
        #"""
        state: &a { x: 1, x: 2 }
        ! 1:13 error duplicate-key: key "x" is given twice; remove one of them
        """#,
        #"""
        ? [a]
        : b
        ! 1:3 error unsupported-yaml: a key must be a text; write it as one word
        """#,
        #"""
        state: !!binary abc
        ! 1:8 error unsupported-yaml: the YAML tag "tag:yaml.org,2002:binary" is not used here; remove \#
        it; each field knows its type
        """#,
        #"""
        state: !mine abc
        ! 1:8 error unsupported-yaml: the YAML tag "!mine" is not used here; remove it; each field knows \#
        its type
        """#,
        #"""
        state: *nothing
        ! 1:8 error bad-syntax: not YAML: found undefined alias; define it with & above
        """#,
        #"""
        functions: { <<: 5 }
        ! 1:18 error unsupported-yaml: the merge key << needs a mapping or a list of mappings; write <<: \#
        *anchor
        """#,
        #"""
        state: a
         batch: b
        ! 2:7 error bad-syntax: not YAML: mapping values are not allowed in this context; check the \#
        indent, and put a text that holds `: ` in quotes
        """#,
        #"""
        state: a\#u{1}b
        ! 1:9 error bad-syntax: not YAML: control characters are not allowed
        """#,
        #"""
        state: "\uD800"
        ! 1:11 error bad-syntax: not YAML: found invalid Unicode character escape code while parsing a \#
        quoted scalar
        """#,
    ].map(BrokenSnippet.init)

    /// Placeholders without a value, and values from outside that do not fit: never shown.
    static let substitution = [
        #"""
        state: ${NOPE}
        ! 1:8 error unset-variable: environment variable NOPE is not set; set it, or give a default: \#
        ${NOPE:-value}
        """#,
        #"""
        state: ${NOPE
        ! 1:8 error bad-substitution: cannot read the placeholder "${NOPE"; write ${NAME}, \#
        ${NAME:-default} or ${file:/path}, and $${ for a literal ${
        """#,
        #"""
        state: ${1X}
        ! 1:8 error bad-substitution: cannot read the placeholder "${1X}"; write ${NAME}, \#
        ${NAME:-default} or ${file:/path}, and $${ for a literal ${
        """#,
        #"""
        state: ${file:/nope}
        ! 1:8 error unreadable-secret: file "/nope" does not exist; check the path and who may read it
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              concurrency: ${WORD}
        ! 5:20 error wrong-type: "concurrency" must be a whole number, not "${WORD}"
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              concurrency: ${BIG}
        ! 5:20 error out-of-range: "concurrency" must be at most 1000, not "${BIG}"
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              environment: { A: [b], DB_PASSWORD: hunter2 }
        ! 5:25 error wrong-type: "A" must be a text, not a list
        ! 5:43 warning literal-secret: "DB_PASSWORD" looks like a secret and stands in the file; take it \#
        from the environment with ${NAME}, or from a file with ${file:/path}
        """#,
        #"""
        state: pre${FOO-BAR}
        ! 1:8 error bad-substitution: cannot read the placeholder "${FOO-BAR}"; write ${NAME}, \#
        ${NAME:-default} or ${file:/path}, and $${ for a literal ${
        """#,
        #"""
        state: ${file:}
        ! 1:8 error unreadable-secret: file "" does not exist; check the path and who may read it
        """#,
        #"""
        functions:
          one:
            http:
              url: http://x
              token: "${WORD:-hunter2}"
        ! 5:14 warning literal-secret: "token" is a secret and stands in the file; take it from the \#
        environment with ${NAME}, or from a file with ${file:/path}
        """#,
        #"""
        functions:
          one:
            http:
              url: ${WORD}
              format: ${WORD}
              verify: ${WORD}
        ! 4:12 error bad-url: "url" must be a URL with https:// or http://, not "${WORD}"
        ! 5:15 error bad-enum: "format" must be lambda or cloudevents, not "${WORD}"
        ! 6:15 error wrong-type: "verify" must be true or false, not "${WORD}"
        """#,
        #"""
        functions:
          f: { local: { command: x } }
        triggers:
          t:
            function: ${WORD}
            source: { kafka: { brokers: a, group: "${BLANK}" } }
            on_failure: ${WORD}
            from: ${WORD}
        ! 5:15 error unknown-reference: there is no "${WORD}" in functions; known are f
        ! 6:43 error bad-value: "group" must be a group without blanks
        ! 7:17 error bad-enum: "on_failure" must be dead_letters or { topic: … }, not "${WORD}"
        ! 8:11 error bad-timestamp: "from" must be a point in time such as 2026-11-23T08:00:00Z, not \#
        "${WORD}"; give date, time and offset (RFC 3339)
        """#,
        #"""
        functions:
          f: { local: { command: x, timeout: "${WORD}", memory: "${WORD}" } }
        ! 2:38 error bad-duration: "timeout" must be a duration such as 500ms, 5s, 10m or 24h, not \#
        "${WORD}"; the units are ms, s, m, h and d, whole numbers, larger units first
        ! 2:57 error bad-size: "memory" must be a size such as 256KiB, 6MB or 512MiB, not "${WORD}"; the \#
        units are B, kB, KiB, MB, MiB, GB, GiB
        """#,
    ].map(BrokenSnippet.init)
}
