// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockStore

/// The dead-letter store as a destination: the default of `on_failure`.
package struct StoreDestination: Destination {
    private let store: any StateStore

    /// The destination that keeps letters in `store`, which it does not close.
    package init(store: any StateStore) {
        self.store = store
    }

    package var name: String { "dead_letters" }

    package func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        do {
            try await self.store.append(letters)
        } catch {
            throw DestinationError(error.detail)
        }
    }

    package func close() async {}
}
