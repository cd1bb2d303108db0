// SPDX-License-Identifier: Apache-2.0

internal import PenstockConfiguration

/// What a matcher writes while it looks at a record.
struct MatcherState {
    let flags: Table<UInt8>
    let presences: Table<UInt16>
    let scratch = Scratch()

    init(_ program: PatternProgram) {
        self.flags = Table([UInt8](repeating: 0, count: program.flagCount))
        self.presences = Table([UInt16](repeating: 0, count: program.presenceCount))
    }

    func clear() {
        self.flags.fill(0..<self.flags.count, with: 0)
        self.presences.fill(0..<self.presences.count, with: 0)
    }

    func free() {
        self.flags.free()
        self.presences.free()
        self.scratch.free()
    }
}

/// Tries patterns on whole JSON documents, as `penstock pattern test` does; one thread at a time.
package final class PatternMatcher {
    /// What came of it.
    package enum Outcome: Equatable {
        /// The pattern at this place in the list matches.
        case match(Int)
        case noMatch
        /// The document is not JSON, nested too deep, or not an object.
        case unreadable
    }

    private let tables: ProgramTables
    private let indexer = JSONIndexer()
    private let state: MatcherState

    /// A matcher for these patterns, of which one is enough.
    package init(_ patterns: [EventPattern]) {
        let program = PatternProgram(patterns)
        self.tables = ProgramTables(program)
        self.state = MatcherState(program)
    }

    deinit {
        self.tables.free()
        self.state.free()
        self.indexer.free()
    }

    /// Whether a pattern matches the document.
    package func match(_ document: [UInt8]) -> Outcome {
        let copy = Table(document + [UInt8](repeating: 0, count: Scratch.tail))
        defer { copy.free() }
        self.state.clear()
        self.state.scratch.reserve(document.count)
        guard let text = self.indexer.index(copy.bytes(count: document.count)),
            text.byte(0) == UInt8(ascii: "{"), JSONValidator.isValid(text)
        else { return .unreadable }
        var walker = PatternWalker(text, self.tables, self.state)
        guard walker.walk(0) else { return .unreadable }
        return self.tables.firstMatch(self.state.flags, self.state.presences).map { .match($0) } ?? .noMatch
    }
}
