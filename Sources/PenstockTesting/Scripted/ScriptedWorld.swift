// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockRuntime
import Synchronization

/// The outside of the triggers that name it in their plan, as a test scripts it: what sources say, what functions
/// answer, and a list of all that happened, in order.
///
/// Plans name it by `scripted: { world: NAME }`, as a source, a function or a destination.
package final class ScriptedWorld: Sendable {
    /// Answers an invocation of a function; the records are `partition@offset`.
    package typealias Answer =
        @Sendable (_ function: String, _ records: [String]) async -> InvocationResult

    private struct Waiter {
        var event: String
        var count: Int
        var continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var sources: [ScriptedSource] = []
        var startError: SourceError?
        var starts: [[String: Position]] = []
        var seekRefusals = SeekRefusals()
        var commitError: SourceError?
        var resultError: DestinationError?
        var resultBytes: Int?
        var version: (arn: String, executed: String)?
        var answer: Answer = { _, _ in .responded(Array("{}".utf8)) }
        var events: [String] = []
        var waiters: [Waiter] = []

        func partitionWaiters() -> (done: [Waiter], waiting: [Waiter]) {
            let isDone = self.waiters.map { self.count($0.event) >= $0.count }
            let pairs = zip(self.waiters, isDone)
            return (pairs.filter(\.1).map(\.0), pairs.filter { !$0.1 }.map(\.0))
        }

        func count(_ event: String) -> Int {
            self.events.count { $0.hasPrefix(event) }
        }
    }

    private static let worlds = Mutex<[String: ScriptedWorld]>([:])

    /// Names it in plans; unlike all others.
    package let name: String

    private let state = Mutex(State())

    /// A world in which nothing has happened, and where functions succeed.
    package init() {
        self.name = Self.worlds.withLock { "w\($0.count)" }
        Self.worlds.withLock { $0[self.name] = self }
    }

    /// The world of that name.
    static func named(_ name: String) -> ScriptedWorld? {
        Self.worlds.withLock { $0[name] }
    }

    /// All that happened so far: `source started`, `invoked f p@0 p@1`, `committed p@1`, `source stopped`,
    /// `f shut down`, `destination closed`.
    package var events: [String] { self.state.withLock { $0.events } }

    /// How often something happened.
    package func count(_ event: String) -> Int {
        self.state.withLock { $0.count(event) }
    }

    /// Waits until something has happened that often; an event counts when it begins with these words.
    package func wait(for event: String, count: Int = 1) async {
        await withCheckedContinuation { continuation in
            let isDone = self.state.withLock { state in
                if state.count(event) >= count { return true }
                state.waiters.append(Waiter(event: event, count: count, continuation: continuation))
                return false
            }
            if isDone { continuation.resume() }
        }
    }

    /// Notes that something happened.
    package func note(_ event: String) {
        let done = self.state.withLock { state in
            state.events.append(event)
            let (done, waiting) = state.partitionWaiters()
            state.waiters = waiting
            return done
        }
        for waiter in done { waiter.continuation.resume() }
    }

    /// Lets sources refuse to start; nil lets them.
    package func refuseStart(_ error: SourceError?) {
        self.state.withLock { $0.startError = error }
    }

    /// Lets upstream refuse commits; nil lets it take them.
    package func refuseCommits(_ error: SourceError?) {
        self.state.withLock { $0.commitError = error }
    }

    /// Lets destinations refuse results; nil lets them take them.
    package func refuseResults(_ error: DestinationError?) {
        self.state.withLock { $0.resultError = error }
    }

    /// Lets destinations find results too large that have more bytes; nil lets them take any.
    package func limitResults(_ bytes: Int?) {
        self.state.withLock { $0.resultBytes = bytes }
    }

    /// How many bytes of a result destinations take; nil for any.
    var resultBytes: Int? { self.state.withLock { $0.resultBytes } }

    /// Sets what functions answer.
    package func answer(_ answer: @escaping Answer) {
        self.state.withLock { $0.answer = answer }
    }

    /// Makes functions those of AWS Lambda, with an ARN and the version that runs.
    package func setVersion(_ arn: String, executed: String) {
        self.state.withLock { $0.version = (arn, executed) }
    }

    /// What functions are in AWS Lambda; nil for nothing.
    var version: (arn: String, executed: String)? { self.state.withLock { $0.version } }

    /// Hands records to the source that was started last.
    package func deliver(_ partition: String, _ offsets: Range<UInt64>) {
        self.state.withLock { $0.sources.last }?.deliver(partition, offsets)
    }

    /// Tells the source that was started last what became of its connection.
    package func tell(_ status: SourceStatus) {
        self.state.withLock { $0.sources.last }?.tell(status)
    }

    /// Lets the source that was started last end by itself.
    package func endSource() {
        self.state.withLock { $0.sources.last }?.end()
    }

    /// Lets the source that was started last tell something.
    package func tell(_ event: SourceEvent) {
        self.state.withLock { $0.sources.last }?.tell(event)
    }

    /// What goes wrong when operators move partitions.
    package struct SeekRefusals: Sendable {
        /// Why the source does not say where partitions would go.
        package var moves: SeekError?
        /// Why upstream does not follow.
        package var follow: SourceError?
        /// Partitions that are somebody else's when upstream is to follow.
        package var lost: Set<String> = []

        /// Nothing.
        package init() {}
    }

    /// Lets seeks go wrong.
    package func refuseSeeks(_ refusals: SeekRefusals) {
        self.state.withLock { $0.seekRefusals = refusals }
    }

    var seekRefusals: SeekRefusals { self.state.withLock { $0.seekRefusals } }

    /// The checkpoints with which sources were started, in order.
    package var starts: [[String: Position]] { self.state.withLock { $0.starts } }

    func started(_ source: ScriptedSource, _ checkpoints: [String: Position]) throws(SourceError) {
        let error = self.state.withLock { state in
            if state.startError == nil {
                state.sources.append(source)
                state.starts.append(checkpoints)
            }
            return state.startError
        }
        self.note(error == nil ? "source started" : "source refused")
        if let error { throw error }
    }

    var resultError: DestinationError? { self.state.withLock { $0.resultError } }
    var commitError: SourceError? { self.state.withLock { $0.commitError } }

    func invoked(_ function: String, _ records: [String]) async -> InvocationResult {
        self.note("invoked \(function) \(records.joined(separator: " "))")
        return await self.state.withLock { $0.answer }(function, records)
    }
}
