// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import Reactor
import Synchronization

/// `credential_process` of a profile: a program that prints credentials.
enum CredentialProcess {
    private static let patience = Duration.seconds(60)
    private static let outputMax = 1 << 20

    /// How a program ended.
    private enum Ending {
        case printed([UInt8])
        case failed(status: Int32)
        case killed
    }

    /// Runs the program in a shell, as AWS's tools do, on a thread of its own.
    ///
    /// It is killed, with all that it has started, when it takes longer than a minute or prints more than 1 MiB, and when
    /// the task is cancelled.
    static func credentials(_ command: String) async throws(AWSError) -> AWSCredentials {
        let program = Program()
        let ending = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                do throws(OwnThread.StartError) {
                    try OwnThread.start(name: "credentials") {
                        continuation.resume(returning: Self.run(command, program))
                    }
                } catch {
                    continuation.resume(returning: .failed(status: error.code))
                }
            }
        } onCancel: {
            program.cancel()
        }
        let problem: String
        switch ending {
        case .printed(let output):
            return try CredentialDocument.credentials(in: output, of: "credential_process")
        case .failed(let status): problem = "ended with status \(status)"
        case .killed: problem = "took longer than a minute, or printed more than 1 MiB, and was killed"
        }
        throw AWSError(
            .noCredentials,
            code: "Client.Credentials",
            message: "credential_process \(problem); run it by hand to see why"
        )
    }

    private static func run(_ command: String, _ program: Program) -> Ending {
        let deadline = ContinuousClock.now + Self.patience
        let pipe = Pipe()
        let nowhere = unsafe open("/dev/null", O_WRONLY | O_CLOEXEC)
        defer { close(nowhere) }
        let pid: Int32
        do throws(ChildProcess.SpawnError) {
            pid = try ChildProcess.spawn(
                ["/bin/sh", "-c", command],
                environment: ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" },
                directory: FileManager.default.currentDirectoryPath,
                output: pipe.fileHandleForWriting.fileDescriptor,
                error: nowhere
            )
        } catch {
            return .failed(status: 127)
        }
        program.began(pid)
        try? pipe.fileHandleForWriting.close()
        let output = Self.read(pipe.fileHandleForReading.fileDescriptor, until: deadline)
        var status: Int32 = 0
        while output != nil && program.isRunning(&status) {
            guard ContinuousClock.now < deadline else { break }
            usleep(10_000)
        }
        // The whole group: its leader may be gone, and what it has started not.
        program.ended()
        kill(-pid, SIGKILL)
        _ = unsafe waitpid(pid, &status, 0)
        guard let output else { return .killed }
        return status == 0
            ? .printed(output) : .failed(status: status & 0x7F == 0 ? status >> 8 : 128 + status & 0x7F)
    }

    /// All that comes until the end; nil when that is too late or too much.
    private static func read(_ descriptor: Int32, until deadline: ContinuousClock.Instant) -> [UInt8]? {
        var output: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while output.count <= Self.outputMax {
            let rest = deadline - ContinuousClock.now
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard rest > .zero else { return nil }
            guard unsafe poll(&wait, 1, Int32(clamping: Int(rest / .milliseconds(1)) + 1)) != 0 else {
                continue
            }
            let count = unsafe Foundation.read(descriptor, &part, part.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return output }
            output += part[..<count]
        }
        return nil
    }
}

/// A program while it runs, to be killed by who does not want its answer any more.
private final class Program: Sendable {
    private struct State {
        var pid: Int32?
        var isCancelled = false
    }

    private let state = Mutex(State())

    /// It was started; it is killed at once when nobody wants it any more.
    func began(_ pid: Int32) {
        self.state.withLock { state in
            state.pid = pid
            if state.isCancelled { kill(-pid, SIGKILL) }
        }
    }

    /// Whether it runs; when it has ended, how, and its id may be another one's from then on.
    func isRunning(_ status: inout Int32) -> Bool {
        self.state.withLock { state in
            guard let pid = state.pid, unsafe waitpid(pid, &status, WNOHANG) == 0 else {
                state.pid = nil
                return false
            }
            return true
        }
    }

    /// It is waited for; nothing is to be killed any more.
    func ended() {
        self.state.withLock { $0.pid = nil }
    }

    /// Kills it, now or when it is started.
    func cancel() {
        self.state.withLock { state in
            state.isCancelled = true
            if let pid = state.pid { kill(-pid, SIGKILL) }
        }
    }
}
