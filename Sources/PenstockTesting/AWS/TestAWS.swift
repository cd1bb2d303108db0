// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Services of AWS for a test: an emulator, on a port of its own.
///
/// It comes with the PyPI package of that name, which `make setup` installs into `.venv`. It verifies no signature.
package final class TestAWS: Sendable {
    /// Who speaks for AWS.
    package enum Emulator: Sendable {
        /// Most of it, fast; its account is 000000000000.
        case ministack
        /// Another opinion, by other people; its account is 123456789012. It deletes by stale receipts, gives only the last
        /// message of a group again, and tells of changes that change nothing.
        case moto

        fileprivate var program: String {
            switch self {
            case .ministack: "ministack"
            case .moto: "moto_server"
            }
        }
    }

    /// `http://127.0.0.1:PORT`.
    package let endpoint: String

    /// The region that its ARNs name.
    package static let region = "eu-west-1"

    private let process: ForeignProcess

    /// Starts it and waits until it answers.
    ///
    /// - Throws: ``TestEnvironment/Unavailable`` when it is not installed or does not answer.
    package init(_ emulator: Emulator = .ministack) throws {
        let port = FreePort.pick()
        self.endpoint = "http://127.0.0.1:\(port)"
        self.process = try ForeignProcess(
            TestEnvironment.program(emulator.program),
            emulator == .moto ? ["-H", "127.0.0.1", "-p", "\(port)"] : [],
            environment: ["BIND_HOST": "127.0.0.1", "GATEWAY_PORT": "\(port)"]
        )
        let answers = BoundedWait.until(within: .seconds(60)) {
            TestSocket.connect(port: port).map { $0.close() } != nil
        }
        guard answers else {
            throw TestEnvironment.Unavailable(
                description: "\(emulator.program) does not listen on \(self.endpoint): \(self.process.output)"
            )
        }
    }

    /// Creates a Lambda function in Python of these lines, which define `handler`; returns its ARN.
    package func createFunction(_ name: String, _ source: String) throws -> String {
        try self.run(Self.createScript, [name, source])
    }

    /// Creates a queue, a FIFO queue when its name says so; returns its URL.
    package func createQueue(_ name: String) throws -> String {
        try self.run(
            """
            import boto3, sys
            attributes = {"FifoQueue": "true"} if sys.argv[2].endswith(".fifo") else {}
            client = boto3.client("sqs", endpoint_url=sys.argv[1])
            print(client.create_queue(QueueName=sys.argv[2], Attributes=attributes)["QueueUrl"])
            """,
            [name]
        )
    }

    /// How many messages a queue has, visible and in flight.
    package func messages(in queue: String) throws -> (visible: Int, inFlight: Int) {
        let text = try self.run(
            """
            import boto3, sys
            client = boto3.client("sqs", endpoint_url=sys.argv[1])
            names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            found = client.get_queue_attributes(QueueUrl=sys.argv[2], AttributeNames=names)["Attributes"]
            print(" ".join(found[name] for name in names))
            """,
            [queue]
        )
        let numbers = text.split(separator: " ").compactMap { Int($0) }
        guard numbers.count == 2 else {
            throw TestEnvironment.Unavailable(description: "no numbers: \(text)")
        }
        return (numbers[0], numbers[1])
    }

    /// Runs a Python script with boto3 and returns what it printed.
    ///
    /// `sys.argv[1]` is the endpoint.
    package func run(_ script: String, _ arguments: [String]) throws -> String {
        let environment = [
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": Self.region,
        ]
        let answer = try ForeignProcess.answer(
            of: TestEnvironment.python,
            ["-c", script, self.endpoint] + arguments,
            environment: environment
        )
        return answer.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Ends it at once, with all it holds.
    package func stop() {
        self.process.kill()
    }

    private static let createScript = """
        import boto3, io, sys, zipfile
        endpoint, name, source = sys.argv[1:]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("app.py", source)
        client = boto3.client("lambda", endpoint_url=endpoint)
        print(client.create_function(
            FunctionName=name, Runtime="python3.11", Role="arn:aws:iam::000000000000:role/r",
            Handler="app.handler", Code={"ZipFile": code.getvalue()}, Publish=True,
        )["FunctionArn"])
        """
}
