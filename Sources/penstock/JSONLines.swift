// SPDX-License-Identifier: Apache-2.0

import PenstockAdmin
import PenstockConfiguration
import Synchronization

/// The lines of a stream of the admin API as they arrive, cut anywhere.
final class JSONLines: Sendable {
    private struct State {
        var partial: [UInt8] = []
        var last: JSONValue?
    }

    private let state = Mutex(State())
    private let report: @Sendable (JSONValue) -> Void

    /// Each whole line goes to `report`.
    init(_ report: @escaping @Sendable (JSONValue) -> Void) {
        self.report = report
    }

    /// The last whole line.
    var last: JSONValue? { self.state.withLock { $0.last } }

    func add(_ bytes: [UInt8]) {
        let lines = self.state.withLock { state in
            state.partial += bytes
            var lines: [JSONValue] = []
            while let end = state.partial.firstIndex(of: 0x0A) {
                if let line = JSONValue(parsing: Array(state.partial[..<end])) { lines.append(line) }
                state.partial.removeFirst(end + 1)
            }
            state.last = lines.last ?? state.last
            return lines
        }
        for line in lines { self.report(line) }
    }
}
