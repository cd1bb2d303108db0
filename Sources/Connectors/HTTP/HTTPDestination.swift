// SPDX-License-Identifier: Apache-2.0

import CurlClient
import HTTPEndpoints
package import PenstockCore
package import PenstockRuntime
package import Reactor

/// POSTs each letter, or each result, to an endpoint, in order and one after the other.
///
/// Each request has `X-Penstock-Trigger`, and `X-Penstock-Document-Id`, which is the same whenever the same letter or result
/// is sent; the result of another attempt is another one.
package struct HTTPDestination: Destination, ResultDestination {
    private let configuration: HTTPDestinationConfiguration
    private let document: FailureDocument?
    private let client: CurlClient
    private let headers: [CurlHeader]

    /// Calls side by side at most, when several partitions give up records at once.
    private static let connections = 8

    /// Connects nothing yet; `document` writes letters, and is nil for a destination of results.
    ///
    /// - Throws: ``DestinationError`` when libcurl cannot be set up.
    package init(
        _ configuration: HTTPDestinationConfiguration,
        _ document: FailureDocument?,
        reactor: Reactor
    ) throws(DestinationError) {
        self.configuration = configuration
        self.document = document
        do throws(CurlError) {
            self.client = try CurlClient(reactor: reactor, connections: Self.connections)
        } catch {
            throw DestinationError(error.detail)
        }
        var headers = configuration.endpoint.curlHeaders
        if !configuration.endpoint.hasContentType, let type = CurlHeader("Content-Type", "application/json") {
            headers.append(type)
        }
        self.headers = headers
    }

    package var name: String { self.configuration.summary }

    package func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        try await self.deliverInTurn(letters) { (letter) throws(DestinationError) in
            try await self.send(
                self.document?.json(of: letter) ?? [],
                of: letter.trigger,
                id: InvocationID.make(name: letter.identity)
            )
        }
    }

    package func deliver(_ record: InvocationRecord) async throws(DestinationError) {
        try await self.send(record.json, of: record.trigger, id: InvocationID.make(name: record.identity))
    }

    private func send(_ json: [UInt8], of trigger: String, id: String) async throws(DestinationError) {
        let endpoint = self.configuration.endpoint
        var request = endpoint.request(within: endpoint.timeout)
        request.wantedFailureHeaders = HTTPText.wantedHeaders
        // What a success says is nobody's business, however long it is.
        request.bodyArrived = { _ in }
        request.headers = self.headers
        request.add(CurlHeader("X-Penstock-Trigger", trigger))
        request.add(CurlHeader("X-Penstock-Document-Id", id))
        request.body = .bytes(json)
        let refusal: HTTPRefusal?
        do throws(CurlError) {
            refusal = HTTPRefusal(try await self.client.perform(request))
        } catch {
            throw DestinationError(error.detail)
        }
        if let refusal { throw refusal.error }
    }

    package func close() async {
        await self.client.close()
    }
}
