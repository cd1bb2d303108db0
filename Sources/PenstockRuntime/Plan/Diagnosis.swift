// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockFilters

/// What `penstock doctor` found out about one property of one part of a configuration.
package struct Diagnosis: Sendable, Equatable {
    /// How bad it is.
    package enum Grade: String, Sendable, CaseIterable {
        /// As it should be.
        case ok
        /// It works, and may surprise.
        case warning
        /// It would not work.
        case error
        /// It is not known: what would tell may not be asked, or would change something.
        case unchecked = "not checked"
    }

    /// How bad it is.
    package var grade: Grade

    /// What was looked at: `topics`, `permissions`.
    package var check: String

    /// What was found, and unless that is well, what to do; no credentials.
    package var detail: String

    /// A diagnosis.
    package init(_ grade: Grade, _ check: String, _ detail: String) {
        self.grade = grade
        self.check = check
        self.detail = detail
    }

    /// As it should be.
    package static func ok(_ check: String, _ detail: String) -> Diagnosis { .init(.ok, check, detail) }

    /// It works, and may surprise.
    package static func warning(_ check: String, _ detail: String) -> Diagnosis {
        .init(.warning, check, detail)
    }

    /// It is not known.
    package static func unchecked(_ check: String, _ detail: String) -> Diagnosis {
        .init(.unchecked, check, detail)
    }

    /// It would not work.
    package static func error(_ check: String, _ detail: String) -> Diagnosis { .init(.error, check, detail) }
}

/// Looks at the real thing behind a part of a configuration, each call of it at most half a minute, and changes nothing
/// there.
package typealias Examination = @Sendable (_ context: RuntimeContext) async -> [Diagnosis]

/// The same for a source, which may depend on what its trigger says.
package typealias SourceExamination =
    @Sendable (_ trigger: TriggerPlan, _ function: FunctionPlan, _ context: RuntimeContext) async ->
    [Diagnosis]

extension TriggerPlan {
    /// Whether a filter asks for this place in a record, or for something in it.
    package func filters(lookAt path: [String]) -> Bool {
        self.filter?.patterns.contains { $0.looksAt(path) } ?? false
    }
}
