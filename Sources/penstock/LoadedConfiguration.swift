// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import PenstockConfiguration
import PenstockRuntime

/// `--config`.
struct ConfigOptions: ParsableArguments {
    @Option(help: "The configuration file.")
    var config = "connectors.yaml"

    /// The document and what came of reading it.
    func read() -> (document: ConfigurationDocument, result: ConfigurationResult<Plan>) {
        let document = ConfigurationLoader.process.load(self.config)
        return (document, PlanReader(registry).read(document))
    }

    /// The plan of a configuration without errors, with its warnings.
    func plan() throws(CommandFailure) -> (plan: Plan, findings: [Finding]) {
        let (_, result) = self.read()
        guard let plan = result.value, !result.findings.hasErrors else {
            throw Self.failure(self.config, result.findings)
        }
        return (plan, result.findings)
    }

    /// Exit 3 when the file is not there, 2 when it is wrong.
    static func failure(_ config: String, _ findings: [Finding]) -> CommandFailure {
        CommandFailure(
            findings,
            ifMissing: ("no-configuration", "no configuration was read"),
            ifInvalid: ("invalid-configuration", { "\(config) has \($0)" })
        )
    }
}

extension CommandFailure {
    /// What findings come to: exit 3 when a file is not there, 2 when it is wrong; the text gets the number of errors.
    init(
        _ findings: [Finding],
        ifMissing missing: (code: String, text: String),
        ifInvalid invalid: (code: String, text: (_ errors: String) -> String)
    ) {
        let isMissing = findings.contains { $0.code == .missingFile || $0.code == .unreadableFile }
        let count = findings.count { $0.severity == .error }
        self.init(
            isMissing ? .environment : .invalid,
            isMissing ? missing.code : invalid.code,
            isMissing ? missing.text : invalid.text("\(count) error\(count == 1 ? "" : "s")"),
            findings: findings
        )
    }
}
