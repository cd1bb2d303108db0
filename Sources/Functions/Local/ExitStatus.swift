// SPDX-License-Identifier: Apache-2.0

/// How a process ended, in the Runtime API's words (esm-spec 8.1).
enum ExitStatus: Sendable, Equatable {
    case code(Int32)
    case signal(Int32)

    /// From the status of wait(2).
    init(waitStatus: Int32) {
        let signal = waitStatus & 0x7f
        self = signal == 0 ? .code((waitStatus >> 8) & 0xff) : .signal(signal)
    }

    /// The end of the sentence `Runtime exited …`.
    var reason: String {
        switch self {
        case .code(0): "without providing a reason"
        case .code(let code): "with error: exit status \(code)"
        case .signal(let signal): "with error: signal: \(Self.name(of: signal))"
        }
    }

    private static func name(of signal: Int32) -> String {
        switch signal {
        case 1: "hangup"
        case 2: "interrupt"
        case 3: "quit"
        case 4: "illegal instruction"
        case 6: "aborted"
        case 7: "bus error"
        case 8: "floating point exception"
        case 9: "killed"
        case 11: "segmentation fault"
        case 13: "broken pipe"
        case 14: "alarm clock"
        case 15: "terminated"
        default: "signal \(signal)"
        }
    }
}
