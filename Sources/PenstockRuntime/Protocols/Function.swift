// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// What a trigger invokes.
///
/// One object serves all triggers that name it.
///
/// What a function owes: ``invoke(_:)`` returns exactly once for each call, at the latest a little after the deadline;
/// it never throws, and whatever goes wrong is an ``InvocationResult``. Calls come from the event loop and may run
/// side by side; a function that has less room makes callers wait in order.
package protocol Function: Sendable {
    /// The name under `functions:`.
    var name: String { get }

    /// Its ARN, with the alias or version that is invoked where one is named; nil where none is known.
    var arn: String? { get }

    /// The format it wants, made from the source's own; a local function takes the Lambda event as it is.
    func format(for source: any EventFormat, trigger: String) -> any EventFormat

    /// How many invocations can run side by side; the default for a trigger's `concurrency`.
    var concurrency: Int { get }

    /// How long one invocation may take.
    var timeout: Duration { get }

    /// Invokes it once.
    func invoke(_ invocation: Invocation) async -> InvocationResult

    /// The same, with the version that ran: what a trigger does.
    func answer(_ invocation: Invocation) async -> InvocationAnswer

    /// The same, with all that is known about the call: for an invocation by hand.
    func trace(_ invocation: Invocation) async -> InvocationTrace

    /// Begins no invocation from now on: whoever waits for room, and whoever calls later, is told at once that it is
    /// ``InvocationResult/stopping``. What runs goes on. Idempotent.
    func stopAdmitting() async

    /// Ends processes and connections. No invocation is running. Idempotent.
    func shutdown() async
}

extension Function {
    /// None: only functions of AWS Lambda have one.
    package var arn: String? { nil }

    /// The result alone: only functions of AWS Lambda have versions.
    package func answer(_ invocation: Invocation) async -> InvocationAnswer {
        InvocationAnswer(result: await self.invoke(invocation))
    }

    /// The result alone: most functions write no log that reaches us.
    package func trace(_ invocation: Invocation) async -> InvocationTrace {
        InvocationTrace(result: await self.invoke(invocation))
    }

    /// Nothing: for a function that lets nobody wait.
    package func stopAdmitting() async {}
}

/// What came of a call of a trigger.
package struct InvocationAnswer: Sendable {
    /// What came of it.
    package var result: InvocationResult

    /// The version of the function that ran, in AWS Lambda's words; nil where none is known.
    package var executedVersion: String?

    /// An answer.
    package init(result: InvocationResult, executedVersion: String? = nil) {
        self.result = result
        self.executedVersion = executedVersion
    }
}

/// A call with all that is known about it.
package struct InvocationTrace: Sendable {
    /// What came of it.
    package var result: InvocationResult

    /// What the function wrote, line by line.
    package var lines: [String]

    /// Whether `lines` are in the log already, at level info, as they were written.
    package var isLogged: Bool

    /// What it cost, as AWS reports it; nil when that is not known.
    package var report: String?

    /// A trace.
    package init(
        result: InvocationResult,
        lines: [String] = [],
        isLogged: Bool = false,
        report: String? = nil
    ) {
        self.result = result
        self.lines = lines
        self.isLogged = isLogged
        self.report = report
    }
}

/// One call of a function.
package struct Invocation: Sendable {
    /// The request id: stable over retries of the same batch, made from trigger, source position and batch
    /// (contract rule 12).
    ///
    /// A UUID in form.
    package var id: String

    /// The trigger's name; empty for an invocation by hand.
    package var trigger: String

    /// The number of the attempt, from 1.
    package var attempt: Int

    /// The body.
    ///
    /// Not written again before ``Function/invoke(_:)`` has returned.
    package var body: EventBuffer

    /// The body's content type.
    package var contentType: String

    /// When the function must have answered, on the loop's clock.
    package var deadline: Instant

    /// The same on the wall clock, as the Runtime API tells it.
    package var wallDeadline: Timestamp

    /// A call.
    package init(
        id: String,
        trigger: String,
        attempt: Int,
        body: EventBuffer,
        contentType: String,
        deadline: Instant,
        wallDeadline: Timestamp
    ) {
        self.id = id
        self.trigger = trigger
        self.attempt = attempt
        self.body = body
        self.contentType = contentType
        self.deadline = deadline
        self.wallDeadline = wallDeadline
    }
}

/// What came of a call.
package enum InvocationResult: Sendable, Equatable {
    /// The function answered with this body.
    case responded([UInt8])

    /// The function failed: it threw, timed out, crashed, answered too much. Counts as an attempt.
    case failed(Failure)

    /// The function has no room (429, 503 with `Retry-After`). Costs no attempt.
    case throttled(retryAfter: Duration?, Failure)

    /// The function could not be reached or started, so no record was tried. Costs no attempt.
    case unavailable(Failure)

    /// The function refused the records for good (HTTP 4xx).
    case rejected(Failure)
}

extension InvocationResult {
    /// Not begun, because Penstock stops.
    package static let stopping = InvocationResult.unavailable(.stopping)
}

extension Failure {
    /// Why nothing begins any more.
    package static let stopping = Failure(type: "Penstock.Stopping", message: "Penstock stops")
}

/// The limits of an invocation; those in bytes are AWS's (esm-spec sections 2 and 8.1).
package enum InvocationLimit {
    /// Bytes of a request: 6 MiB.
    package static let requestBytes = 6_291_456
    /// Bytes of a response: 6 MiB and 100.
    package static let responseBytes = 6_291_556
    /// The longest wait that a throttling function may ask for.
    package static let retryAfter = Duration.seconds(900)
}
