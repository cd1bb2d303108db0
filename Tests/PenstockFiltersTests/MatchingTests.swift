// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import Testing

@testable import PenstockFilters

@Suite struct MatchingTests {
    @Test("A pattern matches what the language says", arguments: MatchingTable.cases)
    func table(_ one: PatternCase) {
        let read = ReadPattern(one.pattern)
        #expect(!read.findings.hasErrors, "\(read.lines)")
        #expect(matches(one.pattern, one.event) == (one.isMatch ? .match(0) : .noMatch))
    }

    @Test("The table has at least 400 cases, and no case twice")
    func tableSize() {
        #expect(MatchingTable.cases.count >= 400)
        #expect(Set(MatchingTable.cases.map { $0.pattern + $0.event }).count == MatchingTable.cases.count)
    }

    @Test("Of several patterns one is enough, and the first that matches is named")
    func several() throws {
        let patterns = try [#"{"a":[1]}"#, #"{"a":[2],"b":[1]}"#, #"{"b":[1]}"#].map {
            try #require(ReadPattern($0).pattern)
        }
        let matcher = PatternMatcher(patterns)
        #expect(matcher.match(Array(#"{"a":2,"b":1}"#.utf8)) == .match(1))
        #expect(matcher.match(Array(#"{"a":3,"b":1}"#.utf8)) == .match(2))
        #expect(matcher.match(Array(#"{"a":3}"#.utf8)) == .noMatch)
        #expect(matcher.match(Array(#"{"a":1}"#.utf8)) == .match(0))
    }

    @Test(
        "What is not a JSON object is told from what does not match",
        arguments: [
            "", " ", "x", "1", "\"a\"", "null", "[]", "[{\"a\":1}]", "{", "}", "{}{}", "{} x", "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}", "{,}", "{\"a\":1 \"b\":2}", "{\"a\" 1}", "{a:1}", "{'a':1}", "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}", "{\"a\":+1}", "{\"a\":-}", "{\"a\":1e}", "{\"a\":1x}", "{\"a\":tru}",
            "{\"a\":True}",
            "{\"a\":nul\"l\"}", "{\"a\":\"\\q\"}", "{\"a\":\"\\u12g4\"}", "{\"a\":\"\\\"}", "{\"a\":\"x}",
            "{\"a\":\"\u{1}\"}", "{\"a\":[1,]}", "{\"a\":[1 2]}", "{\"a\":[1}", "{\"a\":{]}",
            "{\"a\":\"b\"\"c\"}",
            "{\"a\":\"b\"c}", "{\"b\":[[}]]}", "{\"b\":[:]}", "{\"b\":[{]}}", "{\"b\":\"\\u\"}",
            "{\"\\x\":1}",
            "{\"a\":1}\u{0}", "{\"a\":NaN}", "{\"a\":1,\"a\"}", "{\"a\":--1}", "{\"b\":{\"c\" \"d\"}}",
            "{\"a\"::1}",
        ]
    )
    func malformed(text: String) {
        #expect(matches(#"{"a":[1]}"#, text) == .unreadable)
        #expect(matches(#"{"z":{"y":[{"exists":false}]}}"#, text) == .unreadable)
    }

    @Test("Bytes that are not UTF-8 are not JSON")
    func notUTF8() throws {
        let pattern = try #require(ReadPattern(#"{"a":[1]}"#).pattern)
        let event = Array(#"{"a":1,"b":""#.utf8) + [0xC3, 0x28] + Array("\"}".utf8)
        #expect(PatternMatcher([pattern]).match(event) == .unreadable)
    }

    @Test("Nesting is followed down to 512 levels and refused below, without a crash")
    func nesting() {
        func nested(_ depth: Int, _ open: String, _ close: String) -> String {
            let text = String(repeating: open, count: depth) + "1" + String(repeating: close, count: depth)
            return "{\"a\":\(text),\"b\":1}"
        }
        for pattern in [#"{"b":[1]}"#, #"{"a":[1],"b":[1]}"#] {
            #expect(matches(pattern, nested(511, "[", "]")) == .match(0))
            #expect(matches(pattern, nested(512, "[", "]")) == .unreadable)
            #expect(matches(pattern, nested(200_000, "[", "]")) == .unreadable)
        }
        #expect(matches(#"{"b":[1]}"#, nested(511, "{\"a\":", "}")) == .match(0))
        #expect(matches(#"{"b":[1]}"#, nested(512, "{\"a\":", "}")) == .unreadable)
        #expect(matches(#"{"b":[1]}"#, "{\"a\":" + String(repeating: "[", count: 100_000)) == .unreadable)
    }

    @Test("Large documents are matched to their last byte")
    func large() {
        let filler = (0..<20_000).map { "\"field\($0)\":[\($0),\"\\u00e4text\",{\"x\":null}]" }.joined(
            separator: ","
        )
        #expect(matches(#"{"z":["end"]}"#, "{\(filler),\"z\":\"end\"}") == .match(0))
        #expect(
            matches(#"{"field19999":{"x":[null]},"z":["end"]}"#, "{\(filler),\"z\":\"end\"}") == .match(0)
        )
        #expect(matches(#"{"z":["end"]}"#, "{\(filler),\"z\":\"en\"}") == .noMatch)
        let long = String(repeating: "x", count: 1 << 20)
        #expect(matches(#"{"z":[{"suffix":"xy"}]}"#, "{\"z\":\"\(long)y\"}") == .match(0))
        #expect(matches(#"{"z":[{"suffix":"xy"}]}"#, "{\"z\":\"\(long)\\u0079\"}") == .match(0))
    }

    @Test("A wildcard with many stars takes no longer for a text that nearly fits")
    func wildcardTime() {
        let stars = String(repeating: "a*", count: 200) + "b"
        let text = String(repeating: "a", count: 50_000)
        // Backtracking would take longer than the universe is old.
        #expect(matches(#"{"a":[{"wildcard":"\#(stars)"}]}"#, "{\"a\":\"\(text)\"}") == .noMatch)
        #expect(matches(#"{"a":[{"wildcard":"\#(stars)"}]}"#, "{\"a\":\"\(text)b\"}") == .match(0))
    }

    @Test("Every beginning of a valid document, and every document with one byte changed, gives an answer")
    func truncated() throws {
        let document = #"{"a":{"b":["x\u00e9\n",1.5e3,{"c":null}],"d":true},"e":[[],{}],"f":"g\\"}"#
        let bytes = Array(document.utf8)
        let pattern = #"{"a":{"b":[1500],"d":[{"exists":false}]},"e":{"c":["x"]},"f":[{"wildcard":"*g*"}]}"#
        let matcher = PatternMatcher([try #require(ReadPattern(pattern).pattern)])
        for count in 0..<bytes.count {
            #expect(matcher.match(Array(bytes[..<count])) == .unreadable)
        }
        for index in bytes.indices {
            for byte in ["\"", "\\", "{", "}", "[", "]", ",", ":", "0", "x", " ", "\u{0}"].compactMap(
                \.utf8.first
            ) {
                var changed = bytes
                changed[index] = byte
                let isJSON = ReferenceMatcher.isObject(changed)
                #expect(
                    (matcher.match(changed) != .unreadable) == isJSON,
                    "\(String(decoding: changed, as: UTF8.self))"
                )
            }
        }
    }
}
