// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import Testing

@testable import LocalFunction

@Suite struct ConfigurationTests {
    private func read(_ yaml: String) -> ConfigurationResult<LocalFunctionConfiguration> {
        ConfigurationLoader.process.parse(yaml).read(LocalFunctionConfiguration.self)
    }

    @Test("A command alone gives the defaults") func defaults() throws {
        let configuration = try #require(self.read("command: [./bootstrap]").value)
        #expect(configuration == LocalFunctionConfiguration(command: ["./bootstrap"]))
        #expect(configuration.handlerName == "./bootstrap")
    }

    @Test("Every key is read") func all() throws {
        let yaml = """
            command: [python3, -m, awslambdaric, app.handler]
            directory: /tmp
            environment: { BUCKET: thumbnails }
            handler: h
            timeout: 5s
            memory: 1GiB
            concurrency: 4
            init_timeout: 20s
            idle_timeout: 10m
            stop_grace: 2s
            unix_socket: true
            """
        var expected = LocalFunctionConfiguration(command: ["python3", "-m", "awslambdaric", "app.handler"])
        expected.directory = "/tmp"
        expected.environment = ["BUCKET": "thumbnails"]
        expected.handler = "h"
        expected.timeout = .seconds(5)
        expected.memory = 1 << 30
        expected.concurrency = 4
        expected.initTimeout = .seconds(20)
        expected.idleTimeout = .seconds(600)
        expected.stopGrace = .seconds(2)
        expected.unixSocket = true
        #expect(self.read(yaml).value == expected)
    }

    @Test(
        "What cannot work is refused with its place and the way out",
        arguments: [
            (#"command: [""]"#, #""command" must begin with a program"#),
            ("command: [x]\ndirectory: /no/such", #""directory" must be a directory that exists"#),
            ("command: [x]\nenvironment: { _HANDLER: h }", "must not set _HANDLER"),
            (
                "command: [x]\nenvironment: { AWS_LAMBDA_RUNTIME_API: h }",
                "must not set AWS_LAMBDA_RUNTIME_API"
            ),
            ("directory: /tmp", #"missing key "command""#),
        ]
    )
    func refused(yaml: String, message: String) {
        let result = self.read(yaml)
        #expect(result.value == nil)
        #expect(result.findings.contains { $0.description.contains(message) })
    }
}
