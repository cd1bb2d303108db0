// SPDX-License-Identifier: Apache-2.0

import DequeModule
import Glibc
import PenstockCore
import PenstockRuntime
import Reactor

/// The Runtime API: what processes ask for, and what they get.
extension LocalFunction {
    /// Something of a process is ready.
    func ready(_ id: ProcessID, _ source: FunctionProcess.Source, _ readiness: Reactor.Readiness) {
        guard let process = self.processes[id] else { return }
        switch source {
        case .connection(let connection):
            if let connection = process.connections[connection] {
                self.ready(connection, of: process, readiness)
            }
        case .listener, .socketListener:
            let isSocket = if case .socketListener = source { true } else { false }
            let (accepted, refusal) = process.accept(fromSocket: isSocket)
            if !accepted.isEmpty { process.isShortOfFiles = false }
            for connection in accepted { self.open(connection, of: process) }
            if let refusal { self.listenLater(process, refusal) }
        case .output(let stream):
            self.drain(process, stream)
        case .exit:
            if let status = process.reap() { self.exited(process, status) }
        }
    }

    /// Looks at the listeners of a process again in a second: without files they stay ready, and the loop would turn for
    /// nothing.
    private func listenLater(_ process: FunctionProcess, _ code: Int32) {
        if !process.isShortOfFiles {
            self.log?.warn(
                "function \(self.name): process \(process.pid) cannot be connected with: \(ProcessStart.text(code)); "
                    + "it is tried again each second; is the limit of open files too low?"
            )
        }
        process.isShortOfFiles = true
        process.listen(false)
        let id = process.id
        _ = self.reactor.schedule(at: self.reactor.now + .seconds(1)) {
            self.assumeIsolated { $0.processes[id]?.listen(true) }
        }
    }

    private func open(_ connection: RuntimeConnection, of process: FunctionProcess) {
        let (id, source) = (process.id, FunctionProcess.Source.connection(connection.id))
        do {
            try connection.open { readiness in self.assumeIsolated { $0.ready(id, source, readiness) } }
        } catch {
            self.note("connection refused: \(error)", process)
            _ = process.drop(connection)
            return
        }
        // Most often the request is there already.
        self.ready(connection, of: process, .readable)
    }

    private func ready(
        _ connection: RuntimeConnection,
        of process: FunctionProcess,
        _ readiness: Reactor.Readiness
    ) {
        if readiness.contains(.writable) { connection.flush() }
        var outcome = RuntimeConnection.ReadOutcome.open
        if !readiness.isDisjoint(with: [.readable, .closed]) {
            outcome = unsafe connection.read(into: self.buffer.bytes)
        }
        while !connection.isClosed, !connection.isPolling, !connection.isSendingEvent,
            let request = connection.requests.popFirst()
        {
            self.handle(request, on: connection, of: process)
            if !request.keepsAlive { connection.closesWhenSent = true }
        }
        guard !connection.isClosed else { return }
        let isDone = connection.closesWhenSent && !connection.isSending && !connection.isPolling
        if outcome == .closed || isDone { self.close(connection, of: process) }
    }

    private func close(_ connection: RuntimeConnection, of process: FunctionProcess) {
        if process.drop(connection) { self.pool.pollLost(process.id, now: self.reactor.now) }
    }

    private func handle(
        _ request: RuntimeRequest,
        on connection: RuntimeConnection,
        of process: FunctionProcess
    ) {
        switch request.route {
        case .next: self.next(on: connection, of: process)
        case .response(let id):
            guard self.accepts(id, on: connection, of: process) else { return }
            self.respond(request, on: connection, of: process)
        case .failure(let id):
            guard self.accepts(id, on: connection, of: process) else { return }
            let failure = FunctionErrorBody(request.body).failure(
                header: request.errorType,
                unknown: "Function.Unknown"
            )
            self.answer(.failed(failure), RuntimeAnswer.accepted, on: connection, of: process)
        case .initFailure:
            guard self.pool.isStarting(process.id) else {
                connection.send(RuntimeAnswer.wrongState("The runtime has been initialised already"))
                return
            }
            connection.send(RuntimeAnswer.accepted)
            process.initFailure = FunctionErrorBody(request.body)
                .failure(header: request.errorType, unknown: "Runtime.Unknown")
        case .unknown: connection.send(RuntimeAnswer.unknown)
        }
    }

    private func accepts(_ id: [UInt8], on connection: RuntimeConnection, of process: FunctionProcess) -> Bool
    {
        if process.running?.idBytes == id { return true }
        if process.running == nil, process.lastRequestID == id {
            connection.send(RuntimeAnswer.wrongState("The invocation has been answered already"))
        } else {
            connection.send(RuntimeAnswer.wrongRequestID)
        }
        return false
    }

    // MARK: - Next

    private func next(on connection: RuntimeConnection, of process: FunctionProcess) {
        guard process.running == nil else {
            connection.send(RuntimeAnswer.wrongState("The invocation has not been answered yet"))
            return
        }
        // Who polls again has given up on its older poll.
        if let older = process.polling, let older = process.connections[older] {
            self.close(older, of: process)
        }
        let now = self.reactor.now
        if process.initDuration == nil { process.initDuration = now - process.startedAt }
        process.polling = connection.id
        connection.isPolling = true
        let actions = self.pool.polled(process.id, now: now)
        // An idle process brings a deadline only when it may not idle for ever.
        if !actions.isEmpty || self.configuration.idleTimeout != nil { self.perform(actions) }
    }

    /// Hands a call's event to a process whose poll is open.
    func deliver(_ id: CallID, to processID: ProcessID) {
        guard let call = self.calls[id], let process = self.processes[processID] else { return }
        let now = self.reactor.now
        guard let polling = process.polling, let connection = process.connections[polling],
            connection.peerIsOpen
        else {
            if let polling = process.polling, let dead = process.connections[polling] {
                _ = process.drop(dead)
            }
            self.perform(self.pool.deliveryFailed(processID, until: call.until, now: now))
            return
        }
        let invocation = call.invocation
        process.polling = nil
        connection.isPolling = false
        // What was written since the last answer is nobody's.
        self.drain(process)
        process.running = .init(
            call: id,
            requestID: invocation.id,
            idBytes: Array(invocation.id.utf8),
            startedAt: now,
            keepsLines: call.wantsLines || self.log != nil
        )
        if process.running?.keepsLines == true {
            self.note("START RequestId: \(invocation.id) Version: $LATEST", process)
        }
        let wallNow = self.reactor.wallNow
        let timeout = self.configuration.timeout.wholeMilliseconds
        let head = RuntimeAnswer.eventHead(
            invocation,
            wallDeadline: Timestamp(milliseconds: wallNow.milliseconds &+ timeout),
            traceID: RuntimeAnswer.traceID(requestID: invocation.id, at: wallNow),
            fixed: self.fixedHead
        )
        connection.send(head, body: invocation.body)
    }

    // MARK: - Answers

    private func respond(
        _ request: RuntimeRequest,
        on connection: RuntimeConnection,
        of process: FunctionProcess
    ) {
        if request.isTooLarge {
            let text =
                "Response payload size exceeded maximum allowed payload size "
                + "(\(InvocationLimit.responseBytes) bytes)."
            let failure = Failure(type: "Function.ResponseSizeTooLarge", message: text)
            self.answer(.failed(failure), RuntimeAnswer.tooLarge, on: connection, of: process)
            return
        }
        // A streamed response that broke says so behind its body.
        if let type = request.errorType {
            let body = request.errorBody.flatMap(Base64Text.decode) ?? []
            let failure = FunctionErrorBody(body).failure(header: type, unknown: "Function.Unknown")
            self.answer(.failed(failure), RuntimeAnswer.accepted, on: connection, of: process)
            return
        }
        self.answer(.responded(request.body), RuntimeAnswer.accepted, on: connection, of: process)
    }

    private func answer(
        _ result: InvocationResult,
        _ answer: [UInt8],
        on connection: RuntimeConnection,
        of process: FunctionProcess
    ) {
        connection.send(answer)
        self.pool.answered(process.id, now: self.reactor.now)
        self.end(process, result)
    }

    /// Ends the running invocation of a process and resumes its caller.
    func end(_ process: FunctionProcess, _ result: InvocationResult, note: String? = nil) {
        let now = self.reactor.now
        self.drain(process)
        for stream in [LocalFunctionLogLine.Stream.output, .error] {
            if let line = process.flushLine(stream) { self.write(line, stream, process) }
        }
        guard let running = process.running else { return }
        // An event that is still being written must not change under the write; the caller may reuse its
        // buffer.
        for connection in process.connections.values where connection.isSendingEvent {
            _ = process.drop(connection)
        }
        process.sampleMemory(now: now, maxAge: FunctionProcess.memorySampleAge)
        let report = InvocationReport(
            requestID: running.requestID,
            duration: now - running.startedAt,
            memorySize: self.configuration.memory,
            memoryUsed: process.memory.peak,
            initDuration: process.isWarm ? nil : process.initDuration
        )
        if running.keepsLines {
            if let note { self.note(note, process) }
            self.note("END RequestId: \(running.requestID)", process)
            self.note(report.line, process)
        }
        let tail = process.running?.tail ?? OutputTail()
        process.running = nil
        process.isWarm = true
        process.lastRequestID = running.idBytes
        process.idleTail = OutputTail()
        if process.memory.resident > self.configuration.memory { self.killForMemory(process) }
        guard let call = self.calls.removeValue(forKey: running.call) else { return }
        call.continuation.resume(
            returning: LocalInvocationOutcome(
                result: result,
                lines: tail.lines,
                droppedLines: tail.dropped,
                report: report
            )
        )
    }

    // MARK: - Output

    /// Reads both pipes of a process.
    func drain(_ process: FunctionProcess) {
        guard process.hasOutput else { return }
        self.drain(process, .output)
        self.drain(process, .error)
    }

    private func drain(_ process: FunctionProcess, _ stream: LocalFunctionLogLine.Stream) {
        for line in unsafe process.drain(stream, into: self.buffer.bytes) {
            self.write(line, stream, process)
        }
    }

    /// A line of ours about a process.
    func note(_ text: String, _ process: FunctionProcess) {
        self.write(text, .platform, process)
    }

    /// A line of a process, to its invocation's tail and to the log.
    func write(_ text: String, _ stream: LocalFunctionLogLine.Stream, _ process: FunctionProcess) {
        let line = LocalFunctionLogLine(
            function: self.name,
            requestID: process.running?.requestID,
            stream: stream,
            text: text
        )
        if process.running == nil {
            process.idleTail.append(line)
        } else {
            process.running?.tail.append(line)
        }
        self.log?.write(line)
    }
}
