// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// What the built program says about configurations that are wrong, with all its connectors and functions.
@Suite(.serialized, .ownThreads, .timeLimit(.minutes(3)))
struct BrokenConfigurationTests {
    @Test(
        "Each mistake has its own finding, with its place, its code and the way out",
        arguments: BrokenConfiguration.all
    )
    func tellsMistakes(broken: BrokenConfiguration) throws {
        let environment = ["PENSTOCK_TEST_WORD": "hunter2"]
        let answer = try CommandRun(["validate"], configuration: broken.yaml, environment: environment)
        let lines = answer.errors.split(separator: "\n").map(String.init)
        let errors = broken.findings.count { $0.contains(": error: ") }
        let summary = "penstock: connectors.yaml has \(errors) error\(errors == 1 ? "" : "s")"
        #expect(lines == broken.findings + (errors > 0 ? [summary] : []))
        #expect(answer.status == (errors > 0 ? 2 : 0))
        #expect(answer.output.isEmpty == (errors > 0), "what is valid is said to be")
        #expect(!broken.findings.joined().contains("hunter2"), "a value from outside is shown")
    }

    @Test("There are at least sixty of them, no two alike")
    func enough() {
        let all = BrokenConfiguration.all
        #expect(all.count >= 60)
        #expect(Set(all.map(\.yaml)).count == all.count)
        #expect(Set(all.map(\.name)).count == all.count)
        #expect(all.allSatisfy { !$0.findings.isEmpty })
    }

    @Test("A file that is not UTF-8 names the line")
    func encoding() throws {
        let bytes = Data("state: sqlite:a.db\n# caf".utf8) + Data([0xE9, 0x0A])
        let answer = try CommandRun(["validate"], data: bytes)
        #expect(answer.status == 2)
        #expect(
            answer.errors == """
                connectors.yaml:2:1: error: this line is not UTF-8; save the file as UTF-8 [bad-encoding]
                penstock: connectors.yaml has 1 error

                """
        )
    }

    @Test("A file that is larger than 4 MiB is not read whole")
    func size() throws {
        let answer = try CommandRun(["validate"], data: Data(repeating: 0x23, count: (4 << 20) + 1))
        #expect(answer.status == 2)
        #expect(answer.errors.hasPrefix("connectors.yaml: error: the file is larger than 4MiB; "))
    }

    @Test(
        "A directory or nothing in place of the file is a matter of the environment",
        arguments: ["validate", "run"]
    )
    func unreadable(command: String) throws {
        let directory = try CommandRun([command, "--config", "."], configuration: nil)
        #expect(directory.status == 3)
        #expect(
            directory.errors.hasPrefix(
                ".: error: the file is a directory; name a file that this user may read [unreadable-file]\n"
            )
        )
        let nothing = try CommandRun([command, "--config", "no/such.yaml"], configuration: nil)
        #expect(nothing.status == 3)
        #expect(
            nothing.errors.hasPrefix(
                "no/such.yaml: error: the file does not exist; create it, or name another with --config [missing-file]\n"
            )
        )
    }

    @Test("run says the same as validate, and starts nothing")
    func runRefuses() throws {
        let text = "functions: { f: { local: { comand: [cat] } } }\n"
        let answer = try CommandRun(["run"], configuration: text)
        #expect(answer.status == 2)
        #expect(answer.errors.contains("connectors.yaml:1:28: error: unknown key \"comand\""))
        #expect(answer.errors.hasSuffix("penstock: connectors.yaml has 2 errors\n"))
    }
}
