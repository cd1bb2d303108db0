// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSConfiguration
import CurlClient
import Foundation
package import PenstockCore
package import PenstockRuntime
import Reactor

/// A function in AWS Lambda, invoked by its API.
///
/// Pinned to the reactor. The records of an invocation are the source's Lambda event, as an event source mapping would
/// send it.
package actor LambdaFunction: Function {
    package nonisolated let name: String
    package nonisolated let arn: String?
    package nonisolated let concurrency: Int
    package nonisolated let timeout: Duration

    private nonisolated let configuration: LambdaFunctionConfiguration
    private nonisolated let reactor: Reactor
    private let client: AWSClient
    private let room: InvocationRoom

    /// A function of that name; it connects when it is first invoked.
    ///
    /// - Throws: ``AWSError`` for an endpoint that cannot be used.
    init(name: String, configuration: LambdaFunctionConfiguration, reactor: Reactor) throws(AWSError) {
        self.name = name
        self.arn = configuration.target.arn(in: configuration.options.region)
        self.configuration = configuration
        self.reactor = reactor
        self.concurrency = configuration.concurrency
        self.timeout = configuration.timeout
        self.client = try AWSClient(service: "lambda", options: configuration.options, reactor: reactor)
        self.room = InvocationRoom(size: configuration.concurrency, loop: reactor)
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    package nonisolated func format(for source: any EventFormat, trigger: String) -> any EventFormat {
        source
    }

    package func invoke(_ invocation: Invocation) async -> InvocationResult {
        await self.answer(invocation).result
    }

    package func answer(_ invocation: Invocation) async -> InvocationAnswer {
        let wantsLog = self.configuration.wantsLogTail
        let (trace, version) = await self.run(invocation, wantsLog: wantsLog, keepsLog: wantsLog)
        return InvocationAnswer(result: trace.result, executedVersion: version)
    }

    package func trace(_ invocation: Invocation) async -> InvocationTrace {
        // The log is told by itself, so it does not stand in the failure too.
        await self.run(invocation, wantsLog: self.configuration.invocation == .wait, keepsLog: false).trace
    }

    /// Asks AWS for the end of the log when `wantsLog`, and keeps it with a failure when `keepsLog`; tells which version
    /// ran, where AWS does.
    private func run(
        _ invocation: Invocation,
        wantsLog: Bool,
        keepsLog: Bool
    ) async -> (trace: InvocationTrace, version: String?) {
        guard await self.room.enter(until: invocation.deadline) else {
            if self.room.isClosed { return (InvocationTrace(result: .stopping), nil) }
            let message = "\(self.concurrency) invocations were under way until the deadline"
            let failure = Failure(type: "Lambda.NoRoom", message: message)
            return (InvocationTrace(result: .throttled(retryAfter: nil, failure)), nil)
        }
        defer { self.room.leave() }
        do throws(AWSError) {
            let response = try await self.client.call(self.call(invocation, wantsLog: wantsLog))
            // An accepted event has no answer.
            if response.status == 202 { return (InvocationTrace(result: .responded([])), nil) }
            let log = response.header("x-amz-log-result").flatMap { Self.decoded($0) } ?? ""
            let result = LambdaAnswer.result(
                body: response.body,
                functionError: response.header("x-amz-function-error"),
                logTail: keepsLog ? String(log.suffix(1024)) : nil
            )
            let lines = log.split(whereSeparator: \.isNewline).map(String.init)
            let trace = InvocationTrace(
                result: result,
                lines: lines.filter { !$0.hasPrefix("REPORT ") },
                report: lines.last { $0.hasPrefix("REPORT ") }
            )
            return (trace, response.header("x-amz-executed-version"))
        } catch {
            return (InvocationTrace(result: LambdaAnswer.result(error)), nil)
        }
    }

    /// Asks whether the function is there and may be invoked, and does not run it (AWS's `DryRun`).
    func examine() async -> Diagnosis {
        let target = self.configuration.target
        do throws(AWSError) {
            _ = try await self.client.call(target.invocation("DryRun", body: .none))
            return .ok("invoke", "AWS Lambda would invoke \(target)")
        } catch {
            let advice =
                switch error.code {
                case let code where AWSError.isDenial(code): "; allow lambda:InvokeFunction"
                case "ResourceNotFoundException":
                    "; create the function, or check \"function\" and \"region\""
                default: ""
                }
            return .error("invoke", "\(target): \(error)\(advice)")
        }
    }

    private func call(_ invocation: Invocation, wantsLog: Bool) -> AWSCall {
        let type = self.configuration.invocation == .wait ? "RequestResponse" : "Event"
        var call = self.configuration.target.invocation(type, body: .buffer(invocation.body))
        if wantsLog { call.headers.append(("X-Amz-Log-Type", "Tail")) }
        call.timeout = min(self.timeout, max(.milliseconds(1), invocation.deadline - self.reactor.now))
        call.responseLimit = InvocationLimit.responseBytes
        call.wantedHeaders = Self.wantedHeaders
        return call
    }

    private static let wantedHeaders: [StaticString] = [
        "x-amz-executed-version", "x-amz-function-error", "x-amz-log-result",
    ]

    private static func decoded(_ text: String) -> String? {
        Data(base64Encoded: text).map { String(decoding: $0, as: UTF8.self) }
    }

    package func stopAdmitting() async { self.room.close() }

    package func shutdown() async {
        self.room.close()
        await self.client.close()
    }
}
