// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore

/// A destination whose letters that it will never take are kept in the store, whole: those that are too large for it, and
/// those that it finds wrong.
///
/// They are neither cut to fit nor a reason for their partition to wait for ever.
struct OverflowDestination: Destination {
    private let destination: any Destination
    private let store: any Destination
    private let logger: Logger

    /// What `destination` will never take goes to `store`.
    init(_ destination: any Destination, store: any Destination, logger: Logger) {
        self.destination = destination
        self.store = store
        self.logger = logger
    }

    var name: String { self.destination.name }

    func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        var left = Array(letters.indices)
        var settled: [Int] = []
        while !left.isEmpty {
            do throws(DestinationError) {
                return try await self.destination.deliver(left.map { letters[$0] })
            } catch {
                settled += error.delivered.map { left[$0] }
                let refused = error.refused.map { left[$0] }
                guard !refused.isEmpty else { throw DestinationError(error.detail, delivered: settled) }
                try await self.keep(refused.map { letters[$0] }, delivered: settled, because: error.detail)
                settled += refused
                left.removeAll { settled.contains($0) }
            }
        }
    }

    private func keep(
        _ letters: [DeadLetter],
        delivered: [Int],
        because reason: String
    ) async throws(DestinationError) {
        do throws(DestinationError) {
            try await self.store.deliver(letters)
        } catch {
            throw DestinationError(error.detail, delivered: delivered)
        }
        self.logger.warning(
            "letters that their destination does not take are in dead_letters",
            metadata: ["count": "\(letters.count)", "destination": "\(self.name)", "detail": "\(reason)"]
        )
    }

    func close() async {
        await self.destination.close()
    }
}
