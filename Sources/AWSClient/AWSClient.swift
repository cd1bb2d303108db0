// SPDX-License-Identifier: Apache-2.0

package import CurlClient
package import PenstockCore
package import Reactor

/// Where a client calls, and as whom.
package struct AWSOptions: Sendable {
    /// Such as `eu-west-1`.
    package var region: String

    /// Instead of the region's own: an emulator, a private endpoint.
    package var endpoint: String?

    /// Credentials of the configuration; nil to look for them.
    package var credentials: AWSCredentials?

    /// The only profile of the shared files to be used; nil for the whole chain.
    package var profile: String?

    /// Variables and shared files.
    package var environment: AWSEnvironment

    /// Calls in flight at most.
    package var connections: Int

    /// Clients of one pool share credentials that are looked for; copies of these options have the same.
    package var pool = CredentialPool()

    /// Options without an endpoint and credentials of their own.
    package init(region: String, environment: AWSEnvironment, connections: Int) {
        self.region = region
        self.environment = environment
        self.connections = connections
    }

    /// The same in a pool that others are in, too.
    package func sharing(_ pool: CredentialPool) -> AWSOptions {
        var options = self
        options.pool = pool
        return options
    }
}

/// A client of one AWS service, or of anything with its API.
///
/// Signs each call with credentials, which clients of one pool share and which are renewed ahead of their end, and corrects
/// the clock by the service's when the two differ. It repeats calls that say that they may be repeated, as the AWS SDKs do
/// (``CallRetries``), within a quota of all calls (``RetryQuota``), and no others: who calls knows what a repetition means.
/// Pinned to the reactor.
package actor AWSClient {
    /// Whose the calls are.
    enum Identity: Sendable {
        /// Always the same credentials; nil for none.
        case fixed(AWSCredentials?)
        /// Those that a chain has, for a member of those that share them.
        case found(CredentialRefresher, member: UInt64)
    }

    private nonisolated let reactor: Reactor
    private let client: CurlClient
    private let sender: RequestSender
    private let identity: Identity
    /// The service's clock minus ours, once they were seen to differ.
    private(set) var skew: Duration
    private var quota = RetryQuota()
    private var random = SplitMix64(seed: .random(in: .min ... .max))
    private var isClosed = false
    /// Calls that wait for their next attempt, with their timers.
    private var pauses: [UInt64: CheckedContinuation<Void, Never>] = [:]
    private var lastPause: UInt64 = 0

    /// Clocks that differ less sign well enough; AWS allows five minutes.
    private static let skewMin = Duration.seconds(240)

    /// A client; it connects and looks for credentials when it is first called.
    ///
    /// - Throws: ``AWSError`` for an endpoint that is no URL, or when libcurl cannot be set up.
    package init(service: String, options: AWSOptions, reactor: Reactor) throws(AWSError) {
        let client: CurlClient
        do throws(CurlError) {
            client = try CurlClient(reactor: reactor, connections: options.connections)
        } catch {
            throw AWSError(.unreachable, code: "Client.Failed", message: error.detail)
        }
        let sender = try RequestSender(
            client: client,
            endpoint: options.endpoint ?? AWSEndpoint.url(service: service, region: options.region),
            signer: RequestSigner(region: options.region, service: service)
        )
        var identity = Identity.fixed(options.credentials)
        if options.credentials == nil {
            let chain = CredentialChain(
                profile: options.profile,
                environment: options.environment,
                region: options.region
            )
            let refresher = options.pool.refresher(of: chain, reactor: reactor)
            identity = .found(refresher, member: refresher.enter())
        }
        self.init(sender, on: client, as: identity, skew: .zero, reactor: reactor)
    }

    /// A client that sends by this.
    ///
    /// It is closed by ``close()``, or by who owns it.
    init(
        _ sender: RequestSender,
        on client: CurlClient,
        as identity: Identity,
        skew: Duration,
        reactor: Reactor
    ) {
        self.sender = sender
        self.client = client
        self.identity = identity
        self.skew = skew
        self.reactor = reactor
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    /// Sends a call and returns the answer of a success (2xx).
    ///
    /// A signature that was refused, because the clocks differ or the credentials have ended, is made anew once. When there
    /// are no credentials, the call was not made: that is no error of the kind `noAnswer`. A call with
    /// ``AWSCall/isRepeatable`` is made up to three times.
    package func call(_ call: AWSCall) async throws(AWSError) -> CurlResponse {
        guard call.isRepeatable else { return try await self.attempt(call) }
        var retries = CallRetries()
        while true {
            do throws(AWSError) {
                let response = try await self.attempt(call)
                self.quota.succeeded(after: retries.cost)
                return response
            } catch {
                guard !self.isClosed, !Task.isCancelled,
                    let wait = retries.wait(after: error, &self.quota, using: &self.random)
                else { throw error }
                await self.pause(for: wait)
                guard !self.isClosed, !Task.isCancelled else { throw error }
            }
        }
    }

    /// Waits, or until the client is closed or the task cancelled.
    private func pause(for duration: Duration) async {
        self.lastPause += 1
        let number = self.lastPause
        let timer = self.reactor.schedule(at: self.reactor.now + duration) { [weak self] in
            self?.assumeIsolated { $0.endPause(number) }
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                // Looked at again here: the call may have waited for the executor.
                if self.isClosed || Task.isCancelled {
                    waiter.resume()
                } else {
                    self.pauses[number] = waiter
                }
            }
        } onCancel: {
            self.reactor.submit { [weak self] in self?.assumeIsolated { $0.endPause(number) } }
        }
        self.reactor.cancel(timer)
    }

    private func endPause(_ number: UInt64) {
        self.pauses.removeValue(forKey: number)?.resume()
    }

    private func attempt(_ call: AWSCall) async throws(AWSError) -> CurlResponse {
        var mayRepeat = true
        while true {
            let credentials: AWSCredentials? =
                switch self.identity {
                case .fixed(let fixed): fixed
                case .found(let refresher, let member): try await refresher.credentials(for: member)
                }
            let now = self.reactor.wallNow
            let signed = Timestamp(milliseconds: now.milliseconds + self.skew.wholeMilliseconds)
            let response = try await self.sender.send(call, as: credentials, at: signed)
            if (200..<300).contains(response.status) { return response }
            let secrets = call.secrets + (credentials?.secrets ?? [])
            let error = AWSAnswer.error(in: response, hiding: secrets)
            guard mayRepeat, await self.canBeMended(error, response, credentials) else { throw error }
            mayRepeat = false
        }
    }

    private func canBeMended(
        _ error: AWSError,
        _ response: CurlResponse,
        _ credentials: AWSCredentials?
    ) async -> Bool {
        if case .found(let refresher, _) = self.identity, let credentials {
            if error.isExpired {
                await refresher.invalidate(credentials)
                return true
            }
            if error.isOfUnknownKey { return await refresher.hasOthers(than: credentials) }
        }
        guard error.mayBeClock, let theirs = response.header("date").flatMap({ HTTPDate.timestamp($0) })
        else {
            return false
        }
        let skew = theirs - self.reactor.wallNow
        let difference = skew - self.skew
        guard difference > Self.skewMin || difference < .zero - Self.skewMin else { return false }
        self.skew = skew
        return true
    }

    /// Ends calls in flight and all connections.
    ///
    /// Idempotent.
    package func close() async {
        self.isClosed = true
        for waiter in self.pauses.values { waiter.resume() }
        self.pauses = [:]
        await self.client.close()
        if case .found(let refresher, let member) = self.identity { await refresher.leave(member) }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
package enum HTTPDate {
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// The point in time; nil for anything else.
    package static func timestamp(_ text: String) -> Timestamp? {
        let parts = text.split(separator: " ").map(String.init)
        guard parts.count == 6, parts[5] == "GMT", let month = self.months.firstIndex(of: parts[2]) else {
            return nil
        }
        let number = month < 9 ? "0\(month + 1)" : "\(month + 1)"
        return Timestamp(configurationText: "\(parts[3])-\(number)-\(parts[1])T\(parts[4])Z")
    }
}
