// SPDX-License-Identifier: Apache-2.0

import CurlClient
import Foundation
import PenstockCore
import PenstockTesting
import Reactor
import Synchronization
import Testing

@testable import AWSClient

/// The credentials that a chain finds, as `key secret token`.
private func found(
    profile: String? = nil,
    variables: [String: String] = [:],
    config: String = "",
    credentials: String = ""
) async throws -> AWSCredentials {
    let reactor = try Reactor(name: "credentials-test")
    defer { reactor.stop() }
    var environment = variables
    if environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] == nil {
        environment["AWS_EC2_METADATA_DISABLED"] = "true"
    }
    let chain = CredentialChain(
        profile: profile,
        environment: AWSEnvironment(
            variables: environment,
            shared: SharedConfiguration(config: config, credentials: credentials)
        ),
        region: "eu-west-1"
    )
    var memory = CredentialChain.Memory()
    return try await chain.resolve(&memory, on: reactor)
}

private func temporaryFile(_ text: String) throws -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("aws-\(UUID().uuidString)").path
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    return path
}

@Suite(.timeLimit(.minutes(5))) struct CredentialTests {
    private static let keys =
        "[default]\naws_access_key_id = FILE\naws_secret_access_key = file-secret # old\n"
    private static let sts = """
        <AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLE</AccessKeyId>
        <SecretAccessKey>a&lt;b</SecretAccessKey><SessionToken>tok&amp;en</SessionToken>
        <Expiration>2027-01-15T08:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>
        """
    private static let document =
        #"{"Code":"Success","AccessKeyId":"META","SecretAccessKey":"m","Token":"t","Expiration":"2027-01-15T08:00:00Z"}"#

    @Test("The first source that is there decides")
    func order() async throws {
        let variables = ["AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "e", "AWS_SESSION_TOKEN": "t"]
        #expect(
            try await found(variables: variables, credentials: Self.keys)
                == AWSCredentials(accessKeyID: "ENV", secretAccessKey: "e", sessionToken: "t")
        )
        #expect(
            try await found(credentials: Self.keys)
                == AWSCredentials(accessKeyID: "FILE", secretAccessKey: "file-secret")
        )
        #expect(
            try await found(profile: "default", variables: variables, credentials: Self.keys).accessKeyID
                == "FILE"
        )
    }

    @Test("Without any, the error names what was looked at")
    func none() async throws {
        let error = await #expect(throws: AWSError.self) { try await found() }
        #expect(error?.kind == .noCredentials)
        #expect(error?.message.contains("AWS_ACCESS_KEY_ID is not set") == true)
    }

    @Test("The shared files: both kinds of section heads, comments, nested lines, the credentials file first")
    func files() {
        let shared = SharedConfiguration(
            config: """
                # a comment
                [default]
                region = eu-central-1
                s3 =
                  max_concurrent_requests = 20
                [profile "two words"]
                region=us-east-1 ; comment
                [services x]
                region = no
                [preview]
                """,
            credentials: "[two words]\naws_access_key_id=A\nregion = us-west-2\n"
        )
        #expect(shared.profile("default")?["region"] == "eu-central-1")
        #expect(shared.profile("default")?["max_concurrent_requests"] == nil)
        #expect(shared.profile("two words") == ["region": "us-west-2", "aws_access_key_id": "A"])
        #expect(shared.profile("services x") == nil)
        #expect(shared.profile("x") == nil)
    }

    @Test(
        "A profile that cannot be used says why",
        arguments: [
            ("gone", "", "is in neither of AWS's shared files"),
            ("p", "[p]\naws_access_key_id=A\n", "no aws_secret_access_key"),
            ("p", "[p]\nsso_start_url=https://x\n", "signs on by a browser"),
            ("p", "[p]\nrole_arn=r\n", "without source_profile"),
            (
                "p", "[p]\nrole_arn=r\nsource_profile=q\n[q]\nrole_arn=r\nsource_profile=p\n",
                "round in a circle"
            ),
            ("p", "[p]\nregion=x\n", "has no credentials"),
        ]
    )
    func unusable(profile: String, file: String, why: String) async throws {
        let error = await #expect(throws: AWSError.self) {
            try await found(profile: profile, credentials: file)
        }
        #expect(error?.message.contains(why) == true, "\(error.debugDescription)")
    }

    @Test("credential_process prints credentials, and a failing one is told without its output")
    func process() async throws {
        let path = try temporaryFile(#"{"Version":1,"AccessKeyId":"PROC","SecretAccessKey":"p"}"#)
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(
            try await found(profile: "p", config: "[profile p]\ncredential_process=cat \(path)\n").accessKeyID
                == "PROC"
        )
        for (command, told) in [
            ("echo hush; exit 3", "status 3"), ("echo hush", "no JSON of credentials"),
            ("yes hush", "printed more than 1 MiB, and was killed"),
        ] {
            let error = await #expect(throws: AWSError.self) {
                try await found(profile: "p", config: "[profile p]\ncredential_process=\(command)\n")
            }
            #expect(error?.message.contains(told) == true)
            #expect(error?.message.contains("hush") == false)
        }
    }

    @Test("A web identity is exchanged for a role, unsigned, with the token of now")
    func webIdentity() async throws {
        let server = try TestHTTPServer { $1.respond(200, [], Self.sts) }
        defer { server.stop() }
        let path = try temporaryFile("jwt token\n")
        defer { try? FileManager.default.removeItem(atPath: path) }
        let credentials = try await found(variables: [
            "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": path,
            "AWS_ENDPOINT_URL_STS": server.url(""),
        ])
        #expect(
            credentials
                == AWSCredentials(
                    accessKeyID: "ROLE",
                    secretAccessKey: "a<b",
                    sessionToken: "tok&en",
                    expiration: Timestamp(configurationText: "2027-01-15T08:00:00Z")
                )
        )
        let request = try #require(server.requests.first)
        #expect(request.headers["authorization"] == nil)
        #expect(
            String(decoding: request.body, as: UTF8.self)
                == "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr"
                + "&RoleSessionName=penstock&WebIdentityToken=jwt%20token"
        )
    }

    @Test("A role is assumed with the keys of another profile, or of the environment, and a refusal is told")
    func assumedRole() async throws {
        let server = try TestHTTPServer { request, exchange in
            if request.headers["authorization"]?.contains("Credential=FILE/") == true {
                exchange.respond(200, [], Self.sts)
            } else {
                exchange.respond(
                    403,
                    [("x-amzn-RequestId", "r-1")],
                    "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>"
                )
            }
        }
        defer { server.stop() }
        let config = """
            [profile role]
            role_arn = arn:aws:iam::1:role/r
            source_profile = default
            external_id = x
            [profile other]
            role_arn = arn:aws:iam::1:role/r
            credential_source = Environment
            """
        let variables = [
            "AWS_ENDPOINT_URL_STS": server.url(""), "AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "e",
        ]
        let role = try await found(
            profile: "role",
            variables: variables,
            config: config,
            credentials: Self.keys
        )
        #expect(role.accessKeyID == "ROLE")
        #expect(
            server.requests.first.map { String(decoding: $0.body, as: UTF8.self) }?.contains("&ExternalId=x")
                == true
        )
        let error = await #expect(throws: AWSError.self) {
            try await found(profile: "other", variables: variables, config: config)
        }
        #expect(
            error?.description
                == "Client.Credentials: STS gave no credentials for arn:aws:iam::1:role/r: AccessDenied: not you "
                + "(request r-1); allow sts:AssumeRole, and check whom the role trusts"
        )
        #expect(error?.kind == .noCredentials)
    }

    @Test("STS is asked again when it fails, and by its own clock when the two differ, which is kept")
    func retries() async throws {
        let asked = Mutex(0)
        let server = try TestHTTPServer { request, exchange in
            let number = asked.withLock { count in
                count += 1
                return count
            }
            if number == 1 { return exchange.respond(503) }
            if request.headers["x-amz-date"]?.hasPrefix("20500101T0") == true {
                return exchange.respond(200, [], Self.sts)
            }
            exchange.respond(
                403,
                [("Date", "Sat, 01 Jan 2050 00:00:10 GMT")],
                "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>Signature expired</Message></Error>"
                    + "</ErrorResponse>"
            )
        }
        defer { server.stop() }
        let reactor = try Reactor(name: "credentials-test")
        defer { reactor.stop() }
        let chain = CredentialChain(
            profile: "role",
            environment: AWSEnvironment(
                variables: ["AWS_ENDPOINT_URL_STS": server.url("")],
                shared: SharedConfiguration(
                    config: "[profile role]\nrole_arn = r\nsource_profile = default\n",
                    credentials: Self.keys
                )
            ),
            region: "eu-west-1"
        )
        var memory = CredentialChain.Memory()
        #expect(try await chain.resolve(&memory, on: reactor).accessKeyID == "ROLE")
        #expect(server.requests.count == 3 && memory.skew > .seconds(3600))
        #expect(try await chain.resolve(&memory, on: reactor).accessKeyID == "ROLE")
        #expect(server.requests.count == 4)
    }

    @Test("A web identity that STS refuses is not shown")
    func refusedIdentity() async throws {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"
        let server = try TestHTTPServer { _, exchange in
            exchange.respond(
                400,
                [],
                "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>bad: \(token)</Message></Error>"
                    + "</ErrorResponse>"
            )
        }
        defer { server.stop() }
        let path = try temporaryFile(token)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let error = await #expect(throws: AWSError.self) {
            try await found(variables: [
                "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": path,
                "AWS_ENDPOINT_URL_STS": server.url(""),
            ])
        }
        #expect(
            error?.message
                == "STS gave no credentials for arn:aws:iam::1:role/r: InvalidIdentityToken: bad: [hidden]"
        )
    }

    @Test("Once a profile had credentials, a file that is being written leads to no other identity")
    func emptiedFile() async throws {
        let server = try TestHTTPServer { $1.respond(200, [], Self.document) }
        defer { server.stop() }
        let path = try temporaryFile(Self.keys)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let chain = CredentialChain(
            profile: nil,
            environment: AWSEnvironment(filesOf: [
                "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": path,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url("/creds"),
            ]),
            region: "eu-west-1"
        )
        let reactor = try Reactor(name: "credentials-test")
        defer { reactor.stop() }
        var memory = CredentialChain.Memory()
        #expect(try await chain.resolve(&memory, on: reactor).accessKeyID == "FILE")
        try "".write(toFile: path, atomically: false, encoding: .utf8)
        await #expect(throws: AWSError.self) { try await chain.resolve(&memory, on: reactor) }
        var fresh = CredentialChain.Memory()
        #expect(try await chain.resolve(&fresh, on: reactor).accessKeyID == "META")
    }

    @Test(
        "A container's endpoint is asked by https, on this machine, or at the addresses of ECS and EKS",
        arguments: [
            ("https://creds.example.com/x", true), ("HTTPS://creds.example.com", true),
            ("http://localhost:51679/x", true), ("http://LOCALHOST", true), ("http://127.0.0.1:80/x", true),
            ("http://127.9.8.7?x", true), ("http://[::1]:80/x", true), ("http://169.254.170.2/v2/x", true),
            ("http://169.254.170.23/v1/credentials", true), ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://creds.example.com/x", false), ("http://169.254.169.254/x", false),
            ("http://127.0.0.1.example.com/x", false), ("http://localhost.example.com", false),
            ("http://127.0.0.1@example.com/x", false), ("http://127.0.0.1:80@example.com", false),
            ("http://127.0.0.1\\@example.com", false), ("http://[::1].example.com", false),
            ("http://[::1", false), ("http://127.1", false), ("http://0127.0.0.1", false),
            ("ftp://127.0.0.1/x", false), ("127.0.0.1/x", false), ("", false),
        ]
    )
    func containerHosts(url: String, isAllowed: Bool) {
        #expect(ContainerEndpoint.isAllowed(url) == isAllowed)
    }

    @Test("The container's token is not sent where others can read it")
    func containerRefused() async throws {
        for variables in [
            ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://creds.example.com/x"],
            ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "@creds.example.com/x"],
        ] {
            let error = await #expect(throws: AWSError.self) { try await found(variables: variables) }
            #expect(error?.message.contains("must begin with") == true, "\(error.debugDescription)")
        }
    }

    @Test("A container's endpoint gets the token of its file; one that fails is an error")
    func container() async throws {
        let server = try TestHTTPServer { request, exchange in
            exchange.respond(request.headers["authorization"] == "Bearer x" ? 200 : 401, [], Self.document)
        }
        defer { server.stop() }
        let path = try temporaryFile("Bearer x\n")
        defer { try? FileManager.default.removeItem(atPath: path) }
        var variables = ["AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url("/creds")]
        let error = await #expect(throws: AWSError.self) { try await found(variables: variables) }
        #expect(error?.message == "the container's credentials endpoint answered with status 401")
        variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = path
        #expect(try await found(variables: variables).accessKeyID == "META")
    }

    @Test("An instance's role is asked for by version 2 of the metadata service")
    func instance() async throws {
        let server = try TestHTTPServer { request, exchange in
            let hasToken = request.headers["x-aws-ec2-metadata-token"] == "imds-token"
            switch (request.method, request.path) {
            case ("PUT", "/latest/api/token"): exchange.respond(200, [], "imds-token")
            case ("GET", "/latest/meta-data/iam/security-credentials/") where hasToken:
                exchange.respond(200, [], "worker")
            case ("GET", "/latest/meta-data/iam/security-credentials/worker") where hasToken:
                exchange.respond(200, [], Self.document)
            default: exchange.respond(401)
            }
        }
        defer { server.stop() }
        let variables = ["AWS_EC2_METADATA_SERVICE_ENDPOINT": server.url("")]
        #expect(try await found(variables: variables).accessKeyID == "META")
    }
}
