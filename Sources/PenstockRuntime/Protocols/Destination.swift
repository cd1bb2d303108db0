// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// Where dead letters go.
package protocol Destination: Sendable {
    /// Shown to operators: `dead_letters`, `kafka topic orders-dlq`.
    var name: String { get }

    /// Delivers the letters of one partition, in order. When it returns they are durable; when it throws, some may
    /// be, and the caller tries all of them again.
    func deliver(_ letters: [DeadLetter]) async throws(DestinationError)

    /// Finishes what is under way and closes. Idempotent.
    func close() async
}

/// Why a destination did not take the letters.
///
/// The pipeline keeps the deliveries unsettled and tries again.
package struct DestinationError: Error, Sendable, CustomStringConvertible {
    /// What happened, with what, and what to do; no payload, no credentials.
    package var detail: String

    /// A destination error.
    package init(_ detail: String) {
        self.detail = detail
    }

    package var description: String { self.detail }
}
