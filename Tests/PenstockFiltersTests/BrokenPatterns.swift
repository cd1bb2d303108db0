// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import Testing

@testable import PenstockFilters

/// A pattern in JSON and all that is said about it.
struct BrokenPattern: Sendable, CustomTestStringConvertible {
    let json: String
    let lines: [String]

    init(_ json: String, _ lines: String...) {
        self.json = json
        self.lines = lines
    }

    var testDescription: String { self.json }

    private static let operators =
        "the operators are exactly, exists, prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, cidr"
    private static let numeric = #"write it like [">", 0, "<=", 5]"#
    private static let cidr = "write it like 10.0.0.0/24 or 2001:db8::/32"
    private static let negated =
        "\"anything-but\" takes one of prefix, suffix, equals-ignore-case, wildcard, not"

    static let structures = [
        BrokenPattern("", "1:1 not JSON: the text ends too early"),
        BrokenPattern("{", "1:2 not JSON: the text ends too early"),
        BrokenPattern("{\n  \"a\": [1,\n  ]}", "3:3 not JSON: a value is expected here"),
        BrokenPattern("{\"ä\": [x]}", "1:8 not JSON: \"x\" is neither a value nor in quotes"),
        BrokenPattern("{\"a\": [1] \"b\"}", "1:11 not JSON: a comma or } is expected here"),
        BrokenPattern("{a: [1]}", "1:2 not JSON: a key in quotes is expected here"),
        BrokenPattern("{} {}", "1:4 not JSON: the text goes on behind its value"),
        BrokenPattern(
            "{\"a\(String(repeating: ".a", count: 5000))\": [1]}",
            "1:10007 the field is 5001 steps deep, and 256 is the limit; a dot in a name is a step"
        ),
        BrokenPattern("[]", "1:1 a pattern must be a mapping of fields, not a list"),
        BrokenPattern("null", "1:1 a pattern must be a mapping of fields, not null"),
        BrokenPattern(
            "\"x\"",
            "1:1 a pattern must be a mapping of fields, not \"x\"; write it as a mapping; "
                + "a pattern in JSON may stand here without quotes around it"
        ),
        BrokenPattern("{}", "1:1 the pattern is empty; name at least one field"),
        BrokenPattern(
            #"{"a": {}}"#,
            #"1:7 "a" is an empty mapping; name a field in it, or use [{"exists": true}] for any value"#
        ),
        BrokenPattern(
            #"{"a": "x"}"#,
            #"1:7 "a" must be a list of values or a mapping of fields, not "x"; write ["x"]"#
        ),
        BrokenPattern(
            #"{"a": 5}"#,
            #"1:7 "a" must be a list of values or a mapping of fields, not 5; write [5]"#
        ),
        BrokenPattern(
            #"{"a": null}"#,
            #"1:7 "a" must be a list of values or a mapping of fields, not null; write [null]"#
        ),
        BrokenPattern(#"{"a": []}"#, #"1:7 "a" is an empty list; name at least one value"#),
        BrokenPattern(
            #"{"a": [["x"]]}"#,
            "1:8 a value must be a text, a number, true, false, null or an operator, not a list; "
                + "write the values into the outer list"
        ),
        BrokenPattern(
            "{\"a\": {\"b\": 1,\n\"c\": []}, \"d\": [{}]}",
            #"1:13 "b" must be a list of values or a mapping of fields, not 1; write [1]"#,
            #"2:6 "c" is an empty list; name at least one value"#,
            #"2:17 the operator is missing; write one operator into it, such as {"prefix": "a"}"#
        ),
        BrokenPattern(
            #"{"a": [1], "a": [2]}"#,
            #"1:12 warning: "a" has a condition already, which this one replaces; put both into one list, or remove one"#
        ),
        BrokenPattern(#"{"$or": []}"#, #"1:9 "$or" is an empty list; give it at least two patterns"#),
        BrokenPattern(
            #"{"$or": [{"a": [1]}]}"#,
            #"1:11 unknown operator "a"; $or needs at least two patterns, none with an operator's name for a field"#
        ),
        BrokenPattern(#"{"$or": [{"a": [1]}, {}]}"#, "1:22 the pattern is empty; name at least one field"),
        BrokenPattern(
            #"{"$or": [{"a": [1]}, {"prefix": ["x"]}]}"#,
            #"1:11 unknown operator "a"; $or needs at least two patterns, none with an operator's name for a field"#,
            #"1:33 "prefix" must be a text, not a list"#
        ),
        BrokenPattern(
            "{" + (0..<10).map { "\"\($0)\":{\"$or\":[{\"a\":[1]},{\"b\":[1]}]}" }.joined(separator: ",")
                + "}",
            "1:330 $or multiplies out to more than 1000 combinations; make several filters of it"
        ),
        BrokenPattern(
            "{" + (0..<10).map { "\"\($0)\":[1,{\"exists\":false}]" }.joined(separator: ",") + "}",
            "1:1 $or, and lists with both values and {\"exists\": false}, multiply out to more than 1000 combinations; "
                + "make several filters of it"
        ),
    ]

    static let rules = [
        BrokenPattern(
            #"{"a": [{"prefix": "x", "suffix": "y"}]}"#,
            #"1:8 only one operator may stand in an object, not "prefix", "suffix"; "#
                + "write each into an object of its own; any one of a list is enough"
        ),
        BrokenPattern(#"{"a": [{"prefx": "x"}]}"#, #"1:9 unknown operator "prefx"; did you mean "prefix"?"#),
        BrokenPattern(#"{"a": [{"regex": "x"}]}"#, #"1:9 unknown operator "regex"; \#(Self.operators)"#),
        BrokenPattern(
            #"{"a": [{"exactly": 5}]}"#,
            #"1:20 "exactly" must be a text, not 5; put it in quotes"#
        ),
        BrokenPattern(#"{"a": [{"prefix": null}]}"#, #"1:19 "prefix" must be a text, not null"#),
        BrokenPattern(#"{"a": [{"prefix": ["x"]}]}"#, #"1:19 "prefix" must be a text, not a list"#),
        BrokenPattern(
            #"{"a": [{"suffix": true}]}"#,
            #"1:19 "suffix" must be a text, not true; put it in quotes"#
        ),
        BrokenPattern(
            #"{"a": [{"prefix": {"wildcard": "x"}}]}"#,
            #"1:19 "prefix" takes a text, or an object with "equals-ignore-case" alone; "#
                + #"write {"prefix": {"equals-ignore-case": "a"}}"#
        ),
        BrokenPattern(
            #"{"a": [{"suffix": {}}]}"#,
            #"1:19 "suffix" takes a text, or an object with "equals-ignore-case" alone; "#
                + #"write {"suffix": {"equals-ignore-case": "a"}}"#
        ),
        BrokenPattern(
            #"{"a": [{"suffix": {"equals-ignore-case": 1}}]}"#,
            #"1:42 "equals-ignore-case" must be a text, not 1; put it in quotes"#
        ),
        BrokenPattern(
            #"{"a": [{"equals-ignore-case": ["x"]}]}"#,
            #"1:31 "equals-ignore-case" must be a text, not a list"#
        ),
        BrokenPattern(#"{"a": [{"exists": "true"}]}"#, #"1:19 "exists" must be true or false, not "true""#),
        BrokenPattern(#"{"a": [{"exists": [true]}]}"#, #"1:19 "exists" must be true or false, not a list"#),
        BrokenPattern(
            #"{"a": [{"wildcard": "a**b"}]}"#,
            "1:21 two stars stand side by side in the wildcard, at byte 2; write one; "
                + "it stands for any number of characters"
        ),
        BrokenPattern(
            #"{"a": [{"wildcard": "a\\b"}]}"#,
            #"1:21 the backslash in the wildcard at byte 2 escapes neither * nor \; write \\ for a backslash itself"#
        ),
        BrokenPattern(
            #"{"a": [{"wildcard": "a\\"}]}"#,
            #"1:21 the backslash in the wildcard at byte 2 escapes neither * nor \; write \\ for a backslash itself"#
        ),
        BrokenPattern(#"{"a": [{"wildcard": {}}]}"#, #"1:21 "wildcard" must be a text, not a mapping"#),
        BrokenPattern(
            #"{"a": [{"cidr": "10.0.0.0"}]}"#,
            #"1:17 "10.0.0.0" has no length behind one slash; \#(Self.cidr)"#
        ),
        BrokenPattern(
            #"{"a": [{"cidr": "10.0.0/8"}]}"#,
            #"1:17 "10.0.0/8" does not begin with an IP address; \#(Self.cidr)"#
        ),
        BrokenPattern(
            #"{"a": [{"cidr": "10.0.0.0/33"}]}"#,
            #"1:17 the length in "10.0.0.0/33" is not a whole number from 0 to 32; \#(Self.cidr)"#
        ),
        BrokenPattern(
            #"{"a": [{"cidr": "::/-1"}]}"#,
            #"1:17 the length in "::/-1" is not a whole number from 0 to 128; \#(Self.cidr)"#
        ),
        BrokenPattern(#"{"a": [{"cidr": 10}]}"#, #"1:17 "cidr" must be a text, not 10; put it in quotes"#),
        BrokenPattern(
            #"{"a": [{"anything-but": []}]}"#,
            #"1:25 "anything-but" has an empty list; name a value"#
        ),
        BrokenPattern(
            #"{"a": [{"anything-but": ["x", 1]}]}"#,
            #"1:25 "anything-but" may list texts or numbers, not both; write two filters, or quote the numbers"#
        ),
        BrokenPattern(
            #"{"a": [{"anything-but": null}]}"#,
            #"1:25 "anything-but" takes texts or numbers, not null"#
        ),
        BrokenPattern(
            #"{"a": [{"anything-but": [true]}]}"#,
            #"1:26 "anything-but" takes texts or numbers, not true"#
        ),
        BrokenPattern(#"{"a": [{"anything-but": {}}]}"#, "1:25 \(Self.negated) nothing"),
        BrokenPattern(
            #"{"a": [{"anything-but": {"numeric": ["=", 1]}}]}"#,
            "1:37 \(Self.negated) \"numeric\""
        ),
        BrokenPattern(
            #"{"a": [{"anything-but": {"prefix": ""}}]}"#,
            "1:36 an empty prefix is that of every text, so that nothing would match; name at least one character"
        ),
        BrokenPattern(
            #"{"a": [{"anything-but": {"suffix": ["x", ""]}}]}"#,
            "1:42 an empty suffix is that of every text, so that nothing would match; name at least one character"
        ),
        BrokenPattern(
            #"{"a": [{"anything-but": {"prefix": []}}]}"#,
            #"1:36 "prefix" has an empty list; name a text"#
        ),
        BrokenPattern(
            #"{"a": [{"anything-but": {"wildcard": 5}}]}"#,
            #"1:38 "wildcard" must be a text, not 5; put it in quotes"#
        ),
        BrokenPattern(
            #"{"a": [{"numeric": 5}]}"#,
            #"1:20 "numeric" must be a list of comparisons, not 5; \#(Self.numeric)"#
        ),
        BrokenPattern(
            #"{"a": [{"numeric": [">"]}]}"#,
            #"1:20 "numeric" takes one comparison or two, each a sign and a number; \#(Self.numeric)"#
        ),
        BrokenPattern(
            #"{"a": [{"numeric": ["!=", 5]}]}"#,
            #"1:21 "!=" is not a comparison that can stand here; use one of = < <= > >="#
        ),
        BrokenPattern(#"{"a": [{"numeric": [">", "5"]}]}"#, #"1:26 > must be followed by a number, not "5""#),
        BrokenPattern(
            #"{"a": [{"numeric": [">", -2e422]}, {"numeric": ["=", 1E-325]}, {"numeric": ["=", 0.0e-999]}]}"#,
            "1:26 -2e422 cannot be compared; numbers go up to about 1.8e308, and down to 5e-324",
            "1:54 1E-325 cannot be compared; numbers go up to about 1.8e308, and down to 5e-324"
        ),
        BrokenPattern(
            #"{"a": [{"numeric": ["<", 5, ">", 1]}]}"#,
            "1:21 a second comparison can only follow > or >=; \(Self.numeric)"
        ),
        BrokenPattern(
            #"{"a": [{"numeric": [">", 0, ">", 1]}]}"#,
            #"1:29 ">" is not a comparison that can stand here; use one of < <="#
        ),
        BrokenPattern(
            #"{"a": [{"numeric": [">", 5, "<", 5]}]}"#,
            "1:34 no number is > 5 and < 5; the lower bound comes first"
        ),
        BrokenPattern(
            #"{"a": [{"numeric": [">=", 5, "<=", -1e2]}]}"#,
            "1:36 no number is >= 5 and <= -1e2; the lower bound comes first"
        ),
    ]
}

@Suite struct BrokenPatternTests {
    @Test(
        "A broken pattern is told with its place, all findings at once",
        arguments: BrokenPattern.structures
    )
    func structures(_ broken: BrokenPattern) {
        #expect(ReadPattern(broken.json).lines == broken.lines)
    }

    @Test("A broken rule is told with its place and the way out", arguments: BrokenPattern.rules)
    func rules(_ broken: BrokenPattern) {
        #expect(ReadPattern(broken.json).lines == broken.lines)
    }

    @Test("A pattern in YAML has the same findings, at its own places")
    func yaml() throws {
        let text = "value:\n  status: paid\n  total: [+5, .5, 0x1F, 5]\n  ok: [yes, ~, 5.0, \"5\"]\n"
        let loader = ConfigurationLoader(environment: { _ in nil }, readFile: { _, _ in [] })
        var findings: [Finding] = []
        let document = loader.parse(text, file: "p.yaml")
        #expect(EventPattern(document.root, path: .root, findings: &findings) == nil)
        #expect(
            findings.map(\.description) == [
                "p.yaml:2:11: error: \"status\" must be a list of values or a mapping of fields, not \"paid\"; "
                    + "write [\"paid\"] [bad-pattern]",
                "p.yaml:3:11: error: +5 is not a number in JSON's form; write it in JSON's form, or in quotes if it is "
                    + "a text [bad-pattern]",
                "p.yaml:3:15: error: .5 is not a number in JSON's form; write it in JSON's form, or in quotes if it is "
                    + "a text [bad-pattern]",
                "p.yaml:3:19: error: 0x1F is not a number in JSON's form; write it in JSON's form, or in quotes if it is "
                    + "a text [bad-pattern]",
            ]
        )
    }
}
