// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// When the credentials of one chain are fetched, and who goes on with those that are there.
///
/// Pure. One fetch at a time is under way; whoever is told to fetch says what came of it by ``fetched(_:at:)`` or
/// ``abandoned()``.
struct CredentialRenewal {
    /// How long before their end what happens with temporary credentials.
    struct Times: Sendable {
        /// The process's one task replaces them, when they are in use.
        var ahead = Duration.seconds(300)
        /// A call does, when no task has.
        var late = Duration.seconds(290)
        /// They are not used any more.
        var ending = Duration.seconds(30)
        /// After a fetch ahead of the end the next one comes this much later at the earliest.
        var pause = Duration.seconds(20)
    }

    /// What a call does for its credentials.
    enum Answer: Equatable {
        /// Takes these.
        case use(AWSCredentials)
        /// Fetches new ones, and takes these when that fails.
        case renew(AWSCredentials)
        /// Fetches them.
        case fetch
        /// Waits for what comes of the fetch that is under way.
        case wait
    }

    /// Those that were fetched last; nil when there are none, or when a service called them expired.
    private(set) var current: AWSCredentials?

    /// Whether a fetch is under way.
    private(set) var isFetching = false

    /// What came of the last fetch; nil when it was abandoned.
    private(set) var last: Result<AWSCredentials, AWSError>?

    private let times: Times
    private var notBefore: Timestamp?
    /// Whether a call has asked since the last fetch.
    private var isUsed = false

    /// Nothing was fetched yet.
    init(_ times: Times = Times()) {
        self.times = times
    }

    /// A call needs credentials.
    mutating func ask(at now: Timestamp) -> Answer {
        self.isUsed = true
        if let current = self.current {
            guard let end = current.expiration else { return .use(current) }
            let left = end - now
            if left >= self.times.late { return .use(current) }
            if left > self.times.ending {
                if self.isFetching || self.notBefore.map({ $0 > now }) ?? false { return .use(current) }
                self.isFetching = true
                return .renew(current)
            }
        }
        if self.isFetching { return .wait }
        self.isFetching = true
        return .fetch
    }

    /// The time has come that ``fetched(_:at:)`` told; true when they are to be fetched now, because they are in use.
    mutating func isDue() -> Bool {
        guard self.isUsed, !self.isFetching, self.current != nil else { return false }
        self.isFetching = true
        return true
    }

    /// The fetch has ended; returns after how long to ask ``isDue()``, nil for never.
    mutating func fetched(_ result: Result<AWSCredentials, AWSError>, at now: Timestamp) -> Duration? {
        self.isFetching = false
        self.isUsed = false
        self.last = result
        self.notBefore = Timestamp(milliseconds: now.milliseconds + self.times.pause.wholeMilliseconds)
        if case .success(let found) = result { self.current = found }
        guard let end = self.current?.expiration, end > now else { return nil }
        return max(end - now - self.times.ahead, self.times.pause)
    }

    /// The fetch was given up by who made it, which says nothing to the others: one of them makes it.
    mutating func abandoned() {
        self.isFetching = false
        self.last = nil
    }

    /// Forgets what is there, because it has changed or is not good any more.
    mutating func forget() {
        self.current = nil
    }
}
