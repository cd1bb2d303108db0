// SPDX-License-Identifier: Apache-2.0

import CurlClient
package import PenstockConfiguration
package import PenstockRuntime

/// `http:` — endpoints that take a POST.
package enum HTTPFunctionKind: FunctionKind {
    package static let kind = "http"

    package static var alternative: Alternative<FunctionPlan> {
        .key(Self.kind, HTTPFunctionConfiguration.table.summary, .table(HTTPFunctionConfiguration.self)) {
            configuration in
            var plan = FunctionPlan(
                kind: Self.kind,
                summary: "POST \(configuration.url)",
                concurrency: configuration.concurrency,
                timeout: configuration.timeout,
                takesSingleRecords: configuration.batchSizeMax == 1,
                takesEvents: configuration.format == .lambda,
                make: { name, context in
                    try HTTPFunction(name: name, configuration: configuration, reactor: context.reactor)
                }
            )
            plan.examine = { [await Self.examine(configuration, $0)] }
            return plan
        }
    }

    /// Whether somebody answers there, by a request that must change nothing (RFC 9110, HEAD); what the answer says does
    /// not count.
    private static func examine(
        _ configuration: HTTPFunctionConfiguration,
        _ context: RuntimeContext
    ) async -> Diagnosis {
        var request = CurlRequest(url: configuration.url.text)
        request.method = .head
        request.timeout = .seconds(10)
        request.tls = configuration.tls.options
        request.http2 = configuration.http2
        do throws(CurlError) {
            let client = try CurlClient(reactor: context.reactor, connections: 1)
            let result: Result<CurlResponse, CurlError>
            do throws(CurlError) {
                result = .success(try await client.perform(request))
            } catch {
                result = .failure(error)
            }
            await client.close()
            return .ok("endpoint", "\(configuration.url) answers (HEAD: status \(try result.get().status))")
        } catch {
            return .error("endpoint", "\(configuration.url): \(error.detail); start it, or correct url")
        }
    }
}
