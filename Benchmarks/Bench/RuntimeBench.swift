// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import LocalFunction
import PenstockCore
import PenstockRuntime
import Reactor

/// A local function whose processes are given workers: one invocation outstanding for each.
struct RuntimeBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runtime",
        abstract: "Invokes workers over the Runtime API."
    )

    @Option(help: "The worker, as a shell would start it.") var workerCommand: String
    @Option(help: "Processes.") var workers = 4
    @Flag(help: "Workers connect to a unix socket.") var unix = false
    @Flag(help: "Workers connect to a TCP port.") var tcp = false
    @Option(help: "Invocations that are measured.") var invocations = 10_000

    /// Invocations before the clock starts.
    private static let warmup = 1000

    func validate() throws {
        if self.unix == self.tcp { throw ValidationError("give either --unix or --tcp") }
    }

    func run() throws {
        let reactor = try Reactor(name: "bench")
        // The product gives the socket by a name of its own; workers of others know only this one.
        let address = self.unix ? "AWS_LAMBDA_RUNTIME_API=\"unix:$PENSTOCK_RUNTIME_SOCKET\" " : ""
        var configuration = LocalFunctionConfiguration(
            command: ["/bin/sh", "-c", "\(address)exec \(self.workerCommand)"]
        )
        configuration.unixSocket = self.unix
        configuration.concurrency = self.workers
        let function = LocalFunction(name: "bench", configuration: configuration, reactor: reactor)
        let run = RuntimeRun(function: function, reactor: reactor)
        let (workers, invocations) = (self.workers, self.invocations)
        let line = try onReactor(reactor) {
            do {
                _ = try await run.invoke(Self.warmup, inFlight: workers)
                let started = Reading.now
                let latencies = try await run.invoke(invocations, inFlight: workers)
                let ended = Reading.now
                await function.shutdown()
                return Self.line(latencies, from: started, to: ended)
            } catch {
                await function.shutdown()
                throw error
            }
        }
        reactor.stop()
        line.print()
    }

    private static func line(_ nanoseconds: [Int64], from started: Reading, to ended: Reading) -> JSONLine {
        let latencies = Latencies(nanoseconds)
        let seconds = ended.seconds(since: started)
        var line = JSONLine()
        line.add("invocations", nanoseconds.count)
        line.add("seconds", seconds)
        line.add("invocations_per_second", (Double(nanoseconds.count) / seconds).rounded())
        line.add("cpu_us_per_invocation", ended.cpu(since: started, per: nanoseconds.count))
        line.add("p50_us", latencies.microseconds(atPercent: 50))
        line.add("p99_us", latencies.microseconds(atPercent: 99))
        return line
    }
}

/// Callers on the reactor, each with one invocation outstanding.
private struct RuntimeRun: Sendable {
    let function: LocalFunction
    let reactor: Reactor

    func invoke(_ count: Int, inFlight: Int) async throws -> [Int64] {
        try await withThrowingTaskGroup(of: [Int64].self) { group in
            for index in 0..<inFlight {
                let share = count / inFlight + (index < count % inFlight ? 1 : 0)
                group.addTask(executorPreference: self.reactor) { try await self.invoke(share) }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
    }

    /// Events of 1 KiB.
    private func invoke(_ count: Int) async throws -> [Int64] {
        let body = EventBuffer()
        body.write(upTo: 1024) { writer in
            writer.literal("\"")
            for _ in 0..<1022 { writer.byte(UInt8(ascii: "x")) }
            writer.literal("\"")
        }
        var latencies: [Int64] = []
        latencies.reserveCapacity(count)
        for index in 0..<count {
            let started = self.reactor.now
            let result = await self.function.invoke(
                Invocation(
                    id: InvocationID.random(),
                    trigger: "bench",
                    attempt: 1,
                    body: body,
                    contentType: "application/json",
                    deadline: started + .seconds(30),
                    wallDeadline: Timestamp(milliseconds: self.reactor.wallNow.milliseconds + 30_000)
                )
            )
            guard case .responded = result else { throw BenchFailure("invocation \(index): \(result)") }
            latencies.append((self.reactor.now - started).wholeNanoseconds)
        }
        return latencies
    }
}
