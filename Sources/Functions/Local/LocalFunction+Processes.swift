// SPDX-License-Identifier: Apache-2.0

import CReactor
import Glibc
import PenstockCore
import PenstockRuntime
import Reactor

/// Processes: how they begin and how they end.
extension LocalFunction {
    /// Starts a process that the pool asked for.
    func start(_ id: ProcessID) {
        var files = FunctionProcess.Files()
        do throws(ProcessStart.Refusal) {
            let pid = try self.spawn(id, &files)
            let process = FunctionProcess(
                id: id,
                pid: pid,
                files: files,
                reactor: self.reactor,
                acceptor: self.acceptor
            )
            self.processes[id] = process
            self.watch(process)
        } catch {
            files.close()
            let failure = Failure(type: "Runtime.InvalidEntrypoint", message: self.describe(error.detail))
            let now = self.reactor.now
            self.perform(self.pool.startFailed(id, failure, now: now) + self.pool.exited(id, now: now))
        }
    }

    private func watch(_ process: FunctionProcess) {
        let id = process.id
        do {
            try process.open { source, readiness in self.assumeIsolated { $0.ready(id, source, readiness) } }
        } catch {
            // Without its descriptors watched the process is useless, and its end would go unnoticed: end it
            // here.
            process.kill()
            var status: Int32 = 0
            unsafe waitpid(process.pid, &status, 0)
            self.startFailed(process, Failure(type: "Runtime.InvalidEntrypoint", message: "\(error)"))
            self.remove(process)
        }
    }

    /// Opens sockets and pipes, and starts the program.
    ///
    /// On failure the caller closes `files`.
    private func spawn(
        _ id: ProcessID,
        _ files: inout FunctionProcess.Files
    ) throws(ProcessStart.Refusal) -> pid_t {
        let directory = try ProcessStart.directory(self.configuration.directory)
        try self.listen(id, &files)
        let environment = ProcessEnvironment(
            function: self.name,
            configuration: self.configuration,
            instance: .init(
                runtimeAPI: "127.0.0.1:\(files.port)",
                socket: files.socketPath,
                directory: directory,
                startedAt: self.reactor.wallNow,
                streamID: Self.randomHex()
            )
        )
        guard let name = self.configuration.command.first, !name.isEmpty else {
            throw ProcessStart.Refusal(detail: "`command` is empty; give a program and its arguments")
        }
        let program = try ProcessStart.program(name, directory: directory, path: environment.path)
        var arguments = [program] + self.configuration.command.dropFirst()
        if let guardian = ProcessStart.guardian {
            arguments = [guardian, "--pdeathsig", "KILL", "--"] + arguments
        }
        var (output, error): (Int32, Int32) = (-1, -1)
        guard unsafe penstock_pipe(&files.output, &output) == 0 else { throw Self.refusal("pipe") }
        defer { close(output) }
        guard unsafe penstock_pipe(&files.error, &error) == 0 else { throw Self.refusal("pipe") }
        defer { close(error) }
        let pid = try ProcessStart.spawn(
            arguments,
            environment: environment.entries,
            directory: directory,
            output: output,
            error: error
        )
        files.pidDescriptor = penstock_pidfd_open(pid)
        guard files.pidDescriptor >= 0 else {
            let refusal = Self.refusal("pidfd_open")
            kill(-pid, SIGKILL)
            var status: Int32 = 0
            unsafe waitpid(pid, &status, 0)
            throw refusal
        }
        return pid
    }

    private func listen(_ id: ProcessID, _ files: inout FunctionProcess.Files) throws(ProcessStart.Refusal) {
        files.listener = unsafe penstock_listen_loopback(&files.port)
        guard files.listener >= 0 else { throw Self.refusal("listen on 127.0.0.1") }
        guard self.configuration.unixSocket else { return }
        if self.socketDirectory == nil {
            var template = Array("/tmp/penstock-XXXXXX".utf8CString)
            guard unsafe mkdtemp(&template) != nil else {
                throw Self.refusal("mkdtemp in /tmp")
            }
            self.socketDirectory = String(
                decoding: template.dropLast().map { UInt8(bitPattern: $0) },
                as: UTF8.self
            )
        }
        let path = "\(self.socketDirectory ?? "/tmp")/\(id.rawValue).sock"
        files.socketListener = unsafe penstock_listen_unix(path)
        guard files.socketListener >= 0 else { throw Self.refusal("listen on \(path)") }
        files.socketPath = path
    }

    private static func refusal(_ call: String) -> ProcessStart.Refusal {
        .init(detail: "\(call): \(ProcessStart.text(errno)); is the limit of open files too low?")
    }

    private static func randomHex() -> String {
        Hexadecimal.text((0..<16).map { _ in UInt8.random(in: .min ... .max) })
    }

    // MARK: - Ends

    /// A process has ended: whatever it was about ends with it.
    func exited(_ process: FunctionProcess, _ status: ExitStatus) {
        self.drain(process)
        if self.pool.isStarting(process.id) {
            let failure =
                process.initFailure
                ?? Failure(
                    type: "Runtime.ExitError",
                    message: "exited before it asked for an invocation: Runtime exited \(status.reason)"
                )
            self.startFailed(process, failure)
        } else if let running = process.running {
            self.pool.condemn(process.id)
            let text = "RequestId: \(running.requestID) Error: Runtime exited \(status.reason)"
            self.end(process, .failed(Failure(type: "Runtime.ExitError", message: text)), note: text)
        }
        self.remove(process)
    }

    private func remove(_ process: FunctionProcess) {
        process.close()
        self.processes[process.id] = nil
        self.perform(self.pool.exited(process.id, now: self.reactor.now))
    }

    /// A process failed before it could take an invocation.
    func startFailed(_ process: FunctionProcess, _ failure: Failure) {
        for stream in [LocalFunctionLogLine.Stream.output, .error] {
            if let line = process.flushLine(stream) { self.write(line, stream, process) }
        }
        var text = self.describe(failure.message)
        let lines = process.idleTail.last(5, of: .error)
        if !lines.isEmpty { text += "; its last words: " + lines.joined(separator: " | ") }
        let told = Failure(type: failure.type, message: text)
        self.note("INIT_ERROR \(told.type): \(told.message)", process)
        self.perform(self.pool.startFailed(process.id, told, now: self.reactor.now))
    }

    /// With the program alone: what it is told may be a secret.
    private func describe(_ detail: String) -> String {
        let program = self.configuration.command.first ?? ""
        return
            "function \(self.name): command \"\(program)\" in \"\(self.configuration.directory)\": \(detail)"
    }
}
