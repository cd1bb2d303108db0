// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// Where dead letters go.
package protocol Destination: Sendable {
    /// Shown to operators: `dead_letters`, `kafka topic orders-dlq`.
    var name: String { get }

    /// Delivers the letters of one partition, in order. When it returns they are durable; when it throws, some may
    /// be, and the caller tries all of them again but those that the error names as delivered.
    func deliver(_ letters: [DeadLetter]) async throws(DestinationError)

    /// Finishes what is under way and closes. Idempotent.
    func close() async
}

extension Destination {
    /// Sends letters one after the other, each by a call of its own, up to the first that is not taken.
    ///
    /// - Throws: What `send` throws of one letter, with the places of those before it and its own.
    package func deliverInTurn(
        _ letters: [DeadLetter],
        _ send: (DeadLetter) async throws(DestinationError) -> Void
    ) async throws(DestinationError) {
        for (place, letter) in letters.enumerated() {
            do throws(DestinationError) {
                try await send(letter)
            } catch {
                throw DestinationError(
                    error.detail,
                    delivered: Array(0..<place),
                    refused: error.refused.map { _ in place }
                )
            }
        }
    }
}

/// Where results of invocations go: `on_success`.
package protocol ResultDestination: Sendable {
    /// Shown to operators: `kafka topic orders-done`.
    var name: String { get }

    /// Delivers the record of an invocation. When it returns, that is durable; when it throws, it may be, and the caller
    /// tries again.
    func deliver(_ record: InvocationRecord) async throws(DestinationError)

    /// Finishes what is under way and closes. Idempotent.
    func close() async
}

/// Why a destination did not take letters or a result.
///
/// The pipeline keeps the deliveries unsettled and tries again.
package struct DestinationError: Error, Sendable, CustomStringConvertible {
    /// What happened, with what, and what to do; no payload, no credentials.
    package var detail: String

    /// Which letters are durable nevertheless, by their places in the call; these need not come again.
    package var delivered: [Int]

    /// Which letters it will never take, by their places in the call.
    ///
    /// They are too large, or not what it wants, and need another place.
    package var refused: [Int]

    /// Whether what is refused is too large, so that less of it might be taken.
    package var isTooLarge: Bool

    /// A destination error.
    package init(_ detail: String, delivered: [Int] = [], refused: [Int] = [], isTooLarge: Bool = false) {
        self.detail = detail
        self.delivered = delivered
        self.refused = refused
        self.isTooLarge = isTooLarge
    }

    package var description: String { self.detail }
}
