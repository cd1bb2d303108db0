// SPDX-License-Identifier: Apache-2.0

import Testing

/// A row of AWS's table of partial batch responses: what a handler answers for a batch of the records 0, 1 and 2 that
/// may fail twice, and what comes of it.
struct ResponseRow: Sendable, CustomTestStringConvertible {
    let sentence: String
    /// The body of the handler.
    let handler: String
    let invocations: [[String]]
    /// Each with the type of its last error.
    let letters: [String: String]
    var settings = "report_item_failures: true"
    var function = "app"
    var partitions = 1
    var ordering = "partition"
    /// The keys of the three records.
    var keys: [String?] = [nil, nil, nil]

    /// Whether the order of an event is a matter of chance.
    var isMixed: Bool { self.partitions > 1 || self.ordering != "partition" }

    var testDescription: String { self.sentence }

    /// The handler is invoked once and all records are settled.
    static func succeeds(_ sentence: String, _ handler: String, strict: Bool = false) -> Self {
        Self(
            sentence: sentence,
            handler: handler,
            invocations: [["0", "1", "2"]],
            letters: [:],
            settings: strict ? Self.strict : "report_item_failures: true"
        )
    }

    /// The whole batch is tried twice and given up.
    static func fails(
        _ sentence: String,
        _ handler: String,
        error: String = "Penstock.MalformedResponse",
        function: String = "app",
        settings: String = "report_item_failures: true"
    ) -> Self {
        Self(
            sentence: sentence,
            handler: handler,
            invocations: [["0", "1", "2"], ["0", "1", "2"]],
            letters: ["0": error, "1": error, "2": error],
            settings: settings,
            function: function
        )
    }

    static let strict = "report_item_failures: true, require_item_failures: true"
    private static let reported = "Penstock.ReportedItemFailure"

    static let all =
        Self.successes + Self.partial + Self.malformed + Self.errors + Self.stricter + Self.results
        + Self.keyed

    private static let successes: [Self] = [
        .succeeds("an empty list settles all", "return {'batchItemFailures': []}"),
        .succeeds("null for the list settles all", "return {'batchItemFailures': None}"),
        .succeeds("an empty object settles all", "return {}"),
        .succeeds("null settles all", "return None"),
        .succeeds("a handler that returns nothing settles all", "pass"),
        .succeeds("an empty JSON string settles all", "return ''"),
        .succeeds("no bytes at all settle all", "return b''"),
        .succeeds("other keys alone settle all", "return {'statusCode': 500, 'batchitemfailures': [1]}"),
        .succeeds(
            "other keys beside an empty list settle all",
            "return {'batchItemFailures': [], 'more': [1]}"
        ),
    ]

    private static let partial: [Self] = [
        Self(
            sentence:
                "a record that is named is tried again with all after it, and those before it are settled",
            handler: "return failures(records, '1')",
            invocations: [["0", "1", "2"], ["1", "2"]],
            letters: ["1": Self.reported]
        ),
        Self(
            sentence: "of several records named the lowest counts, whatever their order",
            handler: "return {'batchItemFailures': [item(r) for r in reversed(records) if r['offset'] > 0]}",
            invocations: [["0", "1", "2"], ["1", "2"]],
            letters: ["1": Self.reported, "2": Self.reported]
        ),
        Self(
            sentence: "a record named twice is named once",
            handler: "return {'batchItemFailures': [item(r) for r in records if r['offset'] == 2] * 2}",
            invocations: [["0", "1", "2"], ["2"]],
            letters: ["2": Self.reported]
        ),
        Self(
            sentence: "all records named are all tried again",
            handler: "return failures(records, '0', '1', '2')",
            invocations: [["0", "1", "2"], ["0", "1", "2"]],
            letters: ["0": Self.reported, "1": Self.reported, "2": Self.reported]
        ),
        Self(
            sentence: "of two partitions in a batch only the one with a named record is tried again",
            handler: "return failures(records, '1/1')",
            invocations: [["0", "1", "2", "1/0", "1/1", "1/2"], ["1/1", "1/2"]],
            letters: ["1/1": Self.reported],
            partitions: 2
        ),
        Self(
            sentence: "other members of an identifier do not matter",
            handler:
                "return {'batchItemFailures': [item(r) | {'why': 'x'} for r in records if r['offset'] == 2]}",
            invocations: [["0", "1", "2"], ["2"]],
            letters: ["2": Self.reported]
        ),
    ]

    private static let malformed: [Self] = [
        .fails(
            "an identifier \"\" fails the whole batch",
            "return {'batchItemFailures': [{'itemIdentifier': ''}]}"
        ),
        .fails(
            "an identifier null fails the whole batch",
            "return {'batchItemFailures': [{'itemIdentifier': None}]}"
        ),
        .fails(
            "an entry with another key fails the whole batch",
            "return {'batchItemFailures': [{'foo': 'bar'}]}"
        ),
        .fails("an empty entry fails the whole batch", "return {'batchItemFailures': [{}]}"),
        .fails("an entry null fails the whole batch", "return {'batchItemFailures': [None]}"),
        .fails(
            "an offset that is not in the batch fails the whole batch",
            "return {'batchItemFailures': [item(records[0] | {'offset': 3})]}"
        ),
        .fails(
            "a partition that is not in the batch fails the whole batch",
            "return {'batchItemFailures': [item(records[0] | {'partition': 1})]}"
        ),
        .fails(
            "the identifier of a queue fails the whole batch",
            "return {'batchItemFailures': [{'itemIdentifier': '0'}]}"
        ),
        .fails(
            "a number for an identifier fails the whole batch",
            "return {'batchItemFailures': [{'itemIdentifier': 123}]}"
        ),
        .fails(
            "an offset in quotes fails the whole batch",
            "return {'batchItemFailures': [item(records[0] | {'offset': '0'})]}"
        ),
        .fails(
            "an identifier without an offset fails the whole batch",
            "return {'batchItemFailures': [{'itemIdentifier': {'partition': records[0]['topic'] + '-0'}}]}"
        ),
        .fails(
            "an object for the list fails the whole batch",
            "return {'batchItemFailures': item(records[0])}"
        ),
        .fails("a text for the list fails the whole batch", "return {'batchItemFailures': ''}"),
        .fails("false for the list fails the whole batch", "return {'batchItemFailures': False}"),
        .fails("what is not JSON fails the whole batch", "return b'no JSON'"),
        .fails("NaN, which Python takes for JSON, fails the whole batch", "return float('nan')"),
        .fails("JSON that is cut off fails the whole batch", "return b'{\"batchItemFailures\":['"),
        .fails("a number at the top fails the whole batch", "return 7"),
        .fails("true at the top fails the whole batch", "return True"),
        .fails("a text at the top fails the whole batch", "return 'done'"),
        .fails("a list at the top fails the whole batch", "return []"),
        .fails(
            "one good and one unknown identifier fail the whole batch",
            "return {'batchItemFailures': [item(records[1]), item(records[0] | {'offset': 99})]}"
        ),
        .fails(
            "one good identifier and one empty entry fail the whole batch",
            "return {'batchItemFailures': [item(records[1]), {}]}"
        ),
    ]

    private static let errors: [Self] = [
        .fails("an exception fails the whole batch", "raise ValueError('no')", error: "ValueError"),
        .fails("sys.exit fails the whole batch", "sys.exit(3)", error: "Runtime.ExitError"),
        .fails(
            "a crash fails the whole batch",
            "os.kill(os.getpid(), signal.SIGKILL)",
            error: "Runtime.ExitError"
        ),
        .fails(
            "a time-out fails the whole batch",
            "time.sleep(600)",
            error: "Sandbox.Timedout",
            function: "hasty"
        ),
        .fails(
            "a result that cannot be written as JSON fails the whole batch",
            "return {'batchItemFailures': [], 'set': {1}}",
            error: "Runtime.MarshalError"
        ),
        .fails(
            "an exception fails the whole batch of a trigger that does not look at answers",
            "raise ValueError('no')",
            error: "ValueError",
            settings: "report_item_failures: false"
        ),
        Self(
            sentence: "without report_item_failures an answer that names records settles all",
            handler: "return failures(records, '1')",
            invocations: [["0", "1", "2"]],
            letters: [:],
            settings: "report_item_failures: false"
        ),
    ]

    private static let stricter: [Self] = [
        .succeeds(
            "with require_item_failures an empty list settles all",
            "return {'batchItemFailures': []}",
            strict: true
        ),
        Self(
            sentence: "with require_item_failures a record that is named is tried again with all after it",
            handler: "return failures(records, '2')",
            invocations: [["0", "1", "2"], ["2"]],
            letters: ["2": Self.reported],
            settings: Self.strict
        ),
        .fails(
            "with require_item_failures null for the list fails the whole batch",
            "return {'batchItemFailures': None}",
            settings: Self.strict
        ),
        .fails(
            "with require_item_failures an empty object fails the whole batch",
            "return {}",
            settings: Self.strict
        ),
        .fails("with require_item_failures null fails the whole batch", "return None", settings: Self.strict),
        .fails(
            "with require_item_failures an empty JSON string fails the whole batch",
            "return ''",
            settings: Self.strict
        ),
        .fails(
            "with require_item_failures no bytes fail the whole batch",
            "return b''",
            settings: Self.strict
        ),
        .fails(
            "with require_item_failures other keys alone fail the whole batch",
            "return {'ok': True}",
            settings: Self.strict
        ),
    ]

    private static let results: [Self] = [
        .succeeds(
            "recordResults that are all success settle all",
            "return {'recordResults': ['success'] * 3}"
        ),
        .succeeds(
            "with require_item_failures recordResults are a list, too",
            "return {'recordResults': ['success'] * 3}",
            strict: true
        ),
        Self(
            sentence: "the word retry tries its record again with all after it",
            handler: "return {'recordResults': ['retry' if name(r) == '1' else 'success' for r in records]}",
            invocations: [["0", "1", "2"], ["1", "2"]],
            letters: ["1": Self.reported]
        ),
        Self(
            sentence: "the word drop gives its record up at once, and tries again what follows it",
            handler: "return {'recordResults': ['drop' if name(r) == '1' else 'success' for r in records]}",
            invocations: [["0", "1", "2"], ["2"]],
            letters: ["1": Self.reported]
        ),
        .fails("too few recordResults fail the whole batch", "return {'recordResults': ['success'] * 2}"),
        .fails(
            "an unknown word fails the whole batch",
            "return {'recordResults': ['success', 'success', 'ok']}"
        ),
        .fails(
            "recordResults beside a list of failures fail the whole batch",
            "return {'recordResults': ['success'] * 3, 'batchItemFailures': []}"
        ),
    ]

    private static let keyed: [Self] = [
        Self(
            sentence:
                "with ordering: key a record that is named is tried again with those after it of its key",
            handler: "return failures(records, '0')",
            invocations: [["0", "1", "2"], ["0", "2"]],
            letters: ["0": Self.reported],
            ordering: "key",
            keys: ["a", "b", "a"]
        ),
        Self(
            sentence: "with ordering: key the word drop tries again only what follows of its key",
            handler: "return {'recordResults': ['drop' if name(r) == '0' else 'success' for r in records]}",
            invocations: [["0", "1", "2"], ["2"]],
            letters: ["0": Self.reported],
            ordering: "key",
            keys: ["a", "b", "a"]
        ),
        Self(
            sentence: "with ordering: none only the record that is named is tried again",
            handler: "return failures(records, '0')",
            invocations: [["0", "1", "2"], ["0"]],
            letters: ["0": Self.reported],
            ordering: "none"
        ),
    ]
}
