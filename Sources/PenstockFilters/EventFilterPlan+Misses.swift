// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
package import PenstockCore

extension EventFilterPlan {
    /// Why a record passes no filter: the conditions that it does not meet; empty for one that passes.
    ///
    /// Takes its time: programs are made for single conditions.
    package func misses(of block: RecordBlock, at index: Int) -> [FilterMiss] {
        // All of a large block would take seconds.
        let record = block.only(index)
        var misses: [FilterMiss] = []
        for (number, pattern) in self.patterns.enumerated() {
            if self.passes(pattern, record) { return [] }
            for clause in pattern.clauses {
                let unmet = clause.fields.filter { condition in
                    !self.passes(EventPattern(clauses: [.init(fields: [condition])]), record)
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

    private func passes(_ pattern: EventPattern, _ record: RecordBlock) -> Bool {
        EventFilter(PatternProgram([pattern]), self.fields).select(record).contains { $0.contains(0) }
    }
}
