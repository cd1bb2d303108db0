// SPDX-License-Identifier: Apache-2.0

import CurlClient
import PenstockCore
import PenstockTesting
import Reactor
import Synchronization
import Testing

@testable import AWSClient

/// The AWS SDKs' mode "standard": what is repeated, when, and how much of it.
@Suite(.ownThreads, .timeLimit(.minutes(5))) struct RetryTests {
    private static let busy = AWSError(.refused(status: 503), code: "ServiceUnavailable", message: "")
    private static let silent = AWSError(.noAnswer, code: "Client.Timeout", message: "")

    @Test("A repetition costs 5, after a time-out 10, and 100 of them use up the quota")
    func costs() {
        var quota = RetryQuota()
        #expect(quota.tokens == 500)
        #expect(quota.take(after: Self.busy) == 5 && quota.tokens == 495)
        #expect(quota.take(after: Self.silent) == 10 && quota.tokens == 485)
        for _ in 0..<97 { #expect(quota.take(after: Self.busy) == 5) }
        #expect(quota.tokens == 0)
        #expect(quota.take(after: Self.busy) == nil && quota.tokens == 0)
        quota.succeeded(after: 5)
        // A time-out costs more than there is, and takes nothing.
        #expect(quota.take(after: Self.silent) == nil && quota.tokens == 5)
        #expect(quota.take(after: Self.busy) == 5 && quota.tokens == 0)
    }

    @Test(
        "A success gives back what its last repetition took, or 1, and never makes more than there was at first"
    )
    func refill() {
        var quota = RetryQuota()
        quota.succeeded(after: nil)
        #expect(quota.tokens == 500)
        for _ in 0..<4 { _ = quota.take(after: Self.silent) }
        quota.succeeded(after: nil)
        #expect(quota.tokens == 461)
        quota.succeeded(after: 10)
        #expect(quota.tokens == 471)
        for _ in 0..<100 { quota.succeeded(after: 10) }
        #expect(quota.tokens == 500)
    }

    @Test("A call has three attempts, with waits of up to 1 s and 2 s, any of them as likely")
    func waits() throws {
        var random = SplitMix64(seed: 7)
        var firsts: [Duration] = []
        for _ in 0..<200 {
            var (quota, retries) = (RetryQuota(), CallRetries())
            let first = try #require(retries.wait(after: Self.busy, &quota, using: &random))
            let second = try #require(retries.wait(after: Self.busy, &quota, using: &random))
            #expect(first <= .seconds(1) && second <= .seconds(2))
            #expect(retries.wait(after: Self.busy, &quota, using: &random) == nil)
            #expect(quota.tokens == 490 && retries.attempts == 3 && retries.cost == 5)
            firsts.append(first)
        }
        #expect(firsts.contains { $0 < .milliseconds(100) } && firsts.contains { $0 > .milliseconds(900) })
    }

    @Test("A service may ask for a longer wait, and one that is too long is left to who calls")
    func asked() {
        var (quota, retries, random) = (RetryQuota(), CallRetries(), SplitMix64(seed: 1))
        let soon = AWSError(.throttled(retryAfter: .seconds(7)), code: "SlowDown", message: "")
        #expect(retries.wait(after: soon, &quota, using: &random) == .seconds(7))
        let late = AWSError(.throttled(retryAfter: .seconds(60)), code: "SlowDown", message: "")
        #expect(retries.wait(after: late, &quota, using: &random) == nil)
        #expect(quota.tokens == 495)
    }

    @Test(
        "What may succeed a moment later is repeated, and nothing else",
        arguments: [
            (AWSError.Kind.throttled(retryAfter: nil), "ThrottlingException", true),
            (.refused(status: 500), "InternalServerError", true), (.refused(status: 502), "HTTP.502", true),
            (.refused(status: 504), "HTTP.504", true), (.refused(status: 400), "RequestTimeout", true),
            (.unreachable, "Client.Unreachable", true), (.unreachable, "Client.Unresolved", true),
            (.noAnswer, "Client.ConnectionLost", true), (.noAnswer, "Client.Timeout", true),
            (.refused(status: 400), "ValidationException", false),
            (.refused(status: 403), "AccessDenied", false), (.refused(status: 501), "HTTP.501", false),
            (.unreachable, "Client.TLS", false), (.unreachable, "Client.Closed", false),
            (.noAnswer, "Client.ResponseTooLarge", false), (.noCredentials, "Client.NoCredentials", false),
        ]
    )
    func transient(kind: AWSError.Kind, code: String, isRepeated: Bool) {
        var (quota, retries, random) = (RetryQuota(), CallRetries(), SplitMix64(seed: 1))
        let wait = retries.wait(after: AWSError(kind, code: code, message: ""), &quota, using: &random)
        #expect((wait != nil) == isRepeated)
        #expect((quota.tokens < 500) == isRepeated)
    }

    // MARK: - Against a server

    /// Calls a server that answers the first `failures` calls with 503.
    private static func call(
        failures: Int,
        isRepeatable: Bool
    ) async throws -> (result: Result<CurlResponse, AWSError>, requests: Int) {
        let left = Mutex(failures)
        let server = try TestHTTPServer { _, exchange in
            let fails = left.withLock { left in
                left -= 1
                return left >= 0
            }
            exchange.respond(fails ? 503 : 200)
        }
        let reactor = try Reactor(name: "aws-test")
        let client = try Self.client(server, reactor)
        var call = AWSCall(method: .get, path: "/")
        call.isRepeatable = isRepeatable
        let result: Result<CurlResponse, AWSError>
        do throws(AWSError) { result = .success(try await client.call(call)) } catch {
            result = .failure(error)
        }
        await client.close()
        reactor.stop()
        let requests = server.requests.count
        server.stop()
        return (result, requests)
    }

    private static func client(_ server: TestHTTPServer, _ reactor: Reactor) throws -> AWSClient {
        let keys = ["AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "s3cret"]
        var options = AWSOptions(
            region: "eu-west-1",
            environment: AWSEnvironment(variables: keys),
            connections: 1
        )
        options.endpoint = server.url("/")
        return try AWSClient(service: "dynamodb", options: options, reactor: reactor)
    }

    @Test("A call that may be repeated is made three times, any other once")
    func repeated() async throws {
        let mended = try await Self.call(failures: 2, isRepeatable: true)
        #expect(mended.requests == 3 && (try? mended.result.get().status) == 200)
        let given = try await Self.call(failures: 9, isRepeatable: true)
        #expect(given.requests == 3)
        #expect(throws: AWSError.self) { try given.result.get() }
        let once = try await Self.call(failures: 1, isRepeatable: false)
        #expect(once.requests == 1)
        #expect(throws: AWSError.self) { try once.result.get() }
    }

    @Test("Closing the client, and cancelling the task, ends the wait for another attempt with the error")
    func ended() async throws {
        for closes in [true, false] {
            let asked = Latch()
            let server = try TestHTTPServer { _, exchange in
                exchange.respond(429, [("Retry-After", "19"), ("x-amzn-ErrorType", "ThrottlingException")])
                asked.open()
            }
            let reactor = try Reactor(name: "aws-test")
            let client = try Self.client(server, reactor)
            let start = ContinuousClock.now
            await withTaskGroup(of: Bool.self) { group in
                group.addTask {
                    var call = AWSCall(method: .get, path: "/")
                    call.isRepeatable = true
                    return (try? await client.call(call)) == nil
                }
                await asked.wait()
                if closes { await client.close() } else { group.cancelAll() }
                for await isRefused in group { #expect(isRefused) }
            }
            // Without that it is 38 seconds.
            #expect(ContinuousClock.now - start < .seconds(36))
            await client.close()
            reactor.stop()
            server.stop()
        }
    }
}
