// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CurlClient
import PenstockCore
import Reactor

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
        let line = try onReactor(reactor) {
            _ = try await run.send(Self.warmup, inFlight: inFlight)
            let started = Reading.now
            let latencies = try await run.send(requests, inFlight: inFlight)
            let ended = Reading.now
            await client.close()
            return Self.line(latencies, from: started, to: ended)
        }
        reactor.stop()
        line.print()
    }

    private static func line(_ nanoseconds: [Int64], from started: Reading, to ended: Reading) -> JSONLine {
        let latencies = Latencies(nanoseconds)
        let seconds = ended.seconds(since: started)
        var line = JSONLine()
        line.add("requests", nanoseconds.count)
        line.add("seconds", seconds)
        line.add("requests_per_second", (Double(nanoseconds.count) / seconds).rounded())
        line.add("cpu_us_per_request", ended.cpu(since: started, per: nanoseconds.count))
        line.add("p50_us", latencies.microseconds(atPercent: 50))
        line.add("p99_us", latencies.microseconds(atPercent: 99))
        line.add("max_rss_kb", Reading.maxRSS)
        return line
    }
}

/// Requests that are sent side by side, from the reactor's thread.
private struct HTTPRun: Sendable {
    let client: CurlClient
    let request: CurlRequest
    let reactor: Reactor

    /// Sends `requests` requests, `inFlight` at a time; returns how long each took.
    func send(_ requests: Int, inFlight: Int) async throws -> [Int64] {
        try await withThrowingTaskGroup(of: [Int64].self) { group in
            for index in 0..<inFlight {
                let share = requests / inFlight + (index < requests % inFlight ? 1 : 0)
                group.addTask(executorPreference: self.reactor) { try await self.send(share) }
            }
            var all: [Int64] = []
            all.reserveCapacity(requests)
            for try await some in group { all.append(contentsOf: some) }
            return all
        }
    }

    private func send(_ count: Int) async throws -> [Int64] {
        var latencies: [Int64] = []
        latencies.reserveCapacity(count)
        for _ in 0..<count {
            let started = self.reactor.now
            let response = try await self.client.perform(self.request)
            guard response.status == 200 else { throw BenchFailure("the sink answered \(response.status)") }
            latencies.append((self.reactor.now - started).wholeNanoseconds)
        }
        return latencies
    }
}
