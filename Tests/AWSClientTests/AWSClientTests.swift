// SPDX-License-Identifier: Apache-2.0

import CurlClient
import Foundation
import PenstockCore
import PenstockTesting
import Reactor
import Synchronization
import Testing

@testable import AWSClient

/// A client of `server`, ended in order.
private func withClient(
    _ server: TestHTTPServer,
    variables: [String: String] = ["AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "s3cret"],
    config: String = "",
    pool: CredentialPool = CredentialPool(),
    _ body: (AWSClient) async throws -> Void
) async throws {
    let reactor = try Reactor(name: "aws-test")
    let environment = AWSEnvironment(variables: variables, shared: SharedConfiguration(config: config))
    var options = AWSOptions(region: "eu-west-1", environment: environment, connections: 4).sharing(pool)
    options.endpoint = server.url("/prefix/")
    let client = try AWSClient(service: "lambda", options: options, reactor: reactor)
    let result: Result<Void, any Error>
    do {
        result = .success(try await body(client))
    } catch {
        result = .failure(error)
    }
    await client.close()
    reactor.stop()
    try result.get()
}

@Suite(.timeLimit(.minutes(5))) struct AWSClientTests {
    @Test("A call goes to the endpoint's path, encoded once, and is signed for region and service")
    func call() async throws {
        let server = try TestHTTPServer { $1.respond(200, [], "yes") }
        defer { server.stop() }
        try await withClient(server) { client in
            var call = AWSCall(
                method: .post,
                path: "/f/\(PercentEncoding.encode("arn:a"))/i",
                body: .bytes([1, 2])
            )
            call.query = [("Qualifier", "$LATEST")]
            let response = try await client.call(call)
            #expect(response.body == Array("yes".utf8))
        }
        let request = try #require(server.requests.first)
        #expect(request.path == "/prefix/f/arn%3Aa/i?Qualifier=%24LATEST")
        #expect(request.body == [1, 2])
        let authorization = try #require(request.headers["authorization"])
        #expect(
            authorization.contains(
                "/eu-west-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature="
            )
        )
    }

    @Test(
        "Errors are read from the header, from JSON and from XML",
        arguments: [
            (
                404, "ResourceNotFoundException:http://x", #"{"Message":"no such"}"#,
                "ResourceNotFoundException", "no such"
            ),
            (
                400, "", #"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"gone"}"#,
                "QueueDoesNotExist", "gone"
            ),
            (403, "", "<E><Code>Denied</Code><Message>a &amp; b</Message></E>", "Denied", "a & b"),
            (502, "", "<html>", "HTTP.502", "the service answered with status 502"),
            (500, "ServiceException", "", "ServiceException", "the service answered with status 500"),
        ]
    )
    func errors(status: Int, header: String, body: String, code: String, message: String) async throws {
        let server = try TestHTTPServer { _, exchange in
            exchange.respond(
                status,
                (header.isEmpty ? [] : [("x-amzn-ErrorType", header)]) + [("x-amzn-RequestId", "id-7")],
                body
            )
        }
        defer { server.stop() }
        try await withClient(server) { client in
            let error = await #expect(throws: AWSError.self) {
                try await client.call(AWSCall(method: .get, path: "/"))
            }
            #expect(
                error == AWSError(.refused(status: status), code: code, message: message, requestID: "id-7")
            )
        }
    }

    @Test("A throttle is told apart, with how long to wait and why")
    func throttled() async throws {
        let server = try TestHTTPServer { _, exchange in
            exchange.respond(
                429,
                [("Retry-After", "7"), ("x-amzn-ErrorType", "TooManyRequestsException")],
                #"{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}"#
            )
        }
        defer { server.stop() }
        try await withClient(server) { client in
            let error = await #expect(throws: AWSError.self) {
                try await client.call(AWSCall(method: .get, path: "/"))
            }
            #expect(error?.kind == .throttled(retryAfter: .seconds(7)))
            #expect(error?.message == "Rate Exceeded.: ReservedFunctionConcurrentInvocationLimitExceeded")
        }
    }

    @Test("When the clocks differ, the service's counts from then on")
    func skew() async throws {
        let server = try TestHTTPServer { request, exchange in
            if request.headers["x-amz-date"]?.hasPrefix("20500101T0") == true {
                exchange.respond(200)
            } else {
                exchange.respond(
                    403,
                    [
                        ("Date", "Sat, 01 Jan 2050 00:00:10 GMT"),
                        ("x-amzn-ErrorType", "InvalidSignatureException"),
                    ]
                )
            }
        }
        defer { server.stop() }
        try await withClient(server) { client in
            _ = try await client.call(AWSCall(method: .get, path: "/"))
            _ = try await client.call(AWSCall(method: .get, path: "/"))
        }
        #expect(server.requests.count == 3)
    }

    @Test("A signature that is wrong for another reason is not made again")
    func wrongKey() async throws {
        let server = try TestHTTPServer { _, exchange in
            exchange.respond(403, [("x-amzn-ErrorType", "InvalidSignatureException")])
        }
        defer { server.stop() }
        try await withClient(server) { client in
            await #expect(throws: AWSError.self) { try await client.call(AWSCall(method: .get, path: "/")) }
        }
        #expect(server.requests.count == 1)
    }

    @Test("Credentials that a service calls expired are fetched again, once")
    func expired() async throws {
        let fetched = Mutex(0)
        let server = try TestHTTPServer { request, exchange in
            if request.path == "/creds" {
                let number = fetched.withLock { count in
                    count += 1
                    return count
                }
                return exchange.respond(200, [], #"{"AccessKeyId":"K\#(number)","SecretAccessKey":"s"}"#)
            }
            let isOld = request.headers["authorization"]?.contains("Credential=K1/") == true
            exchange.respond(isOld ? 403 : 200, isOld ? [("x-amzn-ErrorType", "ExpiredTokenException")] : [])
        }
        defer { server.stop() }
        try await withClient(server, variables: ["AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url("/creds")])
        { client in
            _ = try await client.call(AWSCall(method: .get, path: "/"))
            _ = try await client.call(AWSCall(method: .get, path: "/"))
        }
        #expect(fetched.withLock { $0 } == 2)
    }

    @Test("Many callers share one fetch of credentials, and near their end one caller fetches new ones")
    func shared() async throws {
        let fetched = Mutex(0)
        let server = try TestHTTPServer { request, exchange in
            guard request.path == "/creds" else { return exchange.respond(200) }
            let number = fetched.withLock { count in
                count += 1
                return count
            }
            // The first ones end in two minutes, and so are due already; the others are not.
            let left = number == 1 ? 120 : 7200
            let end = Timestamp(milliseconds: (Int64(Date().timeIntervalSince1970) + Int64(left)) * 1000)
            exchange.respond(
                200,
                [],
                #"{"AccessKeyId":"K\#(number)","SecretAccessKey":"s","Expiration":"\#(end.configurationText)"}"#
            )
        }
        defer { server.stop() }
        let variables = ["AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url("/creds")]
        let pool = CredentialPool(CredentialRenewal.Times(pause: .zero))
        try await withClient(server, variables: variables, pool: pool) { client in
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask { _ = try? await client.call(AWSCall(method: .get, path: "/")) }
                }
            }
            while server.requests.last?.headers["authorization"]?.contains("Credential=K2/") != true {
                _ = try await client.call(AWSCall(method: .get, path: "/"))
            }
        }
        #expect(fetched.withLock { $0 } == 2)
    }

    @Test("An error of AWS does not show the request that it repeats, nor any part of the credentials")
    func secrecy() async throws {
        let token = "IQoJb3JpZ2luX2VjEAoaCWV1LXdlc3QtMSJHMEUCIQ/+=="
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
        let canonical = """
            The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
            Key and signing method. Consult the service documentation for details.

            The Canonical String for this request should have been
            'POST
            /

            host:sqs
            x-amz-date:20261130T150000Z
            x-amz-security-token:\(token)

            host;x-amz-date;x-amz-security-token
            \(SignedRequest.hashOfNothing)'

            The String-to-Sign should have been
            'AWS4-HMAC-SHA256'
            """
        let told = Mutex("")
        let server = try TestHTTPServer { _, exchange in
            let message = told.withLock { $0 }
            let body = ["__type": "com.amazon.coral.service#InvalidSignatureException", "message": message]
            exchange.respond(
                403,
                [],
                String(decoding: (try? JSONEncoder().encode(body)) ?? Data(), as: UTF8.self)
            )
        }
        defer { server.stop() }
        let variables = [
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_SESSION_TOKEN": token,
        ]
        try await withClient(server, variables: variables) { client in
            for (message, shown) in [
                (
                    canonical,
                    "The request signature we calculated does not match the signature you provided. Check your AWS "
                        + "Secret Access Key and signing method. Consult the service documentation for details."
                ),
                ("no such token \(token), or \(secret)", "no such token [hidden], or [hidden]"),
                ("bad headers:\nX-Amz-Security-Token: abc", "bad headers:\nX-Amz-Security-Token:[hidden]"),
                ("a 'test' of 'KEY' is not one", "a 'test' of 'KEY' is not one"),
                (String(repeating: "x", count: 500) + token, String(repeating: "x", count: 500) + "[hidden]"),
            ] {
                told.withLock { $0 = message }
                let error = await #expect(throws: AWSError.self) {
                    try await client.call(AWSCall(method: .get, path: "/"))
                }
                #expect(error?.code == "InvalidSignatureException" && error?.message == shown)
            }
        }
    }

    @Test("When STS gives no credentials, the call was not made, and is no answer that may have been lost")
    func tokenService() async throws {
        let sts = try TestHTTPServer { _, _ in }
        let server = try TestHTTPServer { $1.respond(200) }
        defer {
            sts.stop()
            server.stop()
        }
        let variables = ["AWS_PROFILE": "worker", "AWS_ENDPOINT_URL_STS": sts.url("")]
        let config = """
            [profile worker]
            role_arn = arn:aws:iam::1:role/r
            source_profile = base
            [profile base]
            aws_access_key_id = BASE
            aws_secret_access_key = b
            """
        try await withClient(server, variables: variables, config: config) { client in
            let error = await #expect(throws: AWSError.self) {
                try await client.call(AWSCall(method: .post, path: "/"))
            }
            #expect(error?.kind == .noCredentials && error?.code == "Client.Credentials")
            #expect(error?.message.hasPrefix("STS gave no credentials for arn:aws:iam::1:role/r: ") == true)
            #expect(error?.message.contains("Client.ConnectionLost") == true)
        }
        #expect(sts.requests.count == 3 && server.requests.isEmpty)
    }

    @Test("Keys of the configuration count before all others")
    func given() async throws {
        let server = try TestHTTPServer { $1.respond(200) }
        defer { server.stop() }
        let reactor = try Reactor(name: "aws-test")
        let environment = AWSEnvironment(variables: [
            "AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "e",
        ])
        var options = AWSOptions(region: "eu-west-1", environment: environment, connections: 1)
        options.endpoint = server.url("")
        options.credentials = AWSCredentials(accessKeyID: "GIVEN", secretAccessKey: "g")
        let client = try AWSClient(service: "sqs", options: options, reactor: reactor)
        _ = try await client.call(AWSCall(method: .get, path: "/"))
        await client.close()
        reactor.stop()
        #expect(server.requests.first?.headers["authorization"]?.contains("Credential=GIVEN/") == true)
    }

    @Test("AWS's own endpoints are told from others, in each partition")
    func ownEndpoints() {
        #expect(AWSEndpoint.isAWS(nil, region: "eu-west-1"))
        for endpoint in [
            "https://sqs.eu-west-1.amazonaws.com", "https://SQS.eu-west-1.amazonaws.com:443/1/orders",
            "https://vpce-1-2.sqs.eu-west-1.vpce.amazonaws.com/",
        ] { #expect(AWSEndpoint.isAWS(endpoint, region: "eu-west-1"), "\(endpoint)") }
        for endpoint in [
            "http://127.0.0.1:4566", "http://localhost/amazonaws.com", "https://amazonaws.com.example.com",
            "http://x.notamazonaws.com/", "https://sqs.cn-north-1.amazonaws.com.cn", "",
        ] { #expect(!AWSEndpoint.isAWS(endpoint, region: "eu-west-1"), "\(endpoint)") }
        #expect(AWSEndpoint.isAWS("https://sqs.cn-north-1.amazonaws.com.cn", region: "cn-north-1"))
    }

    @Test("Dates of HTTP are read", arguments: [("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z")])
    func dates(text: String, expected: String) {
        #expect(HTTPDate.timestamp(text)?.configurationText == expected)
        #expect(HTTPDate.timestamp("yesterday") == nil)
    }
}
