// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Logging
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import Reactor

/// `penstock invoke`.
struct Invoke: AnsweringCommand {
    static let configuration = CommandConfiguration(
        abstract: "Invokes a function once, without any trigger or store.",
        discussion: """
            The response goes to standard output; what the function wrote, and the REPORT line, to standard error.

            Exit codes: 0 it responded, 1 it failed, 2 no such function or payload, 3 no configuration.

            Example: echo '{"hello": "world"}' | penstock invoke resize --payload -
            """
    )

    @Argument(help: "The function's name.") var function: String
    @Option(help: "A file with the payload, or - for standard input; {} when left out.") var payload: String?
    @OptionGroup var config: ConfigOptions
    @OptionGroup var log: LogOptions
    @OptionGroup var output: FormatOptions

    var title: String { "invoke" }

    func answer() async throws -> Outcome {
        let plan = try self.config.plan().plan
        guard let function = plan.function(self.function) else {
            throw CommandFailure.noFunction(self.function, plan)
        }
        let payload = try self.readPayload()
        let reactor = try Reactor()
        defer { reactor.stop() }
        let logger = self.log.logger
        let made = try function.make(self.function, RuntimeContext(reactor: reactor, logger: logger))
        let trace = await made.trace(Self.invocation(payload, made.timeout, reactor))
        await made.shutdown()
        if !trace.isLogged || logger.logLevel > .info {
            for line in trace.lines { Terminal.complain(Terminal.visible(line)) }
        }
        if let report = trace.report { Terminal.complain(report) }
        return try Self.outcome(trace)
    }

    private static func outcome(_ trace: InvocationTrace) throws -> Outcome {
        switch trace.result {
        case .responded(let body):
            let document = JSONValue.document(
                ("response", JSONValue(parsing: body) ?? .bytes(body)),
                ("report", trace.report.map { .string($0) })
            )
            return Outcome(text: String(decoding: body, as: UTF8.self), result: document)
        case .failed(let failure), .rejected(let failure), .throttled(_, let failure),
            .unavailable(let failure):
            throw CommandFailure(.failed, "function-error", "\(failure.type): \(failure.message)")
        }
    }

    private func readPayload() throws -> [UInt8] {
        guard let payload = self.payload else { return Array("{}".utf8) }
        let bytes: [UInt8]
        if payload == "-" {
            bytes = [UInt8](FileHandle.standardInput.readDataToEndOfFile())
        } else {
            guard let data = FileManager.default.contents(atPath: payload) else {
                throw CommandFailure(.invalid, "no-payload", "\"\(payload)\" cannot be read")
            }
            bytes = [UInt8](data)
        }
        guard bytes.count <= InvocationLimit.requestBytes else {
            throw CommandFailure(.invalid, "too-large", "the payload is larger than 6 MiB")
        }
        return bytes
    }

    private static func invocation(_ payload: [UInt8], _ timeout: Duration, _ reactor: Reactor) -> Invocation
    {
        let body = EventBuffer()
        body.write(upTo: payload.count) { $0.raw(payload) }
        let wall = reactor.wallNow.milliseconds + timeout.wholeMilliseconds
        return Invocation(
            id: InvocationID.random(),
            trigger: "",
            attempt: 1,
            body: body,
            contentType: "application/json",
            deadline: reactor.now + timeout,
            wallDeadline: Timestamp(milliseconds: wall)
        )
    }
}
