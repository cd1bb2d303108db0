// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import Testing

@testable import AWSClient

/// When credentials are fetched, and who goes on with which.
@Suite struct CredentialRenewalTests {
    private static let start = Timestamp(milliseconds: 1_800_000_000_000)

    /// A point in time, in seconds from the start.
    private static func at(_ seconds: Int64) -> Timestamp {
        Timestamp(milliseconds: Self.start.milliseconds + seconds * 1000)
    }

    private static func keys(_ id: String, until end: Int64?) -> AWSCredentials {
        AWSCredentials(accessKeyID: id, secretAccessKey: "s", expiration: end.map { Self.at($0) })
    }

    private static let error = AWSError(.noCredentials, code: "Client.Credentials", message: "no")

    /// What a call that changes the renewal returns: the macro would not let it change.
    private static func expect<Value: Equatable>(
        _ expected: Value,
        _ value: Value,
        _ why: Comment? = nil,
        at place: SourceLocation = #_sourceLocation
    ) {
        #expect(value == expected, why, sourceLocation: place)
    }

    /// A renewal that has fetched credentials at the start.
    private static func fetched(_ keys: AWSCredentials) -> (CredentialRenewal, reminder: Duration?) {
        var renewal = CredentialRenewal()
        Self.expect(.fetch, renewal.ask(at: Self.start))
        let reminder = renewal.fetched(.success(keys), at: Self.start)
        return (renewal, reminder)
    }

    @Test("One call fetches, the others wait for what comes of it, or fetch when it was given up")
    func first() {
        var renewal = CredentialRenewal()
        Self.expect(.fetch, renewal.ask(at: Self.start))
        Self.expect(.wait, renewal.ask(at: Self.start))
        renewal.abandoned()
        #expect(renewal.last == nil)
        Self.expect(.fetch, renewal.ask(at: Self.start))
        Self.expect(nil, renewal.fetched(.failure(Self.error), at: Self.start))
        #expect(renewal.last == .failure(Self.error))
        Self.expect(.fetch, renewal.ask(at: Self.start))
    }

    @Test("Keys without an end are kept until a service calls them expired, and nobody is reminded of them")
    func lasting() {
        let keys = Self.keys("A", until: nil)
        var (renewal, reminder) = Self.fetched(keys)
        #expect(reminder == nil)
        Self.expect(.use(keys), renewal.ask(at: Self.at(1_000_000)))
        renewal.forget()
        Self.expect(.fetch, renewal.ask(at: Self.at(1_000_000)))
    }

    @Test(
        "Five minutes before their end the task fetches new ones, if they are used; calls go on with the old ones"
    )
    func ahead() {
        let keys = Self.keys("A", until: 3600)
        var (renewal, reminder) = Self.fetched(keys)
        #expect(reminder == .seconds(3300))
        Self.expect(.use(keys), renewal.ask(at: Self.at(3299)))
        Self.expect(true, renewal.isDue())
        Self.expect(false, renewal.isDue(), "one fetch at a time")
        Self.expect(.use(keys), renewal.ask(at: Self.at(3301)))
        Self.expect(.use(keys), renewal.ask(at: Self.at(3569)))
        Self.expect(.wait, renewal.ask(at: Self.at(3570)))
        let next = Self.keys("B", until: 7200)
        Self.expect(.seconds(3329), renewal.fetched(.success(next), at: Self.at(3571)))
        Self.expect(.use(next), renewal.ask(at: Self.at(3571)))
    }

    @Test("Those that nobody has used since are left to the call that needs them next")
    func unused() {
        let keys = Self.keys("A", until: 3600)
        var (renewal, _) = Self.fetched(keys)
        Self.expect(false, renewal.isDue())
        Self.expect(.renew(keys), renewal.ask(at: Self.at(3311)))
        Self.expect(.use(keys), renewal.ask(at: Self.at(3311)))
    }

    @Test(
        "A fetch ahead of the end that fails is tried again after a pause, and the old ones are used until then"
    )
    func failed() {
        let keys = Self.keys("A", until: 3600)
        var (renewal, _) = Self.fetched(keys)
        Self.expect(.renew(keys), renewal.ask(at: Self.at(3311)))
        Self.expect(.seconds(20), renewal.fetched(.failure(Self.error), at: Self.at(3320)))
        Self.expect(.use(keys), renewal.ask(at: Self.at(3339)))
        Self.expect(true, renewal.isDue())
        Self.expect(.seconds(20), renewal.fetched(.failure(Self.error), at: Self.at(3345)))
        Self.expect(.renew(keys), renewal.ask(at: Self.at(3365)))
        Self.expect(nil, renewal.fetched(.failure(Self.error), at: Self.at(3601)))
        Self.expect(.fetch, renewal.ask(at: Self.at(3601)))
    }

    @Test("A source that gives the old ones again, near their end, is not asked by each call")
    func sameAgain() {
        let keys = Self.keys("A", until: 200)
        var (renewal, reminder) = Self.fetched(keys)
        #expect(reminder == .seconds(20))
        Self.expect(.use(keys), renewal.ask(at: Self.at(19)))
        Self.expect(.renew(keys), renewal.ask(at: Self.at(20)))
    }
}
