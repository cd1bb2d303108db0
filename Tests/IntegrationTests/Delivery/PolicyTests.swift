// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// Each policy with a real Python function on a real Kafka topic.
///
/// One run of Penstock has a trigger for each; the tests look at what was seen of it.
@Suite(.timeLimit(.minutes(4)))
struct PolicyTests {
    private let run: PolicyRun

    init() async throws {
        self.run = try await PolicyRun.shared.value
    }

    /// The dead letters of a trigger as `record reason attempts error`.
    private func letters(_ trigger: String) -> [String] {
        (self.run.letters[trigger] ?? []).map { "\($0.record) \($0.reason) \($0.attempts) \($0.error)" }
    }

    private func invocations(_ trigger: String) -> [String] {
        (self.run.invocations[trigger] ?? []).map { $0.joined(separator: " ") }
    }

    /// The first letter of a trigger, as `dlq show` has it.
    private func shown(_ trigger: String) throws -> [String: Any] {
        let text = self.run.shown[trigger] ?? ""
        let document = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        return try #require(document?["result"] as? [String: Any])
    }

    // MARK: - Attempts

    @Test("A batch that fails each time is given up after its retries, with the history of all attempts")
    func exhausted() throws {
        #expect(self.invocations("exhausted") == ["0 1 2", "0 1 2", "0 1 2"])
        #expect(
            self.letters("exhausted") == (0..<3).map { "\($0) RetryAttemptsExhausted 3 KeyError" }
        )
        let letter = try self.shown("exhausted")
        let attempts = try #require(letter["attempts"] as? [[String: Any]])
        #expect(attempts.count == 3)
        let errors = attempts.compactMap { $0["error"] as? [String: String] }
        #expect(errors.map { $0["type"] } == ["KeyError", "KeyError", "KeyError"])
        #expect(errors.map { $0["message"] } == ["'try 1'", "'try 2'", "'try 3'"])
        let times = attempts.compactMap { $0["at"] as? String }
        #expect(times == times.sorted() && Set(times).count == 3)
        // The handler alone takes 20 ms.
        #expect(attempts.allSatisfy { $0["duration_ms"] as? Double ?? 0 >= 20 })
        #expect(letter["position"] as? String == "0")
        #expect(self.run.committed["exhausted"] == [3])
    }

    @Test("A trigger that says nothing of retries gives up after ten of them")
    func finite() {
        #expect(self.invocations("finite") == Array(repeating: "0", count: 11))
        #expect(self.letters("finite") == ["0 RetryAttemptsExhausted 11 ValueError"])
        #expect(self.run.committed["finite"] == [1])
    }

    @Test("Between attempts it waits as long as backoff says")
    func paced() throws {
        let attempts = try #require(try self.shown("paced")["attempts"] as? [[String: Any]])
        let spans = try attempts.map { attempt -> (begin: Double, end: Double) in
            let at = try #require(attempt["at"] as? String)
            let begin = try Date.ISO8601FormatStyle(includingFractionalSeconds: true).parse(at)
            let seconds = begin.timeIntervalSince1970
            return (seconds, seconds + (attempt["duration_ms"] as? Double ?? 0) / 1000)
        }
        let waits = zip(spans, spans.dropFirst()).map { $1.begin - $0.end }
        #expect(waits.count == 3)
        // Times are told in milliseconds.
        for (wait, least) in zip(waits, [0.2, 0.4, 0.4]) { #expect(wait >= least - 0.003, "\(waits)") }
    }

    @Test("With retries: 0 a batch is tried once")
    func once() {
        #expect(self.invocations("once") == ["0 1 2"])
        #expect(self.letters("once") == (0..<3).map { "\($0) RetryAttemptsExhausted 1 ValueError" })
    }

    @Test(
        "What fails is tried again before anything newer, and a record that succeeds at last is no dead letter"
    )
    func recovered() {
        #expect(self.invocations("recovered") == ["0", "0", "0", "0", "1", "2", "3"])
        #expect(self.letters("recovered") == [])
        #expect(self.run.committed["recovered"] == [4])
    }

    @Test("bisect goes down to the bad record in order, and no split costs an attempt")
    func bisected() {
        #expect(
            self.invocations("bisected") == [
                "0 1 2 3 4 5 6 7 8 9", "0 1 2 3 4", "5 6 7 8 9", "5 6", "5", "6", "6", "6", "7 8 9",
            ]
        )
        #expect(self.letters("bisected").count == 1)
        #expect(self.letters("bisected").first?.hasPrefix("6 RetryAttemptsExhausted ") == true)
        #expect(self.run.committed["bisected"] == [10])
    }

    @Test("bisect cuts at the record that the function named, and goes on behind it")
    func cut() {
        #expect(self.invocations("cut") == ["0 1 2 3 4 5 6 7", "4", "4", "5 6 7"])
        #expect(self.letters("cut").count == 1)
        #expect(self.letters("cut").first?.hasPrefix("4 RetryAttemptsExhausted ") == true)
    }

    @Test("Records older than max_age are given up without an attempt, and the others are invoked")
    func old() {
        // As AWS has it, only the expired head is cut off: what is old behind a younger record is invoked with it.
        #expect(self.invocations("old") == ["2 3"])
        #expect(self.letters("old") == [0, 1].map { "\($0) RecordAgeExceeded 0 " })
        #expect(self.run.committed["old"] == [4])
    }

    @Test("A record that becomes older than max_age while it is tried is given up with its history")
    func ages() throws {
        let tries = self.invocations("ages").count
        #expect(tries > 0)
        #expect(self.letters("ages") == ["0 RecordAgeExceeded \(tries) ValueError"])
    }

    // MARK: - Functions that refuse, are busy, or are not there

    @Test("A batch that an HTTP function refuses with 4xx is given up at once")
    func refused() {
        #expect(self.run.requests["/refuse"]?.count == 1)
        #expect(self.letters("refused") == (0..<3).map { "\($0) Rejected 1 HTTP.400" })
        #expect(self.run.committed["refused"] == [3])
    }

    @Test("With bisect a refused batch is split until only the refused record is given up")
    func sifted() {
        // All four, two, two, and each of the last two.
        #expect(self.run.requests["/strict"]?.count == 5)
        #expect(self.letters("sifted").count == 1)
        #expect(self.letters("sifted").first?.hasPrefix("2 Rejected ") == true)
        #expect(self.run.committed["sifted"] == [4])
    }

    @Test("An HTTP function can answer for each record: one is given up, one is tried again")
    func told() {
        #expect(self.run.requests["/telling"]?.count == 2)
        #expect(self.letters("told") == ["1 Rejected 1 Penstock.ReportedItemFailure"])
        #expect(self.run.committed["told"] == [3])
    }

    @Test("With on_client_error: retry a 4xx is an attempt like any other")
    func forgiven() {
        let requests = self.run.requests["/forgiven"] ?? []
        #expect(requests.map { $0.headers["x-penstock-attempt"] } == ["1", "2", "3"])
        #expect(self.letters("forgiven") == [])
        #expect(self.run.committed["forgiven"] == [3])
    }

    @Test("HTTP 429 and 503 cost no attempt: with retries: 0 nothing is given up")
    func busy() {
        let requests = self.run.requests["/busy"] ?? []
        #expect(requests.count == 3)
        #expect(requests.map { $0.headers["x-penstock-attempt"] } == ["1", "1", "1"])
        #expect(Set(requests.map { $0.headers["x-penstock-invocation-id"] }).count == 1)
        #expect(self.letters("busy") == [])
        #expect(self.run.committed["busy"] == [3])
    }

    @Test("A function that cannot be started costs no attempt, and gets the records when it can")
    func absent() {
        #expect(self.invocations("absent") == ["0 1 2"])
        #expect(self.letters("absent") == [])
        #expect(self.run.committed["absent"] == [3])
    }

    // MARK: - What waits, and what does not

    @Test("A partition that fails waits, and its neighbours go on")
    func parked() {
        let early = Set((self.run.broken.invocations["parked"] ?? []).joined())
        #expect(early == ["0", "1/0", "1/1", "1/2", "1/3"])
        let late = self.invocations("parked").filter { !$0.hasPrefix("1/") }
        #expect(Array(late.drop { $0 == "0" }) == ["1", "2", "3"])
        #expect(self.letters("parked") == [])
        #expect(self.run.committed["parked"] == [4, 4])
    }

    @Test("A partition that waits for longer than blocked_after shows everywhere, until it goes on")
    func overdue() {
        let (broken, mended) = (self.run.broken, self.run.mended)
        #expect(
            broken.ready == 503 && broken.reasons.contains("\"parked\"")
                && broken.reasons.contains("parked-0")
        )
        #expect(
            broken.metrics.contains(
                "penstock_overdue_partitions{trigger=\"parked\",source_type=\"kafka\",function=\"app\"} 1\n"
            )
        )
        #expect(
            broken.metrics.contains(
                "penstock_overdue_partitions{trigger=\"keys\",source_type=\"kafka\",function=\"app\"} 0\n"
            )
        )
        #expect(broken.shown.contains("parked-0 has not advanced since"), "\(broken.shown)")
        #expect(mended.ready == 200 && mended.reasons == "{\"ready\":true,\"reasons\":[]}\n")
        #expect(
            mended.metrics.contains(
                "penstock_overdue_partitions{trigger=\"parked\",source_type=\"kafka\",function=\"app\"} 0\n"
            )
        )
        #expect(
            !mended.shown.contains("has not advanced") && !mended.shown.contains("blocked"),
            "\(mended.shown)"
        )
    }

    @Test(
        "With ordering: key a key that fails waits, other keys of its partition go on, and each stays in order"
    )
    func keys() {
        let early = self.run.broken.invocations["keys"] ?? []
        #expect(Set(early.joined()) == ["0", "1", "2", "3", "5", "6", "8"])
        let all = self.run.invocations["keys"] ?? []
        for (key, records) in [("a", ["0", "3", "6"]), ("b", ["1", "4", "7"]), ("c", ["2", "5", "8"])] {
            let own = all.joined().filter { records.contains($0) }
            #expect(Array(own.drop { $0 == records[0] }) == Array(records.dropFirst()), "\(key)")
        }
        #expect(self.run.committed["keys"] == [9])
    }

    @Test("With ordering_key a key that is in the value waits, and the others go on in order")
    func paths() {
        let early = self.run.broken.invocations["paths"] ?? []
        #expect(Set(early.joined()) == ["0", "1", "2", "3", "5", "6", "8"])
        let all = self.run.invocations["paths"] ?? []
        for records in [["0", "3", "6"], ["1", "4", "7"], ["2", "5", "8"]] {
            let own = all.joined().filter { records.contains($0) }
            #expect(Array(own.drop { $0 == records[0] }) == Array(records.dropFirst()))
        }
        #expect(self.run.committed["paths"] == [9])
    }

    @Test("With ordering: none what fails is tried again by itself, and nothing waits for it")
    func unordered() {
        let all = self.invocations("unordered")
        #expect(all.count { $0 == "0" } == 4)
        #expect(all.filter { $0 != "0" }.sorted() == ["1", "2", "3", "4", "5"])
        #expect(all.last == "0", "the others do not wait for the last attempt")
        #expect(self.letters("unordered") == ["0 RetryAttemptsExhausted 4 ValueError"])
        #expect(self.run.committed["unordered"] == [6])
    }

    @Test("When the function is mended, a redrive sends the letters again, in order per key")
    func redriven() {
        #expect(self.letters("redriven") == [])
        #expect(self.run.redrive.contains("6 succeeded, 0 failed, 0 skipped"), "\(self.run.redrive)")
        let records = self.run.redriven.joined().map(\.self)
        #expect(records.sorted() == ["0", "1", "2", "3", "4", "5"])
        #expect(records.filter { ["0", "2", "4"].contains($0) } == ["0", "2", "4"])
        #expect(records.filter { ["1", "3", "5"].contains($0) } == ["1", "3", "5"])
    }

    @Test("In a redrive a key that fails again holds up itself alone, and another function takes it in order")
    func half() throws {
        let first = try #require(self.run.halves.first)
        #expect(first.contains("3 succeeded, 1 failed, 2 skipped in "), "\(first)")
        #expect(first.contains(" comes before it, and failed\n"))
        let records = self.run.halfRedriven.map { $0.joined(separator: " ") }
        #expect(records.sorted() == ["0", "1", "3", "5"])
        #expect(records.filter { $0 != "0" } == ["1", "3", "5"])
        let second = try #require(self.run.halves.last)
        #expect(second.contains(" waits for 1s, then is tried again: HTTP.429: "), "\(second)")
        #expect(second.contains("3 succeeded, 0 failed, 0 skipped in "))
        let spare = self.run.requests["/spare"] ?? []
        let offsets = spare.map { request in
            let text = String(decoding: request.body, as: UTF8.self)
            return (0..<6).filter { text.contains("\"offset\":\($0),") }
        }
        #expect(offsets == [[0], [0], [2], [4]])
        #expect(self.letters("half") == [])
    }

    // MARK: - Batches

    @Test("A batch is cut at its size, and what is left goes when its window is over")
    func sized() {
        #expect(self.invocations("sized") == ["0 1 2 3", "4 5 6 7", "8 9"])
    }

    @Test("A batch takes what arrives while its window is open")
    func windowed() {
        #expect(self.invocations("windowed") == ["0 1 2 3 4"])
    }

    @Test("A batch is cut before its event would be larger than 6 MiB")
    func large() {
        #expect(self.invocations("large") == ["0 1 2", "3 4"])
    }

    @Test("A record that is too large for any event is given up, and its neighbours are invoked")
    func oversized() {
        #expect(self.invocations("oversized") == ["0", "2"])
        #expect(self.letters("oversized") == ["1 MaximumPayloadSizeExceeded 0 "])
        #expect(self.run.committed["oversized"] == [3])
    }

    // MARK: - Filters

    @Test("With filtered: dead_letter what no filter matches is kept, and never invoked")
    func kept() {
        #expect(self.invocations("kept").joined(separator: " ") == "1 3")
        #expect(self.letters("kept") == [0, 2, 4].map { "\($0) Filtered 0 " })
        #expect(self.run.committed["kept"] == [5])
    }

    @Test("With filtered: acknowledge what no filter matches is settled, and kept nowhere")
    func ignored() {
        #expect(self.invocations("ignored").joined(separator: " ") == "1 3")
        #expect(self.letters("ignored") == [])
        #expect(self.run.committed["ignored"] == [5])
    }
}
