// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore
import PenstockTesting
import Testing

@testable import AWSClient

@Suite(.ownThreads) struct SignatureTests {
    /// A row of AWS's published Signature Version 4 test suite.
    struct Vector: Sendable, CustomTestStringConvertible {
        var name: String
        var method = "GET"
        var query: [(name: String, value: String)] = []
        var headers: [(name: String, value: String)] = []
        var body = ""
        var signature: String

        var testDescription: String { self.name }
    }

    static let vectors: [Vector] = [
        Vector(
            name: "get-vanilla",
            signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        ),
        Vector(
            name: "get-vanilla-query-order-key-case",
            query: [("Param2", "value2"), ("Param1", "value1")],
            signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        ),
        Vector(
            name: "get-header-value-trim",
            headers: [("My-Header1", " value1 "), ("My-Header2", " \"a   b   c\" ")],
            signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"
        ),
        Vector(
            name: "post-vanilla",
            method: "POST",
            signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        ),
        Vector(
            name: "post-x-www-form-urlencoded",
            method: "POST",
            headers: [("Content-Type", "application/x-www-form-urlencoded")],
            body: "Param1=value1",
            signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        ),
    ]

    @Test("AWS's own vectors", arguments: Self.vectors)
    func published(vector: Vector) throws {
        let credentials = AWSCredentials(
            accessKeyID: "AKIDEXAMPLE",
            secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
        )
        let request = SignedRequest(
            method: vector.method,
            host: "example.amazonaws.com",
            path: "/",
            query: vector.query,
            headers: vector.headers,
            bodyHash: unsafe Array(vector.body.utf8).withUnsafeBytes { unsafe SignedRequest.hash(of: $0) }
        )
        let time = try #require(Timestamp(configurationText: "2015-08-30T12:36:00Z"))
        let headers = RequestSigner(region: "us-east-1", service: "service").sign(
            request,
            as: credentials,
            at: time
        )
        let authorization = try #require(headers.first { $0.name == "Authorization" }?.value)
        #expect(authorization.hasSuffix("Signature=\(vector.signature)"))
        #expect(headers.first { $0.name == "X-Amz-Date" }?.value == "20150830T123600Z")
    }

    @Test("Three hundred random requests have the signatures that botocore gives them")
    func random() throws {
        var random = SplitMix64(seed: UInt64.random(in: 0 ... .max))
        let requests = (0..<300).map { _ in RandomRequest(&random) }
        let expected = try Botocore.signatures(of: requests)
        try #require(expected.count == requests.count)
        let time = try #require(Timestamp(configurationText: "2026-11-24T23:59:59Z"))
        for (request, signature) in zip(requests, expected) {
            let credentials = AWSCredentials(
                accessKeyID: "AKIDEXAMPLE",
                secretAccessKey: request.secret,
                sessionToken: request.token
            )
            let signer = RequestSigner(region: request.region, service: request.service)
            let hash = unsafe Array(request.body.utf8).withUnsafeBytes {
                unsafe SignedRequest.hash(of: $0)
            }
            var headers = request.headers.map { (name: $0[0], value: $0[1]) }
            if signer.isObjectStore { headers.append(("X-Amz-Content-SHA256", hash)) }
            let signed = SignedRequest(
                method: request.method,
                host: request.host,
                path: request.path,
                query: request.query.map { (name: $0[0], value: $0[1]) },
                headers: headers,
                bodyHash: hash
            )
            let added = signer.sign(signed, as: credentials, at: time)
            #expect(added.first { $0.name == "Authorization" }?.value == signature, "\(request)")
        }
    }

    @Test("A signer that signed other requests gives each the signature that a new one does")
    func repeated() throws {
        let signer = RequestSigner(region: "eu-west-1", service: "sqs")
        let start = try #require(Timestamp(configurationText: "2026-11-24T23:59:58.400Z"))
        var random = SplitMix64(seed: UInt64.random(in: 0 ... .max))
        for _ in 0..<2000 {
            // Few of each kind, so that most were there before; days and seconds change.
            let operation = "AmazonSQS.\(Int.random(in: 0..<6, using: &random))"
            let request = SignedRequest(
                method: "POST",
                host: "sqs.eu-west-1.amazonaws.com",
                path: "/",
                query: Bool.random(using: &random) ? [] : [("a", "\(Int.random(in: 0..<2, using: &random))")],
                headers: [("X-Amz-Target", operation)],
                bodyHash: "\(UInt64.random(in: 0..<50, using: &random))"
            )
            let credentials = AWSCredentials(
                accessKeyID: "AKIDEXAMPLE",
                secretAccessKey: Bool.random(using: &random) ? "one" : "two",
                sessionToken: Bool.random(using: &random) ? nil : "token"
            )
            let time = Timestamp(
                milliseconds: start.milliseconds + Int64.random(in: 0..<4000, using: &random)
            )
            let fresh = RequestSigner(region: "eu-west-1", service: "sqs")
            let (ours, expected) = (
                signer.sign(request, as: credentials, at: time),
                fresh.sign(request, as: credentials, at: time)
            )
            #expect(ours.map(\.name) == expected.map(\.name))
            #expect(ours.map(\.value) == expected.map(\.value))
        }
    }

    @Test("Credentials never show their secrets")
    func secrecy() {
        let credentials = AWSCredentials(
            accessKeyID: "AKIDEXAMPLE",
            secretAccessKey: "s3cret",
            sessionToken: "t0ken"
        )
        var dumped = ""
        dump(credentials, to: &dumped)
        for text in ["\(credentials)", String(reflecting: credentials), dumped, "\([credentials])"] {
            #expect(!text.contains("s3cret") && !text.contains("t0ken"))
        }
    }
}

/// A request that no person would think of.
private struct RandomRequest: Encodable {
    var method: String
    var host: String
    var path: String
    var query: [[String]]
    var headers: [[String]]
    var body: String
    var service: String
    var region: String
    var secret: String
    var token: String?

    init(_ random: inout SplitMix64) {
        let alphabet = Array("aZ09-._~ :/@$+=&%?#é€😀*'()!,;")
        func text(
            _ lengths: ClosedRange<Int>,
            from letters: [Character],
            _ random: inout SplitMix64
        ) -> String {
            String(
                (0..<Int.random(in: lengths, using: &random)).map { _ in
                    letters.randomElement(using: &random) ?? "a"
                }
            )
        }
        let plain = Array("abcXYZ019+/")
        self.method = ["GET", "POST", "PUT", "DELETE"].randomElement(using: &random) ?? "GET"
        self.host = ["lambda.eu-west-1.amazonaws.com", "127.0.0.1:4566"].randomElement(using: &random) ?? ""
        let segments = (0..<Int.random(in: 0...3, using: &random)).map { _ in
            PercentEncoding.encode(text(1...12, from: alphabet, &random))
        }
        // Dots alone would be steps of a path, which botocore takes out; no request of ours has them.
        self.path = "/" + segments.filter { $0 != "." && $0 != ".." }.joined(separator: "/")
        var names: Set<String> = []
        self.query = (0..<Int.random(in: 0...4, using: &random)).compactMap { _ in
            let name = text(1...6, from: alphabet, &random)
            guard names.insert(name).inserted else { return nil }
            return [name, text(0...8, from: alphabet, &random)]
        }
        self.headers = (0..<Int.random(in: 0...3, using: &random)).map { number in
            ["X-Amz-Thing-\(number)", text(1...10, from: Array("ab  c9=;,\"x"), &random) + "z"]
        }
        self.body = self.method == "GET" ? "" : text(0...40, from: alphabet, &random)
        self.service = ["lambda", "s3"].randomElement(using: &random) ?? ""
        self.region = ["eu-west-1", "us-gov-west-1"].randomElement(using: &random) ?? ""
        self.secret = text(10...40, from: plain, &random)
        self.token = Bool.random(using: &random) ? text(10...60, from: plain, &random) : nil
    }
}

/// The signatures of AWS's own client library for Python.
private enum Botocore {
    private static let script = #"""
        import datetime, json, sys
        import botocore.auth
        from botocore.auth import S3SigV4Auth, SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        from urllib.parse import quote

        now = datetime.datetime(2026, 11, 24, 23, 59, 59)
        botocore.auth.get_current_datetime = lambda **more: now
        results = []
        for one in json.load(open(sys.argv[1])):
            url = "https://" + one["host"] + one["path"]
            pairs = [quote(n, safe="-._~") + "=" + quote(v, safe="-._~") for n, v in one["query"]]
            request = AWSRequest(
                method=one["method"],
                url=url + ("?" + "&".join(pairs) if pairs else ""),
                headers={**dict(one["headers"]), "Host": one["host"]},
                data=one["body"].encode(),
            )
            credentials = Credentials("AKIDEXAMPLE", one["secret"], one.get("token"))
            signer = S3SigV4Auth if one["service"] == "s3" else SigV4Auth
            signer(credentials, one["service"], one["region"]).add_auth(request)
            results.append(request.headers["Authorization"])
        json.dump(results, open(sys.argv[2], "w"))
        """#

    static func signatures(of requests: [RandomRequest]) throws -> [String] {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "signatures-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (input, output) = (folder.appendingPathComponent("in"), folder.appendingPathComponent("out"))
        try JSONEncoder().encode(requests).write(to: input)
        _ = try ForeignProcess.answer(
            of: TestEnvironment.python,
            ["-c", self.script, input.path, output.path]
        )
        return try JSONDecoder().decode([String].self, from: Data(contentsOf: output))
    }
}
