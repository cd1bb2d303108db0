// SPDX-License-Identifier: Apache-2.0

import CReactor
import Glibc
package import PenstockCore
package import PenstockRuntime
package import Reactor

/// A function that is a program speaking the Lambda Runtime API (esm-spec 8.2): processes are started when
/// calls need them, reused, limited in time and memory, and replaced when they fail.
///
/// Everything runs on the reactor's thread. The time limit of an invocation begins when a process has the
/// event; before that a call waits for a process until its deadline and the time that a start may take. So
/// ``invoke(_:)`` returns at most `timeout + init_timeout` after the invocation's deadline, and a call that
/// waited in vain costs no attempt.
package actor LocalFunction: Function {
    package nonisolated let name: String
    package nonisolated var concurrency: Int { self.configuration.concurrency }
    package nonisolated var timeout: Duration { self.configuration.timeout }

    /// How its processes are run.
    package nonisolated let configuration: LocalFunctionConfiguration

    let reactor: Reactor
    let log: (any LocalFunctionLog)?
    let fixedHead: [UInt8]
    let buffer: ReadBuffer
    let acceptor: FunctionProcess.Acceptor
    var pool: ProcessPool
    var calls: [CallID: Call] = [:]
    var processes: [ProcessID: FunctionProcess] = [:]
    var socketDirectory: String?
    private var lastCall = 0
    private var timer: (id: TimerID, at: Instant)?
    private var stopWaiters: [CheckedContinuation<Void, Never>] = []

    /// A call from ``run(_:)`` to its outcome.
    struct Call {
        var invocation: Invocation
        /// When it stops waiting for a process.
        var until: Instant
        /// Whether its caller wants the lines; without one and without a log, none are made.
        var wantsLines: Bool
        var continuation: CheckedContinuation<LocalInvocationOutcome, Never>
    }

    /// A function without processes; they start with the first calls.
    ///
    /// `log` gets every line as it is written.
    package init(
        name: String,
        configuration: LocalFunctionConfiguration,
        reactor: Reactor,
        log: (any LocalFunctionLog)? = nil
    ) {
        self.init(
            name: name,
            configuration: configuration,
            reactor: reactor,
            log: log,
            acceptor: FunctionProcess.systemAcceptor
        )
    }

    /// The same, with another way to accept connections.
    init(
        name: String,
        configuration: LocalFunctionConfiguration,
        reactor: Reactor,
        log: (any LocalFunctionLog)?,
        acceptor: @escaping FunctionProcess.Acceptor
    ) {
        self.acceptor = acceptor
        self.name = name
        self.configuration = configuration
        self.reactor = reactor
        self.log = log
        self.buffer = ReadBuffer()
        self.fixedHead = RuntimeAnswer.fixedEventHead(
            arn: "arn:aws:lambda:local:000000000000:function:\(name)"
        )
        self.pool = ProcessPool(
            .init(
                concurrency: configuration.concurrency,
                timeout: configuration.timeout,
                initTimeout: configuration.initTimeout,
                idleTimeout: configuration.idleTimeout,
                stopGrace: configuration.stopGrace
            )
        )
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    package nonisolated func format(for source: any EventFormat, trigger: String) -> any EventFormat {
        source
    }

    package func invoke(_ invocation: Invocation) async -> InvocationResult {
        await self.outcome(of: invocation, wantsLines: false).result
    }

    package func trace(_ invocation: Invocation) async -> InvocationTrace {
        let outcome = await self.run(invocation)
        let lines = outcome.lines.filter { $0.stream != .platform }.map(\.text)
        return InvocationTrace(
            result: outcome.result,
            lines: lines,
            isLogged: self.log != nil,
            report: outcome.report?.line
        )
    }

    /// Invokes it once and tells all about it: the result, what the function wrote, what it cost.
    package func run(_ invocation: Invocation) async -> LocalInvocationOutcome {
        await self.outcome(of: invocation, wantsLines: true)
    }

    private func outcome(of invocation: Invocation, wantsLines: Bool) async -> LocalInvocationOutcome {
        self.lastCall += 1
        let id = CallID(rawValue: self.lastCall)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let until = invocation.deadline + self.configuration.initTimeout
                self.calls[id] = Call(
                    invocation: invocation,
                    until: until,
                    wantsLines: wantsLines,
                    continuation: continuation
                )
                self.perform(self.pool.add(id, until: until, now: self.reactor.now))
            }
        } onCancel: {
            self.reactor.submit { self.assumeIsolated { $0.abandon(id) } }
        }
    }

    /// Nobody waits for the call any more: the process that works on it is killed, because it cannot be told.
    private func abandon(_ call: CallID) {
        let failure = Failure(
            type: "Penstock.Abandoned",
            message: "Penstock gave up waiting for the invocation"
        )
        guard let id = self.pool.abandon(call), let process = self.processes[id] else {
            self.finish(call, .unavailable(failure))
            return
        }
        self.condemn(process)
        self.end(process, .failed(failure))
    }

    package func stopAdmitting() async { self.perform(self.pool.stopAdmitting()) }

    package func shutdown() async {
        self.perform(self.pool.stop(now: self.reactor.now))
        if self.pool.count > 0 {
            await withCheckedContinuation { waiter in
                // They may have gone since: the call may wait for the executor before it runs this.
                if self.pool.count > 0 { self.stopWaiters.append(waiter) } else { waiter.resume() }
            }
        }
        if let timer = self.timer.take() { self.reactor.cancel(timer.id) }
        if let directory = self.socketDirectory.take() { unsafe rmdir(directory) }
    }

    /// The system's ids of the processes that have not exited.
    package var processIDs: [Int32] {
        self.processes.values.map(\.pid).sorted()
    }

    // MARK: - Actions

    /// Carries out what the pool decided.
    func perform(_ actions: [ProcessPool.Action]) {
        for action in actions {
            switch action {
            case .deliver(let call, let process): self.deliver(call, to: process)
            case .start(let process): self.start(process)
            case .timeOut(let call, let process): self.timeOut(call, process)
            case .expire(let call): self.expire(call)
            case .fail(let call, let failure): self.finish(call, .unavailable(failure))
            case .initTimedOut(let process): self.initTimedOut(process)
            case .terminate(let process): self.processes[process]?.terminate()
            case .kill(let process): self.processes[process]?.kill()
            }
        }
        if actions.count != 1 || !self.timerCoversDelivery(actions[0]) { self.setTimer() }
        if self.pool.count == 0 {
            for waiter in self.stopWaiters { waiter.resume() }
            self.stopWaiters = []
        }
    }

    /// Resumes the caller of a call that no process has.
    func finish(_ call: CallID, _ result: InvocationResult) {
        guard let call = self.calls.removeValue(forKey: call) else { return }
        let outcome = LocalInvocationOutcome(result: result, lines: [], droppedLines: 0, report: nil)
        call.continuation.resume(returning: outcome)
    }

    private func expire(_ call: CallID) {
        let text = """
            function \(self.name): none of its \(self.configuration.concurrency) processes became free \
            in time; raise `concurrency`, or lower that of its triggers
            """
        self.finish(call, .throttled(retryAfter: nil, Failure(type: "Penstock.NoProcessFree", message: text)))
    }

    private func timeOut(_ call: CallID, _ process: ProcessID) {
        let seconds = DecimalText.fixed(hundredths: self.configuration.timeout.wholeNanoseconds / 10_000_000)
        guard let process = self.processes[process], let running = process.running else { return }
        self.condemn(process)
        let text = "RequestId: \(running.requestID) Error: Task timed out after \(seconds) seconds"
        self.end(process, .failed(Failure(type: "Sandbox.Timedout", message: text)), note: text)
    }

    private func initTimedOut(_ id: ProcessID) {
        guard let process = self.processes[id] else { return }
        let seconds = self.configuration.initTimeout.inSeconds
        process.kill()
        self.drain(process)
        let text =
            "did not ask for an invocation within \(seconds) s of its start; does it speak the Runtime API?"
        self.startFailed(process, Failure(type: "Sandbox.Timedout", message: text))
    }

    /// Kills a process that must not be used any more.
    ///
    /// Its exit is noticed later.
    func condemn(_ process: FunctionProcess) {
        self.pool.condemn(process.id)
        process.kill()
    }

    // MARK: - Time

    /// How often the memory of busy processes is looked at.
    private static let memoryInterval = Duration.milliseconds(500)

    /// Whether a hand-over needs no look at the deadlines: the timer fires before any that it can have
    /// brought.
    private func timerCoversDelivery(_ action: ProcessPool.Action) -> Bool {
        guard case .deliver = action, let timer else { return false }
        return timer.at <= self.reactor.now + min(self.configuration.timeout, Self.memoryInterval)
    }

    private func setTimer() {
        let now = self.reactor.now
        var next = self.pool.nextDeadline(now: now)
        if self.processes.values.contains(where: { $0.running != nil }) {
            let sample = now + Self.memoryInterval
            next = min(next ?? sample, sample)
        }
        guard let next else { return }
        if let timer = self.timer {
            // A timer that fires too early looks again; only one that would fire too late is set anew.
            if timer.at <= next { return }
            self.reactor.cancel(timer.id)
        }
        let id = self.reactor.schedule(at: next) { self.assumeIsolated { $0.timerFired() } }
        self.timer = (id, next)
    }

    private func timerFired() {
        self.timer = nil
        let now = self.reactor.now
        for process in self.processes.values where process.running != nil {
            process.sampleMemory(now: now, maxAge: .milliseconds(50))
            if process.memory.resident > self.configuration.memory { self.killForMemory(process) }
        }
        self.perform(self.pool.due(now: now))
    }

    /// As the kernel does it on AWS: the process is killed, and that is all the function gets to know.
    func killForMemory(_ process: FunctionProcess) {
        self.condemn(process)
        let used = process.memory.resident >> 20
        self.note(
            "process \(process.pid) killed: \(used) MB is over memory \(self.configuration.memory >> 20) MB",
            process
        )
    }
}

/// Memory that reads go through; one for each function.
@safe
final class ReadBuffer {
    /// The memory.
    ///
    /// Contents last until the next read.
    let bytes: UnsafeMutableRawBufferPointer

    /// 64 KiB.
    init() {
        unsafe self.bytes = .allocate(byteCount: 64 << 10, alignment: 16)
    }

    deinit {
        unsafe self.bytes.deallocate()
    }
}
