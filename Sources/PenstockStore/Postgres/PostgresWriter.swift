// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient
import Reactor

/// Carries out the writes of many callers on one session: all that wait go into one transaction, which is one message to the
/// server and one answer.
///
/// The server has the whole message before it begins, and commits without hearing more of us: a Penstock that is stopped in
/// the middle holds no locks.
final class PostgresWriter: @unchecked Sendable {
    // @unchecked: touched on the reactor's thread only.

    typealias Outcome = Result<Int, StoreError>
    typealias Waiter = CheckedContinuation<Outcome, Never>
    private typealias Group = WriteQueue<Waiter>.Group

    private let location: PostgresLocation
    private let reactor: Reactor
    private let channel: PostgresChannel
    private var queue = WriteQueue<Waiter>()
    private var isBusy = false
    private var isClosing = false
    private var closers: [CheckedContinuation<Void, Never>] = []

    /// How many transactions were committed.
    private(set) var commits = 0

    /// Postgres takes messages up to 1 GiB.
    private static let bytesMax = 900 << 20

    /// The server may take so long for a transaction.
    private static let timeout = Duration.seconds(20)

    init(_ location: PostgresLocation, on reactor: Reactor, _ channel: PostgresChannel) {
        self.location = location
        self.reactor = reactor
        self.channel = channel
    }

    /// Adds a write; whoever waits is told when it is durable, or why it may not be.
    func add(_ write: PostgresWrite, _ waiter: Waiter) {
        guard !self.isClosing else { return waiter.resume(returning: .failure(.closed(self.location))) }
        guard !write.statements.isEmpty else { return waiter.resume(returning: .success(0)) }
        guard write.bytes <= Self.bytesMax else {
            let text = "a write of \(write.bytes >> 20) MiB is more than one message to the server may be"
            return waiter.resume(returning: .failure(StoreError(.inputOutput, "\(self.location): \(text)")))
        }
        self.queue.add(write, waiter)
        self.advance()
    }

    /// Refuses new writes, and ends the session behind those that wait.
    func close(_ closer: CheckedContinuation<Void, Never>) {
        self.isClosing = true
        self.closers.append(closer)
        self.advance()
    }

    private func advance() {
        guard !self.isBusy else { return }
        guard let group = self.queue.next() else { return self.finish() }
        self.isBusy = true
        self.channel.link { result in
            switch result {
            case .failure(let error): self.end(self.queue.refused(group, .all, error))
            case .success(let link): self.send(group, link)
            }
        }
    }

    private func finish() {
        guard self.isClosing else { return }
        self.channel.close()
        for closer in self.closers { closer.resume() }
        self.closers = []
    }

    private func send(_ group: Group, _ link: PostgresLink) {
        let fences = group.fences
        var statements: [String] = []
        if !fences.isEmpty {
            let epochs = fences.map { "\($0.epoch)" }.joined(separator: ", ")
            let names = PostgresText.array(fences.map(\.lease))
            statements.append("SELECT hold(\(names), ARRAY[\(epochs)]::bigint[])")
        }
        for entry in group.entries { statements += entry.write.statements.map(\.sql) }
        link.sendAll(script: statements.joined(separator: ";\n"), within: Self.timeout) { result in
            switch result {
            case .success(let results): self.committed(group, results.dropFirst(fences.isEmpty ? 0 : 1))
            case .failure(let error): self.refused(group, error, link)
            }
        }
    }

    private func committed(_ group: Group, _ results: ArraySlice<PostgresResult>) {
        self.commits += 1
        var rest = results
        for entry in group.entries {
            var rows = 0
            for statement in entry.write.statements {
                let result = rest.popFirst()
                if statement.counts { rows += result?.affected ?? 0 }
            }
            entry.waiter.resume(returning: .success(rows))
        }
        self.end([])
    }

    private func refused(_ group: Group, _ error: PostgresError, _ link: PostgresLink) {
        let verdict = error.verdict
        if verdict == .lost { self.channel.drop(link) }
        let failure = StoreError(error, self.location)
        guard verdict == .fenced else { return self.end(self.queue.refused(group, verdict, failure)) }
        let fences = group.fences
        let query = PostgresQuery(
            "SELECT name, epoch FROM leases WHERE name = ANY($1::text[])",
            [.array(fences.map { PostgresText.stored($0.lease) })],
            format: .binary
        )
        link.send(query, within: Self.timeout) { result in
            switch result {
            case .failure(let error): self.refused(group, error, link)
            case .success(let rows):
                do throws(StoreError) {
                    let held = try Set(
                        (0..<rows.rows).map { (row) throws(StoreError) in
                            var columns = PostgresColumns(rows, row, "a lease")
                            let name = try columns.text()
                            return Fence(lease: name, epoch: try columns.unsigned())
                        }
                    )
                    self.end(self.queue.fenced(group, held: held, failure))
                } catch {
                    self.end(self.queue.refused(group, .all, error))
                }
            }
        }
    }

    private func end(_ answers: [WriteQueue<Waiter>.Answer]) {
        self.isBusy = false
        for answer in answers { answer.waiter.resume(returning: .failure(answer.error)) }
        // Callers that were just told come with their next writes first, and share the next transaction.
        self.reactor.submit { self.advance() }
    }
}
