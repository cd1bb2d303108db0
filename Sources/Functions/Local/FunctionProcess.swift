// SPDX-License-Identifier: Apache-2.0

import CReactor
import Glibc
import PenstockCore
import Reactor

/// One process of a function with its sockets and pipes.
///
/// On the reactor only; ``LocalFunction`` decides.
final class FunctionProcess {
    /// What can become ready.
    enum Source: Sendable {
        case exit
        case output(LocalFunctionLogLine.Stream)
        case listener
        case socketListener
        case connection(Int)
    }

    /// Connections at most; further ones are refused.
    static let connectionsMax = 16

    /// Bytes read from one pipe before other work gets its turn.
    private static let drainMax = 1 << 20

    /// The pool's name for it.
    let id: ProcessID

    /// The process id of the system; also of its group.
    let pid: pid_t

    /// When it was started.
    let startedAt: Instant

    /// From start to first poll; nil before.
    var initDuration: Duration?

    /// What it posted to `init/error`.
    var initFailure: Failure?

    /// The invocation it works on.
    var running: Running?

    /// The request id of the invocation before.
    var lastRequestID: [UInt8] = []

    /// Whether it has had an invocation.
    var isWarm = false

    /// What it wrote since its start or its last answer, outside invocations.
    var idleTail = OutputTail()

    /// The connection whose `next` is open.
    var polling: Int?

    /// The last sample.
    var memory = ProcessMemory()

    /// When it was taken.
    var memorySampledAt = Instant.start

    /// The open connections.
    private(set) var connections: [Int: RuntimeConnection] = [:]

    /// Whether connections could not be accepted lately.
    var isShortOfFiles = false

    private let reactor: Reactor
    private let acceptor: Acceptor
    private let files: Files
    private let memoryReader: ProcessMemoryReader
    private var registrations: [Reactor.Registration] = []
    private var listeners: [Reactor.Registration] = []
    private var outputs: [LocalFunctionLogLine.Stream: Output]
    private var lastConnection = 0
    private var isClosed = false

    /// Takes a connection from a listener: its descriptor, or the errno, negated.
    typealias Acceptor = @Sendable (_ listener: Int32) -> Int32

    /// accept(2).
    static let systemAcceptor: Acceptor = { listener in
        let descriptor = penstock_accept(listener)
        return descriptor >= 0 ? descriptor : -errno
    }

    /// An invocation at work.
    struct Running {
        /// The pool's name for it.
        var call: CallID
        /// The request id.
        var requestID: String
        /// The same as bytes, to compare with paths.
        var idBytes: [UInt8]
        /// When the event was handed over.
        var startedAt: Instant
        /// Whether lines are made for it.
        var keepsLines: Bool
        /// What was written meanwhile.
        var tail = OutputTail()
    }

    /// The descriptors of a process; owned by it.
    struct Files {
        var listener: Int32 = -1
        var port: UInt16 = 0
        var socketListener: Int32 = -1
        var socketPath: String?
        var output: Int32 = -1
        var error: Int32 = -1
        var pidDescriptor: Int32 = -1

        /// Closes all that are open.
        func close() {
            for descriptor in [
                self.listener, self.socketListener, self.output, self.error, self.pidDescriptor,
            ] where descriptor >= 0 {
                Glibc.close(descriptor)
            }
            if let socketPath { unsafe unlink(socketPath) }
        }
    }

    private struct Output {
        var descriptor: Int32
        var registration: Reactor.Registration?
        var splitter = LineSplitter()
    }

    /// Takes over a process that was just started, and its descriptors.
    init(id: ProcessID, pid: pid_t, files: Files, reactor: Reactor, acceptor: @escaping Acceptor) {
        self.id = id
        self.pid = pid
        self.files = files
        self.acceptor = acceptor
        self.reactor = reactor
        self.startedAt = reactor.now
        self.memoryReader = ProcessMemoryReader(pid: pid)
        self.outputs = [.output: Output(descriptor: files.output), .error: Output(descriptor: files.error)]
    }

    deinit {
        assert(self.isClosed, "a process was dropped without close()")
    }

    /// Begins to watch everything.
    ///
    /// When it throws, ``kill()`` and ``close()`` are still due.
    func open(_ handler: @escaping @Sendable (Source, Reactor.Readiness) -> Void) throws(ReactorError) {
        _ = try self.watch(self.files.pidDescriptor) { handler(.exit, $0) }
        self.listeners = [try self.watch(self.files.listener) { handler(.listener, $0) }]
        if self.files.socketListener >= 0 {
            self.listeners.append(
                try self.watch(self.files.socketListener) { handler(.socketListener, $0) }
            )
        }
        for stream in [LocalFunctionLogLine.Stream.output, .error] {
            guard let output = self.outputs[stream] else { continue }
            self.outputs[stream]?.registration = try self.reactor.register(output.descriptor, for: .readable)
            {
                handler(.output(stream), $0)
            }
        }
    }

    private func watch(
        _ descriptor: Int32,
        _ handler: @escaping @Sendable (Reactor.Readiness) -> Void
    ) throws(ReactorError) -> Reactor.Registration {
        let registration = try self.reactor.register(descriptor, for: .readable, handler: handler)
        self.registrations.append(registration)
        return registration
    }

    /// Ends watching and closes everything.
    ///
    /// Idempotent.
    func close() {
        guard !self.isClosed else { return }
        self.isClosed = true
        for registration in self.registrations { self.reactor.unregister(registration) }
        for output in self.outputs.values {
            if let registration = output.registration { self.reactor.unregister(registration) }
        }
        self.registrations = []
        self.listeners = []
        self.outputs = [:]
        for connection in self.connections.values { connection.close() }
        self.connections = [:]
        self.files.close()
    }

    // MARK: - Signals

    /// SIGTERM to the group.
    func terminate() {
        Glibc.kill(-self.pid, SIGTERM)
    }

    /// SIGKILL to the group, so that what the process started ends too.
    func kill() {
        Glibc.kill(-self.pid, SIGKILL)
    }

    /// Collects the process if it has ended.
    ///
    /// What it left behind in its group is killed first: until then its id belongs to no other group.
    func reap() -> ExitStatus? {
        var information = unsafe siginfo_t()
        guard unsafe waitid(P_PID, id_t(self.pid), &information, WEXITED | WNOHANG | WNOWAIT) == 0 else {
            return nil
        }
        self.kill()
        var status: Int32 = 0
        guard unsafe waitpid(self.pid, &status, WNOHANG) == self.pid else { return nil }
        return ExitStatus(waitStatus: status)
    }

    // MARK: - Connections

    /// Accepts what waits at a listener; with the errno when the system has no room for what still waits.
    func accept(fromSocket: Bool) -> (accepted: [RuntimeConnection], refusal: Int32?) {
        var accepted: [RuntimeConnection] = []
        while true {
            let descriptor = self.acceptor(fromSocket ? self.files.socketListener : self.files.listener)
            switch -descriptor {
            case ...0: break
            case EAGAIN: return (accepted, nil)
            // Who wanted to connect has gone, or a signal came.
            case ECONNABORTED, EINTR: continue
            case let code: return (accepted, code)
            }
            guard self.connections.count < Self.connectionsMax else {
                Glibc.close(descriptor)
                continue
            }
            self.lastConnection += 1
            let connection = RuntimeConnection(
                id: self.lastConnection,
                descriptor: descriptor,
                reactor: self.reactor
            )
            self.connections[connection.id] = connection
            accepted.append(connection)
        }
    }

    /// Looks at the listeners, or at none of them: whoever wants to connect waits then.
    func listen(_ isListening: Bool) {
        for listener in self.listeners { self.reactor.update(listener, for: isListening ? .readable : []) }
    }

    /// Closes a connection; true when its `next` was open.
    func drop(_ connection: RuntimeConnection) -> Bool {
        connection.close()
        self.connections[connection.id] = nil
        guard self.polling == connection.id else { return false }
        self.polling = nil
        return true
    }

    // MARK: - Output

    /// Whether a pipe holds something, or has ended; one system call.
    var hasOutput: Bool { penstock_any_readable(self.files.output, self.files.error) != 0 }

    /// Reads what a pipe holds, up to a bound; the lines it completes.
    func drain(_ stream: LocalFunctionLogLine.Stream, into buffer: UnsafeMutableRawBufferPointer) -> [String]
    {
        guard let descriptor = self.outputs[stream]?.descriptor else { return [] }
        var lines: [String] = []
        var total = 0
        while total < Self.drainMax {
            let count = unsafe read(descriptor, buffer.baseAddress, buffer.count)
            if count < 0, errno == EINTR { continue }
            if count == 0, let registration = self.outputs[stream]?.registration.take() {
                self.reactor.unregister(registration)
            }
            guard count > 0 else { break }
            total += count
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
            unsafe lines += self.outputs[stream]?.splitter.add(bytes) ?? []
            if count < buffer.count { break }
        }
        return lines
    }

    /// Takes a line without an end.
    func flushLine(_ stream: LocalFunctionLogLine.Stream) -> String? {
        self.outputs[stream]?.splitter.flush()
    }

    // MARK: - Memory

    /// How old a sample may be when an invocation ends.
    static let memorySampleAge = Duration.milliseconds(100)

    /// Samples the memory unless the last sample is fresh.
    func sampleMemory(now: Instant, maxAge: Duration) {
        guard self.memorySampledAt == .start || now - self.memorySampledAt >= maxAge else { return }
        self.memorySampledAt = now
        if let sample = self.memoryReader.sample() {
            self.memory.resident = sample.resident
            self.memory.peak = max(self.memory.peak, sample.peak)
        }
    }
}
