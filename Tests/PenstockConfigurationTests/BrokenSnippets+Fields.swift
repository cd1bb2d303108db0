// SPDX-License-Identifier: Apache-2.0

extension BrokenSnippet {
    /// Keys, names and references.
    static let structure = [
        #"""
        stat: x
        ! 1:1 error unknown-key: unknown key "stat" in the configuration; did you mean "state"?
        """#,
        #"""
        zzzzzz: x
        ! 1:1 error unknown-key: unknown key "zzzzzz" in the configuration; its keys are state, \#
        functions, triggers
        """#,
        #"""
        x-mine: 1
        y-mine: 2
        ! 2:1 error unknown-key: unknown key "y-mine" in the configuration; its keys are state, \#
        functions, triggers
        """#,
        #"""
        functions:
          Bad Name: { local: { command: x } }
        ! 2:3 error bad-name: "Bad Name" cannot be a name; begin with a to z; go on with a to z, 0 to 9, \#
        _ and -; at most 63 characters
        """#,
        #"""
        functions:
          one: { lambda: {} }
        ! 2:10 error unknown-key: unknown key "lambda" in functions.one; use one of local, http
        """#,
        #"""
        functions:
          one: { locl: { command: x } }
        ! 2:10 error unknown-key: unknown key "locl" in functions.one; did you mean "local"?
        """#,
        #"""
        functions:
          one: { local: { command: x }, http: { url: http://x } }
        ! 2:33 error conflict: "one" takes one key, not "local" and "http"; keep one of them
        """#,
        #"""
        functions:
          one: {}
        ! 2:8 error missing-key: "one" needs { local: … } or { http: … }
        """#,
        #"""
        functions:
          one:
        ! 2:7 error missing-key: "one" needs { local: … } or { http: … }
        """#,
        #"""
        functions:
          one:
            local:
        ! 3:11 error missing-key: missing key "command" in local; it must be a list of texts
        """#,
        #"""
        triggers:
          t:
            function: nope
            source: { kafka: { brokers: a, group: g } }
        ! 3:15 error unknown-reference: there is no "nope" in functions; functions is empty
        """#,
        #"""
        triggers:
          t:
            source: { kafka: { brokers: a, group: g } }
        ! 3:5 error missing-key: missing key "function" in trigger; it must be a name from functions
        """#,
        #"""
        functions:
          f: { local: { command: x } }
        triggers:
          t:
            function: g
            source: kafka
            on_failure: dead_leters
            from: yesterday
            factor: 11
            batch: { window: 0s }
            filters: 5
        ! 5:15 error unknown-reference: there is no "g" in functions; known are f
        ! 6:13 error wrong-type: "source" must be { kafka: … }, not "kafka"; write { kafka: … }
        ! 7:17 error bad-enum: "on_failure" must be dead_letters or { topic: … }, not "dead_leters"; did \#
        you mean "dead_letters"?
        ! 8:11 error bad-timestamp: "from" must be a point in time such as 2026-11-23T08:00:00Z, not \#
        "yesterday"; give date, time and offset (RFC 3339)
        ! 9:13 error out-of-range: "factor" must be at most 10, not 11
        ! 10:22 error conflict: "window" must be more than 0s when size is more than 1; give it 500ms
        ! 11:14 error wrong-type: "filters" must be a list, not "5"
        """#,
        #"""
        functions:
          f: { local: { command: x } }
        triggers:
          t:
            function: f
            source: { kafka: { brokers: [a, b, c, d], group: a b } }
            on_failure: { topics: x }
            from: 2026-02-30T00:00:00Z
            factor: 1e1
            batch: [1]
            filters: [1,2,3,4,5,6]
        ! 6:33 error out-of-range: "brokers" must have at most 3 elements, not 4
        ! 6:54 error bad-value: "group" must be a group without blanks: it has a blank
        ! 7:19 error unknown-key: unknown key "topics" in triggers.t.on_failure; did you mean "topic"?
        ! 8:11 error bad-timestamp: "from" must be a point in time such as 2026-11-23T08:00:00Z, not \#
        "2026-02-30T00:00:00Z"; give date, time and offset (RFC 3339)
        ! 9:13 error wrong-type: "factor" must be a number, not "1e1"
        ! 10:12 error wrong-type: "batch" must be a mapping, not a list
        ! 11:14 error out-of-range: "filters" must have at most 5 elements, not 6
        """#,
        #"""
        functions:
          f: { local: { comand: x, timeuot: 5s } }
        ! 2:15 error missing-key: missing key "command" in local; it must be a list of texts
        ! 2:17 error unknown-key: unknown key "comand" in local; did you mean "command"?
        ! 2:28 error unknown-key: unknown key "timeuot" in local; did you mean "timeout"?
        """#,
    ].map(BrokenSnippet.init)

    /// Values that their fields cannot read.
    static let values = [
        #"""
        - a
        - b
        ! 1:1 error wrong-type: the file must hold a mapping, not a list; begin with a key such as `state:`
        """#,
        #"""
        just words
        ! 1:1 error wrong-type: the file must hold a mapping, not a text; begin with a key such as `state:`
        """#,
        #"""
        state:
        ! 1:7 error wrong-type: "state" has no value, and must be a text; give it one, or remove the key
        """#,
        #"""
        state: [a]
        ! 1:8 error wrong-type: "state" must be a text, not a list
        """#,
        #"""
        state: { a: b }
        ! 1:8 error wrong-type: "state" must be a text, not a mapping
        """#,
        #"""
        functions: []
        ! 1:12 error wrong-type: "functions" must be a mapping of names to values, not a list
        """#,
        #"""
        functions:
          one: local
        ! 2:8 error wrong-type: "one" must be { local: … } or { http: … }, not "local"; write { local: … }
        """#,
        #"""
        functions:
          one: [local]
        ! 2:8 error wrong-type: "one" must be { local: … } or { http: … }, not a list
        """#,
        #"""
        functions:
          one: { local: { command: [] } }
        ! 2:28 error out-of-range: "command" must have at least 1 element, not 0
        """#,
        #"""
        functions:
          one: { local: { command: [a, [b]] } }
        ! 2:32 error wrong-type: "command" must be a text, not a list
        """#,
        #"""
        functions:
          one: { local: { command: { a: b } } }
        ! 2:28 error wrong-type: "command" must be a list of texts, not a mapping
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              timeout: 30
        ! 5:16 error bad-duration: "timeout" must be a duration such as 500ms, 5s, 10m or 24h, not "30"; \#
        a number needs a unit: 30ms, 30s, 30m or 30h
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              timeout: 1.5s
        ! 5:16 error bad-duration: "timeout" must be a duration such as 500ms, 5s, 10m or 24h, not \#
        "1.5s"; the units are ms, s, m, h and d, whole numbers, larger units first
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              timeout: 30m1h
        ! 5:16 error bad-duration: "timeout" must be a duration such as 500ms, 5s, 10m or 24h, not \#
        "30m1h"; the units are ms, s, m, h and d, whole numbers, larger units first
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              timeout: 1h
        ! 5:16 error out-of-range: "timeout" must be at most 15m, not 1h
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              timeout: 1ms
        ! 5:16 error out-of-range: "timeout" must be at least 100ms, not 1ms
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              memory: 512
        ! 5:15 error out-of-range: "memory" must be at least 1MiB, not 512B
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              memory: 512Mi
        ! 5:15 error bad-size: "memory" must be a size such as 256KiB, 6MB or 512MiB, not "512Mi"; the \#
        units are B, kB, KiB, MB, MiB, GB, GiB
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              memory: 99999999999999TiB
        ! 5:15 error bad-size: "memory" must be a size such as 256KiB, 6MB or 512MiB, not \#
        "99999999999999TiB"; the units are B, kB, KiB, MB, MiB, GB, GiB
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              concurrency: "5"
        ! 5:20 error wrong-type: "concurrency" must be a whole number, not "5"; write it without quotes
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              concurrency: five
        ! 5:20 error wrong-type: "concurrency" must be a whole number, not "five"
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              concurrency: 0
        ! 5:20 error out-of-range: "concurrency" must be at least 1, not 0
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              concurrency: 007
        ! 5:20 error wrong-type: "concurrency" must be a whole number, not "007"
        """#,
        #"""
        functions:
          one:
            local:
              command: x
              environment: [A]
        ! 5:20 error wrong-type: "environment" must be a mapping of names to values, not a list
        """#,
        #"""
        functions:
          one:
            http:
              url: example.com
        ! 4:12 error bad-url: "url" must be a URL with https:// or http://, not "example.com"
        """#,
        #"""
        functions:
          one:
            http:
              url: ftp://example.com
        ! 4:12 error bad-url: "url" must be a URL with https:// or http://, not "ftp://example.com"
        """#,
        #"""
        functions:
          one:
            http:
              url: https://example.com:99999/
        ! 4:12 error bad-url: "url" must be a URL with https:// or http://, not "https://example.com:99999/"
        """#,
        #"""
        functions:
          one:
            http:
              url: https://u:hunter2@example.com/
        ! 4:12 warning literal-secret: the URL in "url" holds a password; take it from the environment \#
        with ${NAME}, or from a file with ${file:/path}
        """#,
        #"""
        functions:
          one:
            http:
              url: https://u:hunter2@example.com :1/
        ! 4:12 error bad-url: "url" must be a URL with https:// or http://, not another value
        """#,
        #"""
        functions:
          one:
            http:
              url: http://x
              format: cloudevent
        ! 5:15 error bad-enum: "format" must be lambda or cloudevents, not "cloudevent"; did you mean \#
        "cloudevents"?
        """#,
        #"""
        functions:
          one:
            http:
              url: http://x
              format: 5
        ! 5:15 error bad-enum: "format" must be lambda or cloudevents, not "5"
        """#,
        #"""
        functions:
          one:
            http:
              url: http://x
              verify: yes
        ! 5:15 error wrong-type: "verify" must be true or false, not "yes"; write true
        """#,
        #"""
        functions:
          one:
            http:
              url: http://x
              verify: maybe
        ! 5:15 error wrong-type: "verify" must be true or false, not "maybe"
        """#,
        #"""
        functions:
          one:
            http:
              url: http://x
              token: hunter2
        ! 5:14 warning literal-secret: "token" is a secret and stands in the file; take it from the \#
        environment with ${NAME}, or from a file with ${file:/path}
        """#,
        #"""
        functions:
          one:
            http:
              url: http://x
              token: [hunter2]
        ! 5:14 error wrong-type: "token" must be a text, not a list
        """#,
        #"""
        functions:
          a: &x { local: { command: x, timeout: 5 } }
          b: *x
        ! 2:41 error bad-duration: "timeout" must be a duration such as 500ms, 5s, 10m or 24h, not "5"; \#
        a number needs a unit: 5ms, 5s, 5m or 5h
        """#,
        #"""
        functions:
          one:
            http:
              url: http://x
              token:
        ! 5:13 error wrong-type: "token" has no value, and must be a text; give it one, or remove the key
        """#,
        #"""
        functions:
          one:
            http:
              url: http://x
              verify: "true"
        ! 5:15 error wrong-type: "verify" must be true or false, not "true"; write it without quotes
        """#,
    ].map(BrokenSnippet.init)
}
