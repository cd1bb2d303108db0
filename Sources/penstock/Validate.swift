// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import PenstockAdmin
import PenstockBehavior
import PenstockConfiguration
import PenstockRuntime

/// `penstock validate`.
struct Validate: AnsweringCommand {
    static let configuration = CommandConfiguration(
        abstract: "Checks a configuration and tells all findings at once.",
        discussion: """
            Connects to nothing. Each finding is a line `file:line:column: error: … [code]` on standard error.

            Exit codes: 0 valid, warnings or not, 2 not valid, 3 the file cannot be read.

            Example: penstock validate --config staging.yaml --format json
            """
    )

    @OptionGroup var config: ConfigOptions
    @OptionGroup var output: FormatOptions

    var title: String { "validate" }

    func answer() async throws -> Outcome {
        let (plan, findings) = try self.config.plan()
        let counts = [(plan.triggers.count, "trigger"), (plan.functions.count, "function")].map {
            $0.0 == 1 ? "1 \($0.1)" : "\($0.0) \($0.1)s"
        }
        return Outcome(
            text: "\(self.config.config) is valid: \(counts.joined(separator: ", "))",
            result: .document(
                ("triggers", .array(plan.triggers.map { .string($0.name) })),
                ("functions", .array(plan.functions.map { .string($0.name) }))
            ),
            findings: findings
        )
    }
}

/// `penstock explain`.
struct Explain: AnsweringCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prints the configuration with its defaults filled in and its secrets hidden.",
        discussion: """
            Exit codes: 0 done, 2 not valid, 3 the file cannot be read.

            Example: penstock explain --config staging.yaml
            """
    )

    @OptionGroup var config: ConfigOptions
    @OptionGroup var output: FormatOptions

    var title: String { "explain" }

    func answer() async throws -> Outcome {
        let (document, result) = self.config.read()
        guard result.value != nil, !result.findings.hasErrors else {
            throw ConfigOptions.failure(self.config.config, result.findings)
        }
        let text = Explanation(of: document, by: PlanReader(registry).table).text
        return Outcome(text: text, result: .document(("yaml", .string(text))), findings: result.findings)
    }
}

/// `penstock schema`.
struct Schema: AnsweringCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prints the JSON Schema of configurations, for editors.",
        discussion: "Exit code: 0. Example: penstock schema > connectors.schema.json"
    )

    @Flag(help: "The schema of files for `penstock test` instead.") var tests = false
    @OptionGroup var output: FormatOptions

    var title: String { "schema" }

    func answer() async throws -> Outcome {
        let schema = JSONSchema.schema(of: self.tests ? BehaviorFile.table : PlanReader(registry).table)
        return Outcome(text: schema.prettyText, result: schema)
    }
}

/// `penstock docs`: what docs/CONFIGURATION.md is made with.
struct Documentation: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "docs",
        abstract: "Prints the reference of configurations as Markdown.",
        shouldDisplay: false
    )

    @Flag(help: "The keys of files for `penstock test` instead.") var tests = false
    @OptionGroup var output: FormatOptions

    var title: String { "docs" }

    func answer() async throws -> Outcome {
        let text =
            self.tests
            ? FieldDocumentation.markdown(for: BehaviorFile.table, title: "Reference", level: 2)
            : FieldDocumentation.markdown(
                for: PlanReader(registry).table,
                title: "Configuration reference",
                level: 1
            )
        return Outcome(text: text, result: .document(("markdown", .string(text))))
    }
}
