// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Logging
import PenstockAdmin
import PenstockBehavior
import PenstockConfiguration
import PenstockRuntime
import Reactor

/// `penstock test`.
struct Test: AnsweringCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tests what a configuration does with records, offline and on a virtual clock.",
        discussion: """
            A test file names a configuration, and has cases: the records that arrive, what the function answers \
            (succeed, throw, time out, throttle, fail some records), and what must come of it: invocations, dead \
            letters, checkpoints, waits. No source is read and no function is called; hours take milliseconds. \
            docs/TESTING.md shows how to write one; `penstock schema --tests` prints a JSON Schema.

            Without FILE it runs all *.test.yaml of the current folder.

            Exit codes: 0 all cases passed, 1 some failed, 2 a file or its configuration is not valid, 3 a file \
            cannot be read.

            Examples:
              penstock test
              penstock test billing.test.yaml --format junit > report.xml
            """
    )

    /// How results are printed.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case text, json, junit
    }

    @Argument(help: ArgumentHelp("Test files.", valueName: "file")) var files: [String] = []
    @Option(help: "text for people, json for programs, junit for continuous integration.") var format = Format
        .text

    var title: String { "test" }

    var output: FormatOptions {
        var options = FormatOptions()
        options.format = self.format == .json ? .json : .text
        return options
    }

    func answer() async throws -> Outcome {
        let results = try self.filesToRun().map { BehaviorSuite.read($0, registry: registry) }
        let findings = results.flatMap(\.findings).inOrder
        guard !findings.hasErrors else {
            throw CommandFailure(
                findings,
                ifMissing: ("no-test-file", "no test was run"),
                ifInvalid: ("invalid-test", { "\($0); no test was run" })
            )
        }
        let reports = try await self.run(results.compactMap(\.value))
        let failed = reports.reduce(0) { $0 + $1.failureCount }
        return Outcome(
            text: self.text(reports),
            result: .document(
                ("passed", .integer(reports.reduce(0) { $0 + $1.outcomes.count } - failed)),
                ("failed", .integer(failed)),
                ("files", .array(reports.map(\.document)))
            ),
            findings: findings,
            exitCode: failed == 0 ? 0 : 1
        )
    }

    private func run(_ suites: [BehaviorSuite]) async throws -> [BehaviorReport] {
        let reactor = try Reactor()
        defer { reactor.stop() }
        let context = RuntimeContext(
            reactor: reactor,
            logger: Logger(label: "penstock", factory: { _ in SwiftLogNoOpLogHandler() })
        )
        var reports: [BehaviorReport] = []
        do {
            for suite in suites { reports.append(try await suite.run(context)) }
        } catch {
            throw CommandFailure(.environment, "no-function", "a function cannot be made: \(error)")
        }
        return reports
    }

    private func text(_ reports: [BehaviorReport]) -> String {
        guard self.format != .junit else { return BehaviorReport.junit(reports) }
        return (reports.map(\.text) + [BehaviorReport.summary(reports)]).joined(separator: "\n")
    }

    private func filesToRun() throws(CommandFailure) -> [String] {
        if !self.files.isEmpty { return self.files }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: ".")) ?? []
        let files = names.filter { $0.hasSuffix(".test.yaml") || $0.hasSuffix(".test.yml") }.sorted()
        guard !files.isEmpty else {
            throw CommandFailure(
                .invalid,
                "no-test-file",
                "there is no *.test.yaml in this folder; name a file, or write one (docs/TESTING.md)"
            )
        }
        return files
    }
}
