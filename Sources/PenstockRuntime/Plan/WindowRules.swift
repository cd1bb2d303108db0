// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore

extension TriggerPlan {
    /// `tumbling_window` of a trigger.
    static let tumblingWindowField = Field.duration(
        "tumbling_window",
        "Gathers the records of each partition in windows of this length, and passes a state from batch to batch of a window; "
            + "docs/WINDOWS.md shows it. None when left out.",
        in: .seconds(1) ... .seconds(900)
    ).optional

    /// What a trigger must be like to have windows; most of it is AWS's (esm-spec 1.2).
    func checkWindow(hasFilters: Bool, _ reader: inout ConfigurationReader) {
        guard self.tumblingWindow != nil else { return }
        let field = Self.tumblingWindowField
        reader.require(
            self.source.capabilities.settlement == .cursor && self.source.format.takesWindows,
            at: field,
            "cannot be used with \(self.source.kind): its events have no windows",
            suggestion: "remove it"
        )
        reader.require(
            self.ordering == .partition,
            at: field,
            "needs \"ordering: partition\": the state goes from batch to batch of a partition",
            suggestion: "remove ordering, or tumbling_window"
        )
        reader.require(
            !hasFilters,
            at: field,
            "cannot be used with filters",
            suggestion: "let the function pass over records, or remove tumbling_window"
        )
    }
}

extension PlanReader {
    /// What the function of a trigger with windows must be like.
    static func checkWindow(
        _ trigger: Named<TriggerPlan>,
        _ function: FunctionPlan,
        _ reader: inout ConfigurationReader
    ) {
        guard trigger.value.tumblingWindow != nil else { return }
        let source = trigger.value.function.source
        let problem: (text: String, advice: String)? =
            if !function.answers {
                (
                    "the function \"\(source)\" is invoked without waiting for its answer, so no state comes back",
                    "remove tumbling_window, or let the function answer"
                )
            } else if !function.takesEvents {
                (
                    "the function \"\(source)\" does not get Lambda events, so it gets no windows",
                    "remove tumbling_window, or give the function \"format: lambda\""
                )
            } else {
                nil
            }
        guard let problem else { return }
        reader.record(
            Finding(
                .conflict,
                at: trigger.value.function.place,
                path: trigger.path.key(TriggerPlan.tumblingWindowField.name),
                problem.text,
                suggestion: problem.advice
            )
        )
    }
}
