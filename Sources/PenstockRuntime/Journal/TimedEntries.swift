// SPDX-License-Identifier: Apache-2.0

import DequeModule
import PenstockStore

extension Deque<TimedEntry> {
    /// Where the entry of this position is; positions grow.
    func place(of position: UInt64) -> Int? {
        var (low, high) = (0, self.count)
        while low < high {
            let middle = low + (high - low) / 2
            if self[middle].position < position { low = middle + 1 } else { high = middle }
        }
        return low < self.count && self[low].position == position ? low : nil
    }
}
