// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import PenstockCore
import Testing

@Suite struct UnitTests {
    @Test(
        "Durations are read, and written in their shortest form",
        arguments: [
            ("500ms", 500, "500ms"), ("5s", 5000, "5s"), ("10m", 600_000, "10m"), ("24h", 86_400_000, "24h"),
            ("1h30m", 5_400_000, "1h30m"), ("90m", 5_400_000, "1h30m"), ("7d", 604_800_000, "168h"),
            ("0s", 0, "0s"), ("0ms", 0, "0s"), ("1500ms", 1500, "1s500ms"),
            ("1d1h1m1s1ms", 90_061_001, "25h1m1s1ms"),
        ]
    )
    func readsDurations(text: String, milliseconds: Int, shortest: String) {
        let duration = Duration(configurationText: text)
        #expect(duration == .milliseconds(milliseconds))
        #expect(duration?.configurationText == shortest)
    }

    @Test(
        "What is not a duration is refused",
        arguments: [
            "", "5", "s", "5 s", "1.5s", "-5s", "+5s", "5S", "5sec", "5m5h", "5s5s", "5us", "٥s",
            "99999999999999999999s",
            "9223372036854775807d", "36501d", "5s ", "1e3s",
        ]
    )
    func refusesDurations(text: String) {
        #expect(Duration(configurationText: text) == nil)
    }

    @Test("Any duration to the millisecond is read back as it was written") func durationsComeBack() {
        var generator = SeededGenerator(seed: 7)
        for bits in 0..<41 {
            for _ in 0..<50 {
                let milliseconds = Int64.random(in: 0...(1 << bits), using: &generator)
                let duration = Duration.milliseconds(milliseconds)
                let text = duration.configurationText
                #expect(Duration(configurationText: text) == duration, "\(text)")
            }
        }
    }

    @Test("What is finer than a millisecond is cut off, and a negative duration keeps its sign")
    func roundsDown() {
        #expect(Duration.microseconds(1999).configurationText == "1ms")
        #expect(Duration.microseconds(3).configurationText == "0s")
        #expect(Duration.seconds(-90).configurationText == "-1m30s")
    }

    @Test(
        "Sizes are read, and written in their shortest form",
        arguments: [
            ("256KiB", 262_144, "256KiB"), ("6MB", 6_000_000, "6MB"), ("512MiB", 536_870_912, "512MiB"),
            ("1024", 1024, "1KiB"), ("0", 0, "0B"), ("1kB", 1000, "1kB"), ("1KB", 1000, "1kB"),
            ("1500B", 1500, "1500B"),
            ("2TiB", 2 << 40, "2TiB"), ("3TB", 3_000_000_000_000, "3TB"), ("1024KiB", 1 << 20, "1MiB"),
        ]
    )
    func readsSizes(text: String, bytes: Int, shortest: String) {
        #expect(ByteSize.parse(text) == bytes)
        #expect(ByteSize.text(bytes) == shortest)
    }

    @Test(
        "What is not a size is refused",
        arguments: [
            "", "MB", "-1MB", "1.5MB", "1 MB", "1mb", "1M", "1Mi", "99999999TiB", "99999999999999999999",
            "٥MB",
        ]
    )
    func refusesSizes(text: String) {
        #expect(ByteSize.parse(text) == nil)
    }

    @Test("Any size is read back as it was written") func sizesComeBack() {
        var generator = SeededGenerator(seed: 8)
        for bits in 0..<62 {
            for factor in [1, 1000, 1024] {
                let bytes = Int.random(in: 0...(1 << bits), using: &generator) / factor * factor
                #expect(ByteSize.parse(ByteSize.text(bytes)) == bytes)
            }
        }
    }

    @Test(
        "Points in time are read, and written in UTC",
        arguments: [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            ("2026-11-23T08:00:00.250+01:00", 1_795_417_200_250, "2026-11-23T07:00:00.250Z"),
            ("2024-02-29T23:59:60Z", 1_709_251_200_000, "2024-03-01T00:00:00Z"),
            ("2000-02-29t00:00:00z", 951_782_400_000, "2000-02-29T00:00:00Z"),
            ("1969-12-31 19:00:00.9999-05:00", 999, "1970-01-01T00:00:00.999Z"),
            ("1900-03-01T00:00:00Z", -2_203_891_200_000, "1900-03-01T00:00:00Z"),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000, "0001-01-01T00:00:00Z"),
        ]
    )
    func readsTimestamps(text: String, milliseconds: Int64, inUTC: String) {
        #expect(Timestamp(configurationText: text) == Timestamp(milliseconds: milliseconds))
        #expect(Timestamp(milliseconds: milliseconds).configurationText == inUTC)
    }

    @Test(
        "What is no point in time is refused",
        arguments: [
            "", "2026-11-23", "2026-11-23T08:00:00", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z", "2026-04-31T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00Zx",
            "20260101T000000Z", "2026-01-01T00:00:00é",
        ]
    )
    func refusesTimestamps(text: String) {
        #expect(Timestamp(configurationText: text) == nil)
    }

    @Test("The calendar agrees with Foundation's over six centuries") func agreesWithFoundation() throws {
        var generator = SeededGenerator(seed: 9)
        let style = Date.ISO8601FormatStyle(timeZone: .gmt)
        for _ in 0..<500 {
            let seconds = Int64.random(in: -9_000_000_000...9_000_000_000, using: &generator)
            let text = Date(timeIntervalSince1970: Double(seconds)).formatted(style)
            let timestamp = Timestamp(milliseconds: seconds * 1000)
            #expect(timestamp.configurationText == text)
            #expect(timestamp.sortableText == text.dropLast() + ".000Z")
            #expect(Timestamp(configurationText: text) == timestamp)
        }
    }

    @Test(
        "URLs give scheme, host and port, and hide a password and the values of a query",
        arguments: [
            ("https://Example.com/a?b#c", "https", "example.com", nil, "https://Example.com/a?b#c"),
            ("HTTP://[::1]:80", "http", "::1", 80, "HTTP://[::1]:80"),
            ("postgres://u:p@h:5432/d", "postgres", "h", 5432, "postgres://u:«redacted»@h:5432/d"),
            ("postgres://u:p@q@h/d", "postgres", "h", nil, "postgres://u:«redacted»@h/d"),
            ("http://u@h", "http", "h", nil, "http://u@h"),
            ("http://h/a@b:c", "http", "h", nil, "http://h/a@b:c"),
            ("https://h?token=t", "https", "h", nil, "https://h?token=«redacted»"),
            (
                "https://u:p@h/a?x=1&y=&z#f=2", "https", "h", nil,
                "https://u:«redacted»@h/a?x=«redacted»&y=&z#f=2"
            ),
            ("https://h/?a=b=c&d=e?f", "https", "h", nil, "https://h/?a=«redacted»&d=«redacted»"),
            ("https://h/a#b?c=d", "https", "h", nil, "https://h/a#b?c=d"),
        ] as [(String, String, String, Int?, String)]
    )
    func readsURLs(text: String, scheme: String, host: String, port: Int?, shown: String) throws {
        let url = try #require(ServiceURL(text))
        #expect(url.text == text && url.scheme == scheme && url.host == host && url.port == port)
        #expect("\(url)" == shown && String(reflecting: url) == shown)
        var dumped = ""
        dump(url, to: &dumped)
        #expect(!url.hasPassword || !dumped.contains(text))
    }

    @Test(
        "What is no URL of a service is refused",
        arguments: [
            "", "example.com", "http:", "http://", "http:///x", "://h", "1http://h", "http://h:0",
            "http://h:65536",
            "http://h:", "http://h:+1", "http://h:a", "http://a b", "http://é", "http://[::1",
            "http://[::1]x", "http://\n",
            "sqlite:data.db", "http://u:p@",
        ]
    )
    func refusesURLs(text: String) {
        #expect(ServiceURL(text) == nil)
    }

    @Test(
        "A slip of the finger finds the word that was meant",
        arguments: [
            ("queue_ulr", "queue_url"), ("Queue_URL", "queue_url"), ("windw", "window"), ("widnow", "window"),
            ("sise", "size"), ("batch_window", nil), ("zzzz", nil), ("", nil),
        ] as [(String, String?)]
    )
    func findsNearest(word: String, meant: String?) {
        let names = ["queue_url", "window", "size"]
        let fields: [any AnyField] = names.map { Field.string($0, "A key.", default: "") }
        let document = ConfigurationLoader.fixture().parse("{ \"\(word)\": 1 }")
        let result = document.read(FieldTable("sqs", "A table.", fields)) { _ in }
        let found = result.findings.first?.suggestion
        #expect(found == meant.map { "did you mean \"\($0)\"?" } ?? "its keys are queue_url, window, size")
    }

    @Test(
        "Names begin with a letter and hold no surprise",
        arguments: [
            ("a", true), ("orders-2_x", true), (String(repeating: "a", count: 63), true),
            (String(repeating: "a", count: 64), false), ("", false), ("A", false), ("1a", false),
            ("-a", false),
            ("a.b", false), ("a b", false), ("é", false),
        ]
    )
    func checksNames(name: String, isAllowed: Bool) {
        #expect(NameRule.identifier.allows(name) == isAllowed)
    }
}
