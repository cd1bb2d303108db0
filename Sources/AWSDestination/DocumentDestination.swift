// SPDX-License-Identifier: Apache-2.0

package import AWSClient
import CurlClient
package import PenstockCore
package import PenstockRuntime
package import Reactor

/// Sends each letter, or each result, to a service of AWS as one document, in order and one after the other.
package struct DocumentDestination<Service: DocumentService>: Destination, ResultDestination {
    let service: Service
    private let document: FailureDocument?
    let client: AWSClient

    /// Calls side by side at most, when several partitions give up records at once.
    package static var connections: Int { 8 }

    /// Connects nothing yet; `document` writes letters, and is nil for a destination of results.
    ///
    /// - Throws: ``DestinationError`` for an endpoint that is no URL.
    package init(
        _ service: Service,
        _ document: FailureDocument?,
        options: AWSOptions,
        reactor: Reactor
    ) throws(DestinationError) {
        self.service = service
        self.document = document
        do throws(AWSError) {
            self.client = try AWSClient(service: Service.signingName, options: options, reactor: reactor)
        } catch {
            throw DestinationError("\(error)")
        }
    }

    package var name: String { self.service.summary }

    package func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        try await self.deliverInTurn(letters) { (letter) throws(DestinationError) in
            let json = self.document?.json(of: letter) ?? []
            let shard = self.document?.shard(of: letter) ?? letter.partition
            try await self.send(OutgoingDocument(letter, json: json, shard: shard))
        }
    }

    package func deliver(_ record: InvocationRecord) async throws(DestinationError) {
        try await self.send(OutgoingDocument(record))
    }

    package func close() async {
        await self.client.close()
    }

    private func send(_ document: OutgoingDocument) async throws(DestinationError) {
        let size = self.service.size(of: document)
        guard size <= self.service.sizeMax else {
            throw DestinationError(
                "a document takes \(size) bytes, of which \(self.service.summary) takes "
                    + "\(self.service.sizeMax)",
                refused: [0],
                isTooLarge: true
            )
        }
        do throws(AWSError) {
            let response = try await self.client.call(self.service.call(document))
            guard let refusal = self.service.refusal(in: response) else { return }
            throw AWSError(.refused(status: response.status), code: "Refused", message: refusal)
        } catch {
            throw DestinationError(
                "\(error)\(self.advice(error.code).map { "; \($0)" } ?? "")",
                refused: self.service.isTooLarge(error) ? [0] : [],
                isTooLarge: self.service.isTooLarge(error)
            )
        }
    }

    func advice(_ code: String) -> String? {
        AWSError.isDenial(code) ? "allow \(Service.permission)" : self.service.advice(code)
    }
}
