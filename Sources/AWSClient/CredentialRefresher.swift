// SPDX-License-Identifier: Apache-2.0

import CurlClient
import PenstockCore
package import Reactor

/// The credentials of one configuration, kept until they end and fetched anew ahead of that, by one caller for all.
///
/// Pinned to the reactor.
package actor CredentialRefresher {
    private typealias Answer = Result<AWSCredentials, AWSError>

    private nonisolated let reactor: Reactor
    private let chain: CredentialChain
    private var current: AWSCredentials?
    private var isFetching = false
    private var waiting: [CheckedContinuation<Answer?, Never>] = []
    private var notBefore: Timestamp?

    /// Temporary credentials are replaced this long before their end.
    private static let ahead = Duration.seconds(300)
    /// They are not used any more this long before it.
    private static let ending = Duration.seconds(30)
    /// After a failure ahead of the end the next try comes this much later.
    private static let pause = Duration.seconds(20)

    /// Nothing is fetched before the first call of ``credentials()``.
    package init(_ chain: CredentialChain, reactor: Reactor) {
        self.chain = chain
        self.reactor = reactor
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    /// Credentials that hold for half a minute at least.
    ///
    /// - Throws: ``AWSError`` that says which source failed and how, or that there is none.
    package func credentials() async throws(AWSError) -> AWSCredentials {
        if let current = self.current {
            let now = self.reactor.wallNow
            guard let end = current.expiration, end - now < Self.ahead else { return current }
            if end - now > Self.ending {
                // One caller fetches new ones, and the others go on with these.
                if self.isFetching || self.notBefore.map({ $0 > now }) ?? false { return current }
                self.isFetching = true
                return (try? await self.fetch().get()) ?? current
            }
        }
        guard self.isFetching else {
            // Before the call, which may wait for the executor.
            self.isFetching = true
            return try await self.fetch().get()
        }
        let answer: Answer? = await withCheckedContinuation { waiter in
            // Looked at again here: the call may have waited for the executor.
            if self.isFetching { self.waiting.append(waiter) } else { waiter.resume(returning: nil) }
        }
        guard let answer else { return try await self.credentials() }
        return try answer.get()
    }

    /// Forgets credentials that a service called expired.
    package func invalidate(_ credentials: AWSCredentials) {
        if self.current == credentials { self.current = nil }
    }

    /// Fetches for all who wait; ``isFetching`` is set.
    private func fetch() async -> Answer {
        let answer: Answer
        do throws(AWSError) {
            let found = try await self.chain.resolve(at: self.reactor.wallNow)
            self.current = found
            self.notBefore = nil
            answer = .success(found)
        } catch {
            self.notBefore = Timestamp(
                milliseconds: self.reactor.wallNow.milliseconds + Self.pause.wholeMilliseconds
            )
            answer = .failure(error)
        }
        self.isFetching = false
        for waiter in self.waiting { waiter.resume(returning: answer) }
        self.waiting.removeAll()
        return answer
    }
}
