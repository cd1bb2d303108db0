// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSDestination
import PenstockCore
import PenstockRuntime
import PenstockTesting
import Testing

@testable import S3Connector

@Suite(.ownThreads, .timeLimit(.minutes(5))) struct S3DestinationTests {
    @Test("Each letter is an object under AWS's key, with the same UUID whenever it is sent")
    func puts() async throws {
        let server = try DocumentServer { _ in (200, "") }
        defer { server.stop() }
        try await DocumentTrial.run(
            S3DestinationConfiguration.self,
            at: server.endpoint,
            "bucket: orders-failed"
        ) { destination in
            #expect(destination.name == "s3 bucket orders-failed")
            try await destination.deliver([
                DocumentTrial.letter(7), DocumentTrial.letter(8), DocumentTrial.letter(7),
            ])
            try await destination.deliver(DocumentTrial.record)
        }
        let requests = server.requests
        #expect(requests.map(\.method) == Array(repeating: "PUT", count: 4))
        let head = "/orders-failed/aws/lambda/orders/orders-0/2023/11/14/2023-11-14T22.13.20-"
        let paths = requests.map(\.path)
        #expect(paths[0].hasPrefix(head) && paths[0].utf8.count == head.utf8.count + 36, "\(paths[0])")
        #expect(paths[0] == paths[2] && paths[0] != paths[1])
        #expect(paths[3].hasPrefix("/orders-failed/aws/lambda/orders/results/2023/11/14/"), "\(paths[3])")
        #expect(requests.allSatisfy { $0.headers["content-type"] == "application/json" })
        #expect(requests.allSatisfy { $0.headers["x-amz-content-sha256"]?.utf8.count == 64 })
        #expect(
            requests.allSatisfy {
                $0.headers["authorization"]?.contains("x-amz-content-sha256") == true
            }
        )
        #expect(server.bodies[0].contains(#""condition":"RetryAttemptsExhausted""#))
    }

    @Test("An object is AWS's whole failure document, in which the payload is a text with JSON in it")
    func document() async throws {
        let server = try DocumentServer { _ in (200, "") }
        defer { server.stop() }
        try await DocumentTrial.run(
            S3DestinationConfiguration.self,
            at: server.endpoint,
            "bucket: orders-failed"
        ) { try await $0.deliver([DocumentTrial.failed]) }
        #expect(server.bodies == [DocumentTrial.failedDocument(payload: #""[\"ping\"]""#)])
    }

    @Test("The keys of a stream's records have the shard's id alone, as AWS's do")
    func shards() async throws {
        let server = try DocumentServer { _ in (200, "") }
        defer { server.stop() }
        let stream = "arn:aws:dynamodb:eu-west-1:123456789012:table/carts/stream/2023-11-14T08:00:00.123"
        try await DocumentTrial.run(
            S3DestinationConfiguration.self,
            at: server.endpoint,
            "bucket: orders-failed"
        ) { destination in
            try await destination.deliver([DocumentTrial.letter(1, of: "\(stream)/shardId-0001")])
        }
        let head = "/orders-failed/aws/lambda/orders/shardId-0001/2023/11/14/2023-11-14T22.13.20-"
        let path = server.requests.first?.path ?? ""
        #expect(path.hasPrefix(head) && path.utf8.count == head.utf8.count + 36, "\(path)")
    }

    @Test("Doctor says whether the bucket is there, and that nothing tells whether objects may be put")
    func examined() async throws {
        func find(_ answer: DocumentServer.Answer) async throws -> (grades: [String], text: String) {
            let found = try await DocumentTrial.findings(
                S3DestinationConfiguration.self,
                "bucket: orders-failed",
                answers: [answer]
            )
            #expect(found.requests.map(\.path) == ["/orders-failed/?location="])
            return (found.grades, found.text)
        }
        let there = try await find((200, "<LocationConstraint/>"))
        #expect(there.grades == ["destination ok", "permissions not checked"])
        #expect(there.text.contains("s3:PutObject is not asked of s3 bucket orders-failed"), "\(there.text)")
        let denied = try await find((403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"))
        #expect(denied.grades == ["destination not checked", "permissions not checked"])
        #expect(denied.text.contains("allow s3:GetBucketLocation"), "\(denied.text)")
        let missing = try await find((404, "<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>"))
        #expect(missing.grades == ["destination error"])
    }

    @Test("A partition's name is one of the key's parts whatever it is, and a key is never too long")
    func keys() {
        let bucket = S3Bucket(name: "b", prefix: "p/")
        var document = DocumentTrial.document(DocumentTrial.letter(1))
        document.shard = "arn:aws:sqs:eu-west-1:1:ordérs"
        let path = bucket.call(document).path
        #expect(
            path.hasPrefix("/p/orders/arn%3Aaws%3Asqs%3Aeu-west-1%3A1%3Aord%C3%A9rs/2023/11/14/"),
            "\(path)"
        )
        document.shard = String(repeating: "é", count: 700)
        #expect(bucket.key(document).utf8.count <= 1024)
    }

    @Test("A bucket that is not there, or elsewhere, is told with the way out")
    func refused() async throws {
        let codes = [
            ("NoSuchBucket", "create the bucket"), ("PermanentRedirect", "set \"region\" to the bucket's"),
        ]
        for (code, advice) in codes {
            let answer = "<?xml version=\"1.0\"?><Error><Code>\(code)</Code><Message>no</Message></Error>"
            let server = try DocumentServer { _ in (404, answer) }
            defer { server.stop() }
            try await DocumentTrial.run(
                S3DestinationConfiguration.self,
                at: server.endpoint,
                "bucket: orders-failed"
            ) { destination in
                do {
                    try await destination.deliver(DocumentTrial.record)
                    Issue.record("it was taken")
                } catch let error as DestinationError {
                    #expect(
                        error.detail.hasPrefix("\(code): no") && error.detail.contains(advice),
                        "\(error)"
                    )
                }
            }
        }
    }

    @Test("The bucket is in the host's name where AWS has a certificate for that")
    func addresses() throws {
        func endpoint(_ yaml: String) throws -> String? {
            let read = DocumentTrial.read(S3DestinationConfiguration.self, yaml)
            return try #require(read).options.endpoint
        }
        #expect(
            try endpoint("bucket: orders\nregion: eu-west-1") == "https://orders.s3.eu-west-1.amazonaws.com"
        )
        #expect(
            try endpoint("bucket: my.orders\nregion: cn-north-1")
                == "https://s3.cn-north-1.amazonaws.com.cn/my.orders"
        )
        #expect(
            try endpoint("bucket: orders\nregion: eu-west-1\nendpoint: \"http://127.0.0.1:9000/\"")
                == "http://127.0.0.1:9000/orders"
        )
        #expect(
            try endpoint("bucket: orders\nregion: eu-west-1\nendpoint: \"http://127.0.0.1:9000\"")
                == "http://127.0.0.1:9000/orders"
        )
    }

    @Test(
        "A bucket's name that is none has a finding",
        arguments: ["Orders", "ab", "a..b", "-orders", "a/b"]
    )
    func badBucket(bucket: String) {
        let findings = DocumentTrial.findings(
            S3DestinationConfiguration.self,
            "bucket: \"\(bucket)\"\nregion: eu-west-1"
        )
        #expect(findings.contains { $0.contains("is not a bucket's name") }, "\(findings)")
    }
}
