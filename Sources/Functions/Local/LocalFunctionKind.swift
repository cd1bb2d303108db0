// SPDX-License-Identifier: Apache-2.0

import Logging
package import PenstockConfiguration
package import PenstockRuntime

/// `local:` — processes that speak the Lambda Runtime API.
package enum LocalFunctionKind: FunctionKind {
    package static let kind = "local"

    package static var alternative: Alternative<FunctionPlan> {
        .key(Self.kind, LocalFunctionConfiguration.table.summary, .table(LocalFunctionConfiguration.self)) {
            configuration in
            var plan = FunctionPlan(
                kind: Self.kind,
                concurrency: configuration.concurrency,
                timeout: configuration.timeout,
                make: { name, context in
                    LocalFunction(
                        name: name,
                        configuration: configuration,
                        reactor: context.reactor,
                        log: FunctionOutput(logger: context.logger)
                    )
                }
            )
            plan.examine = { _ in
                let guardian: Diagnosis =
                    ProcessStart.guardian == nil
                    ? .warning(
                        "guardian",
                        "setpriv is not installed: functions outlive a Penstock that is killed"
                    )
                    : .ok("guardian", "functions end with a Penstock that is killed")
                let problem = configuration.startProblem
                return [
                    problem.map { .error("command", $0) }
                        ?? .ok("command", "\(configuration.command.first ?? "") is there and executable"),
                    guardian,
                ]
            }
            return plan
        }
    }
}

/// The lines of a function among Penstock's own: what it writes at level info, what is said about it at debug.
private struct FunctionOutput: LocalFunctionLog {
    let logger: Logger

    func write(_ line: LocalFunctionLogLine) {
        var metadata: Logger.Metadata = ["stream": "\(line.stream.rawValue)"]
        if let id = line.requestID { metadata["request"] = "\(id)" }
        let level: Logger.Level = line.stream == .platform ? .debug : .info
        self.logger.log(level: level, "\(line.text)", metadata: metadata)
    }

    func warn(_ text: String) { self.logger.warning("\(text)") }
}
