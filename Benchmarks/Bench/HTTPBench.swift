// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CurlClient
import Dispatch
import Glibc
import PenstockCore
import Reactor
import Synchronization

/// The HTTP client as functions use it: callers on the reactor, a fixed number of POSTs in flight.
struct HTTPBench: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "http", abstract: "POSTs to an HTTP sink.")

    @Option(help: "Where to POST.") var url: String
    @Option(help: "Bytes of each body.") var bodyBytes = 1024
    @Option(help: "Requests in flight.") var inFlight = 1
    @Option(help: "Requests that are measured.") var requests = 100_000

    /// Requests before the clock starts.
    private static let warmup = 1000

    /// Synchronous, so that nothing of it runs on the main actor.
    func run() throws {
        let reactor = try Reactor(name: "bench")
        let client = try CurlClient(reactor: reactor, connections: self.inFlight)
        let body = EventBuffer()
        body.write(upTo: self.bodyBytes) { writer in
            for _ in 0..<self.bodyBytes { writer.byte(UInt8(ascii: "x")) }
        }
        var request = CurlRequest(url: self.url)
        request.headers = CurlHeader("Content-Type", "application/json").map { [$0] } ?? []
        request.body = .buffer(body)
        let run = HTTPRun(client: client, request: request, reactor: reactor)
        let (inFlight, requests) = (self.inFlight, self.requests)
        let done = DispatchSemaphore(value: 0)
        let outcome = Mutex<Result<HTTPRun.Figures, any Error>?>(nil)
        _ = Task.detached(executorPreference: reactor) {
            do {
                _ = try await run.measure(Self.warmup, inFlight: inFlight)
                let figures = try await run.measure(requests, inFlight: inFlight)
                outcome.withLock { $0 = .success(figures) }
            } catch {
                outcome.withLock { $0 = .failure(error) }
            }
            await client.close()
            done.signal()
        }
        done.wait()
        reactor.stop()
        if let figures = try outcome.withLock({ $0 })?.get() { print(figures.line) }
    }
}

/// Requests that are sent side by side, from the reactor's thread.
private struct HTTPRun: Sendable {
    let client: CurlClient
    let request: CurlRequest
    let reactor: Reactor

    struct Figures: Sendable {
        var latencies: [Int64]
        var seconds: Double
        var cpuMicroseconds: Double

        var line: String {
            let sorted = self.latencies.sorted()
            let count = Double(max(1, sorted.count))
            let fields: [(String, String)] = [
                ("requests", "\(sorted.count)"), ("seconds", "\(self.seconds)"),
                ("requests_per_second", "\((count / self.seconds).rounded())"),
                ("cpu_us_per_request", "\(self.cpuMicroseconds / count)"),
                ("p50_us", "\(Self.percentile(sorted, 50))"), ("p99_us", "\(Self.percentile(sorted, 99))"),
                ("max_rss_kb", "\(ResourceUse.now.maxRSS)"),
            ]
            return "{" + fields.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}"
        }

        private static func percentile(_ sorted: [Int64], _ percent: Int) -> Double {
            guard !sorted.isEmpty else { return 0 }
            return Double(sorted[min(sorted.count - 1, sorted.count * percent / 100)]) / 1000
        }
    }

    struct UnexpectedStatus: Error, CustomStringConvertible {
        var status: Int
        var description: String { "the sink answered \(self.status)" }
    }

    func measure(_ requests: Int, inFlight: Int) async throws -> Figures {
        let startedCPU = ResourceUse.now.cpuMicroseconds
        let started = self.reactor.now
        let latencies = try await withThrowingTaskGroup(of: [Int64].self) { group in
            for index in 0..<inFlight {
                let share = requests / inFlight + (index < requests % inFlight ? 1 : 0)
                group.addTask(executorPreference: self.reactor) { try await self.send(share) }
            }
            var all: [Int64] = []
            all.reserveCapacity(requests)
            for try await some in group { all.append(contentsOf: some) }
            return all
        }
        return Figures(
            latencies: latencies,
            seconds: (self.reactor.now - started).inSeconds,
            cpuMicroseconds: ResourceUse.now.cpuMicroseconds - startedCPU
        )
    }

    private func send(_ count: Int) async throws -> [Int64] {
        var latencies: [Int64] = []
        latencies.reserveCapacity(count)
        for _ in 0..<count {
            let started = self.reactor.now
            let response = try await self.client.perform(self.request)
            guard response.status == 200 else { throw UnexpectedStatus(status: response.status) }
            latencies.append((self.reactor.now - started).wholeNanoseconds)
        }
        return latencies
    }
}

/// getrusage(2) of this process.
private struct ResourceUse {
    var cpuMicroseconds: Double
    var maxRSS: Int

    static var now: ResourceUse {
        var usage = rusage()
        unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let seconds = Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        let micro = Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
        return ResourceUse(cpuMicroseconds: seconds * 1e6 + micro, maxRSS: usage.ru_maxrss)
    }
}
