// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Glibc
import PenstockConfiguration

/// The command line.
@main
struct Penstock: AsyncParsableCommand {
    /// The version of this build.
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "penstock",
        abstract: "Reads event sources, invokes functions with their records, and loses none.",
        discussion: """
            Start with a connectors.yaml:

              penstock validate            is the configuration right?
              penstock doctor              would it work here?
              penstock run                 run its triggers
              penstock triggers list       what are they doing?
              penstock tap TRIGGER         which records come?
              penstock why TRIGGER --at …  what became of that one?
              penstock dlq list            what was given up, and why?

            Completions: penstock --generate-completion-script bash (or zsh, fish).

            Exit codes: 0 done, 1 failed at run time or no match, 2 invalid input, 3 the environment is not right.
            """,
        version: version,
        subcommands: [
            Run.self, Validate.self, Doctor.self, Explain.self, Schema.self, Invoke.self, Triggers.self,
            Top.self, Members.self,
            TapCommand.self, Why.self,
            DeadLetters.self, Pattern.self, ScheduleCommand.self, PostgresCommand.self, Test.self,
            Documentation.self,
        ]
    )

    /// Like the library's own, with usage errors as exit code 2, in the envelope when that was asked for.
    static func main() async {
        signal(SIGPIPE, SIG_IGN)
        let arguments = CommandLine.arguments.dropFirst()
        do {
            var command = try Self.parseAsRoot(Array(arguments))
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            Terminal.endUnlessWritten()
        } catch {
            let code = Self.exitCode(for: error)
            guard code == .validationFailure else {
                // The reader of an answer that went badly may have gone, too; its exit code stays.
                if !Terminal.isUnread { Terminal.endUnlessWritten() }
                Self.exit(withError: error)
            }
            if Self.wantsJSON(arguments) {
                let failure = CommandFailure(.invalid, "usage", Self.message(for: error))
                Terminal.print(Output.envelope("penstock", failure: failure).prettyText)
            } else {
                Terminal.complain(Self.fullMessage(for: error))
            }
            Glibc.exit(CommandFailure.Exit.invalid.rawValue)
        }
    }

    private static func wantsJSON(_ arguments: ArraySlice<String>) -> Bool {
        arguments.contains("--format=json")
            || zip(arguments, arguments.dropFirst()).contains { $0 == ("--format", "json") }
    }
}
