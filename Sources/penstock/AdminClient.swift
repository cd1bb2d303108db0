// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CurlClient
import PenstockAdmin
import PenstockConfiguration
import PenstockRuntime
import Reactor

/// Calls of the admin API of a running Penstock.
struct AdminClient {
    let address: ListenAddress
    let token: Secret?
    let reactor: Reactor
    private let client: CurlClient

    init(_ admin: AdminConfiguration) throws {
        self.address = Self.reachable(admin.listen)
        self.token = admin.token
        self.reactor = try Reactor()
        self.client = try CurlClient(reactor: self.reactor, connections: 1)
    }

    /// Runs `body` with a client and closes it.
    static func with<Value>(
        _ admin: AdminConfiguration,
        _ body: (AdminClient) async throws -> Value
    ) async throws -> Value {
        let client = try AdminClient(admin)
        do {
            let value = try await body(client)
            await client.close()
            return value
        } catch {
            await client.close()
            throw error
        }
    }

    private func close() async {
        await self.client.close()
        self.reactor.stop()
    }

    /// One cannot connect to "all addresses".
    private static func reachable(_ listen: ListenAddress) -> ListenAddress {
        switch listen.host {
        case "0.0.0.0": ListenAddress(host: "127.0.0.1", port: listen.port)
        case "::": ListenAddress(host: "::1", port: listen.port)
        default: listen
        }
    }

    /// The answer's body; nil when nothing answers at the address at all.
    ///
    /// - Throws: ``CommandFailure`` with the API's own words when it refuses.
    func call(
        _ method: CurlRequest.Method,
        _ path: String,
        body: JSONValue? = nil,
        arrived: (@Sendable ([UInt8]) -> Void)? = nil
    ) async throws -> [UInt8]? {
        var request = CurlRequest(url: "http://\(self.address)\(path)")
        request.method = method
        request.timeout = body == nil && arrived == nil ? .seconds(30) : .seconds(7 * 86_400)
        request.connectTimeout = .seconds(3)
        request.responseLimit = 64 << 20
        request.bodyArrived = arrived
        if let token = self.token, let header = CurlHeader("Authorization", "Bearer \(token.reveal())") {
            request.headers.append(header)
        }
        if let body, let header = CurlHeader("Content-Type", "application/json") {
            request.headers.append(header)
            request.body = .bytes(Array(body.text.utf8))
        }
        let response: CurlResponse
        do {
            response = try await self.client.perform(request)
        } catch {
            if error.code == .unreachable { return nil }
            throw CommandFailure(
                .environment,
                "admin-\(CommandFailure.kebab(error.code.rawValue))",
                "\(self.address): \(error.detail)"
            )
        }
        guard (200..<300).contains(response.status) else { throw self.refusal(response) }
        return response.body
    }

    /// The same as JSON; a failure when nothing answers.
    func document(
        _ method: CurlRequest.Method,
        _ path: String,
        body: JSONValue? = nil
    ) async throws -> JSONValue {
        guard let bytes = try await self.call(method, path, body: body) else { throw self.notRunning }
        return try self.parsed(bytes)
    }

    /// An answer as JSON.
    func parsed(_ bytes: [UInt8]) throws -> JSONValue {
        guard let document = JSONValue(parsing: bytes) else {
            throw CommandFailure(
                .environment,
                "not-penstock",
                "what answers on \(self.address) is not Penstock"
            )
        }
        return document
    }

    /// Nothing answers.
    var notRunning: CommandFailure {
        CommandFailure(
            .environment,
            "not-running",
            "no Penstock answers on \(self.address); start it with `penstock run`, or name another config with --config"
        )
    }

    private func refusal(_ response: CurlResponse) -> CommandFailure {
        let error = JSONValue(parsing: response.body)?["error"]
        let isOurs = error != nil
        let exit: CommandFailure.Exit =
            switch response.status {
            case 400: .invalid
            case 404 where isOurs: .failed
            case 401, 403, 404, 503: .environment
            default: .failed
            }
        let message =
            error?["message"]?.stringValue
            ?? "\(self.address) answered with status \(response.status); is it Penstock?"
        let wayOut = "give admin.token in the configuration as the Penstock on \(self.address) has it"
        return CommandFailure(
            exit,
            error?["code"]?.stringValue ?? "http-\(response.status)",
            isOurs && response.status == 401 ? "\(message); \(wayOut)" : message
        )
    }

    /// A name as one element of a path.
    static func escaped(_ name: String) -> String {
        name.utf8.map { byte -> String in
            let isPlain =
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            if isPlain || byte == 0x2D || byte == 0x5F || byte == 0x2E { return String(Unicode.Scalar(byte)) }
            return "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }.joined()
    }
}
