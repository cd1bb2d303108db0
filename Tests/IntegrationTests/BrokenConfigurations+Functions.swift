// SPDX-License-Identifier: Apache-2.0

extension BrokenConfiguration {
    /// Mistakes in functions.
    static let functions: [BrokenConfiguration] = [
        .init(
            "functions is a list",
            #"""
            functions: [f]
            ! connectors.yaml:1:12: error: "functions" must be a mapping of names to values, not a list \#
            [wrong-type]
            """#
        ),
        .init(
            "A function has no kind",
            #"""
            functions: { f: {} }
            ! connectors.yaml:1:17: error: "f" needs { local: … }, { http: … } or { lambda: \#
            … } [missing-key]
            """#
        ),
        .init(
            "A function has two kinds",
            #"""
            functions:
              f:
                local: { command: [cat] }
                http: { url: "https://h/" }
            ! connectors.yaml:4:5: error: "f" takes one key, not "local" and "http"; keep one of them [conflict]
            """#
        ),
        .init(
            "A function is of a kind that there is not",
            #"""
            functions: { f: { lambada: {} } }
            ! connectors.yaml:1:19: error: unknown key "lambada" in functions.f; did you mean \#
            "lambda"? [unknown-key]
            """#
        ),
        .init(
            "The name of a function has a capital",
            #"""
            functions: { Resize: { local: { command: [cat] } } }
            ! connectors.yaml:1:14: error: "Resize" cannot be a name; begin with a to z; go on with a to z, 0 to \#
            9, _ and -; at most 63 characters [bad-name]
            """#
        ),
        .init(
            "The command is missing",
            #"""
            functions: { f: { local: { timeout: 5s } } }
            ! connectors.yaml:1:26: error: missing key "command" in local; it must be a list of texts \#
            [missing-key]
            """#
        ),
        .init(
            "The command is empty",
            #"""
            functions: { f: { local: { command: [] } } }
            ! connectors.yaml:1:37: error: "command" must have at least 1 element, not 0 [out-of-range]
            """#
        ),
        .init(
            "The program is not found",
            #"""
            functions: { f: { local: { command: [pyhton3, app.py] } } }
            ! connectors.yaml:1:37: warning: "command" starts nothing here: no program "pyhton3" in PATH \#
            /usr/local/bin:/usr/bin:/bin; install it, give its path, or list PATH in `environment` \#
            [missing-program]
            """#
        ),
        .init(
            "The program is a file that cannot be executed",
            #"""
            functions: { f: { local: { command: [/etc/passwd] } } }
            ! connectors.yaml:1:37: warning: "command" starts nothing here: "/etc/passwd" is not executable; \#
            chmod +x it, or name its interpreter in `command` [missing-program]
            """#
        ),
        .init(
            "The directory does not exist",
            #"""
            functions:
              f:
                local:
                  command: [cat]
                  directory: functions/resize
            ! connectors.yaml:5:18: error: "directory" must be a directory that exists; it is relative to where \#
            penstock is started [conflict]
            """#
        ),
        .init(
            "A duration without a unit",
            #"""
            functions:
              f:
                local:
                  command: [cat]
                  timeout: 30
            ! connectors.yaml:5:16: error: "timeout" must be a duration such as 500ms, 5s, 10m or 24h, not "30"; \#
            a number needs a unit: 30ms, 30s, 30m or 30h [bad-duration]
            """#
        ),
        .init(
            "A duration with a unit that there is not",
            #"""
            functions:
              f:
                local:
                  command: [cat]
                  timeout: 30sec
            ! connectors.yaml:5:16: error: "timeout" must be a duration such as 500ms, 5s, 10m or 24h, not \#
            "30sec"; the units are ms, s, m, h and d, whole numbers, larger units first [bad-duration]
            """#
        ),
        .init(
            "A duration beyond its limit",
            #"""
            functions:
              f:
                local:
                  command: [cat]
                  timeout: 25h
            ! connectors.yaml:5:16: error: "timeout" must be at most 24h, not 25h [out-of-range]
            """#
        ),
        .init(
            "A size with a unit that there is not",
            #"""
            functions:
              f:
                local:
                  command: [cat]
                  memory: 512Mo
            ! connectors.yaml:5:15: error: "memory" must be a size such as 256KiB, 6MB or 512MiB, not "512Mo"; \#
            the units are B, kB, KiB, MB, MiB, GB, GiB [bad-size]
            """#
        ),
        .init(
            "A size below its limit",
            #"""
            functions:
              f:
                local:
                  command: [cat]
                  memory: 1KiB
            ! connectors.yaml:5:15: error: "memory" must be at least 1MiB, not 1KiB [out-of-range]
            """#
        ),
        .init(
            "A number is a text",
            #"""
            functions:
              f:
                local:
                  command: [cat]
                  concurrency: many
            ! connectors.yaml:5:20: error: "concurrency" must be a whole number, not "many" [wrong-type]
            """#
        ),
        .init(
            "A number below its limit",
            #"""
            functions:
              f:
                local:
                  command: [cat]
                  concurrency: 0
            ! connectors.yaml:5:20: error: "concurrency" must be at least 1, not 0 [out-of-range]
            """#
        ),
        .init(
            "A truth value is a word",
            #"""
            functions:
              f:
                local:
                  command: [cat]
                  unix_socket: yes please
            ! connectors.yaml:5:20: error: "unix_socket" must be true or false, not "yes please" [wrong-type]
            """#
        ),
        .init(
            "A variable that Penstock sets itself",
            #"""
            functions:
              f:
                local:
                  command: [cat]
                  environment: { AWS_LAMBDA_RUNTIME_API: here }
            ! connectors.yaml:5:20: error: "environment" must not set AWS_LAMBDA_RUNTIME_API, which Penstock \#
            sets itself; remove it [conflict]
            """#
        ),
        .init(
            "A secret stands in the file",
            #"""
            functions:
              f:
                local:
                  command: [cat]
                  environment: { DB_PASSWORD: hunter2 }
            ! connectors.yaml:5:35: warning: "DB_PASSWORD" looks like a secret and stands in the file; take it \#
            from the environment with ${NAME}, or from a file with ${file:/path} [literal-secret]
            """#
        ),
        .init(
            "A URL without a scheme",
            #"""
            functions:
              f:
                http:
                  url: example.com/hook
            ! connectors.yaml:4:12: error: "url" must be a URL with https:// or http://, not "example.com/hook" \#
            [bad-url]
            """#
        ),
        .init(
            "A URL with a scheme that there is not",
            #"""
            functions:
              f:
                http:
                  url: ftp://example.com/hook
            ! connectors.yaml:4:12: error: "url" must be a URL with https:// or http://, not \#
            "ftp://example.com/hook" [bad-url]
            """#
        ),
        .init(
            "A URL with a secret in its query",
            #"""
            functions:
              f:
                http:
                  url: "https://example.com/hook?mode=a&code-sig=&X-Api-Key=k"
              g:
                http:
                  url: "https://example.com/hook?mode=a&sig=${PENSTOCK_TEST_WORD}"
            ! connectors.yaml:4:12: warning: the URL in "url" holds a secret in its query; take it from the environment \#
            with ${NAME}, or from a file with ${file:/path} [literal-secret]
            """#
        ),
        .init(
            "A URL with a password and without TLS",
            #"""
            functions:
              f:
                http:
                  url: http://me:pw@example.com/hook
            ! connectors.yaml:4:12: warning: the URL in "url" holds a password; take it from the environment \#
            with ${NAME}, or from a file with ${file:/path} [literal-secret]
            ! connectors.yaml:4:12: warning: "url" sends its password unencrypted; use https [conflict]
            """#
        ),
        .init(
            "A format that there is not",
            #"""
            functions:
              f:
                http:
                  url: https://h/x
                  format: cloudevent
            ! connectors.yaml:5:15: error: "format" must be lambda, cloudevents or raw, not "cloudevent"; did \#
            you mean "cloudevents"? [bad-enum]
            """#
        ),
        .init(
            "A header that Penstock sets itself",
            #"""
            functions:
              f:
                http:
                  url: https://h/x
                  headers: { Content-Length: "5" }
            ! connectors.yaml:5:16: error: "headers" must not set "Content-Length", which Penstock sets itself \#
            [conflict]
            """#
        ),
        .init(
            "A header with a line break",
            #"""
            functions:
              f:
                http:
                  url: https://h/x
                  headers: { x-a: "a\nb" }
            ! connectors.yaml:5:16: error: "headers" cannot send "x-a": its name or value holds what headers \#
            must not have; remove line breaks and control characters [bad-value]
            """#
        ),
        .init(
            "A key without its certificate",
            #"""
            functions:
              f:
                http:
                  url: https://h/x
                  tls: { key: key.pem }
            ! connectors.yaml:5:19: error: "key" needs "certificate" beside it [conflict]
            """#
        ),
        .init(
            "TLS without a check",
            #"""
            functions:
              f:
                http:
                  url: https://h/x
                  tls: { verify: false }
            ! connectors.yaml:5:22: warning: "verify" is off: anybody on the way can read and change requests; \#
            name the authority in "ca" instead [conflict]
            """#
        ),
    ]
}
