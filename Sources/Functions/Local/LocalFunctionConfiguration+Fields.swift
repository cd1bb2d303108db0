// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration

/// `functions: { NAME: { local: … } }`.
extension LocalFunctionConfiguration: ConfigurationTable {
    private static let commandField = Field.strings(
        "command",
        "The program and its arguments. A name is looked up in PATH; "
            + "a relative path is relative to directory."
    )
    private static let directoryField = Field.string("directory", "Where the processes run.", default: ".")
    private static let environmentField = Field.properties(
        "environment",
        "All that a process gets besides the variables of the Runtime API; nothing of Penstock's own."
    )
    private static let handlerField = Field.string(
        "handler",
        "The handler's name, as _HANDLER; the last word of the command when left out."
    ).optional
    private static let timeoutField = Field.duration(
        "timeout",
        "How long one invocation may take, from the moment a process has it.",
        default: .seconds(30),
        in: .milliseconds(1) ... .seconds(24 * 3600)
    )
    private static let memoryField = Field.size(
        "memory",
        "Resident memory of one process; beyond it the process is killed.",
        default: 512 << 20,
        in: (1 << 20)...(1 << 50)
    )
    private static let concurrencyField = Field.integer(
        "concurrency",
        "Processes at most; they start when needed and stay warm. One for each processor when left out.",
        in: 1...1000
    ).optional
    private static let initTimeoutField = Field.duration(
        "init_timeout",
        "How long a process may take from its start to its first request for work.",
        default: .seconds(10),
        in: .milliseconds(1) ... .seconds(3600)
    )
    private static let idleTimeoutField = Field.duration(
        "idle_timeout",
        "How long a process may idle before it is ended; for ever when left out.",
        in: .milliseconds(1) ... .seconds(365 * 86_400)
    ).optional
    private static let stopGraceField = Field.duration(
        "stop_grace",
        "How long a process may take to end after SIGTERM, before SIGKILL.",
        default: .milliseconds(500),
        in: .zero ... .seconds(60)
    )
    private static let unixSocketField = Field.boolean(
        "unix_socket",
        "Whether a process also gets the Runtime API on a unix socket, by PENSTOCK_RUNTIME_SOCKET.",
        default: false
    )

    package static let table = FieldTable(
        "local",
        "Runs processes that speak the Lambda Runtime API.",
        [
            commandField, directoryField, environmentField, handlerField, timeoutField, memoryField,
            concurrencyField,
            initTimeoutField, idleTimeoutField, stopGraceField, unixSocketField,
        ]
    )

    package init(_ reader: inout ConfigurationReader) {
        self.init(command: reader[Self.commandField])
        self.directory = reader[Self.directoryField]
        self.environment = reader[Self.environmentField]
        self.handler = reader[Self.handlerField]
        self.timeout = reader[Self.timeoutField]
        self.memory = reader[Self.memoryField]
        self.concurrency = reader[Self.concurrencyField] ?? Self.cores
        self.initTimeout = reader[Self.initTimeoutField]
        self.idleTimeout = reader[Self.idleTimeoutField]
        self.stopGrace = reader[Self.stopGraceField]
        self.unixSocket = reader[Self.unixSocketField]
        reader.require(
            self.command.first?.isEmpty == false,
            at: Self.commandField,
            "must begin with a program",
            suggestion: "such as [python3, -m, awslambdaric, app.handler]"
        )
        reader.require(
            self.directoryExists,
            at: Self.directoryField,
            "must be a directory that exists",
            suggestion: "it is relative to where penstock is started"
        )
        if let problem = self.programProblem {
            reader.advise(
                false,
                at: Self.commandField,
                code: .missingProgram,
                "starts nothing here: \(problem)"
            )
        }
        self.checkEnvironment(&reader)
    }

    /// Why the program would not start on this machine; nil when it would, or when something else is wrong.
    private var programProblem: String? {
        self.directoryExists ? self.startProblem : nil
    }

    /// Why the program would not start on this machine; nil when it would.
    var startProblem: String? {
        guard let name = self.command.first, !name.isEmpty else { return nil }
        do throws(ProcessStart.Refusal) {
            let path = self.environment["PATH"] ?? ProcessEnvironment.defaultPath
            let directory = try ProcessStart.directory(self.directory)
            _ = try ProcessStart.program(name, directory: directory, path: path)
            return nil
        } catch {
            return error.detail
        }
    }

    private var directoryExists: Bool {
        do throws(ProcessStart.Refusal) {
            _ = try ProcessStart.directory(self.directory)
            return true
        } catch {
            return false
        }
    }

    private func checkEnvironment(_ reader: inout ConfigurationReader) {
        for name in self.environment.keys.sorted() {
            reader.require(
                !ProcessEnvironment.reserved.contains(name),
                at: Self.environmentField,
                "must not set \(name), which Penstock sets itself",
                suggestion: name == "_HANDLER" ? "use handler" : "remove it"
            )
            reader.require(
                !name.isEmpty && !name.contains("=") && !name.utf8.contains(0),
                at: Self.environmentField,
                "has a name that no variable can have: \"\(name)\""
            )
        }
    }
}
