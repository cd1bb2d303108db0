// SPDX-License-Identifier: Apache-2.0

import Glibc
import Reactor

/// Finds what a command means, and starts it.
///
/// Blocks for a fork and an exec, about a millisecond.
enum ProcessStart {
    /// Why a command cannot be started.
    struct Refusal: Error {
        /// What happened, and what to do.
        var detail: String
    }

    /// `setpriv` (util-linux) makes the kernel end a function when Penstock is killed; nil when it is not
    /// installed.
    static let guardian: String? = ["/usr/bin/setpriv", "/bin/setpriv"].first { unsafe access($0, X_OK) == 0 }

    /// The absolute path of a configured directory.
    static func directory(_ directory: String) throws(Refusal) -> String {
        var status = stat()
        guard unsafe stat(directory, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw Refusal(
                detail: "directory \"\(directory)\" does not exist or is no directory; correct `directory`"
            )
        }
        guard let resolved = unsafe realpath(directory, nil) else {
            throw Refusal(detail: "directory \"\(directory)\": \(Self.text(errno))")
        }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
    }

    /// The absolute path of a program: as execvp(3) finds it, but with the function's directory and `PATH`.
    static func program(_ name: String, directory: String, path: String) throws(Refusal) -> String {
        if name.contains("/") {
            let full = name.hasPrefix("/") ? name : directory + "/" + name
            guard unsafe access(full, F_OK) == 0 else {
                throw Refusal(
                    detail:
                        "\"\(full)\" does not exist; correct `command` "
                        + "(a relative path is relative to `directory`)"
                )
            }
            guard Self.isProgram(full) else {
                throw Refusal(
                    detail: "\"\(full)\" is not executable; chmod +x it, or name its interpreter in `command`"
                )
            }
            return full
        }
        for folder in path.split(separator: ":") {
            let full = "\(folder)/\(name)"
            if Self.isProgram(full) { return full }
        }
        throw Refusal(
            detail:
                "no program \"\(name)\" in PATH \(path); "
                + "install it, give its path, or list PATH in `environment`"
        )
    }

    private static func isProgram(_ path: String) -> Bool {
        var status = stat()
        return unsafe access(path, X_OK) == 0 && stat(path, &status) == 0
            && status.st_mode & S_IFMT == S_IFREG
    }

    /// Starts a process; returns its id.
    static func spawn(
        _ arguments: [String],
        environment: [String],
        directory: String,
        output: Int32,
        error: Int32
    ) throws(Refusal) -> pid_t {
        guard let program = arguments.first else { throw Refusal(detail: "`command` is empty") }
        do {
            return try ChildProcess.spawn(
                arguments,
                environment: environment,
                directory: directory,
                output: output,
                error: error
            )
        } catch {
            throw Refusal(detail: "cannot start \(program): \(Self.text(error.code))")
        }
    }

    /// What errno means.
    static func text(_ code: Int32) -> String {
        unsafe String(cString: strerror(code))
    }
}
