// SPDX-License-Identifier: Apache-2.0

import CReactor
import Glibc

/// Starts programs.
package enum ChildProcess {
    /// Why a program was not started.
    package struct SpawnError: Error {
        /// What posix_spawn(3) says: an errno.
        package let code: Int32
    }

    /// Starts a program that leads a process group of its own, with default signals, standard input from /dev/null and
    /// no other descriptor of ours than these two; gives its process id, which the caller has to wait for.
    ///
    /// A descriptor that went along by accident would stay open for as long as the program runs, and whoever waits for
    /// its end would wait for that. Blocks for a fork and an exec, about a millisecond.
    ///
    /// - Parameters:
    ///   - arguments: The program's path, and what it is told.
    ///   - environment: All of it, as `NAME=value`.
    ///   - directory: Where it runs.
    ///   - output: What becomes its standard output.
    ///   - error: What becomes its standard error.
    /// - Returns: Its process id.
    /// - Throws: ``SpawnError`` when it could not be started.
    package static func spawn(
        _ arguments: [String],
        environment: [String],
        directory: String,
        output: Int32,
        error: Int32
    ) throws(SpawnError) -> Int32 {
        var pid: pid_t = 0
        let code = unsafe Self.withStrings(arguments) { arguments in
            unsafe Self.withStrings(environment) { environment in
                unsafe directory.withCString { directory in
                    guard let program = unsafe arguments[0] else { return EINVAL }
                    var request = unsafe penstock_spawn_request(
                        path: program,
                        arguments: arguments,
                        environment: environment,
                        directory: directory,
                        output: output,
                        error: error
                    )
                    return unsafe penstock_spawn(&request, &pid)
                }
            }
        }
        guard code == 0 else { throw SpawnError(code: code) }
        return pid
    }

    private static func withStrings<Result>(
        _ strings: [String],
        _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        let pointers = unsafe strings.map { unsafe strdup($0) } + [nil]
        defer { unsafe pointers.forEach { unsafe free($0) } }
        return unsafe pointers.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { preconditionFailure("an array with a nil at its end") }
            return unsafe body(base)
        }
    }
}
