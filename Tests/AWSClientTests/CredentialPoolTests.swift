// SPDX-License-Identifier: Apache-2.0

import CurlClient
import Foundation
import PenstockCore
import PenstockTesting
import Reactor
import Synchronization
import Testing

@testable import AWSClient

/// A service, and an endpoint that gives credentials `K1`, `K2` and so on, which end after so many seconds.
private final class CredentialServer: Sendable {
    let server: TestHTTPServer
    private let fetches: Counter

    final class Counter: Sendable {
        private let count = Mutex(0)
        var value: Int { self.count.withLock { $0 } }
        func next() -> Int {
            self.count.withLock { count in
                count += 1
                return count
            }
        }
    }

    /// Says by `seconds` what is left of the credentials with a number, and by `fetched`, before they are given, whether
    /// they are.
    init(
        seconds: @escaping @Sendable (_ number: Int) -> Int64 = { _ in 7200 },
        fetched: @escaping @Sendable (_ number: Int, _ exchange: TestHTTPServer.Exchange) -> Bool = { _, _ in
            true
        }
    ) throws {
        let fetches = Counter()
        self.fetches = fetches
        self.server = try TestHTTPServer { request, exchange in
            guard request.path == "/creds" else { return exchange.respond(200) }
            let number = fetches.next()
            guard fetched(number, exchange) else { return }
            let now = Int64(Date().timeIntervalSince1970)
            let end = Timestamp(milliseconds: (now + seconds(number)) * 1000).configurationText
            let keys = #"{"AccessKeyId":"K\#(number)","SecretAccessKey":"s","Expiration":"\#(end)"}"#
            exchange.respond(200, [], keys)
        }
    }

    /// How often credentials were asked for.
    var count: Int { self.fetches.value }

    /// Whose the latest call was.
    var caller: String? {
        let calls = self.server.requests.filter { $0.path != "/creds" }
        return calls.last?.headers["authorization"]?.split(separator: "=").dropFirst().first
            .map { String($0.prefix { $0 != "/" }) }
    }

    func client(_ service: String, _ pool: CredentialPool, _ reactor: Reactor) throws -> AWSClient {
        try Self.client(
            service,
            at: self.server,
            AWSEnvironment(variables: ["AWS_CONTAINER_CREDENTIALS_FULL_URI": self.server.url("/creds")]),
            pool,
            reactor
        )
    }

    static func client(
        _ service: String,
        at server: TestHTTPServer,
        _ environment: AWSEnvironment,
        _ pool: CredentialPool,
        _ reactor: Reactor
    ) throws -> AWSClient {
        var options = AWSOptions(region: "eu-west-1", environment: environment, connections: 2)
        options.endpoint = server.url("")
        return try AWSClient(service: service, options: options.sharing(pool), reactor: reactor)
    }
}

extension AWSClient {
    fileprivate func ping() async throws(AWSError) {
        _ = try await self.call(AWSCall(method: .get, path: "/"))
    }
}

/// Credentials that clients of one process share.
@Suite(.ownThreads, .timeLimit(.minutes(5))) struct CredentialPoolTests {
    @Test("Clients of a pool that look in the same places share one fetch; those of another one do not")
    func shared() async throws {
        let server = try CredentialServer()
        let reactor = try Reactor(name: "pool-test")
        let (pool, other) = (CredentialPool(), CredentialPool())
        let clients = try ["sqs", "lambda", "dynamodb", "s3"].map { try server.client($0, pool, reactor) }
        await withTaskGroup { group in
            for client in clients + clients { group.addTask { try? await client.ping() } }
        }
        #expect(server.count == 1)
        for client in clients { await client.close() }
        let alone = try server.client("sqs", other, reactor)
        try await alone.ping()
        #expect(server.count == 2)
        await alone.close()
        reactor.stop()
        server.server.stop()
    }

    @Test("The pool's task fetches new ones ahead of the end while they are used, and no call does")
    func task() async throws {
        let server = try CredentialServer(seconds: { $0 == 1 ? 120 : 7200 })
        let reactor = try Reactor(name: "pool-test")
        // By these times no call fetches credentials that are there.
        let pool = CredentialPool(
            CredentialRenewal.Times(late: .seconds(10), ending: .seconds(10), pause: .milliseconds(100))
        )
        let client = try server.client("sqs", pool, reactor)
        try await withThrowingTaskGroup { group in
            group.addTask { await pool.run() }
            while server.caller != "K2" { try await client.ping() }
            group.cancelAll()
        }
        #expect(server.count == 2)
        await client.close()
        reactor.stop()
        server.server.stop()
    }

    @Test(
        "Who goes while he fetches for others ends at once, and another one fetches",
        arguments: [true, false]
    )
    func gone(closes: Bool) async throws {
        let asked = Latch()
        let server = try CredentialServer(fetched: { number, exchange in
            guard number == 1 else { return true }
            asked.open()
            exchange.waitForClose()
            return false
        })
        let reactor = try Reactor(name: "pool-test")
        let pool = CredentialPool()
        let (first, second) = (
            try server.client("sqs", pool, reactor), try server.client("lambda", pool, reactor)
        )
        await withTaskGroup(of: Bool.self) { group in
            await withTaskGroup(of: AWSError?.self) { fetching in
                fetching.addTask {
                    do throws(AWSError) { try await first.ping() } catch { return error }
                    return nil
                }
                await asked.wait()
                group.addTask { (try? await second.ping()) != nil }
                if closes { await first.close() } else { fetching.cancelAll() }
                for await error in fetching { #expect(error?.code == "Client.Closed") }
            }
            for await hasCalled in group { #expect(hasCalled) }
        }
        #expect(server.count == 2 && server.caller == "K2")
        await first.close()
        await second.close()
        reactor.stop()
        server.server.stop()
    }

    @Test("A client that closes while a credential_process runs does not wait for it, and leaves none behind")
    func process() async throws {
        let mark = FileManager.default.temporaryDirectory.appendingPathComponent("began-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: mark) }
        let server = try TestHTTPServer { $1.respond(200) }
        let reactor = try Reactor(name: "pool-test")
        let command = "echo $$ > \(mark.path).new; mv \(mark.path).new \(mark.path); sleep 600"
        let environment = AWSEnvironment(
            variables: ["AWS_PROFILE": "p"],
            shared: SharedConfiguration(config: "[profile p]\ncredential_process = \(command)\n")
        )
        let client = try CredentialServer.client("sqs", at: server, environment, CredentialPool(), reactor)
        let start = ContinuousClock.now
        await withTaskGroup { group in
            group.addTask {
                let error = await #expect(throws: AWSError.self) { try await client.ping() }
                #expect(error?.code == "Client.Closed")
            }
            #expect(
                BoundedWait.until(within: .seconds(30)) { FileManager.default.fileExists(atPath: mark.path) }
            )
            await client.close()
        }
        // Without that it is a minute.
        #expect(ContinuousClock.now - start < .seconds(50))
        let pid = try String(contentsOf: mark, encoding: .utf8).trimmingCharacters(
            in: .whitespacesAndNewlines
        )
        #expect(!FileManager.default.fileExists(atPath: "/proc/\(pid)"))
        reactor.stop()
        server.stop()
    }

    // MARK: - The shared files

    private static func keys(_ id: String) -> String {
        "[default]\naws_access_key_id = \(id)\naws_secret_access_key = secret\n"
    }

    /// A service that takes one key alone, and says this code of others, for clients whose keys are in a file.
    private static func withFile(
        code: String,
        _ body: (
            _ accept: (String) -> Void, _ write: (String) throws -> Void,
            _ client: () throws -> AWSClient
        ) async throws -> Void
    ) async throws {
        let accepted = Mutex("K1")
        let server = try TestHTTPServer { request, exchange in
            let key = accepted.withLock { $0 }
            let isKnown = request.headers["authorization"]?.contains("Credential=\(key)/") == true
            exchange.respond(isKnown ? 200 : 403, isKnown ? [] : [("x-amzn-ErrorType", code)])
        }
        defer { server.stop() }
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("keys-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try Self.keys("K1").write(to: file, atomically: true, encoding: .utf8)
        let environment = AWSEnvironment(filesOf: [
            "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": file.path,
        ])
        let reactor = try Reactor(name: "pool-test")
        let pool = CredentialPool()
        try await body(
            { key in accepted.withLock { $0 = key } },
            { try Self.keys($0).write(to: file, atomically: true, encoding: .utf8) },
            { try CredentialServer.client("sqs", at: server, environment, pool, reactor) }
        )
        reactor.stop()
    }

    @Test(
        "Keys that a service does not take any more are looked for again in the files, which others have written",
        arguments: ["ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"]
    )
    func rotated(code: String) async throws {
        try await Self.withFile(code: code) { accept, write, make in
            let client = try make()
            try await client.ping()
            accept("K2")
            let error = await #expect(throws: AWSError.self) { try await client.ping() }
            #expect(error?.code == code)
            try write("K2")
            try await client.ping()
            await client.close()
        }
    }

    @Test("Who comes after a reload has what the files say then, and so have the others")
    func reloaded() async throws {
        try await Self.withFile(code: "AccessDenied") { accept, write, make in
            let old = try make()
            try await old.ping()
            try write("K2")
            try await old.ping()
            let new = try make()
            accept("K2")
            try await new.ping()
            try await old.ping()
            await old.close()
            try await new.ping()
            await new.close()
        }
    }
}
