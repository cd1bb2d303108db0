// SPDX-License-Identifier: Apache-2.0

import Glibc

/// How the processes of a local function are started and limited.
package struct LocalFunctionConfiguration: Sendable, Equatable {
    /// The program and its arguments.
    ///
    /// A name without a slash is looked up in `PATH`; a relative path is relative to ``directory``.
    package var command: [String]

    /// Where the processes run; relative to Penstock's own directory.
    package var directory = "."

    /// All that a process gets besides the variables of the Runtime API.
    ///
    /// Nothing of Penstock's own environment.
    package var environment: [String: String] = [:]

    /// The handler's name, as `_HANDLER`; the last word of the command when nil.
    package var handler: String?

    /// How long one invocation may take, from the moment a process has it.
    package var timeout = Duration.seconds(30)

    /// Resident bytes of one process; beyond it the process is killed.
    package var memory = 512 << 20

    /// Processes at most.
    package var concurrency = LocalFunctionConfiguration.cores

    /// How long a process may take from its start to its first request for work.
    package var initTimeout = Duration.seconds(10)

    /// How long a process may idle before it is ended; nil keeps it warm for ever.
    package var idleTimeout: Duration?

    /// How long a process may take to end after SIGTERM, before SIGKILL.
    package var stopGrace = Duration.milliseconds(500)

    /// Whether each process also gets the Runtime API on a unix socket, by `PENSTOCK_RUNTIME_SOCKET`: less
    /// latency for workers that can use it.
    package var unixSocket = false

    /// The defaults, for this command.
    package init(command: [String]) {
        self.command = command
    }

    /// Processors online.
    package static let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))

    /// The handler that a process is told.
    package var handlerName: String {
        self.handler ?? self.command.last ?? ""
    }
}
