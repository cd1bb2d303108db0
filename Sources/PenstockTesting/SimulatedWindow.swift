// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What the function of a ``SimulatedWorld`` is told of a window: its state is the list of the records that it counted.
struct SimulatedWindow {
    let partition: String
    let isFinal: Bool
    let seen: [UInt64]

    init(_ window: (partition: String, isFinal: Bool, state: String)) {
        self.partition = window.partition
        self.isFinal = window.isFinal
        self.seen = window.state.split { !$0.isNumber }.compactMap { UInt64($0) }
    }
}

extension SimulatedWorld {
    /// Has the world check that each record is counted in a window before upstream hears of it.
    package func countWindows() {
        self.state.withLock { $0.hasWindows = true }
    }

    /// How often a partition went on in the middle of a window.
    package var windowsResumed: Int { self.state.withLock { $0.windowsResumed } }

    /// The state with some more records; nil without a window.
    func state(
        _ window: SimulatedWindow?,
        with records: ArraySlice<(partition: String, offset: UInt64)>
    ) -> String? {
        guard let window else { return nil }
        let seen = window.seen + records.map(\.offset)
        if Set(seen).count < seen.count {
            self.state.withLock {
                $0.violations.append("a state of \(window.partition) counts a record twice")
            }
        }
        if records.contains(where: { $0.partition != window.partition }) {
            self.state.withLock { $0.violations.append("a batch of a window has records of two partitions") }
        }
        return "\"state\":{\"seen\":[\(seen.map(String.init).joined(separator: ","))]}"
    }

    /// A final call did its work.
    func ended(_ window: SimulatedWindow) {
        self.state.withLock { $0.counted[window.partition, default: []].formUnion(window.seen) }
    }
}
