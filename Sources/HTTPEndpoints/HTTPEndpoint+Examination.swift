// SPDX-License-Identifier: Apache-2.0

import CurlClient
package import PenstockRuntime

extension HTTPEndpoint {
    /// Whether somebody answers there, by a request that must change nothing (RFC 9110, HEAD); what the answer says does
    /// not count.
    package func examine(_ context: RuntimeContext) async -> Diagnosis {
        var request = self.request(within: .seconds(10))
        request.method = .head
        do throws(CurlError) {
            let client = try CurlClient(reactor: context.reactor, connections: 1)
            let result: Result<CurlResponse, CurlError>
            do throws(CurlError) {
                result = .success(try await client.perform(request))
            } catch {
                result = .failure(error)
            }
            await client.close()
            return .ok("endpoint", "\(self.url) answers (HEAD: status \(try result.get().status))")
        } catch {
            let wayOut =
                error.code == .tls ? "correct tls, or the server's certificate" : "start it, or correct url"
            return .error("endpoint", "\(self.url): \(error.detail); \(wayOut)")
        }
    }
}
