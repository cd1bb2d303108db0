// SPDX-License-Identifier: Apache-2.0

import PenstockStore

/// Where a trigger's dead letters and results go.
struct TriggerDestinations: Sendable {
    /// Where records go that are given up.
    let letters: any Destination
    /// Where results go; nil for nowhere.
    let results: (any ResultDestination)?

    /// Makes what the plan says; connects nothing yet.
    init(_ plan: TriggerPlan, _ store: any StateStore, _ context: RuntimeContext) async throws {
        self.letters =
            switch plan.onFailure {
            case .deadLetters: StoreDestination(store: store)
            case .destination(let destination):
                OverflowDestination(
                    try await destination.make(context, plan.source),
                    store: StoreDestination(store: store),
                    logger: context.logger
                )
            }
        do {
            self.results = try await plan.onSuccess?.make(context)
        } catch {
            await self.letters.close()
            throw error
        }
    }

    func close() async {
        await self.letters.close()
        await self.results?.close()
    }
}
