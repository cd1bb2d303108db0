// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore
package import PenstockRuntime

/// A test file with the configuration that it tests, both read and checked.
package struct BehaviorSuite: Sendable {
    /// A case with the trigger that it tests.
    struct Case: Sendable {
        let test: BehaviorCase
        let trigger: Named<TriggerPlan>
        let function: FunctionPlan
    }

    /// The file, as it was named.
    package let file: String
    let cases: [Case]

    /// Reads a test file and its configuration; all findings at once.
    package static func read(
        _ file: String,
        registry: Registry,
        loader: ConfigurationLoader = .process
    ) -> ConfigurationResult<BehaviorSuite> {
        let read = loader.load(file).read(BehaviorFile.self)
        guard let tests = read.value else { return ConfigurationResult(value: nil, findings: read.findings) }
        var inner = loader
        inner.environment = { tests.environment[$0] ?? loader.environment($0) }
        let plan = PlanReader(registry).read(inner.load(Self.path(of: tests.config, besides: file)))
        var findings = read.findings + plan.findings
        guard let plan = plan.value else { return ConfigurationResult(value: nil, findings: findings) }
        let cases = tests.cases.compactMap { Self.resolve($0, plan, &findings) }
        let suite = findings.hasErrors ? nil : BehaviorSuite(file: file, cases: cases)
        return ConfigurationResult(value: suite, findings: findings)
    }

    private static func path(of config: String, besides file: String) -> String {
        guard !config.hasPrefix("/"), let slash = file.lastIndex(of: "/") else { return config }
        return file[...slash] + config
    }

    private static func resolve(_ test: BehaviorCase, _ plan: Plan, _ findings: inout [Finding]) -> Case? {
        let names = plan.triggers.map(\.name)
        guard let trigger = Self.trigger(of: test, plan) else {
            let place = test.trigger?.place ?? test.place
            let known =
                names.isEmpty ? "the configuration has none" : "known are \(names.joined(separator: ", "))"
            let message =
                test.trigger.map { "there is no \"\($0.source.prefix(80))\" in triggers" }
                ?? "the case must say which trigger it tests"
            let advice = test.trigger.flatMap { didYouMean($0.source, among: names) } ?? known
            let code: Finding.Code = test.trigger == nil ? .missingKey : .unknownReference
            let path = test.path.key(BehaviorCase.trigger.name)
            findings.append(Finding(code, at: place, path: path, message, suggestion: advice))
            return nil
        }
        guard let function = plan.function(trigger.value.function.name) else { return nil }
        findings += Self.orderFindings(test, sample: trigger.value.source.sample)
        if trigger.value.itemReports == .ignored {
            for answer in test.answers where answer.answer.value.saysItems {
                let message = "the trigger \"\(trigger.name)\" does not look at what came of single records"
                let advice = "set failure.report_item_failures in the configuration"
                findings.append(
                    Finding(.conflict, at: answer.answer.place, path: test.path, message, suggestion: advice)
                        .asWarning
                )
            }
        }
        return Case(test: test, trigger: trigger, function: function)
    }

    private static func trigger(of test: BehaviorCase, _ plan: Plan) -> Named<TriggerPlan>? {
        guard let reference = test.trigger else {
            return plan.triggers.count == 1 ? plan.triggers.first : nil
        }
        return plan.triggers.first { $0.name == reference.name }
    }

    /// A source hands out the records of a partition in the order of their positions.
    private static func orderFindings(_ test: BehaviorCase, sample: RecordSample) -> [Finding] {
        var last: [String: (position: Position, at: Duration)] = [:]
        return test.records.compactMap { like in
            let partition = like.partition ?? sample.partition
            let before = last[partition]
            let next = before.map { Position(($0.position.offset ?? 0) + 1) } ?? Position(1)
            let first = like.position ?? next
            let (end, overflow) = (first.offset ?? .max).addingReportingOverflow(UInt64(like.count - 1))
            let problem: String? =
                if overflow {
                    "its positions do not fit 64 bits"
                } else if let before, first <= before.position {
                    "position \(first) does not follow \(before.position) in \(partition)"
                } else if let before, like.at < before.at {
                    "it arrives before the record before it in \(partition)"
                } else {
                    nil
                }
            last[partition] = (Position(min(end, .max - 1)), like.at)
            return problem.map {
                let advice = "a source delivers a partition in order"
                return Finding(
                    .conflict,
                    at: like.place,
                    path: test.path.key("records"),
                    $0,
                    suggestion: advice
                )
            }
        }
    }
}

extension BehaviorAnswer.Answer {
    /// Whether it names single records.
    fileprivate var saysItems: Bool {
        if case .failItems = self { return true }
        return false
    }
}
