// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
package import PenstockCore

extension EventFilterPlan {
    /// Why a record passes no filter: the conditions that it does not meet; empty for one that passes.
    ///
    /// Takes its time: programs are made for single conditions.
    package func misses(of block: RecordBlock, at index: Int) -> [FilterMiss] {
        var misses: [FilterMiss] = []
        for (number, pattern) in self.patterns.enumerated() {
            if self.passes(pattern, block, index) { return [] }
            for clause in pattern.clauses {
                let unmet = clause.fields.filter { condition in
                    !self.passes(EventPattern(clauses: [.init(fields: [condition])]), block, index)
                }
                misses += (unmet.isEmpty ? clause.fields : unmet).map { condition in
                    FilterMiss(
                        filter: number + 1,
                        condition: condition.location.description,
                        isJoint: unmet.isEmpty
                    )
                }
            }
        }
        var seen: Set<FilterMiss> = []
        return misses.filter { seen.insert($0).inserted }
    }

    private func passes(_ pattern: EventPattern, _ block: RecordBlock, _ index: Int) -> Bool {
        EventFilter(PatternProgram([pattern]), self.fields).select(block).contains { $0.contains(index) }
    }
}
