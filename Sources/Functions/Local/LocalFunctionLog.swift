// SPDX-License-Identifier: Apache-2.0

import PenstockCore
package import PenstockRuntime

/// Where the lines of functions go as they are written.
package protocol LocalFunctionLog: Sendable {
    /// Takes a line. Called on the reactor's thread, in order; must not block.
    func write(_ line: LocalFunctionLogLine)

    /// Tells an operator what keeps processes from their work. As ``write(_:)``.
    func warn(_ text: String)
}

/// One line of a function's output, or about its process.
package struct LocalFunctionLogLine: Sendable, Equatable {
    /// Where a line comes from.
    package enum Stream: String, Sendable {
        /// The function's standard output.
        case output = "stdout"
        /// The function's standard error.
        case error = "stderr"
        /// Penstock: `START`, `END`, `REPORT`, and what became of a process.
        case platform
    }

    /// The function's name.
    package var function: String

    /// The invocation that was running; nil between invocations.
    package var requestID: String?

    /// Where the line comes from.
    package var stream: Stream

    /// The line, without its end.
    package var text: String

    /// A line.
    package init(function: String, requestID: String?, stream: Stream, text: String) {
        self.function = function
        self.requestID = requestID
        self.stream = stream
        self.text = text
    }
}

/// What one invocation cost, as AWS reports it (esm-spec 8.2).
package struct InvocationReport: Sendable, Equatable {
    /// The request id.
    package var requestID: String

    /// From hand-over to answer.
    package var duration: Duration

    /// The limit, in bytes.
    package var memorySize: Int

    /// The most that the process ever used, in bytes; at most some 100 ms old.
    package var memoryUsed: Int

    /// From the process's start to its first request for work; only for its first invocation.
    package var initDuration: Duration?

    /// The tab-separated `REPORT` line.
    package var line: String {
        let nanoseconds = self.duration.wholeNanoseconds
        var line = "REPORT RequestId: \(self.requestID)\tDuration: \(Self.milliseconds(self.duration)) ms\t"
        line += "Billed Duration: \((nanoseconds + 999_999) / 1_000_000) ms\t"
        line += "Memory Size: \(self.memorySize >> 20) MB\t"
        line += "Max Memory Used: \((self.memoryUsed + (1 << 20) - 1) >> 20) MB\t"
        if let initDuration { line += "Init Duration: \(Self.milliseconds(initDuration)) ms\t" }
        return line
    }

    private static func milliseconds(_ duration: Duration) -> String {
        DecimalText.fixed(hundredths: (duration.wholeNanoseconds + 5_000) / 10_000)
    }
}

/// Numbers as text.
enum DecimalText {
    /// `hundredths / 100` with two decimals.
    ///
    /// Not negative.
    static func fixed(hundredths: Int64) -> String {
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }
}

/// What came of one invocation by hand: ``LocalFunction/run(_:)``.
package struct LocalInvocationOutcome: Sendable {
    /// The result.
    package var result: InvocationResult

    /// The last lines that the invocation wrote, with `START`, `END` and `REPORT`; at most 64 KiB.
    package var lines: [LocalFunctionLogLine]

    /// Lines dropped from the front of `lines`.
    package var droppedLines: Int

    /// What it cost; nil when no process had it.
    package var report: InvocationReport?
}
