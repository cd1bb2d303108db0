// SPDX-License-Identifier: Apache-2.0

import Reactor

extension PostgresLink {
    /// A connection on its way, which can be given up.
    package final class Opening: @unchecked Sendable {
        // @unchecked: touched on the reactor's thread only, but for `abandon()`.
        private let reactor: Reactor
        private var completion: (@Sendable (Result<PostgresLink, PostgresError>) -> Void)?

        init(
            _ reactor: Reactor,
            _ completion: @escaping @Sendable (Result<PostgresLink, PostgresError>) -> Void
        ) {
            self.reactor = reactor
            self.completion = completion
        }

        /// Gives it up: the completion gets `cancelled`, unless it was called.
        ///
        /// Any thread.
        package func abandon() {
            self.reactor.submit {
                self.end(.failure(PostgresError(.cancelled, "the connection is no longer wanted")))
            }
        }

        func end(_ result: Result<PostgresLink, PostgresError>) {
            guard let completion = self.completion.take() else {
                if case .success(let link) = result { link.close() }
                return
            }
            completion(result)
        }
    }
}
