// SPDX-License-Identifier: Apache-2.0

import DequeModule
import PenstockCore
import PenstockRuntime
import PenstockStore
import PostgresClient
import Reactor
import Synchronization

/// Fills a trigger's journal with what is notified.
///
/// What has arrived waits in a buffer with a bound; what comes beyond is dropped and told as a gap, because a session that
/// does not read fills the server's queue for all. The first record after a time in which nothing was heard says so.
final class NotifyFeed: JournalFeed {
    private struct State {
        var buffer = Deque<JournalEntry>()
        var bytes = 0
        var dropped = 0
        /// What is missing, in sentences that are not told yet.
        var gaps: [String] = []
        /// Whether something may be missing before the next record.
        var isAfterGap = false
        var facts: ListenSession.Facts?
        var sequence: UInt64 = 0
        var status = JournalFeedStatus.connecting
        /// Whether notifications were heard before, by this run or an earlier one.
        var hasHeard = false
        /// Whether it is to be kept that they are heard now.
        var isMarkDue = false
        var wake: (@Sendable () -> Void)?
    }

    private let configuration: NotifyConfiguration
    private let address: PostgresAddress
    private let reactor: Reactor
    private let state = Mutex(State())
    private let end = Mailbox<Void>()

    /// Entries of one intake.
    private static let intakeMax = 1024
    /// Bytes that wait at most.
    private static let bytesMax = 64 << 20

    init(_ configuration: NotifyConfiguration, _ address: PostgresAddress, on reactor: Reactor) {
        self.configuration = configuration
        self.address = address
        self.reactor = reactor
    }

    // MARK: - The source's side

    func begin(_ past: JournalPast, now: Timestamp) {
        self.state.withLock { $0.hasHeard = past.mark != nil }
    }

    func run(wake: @escaping @Sendable () -> Void) async {
        self.state.withLock { $0.wake = wake }
        let listener = ListenSession.Listener(
            channels: self.configuration.channels,
            ping: self.configuration.ping,
            notified: { self.notified($0) },
            changed: { self.changed($0) }
        )
        let membership = ListenSession.join(
            self.address,
            on: self.reactor,
            listener
        )
        // Nothing is put in: it waits for the stop.
        _ = await self.end.takeAll()
        membership.leave()
        self.state.withLock { $0.wake = nil }
    }

    func stop() { self.end.close() }

    var status: JournalFeedStatus { self.state.withLock { $0.status } }

    func next() -> Timestamp? { nil }

    func due(now: Timestamp, waiting: Int) -> JournalIntake? {
        self.state.withLock { state in
            guard state.isMarkDue || !state.gaps.isEmpty || state.dropped > 0 || !state.buffer.isEmpty else {
                return nil
            }
            let entries = Array(state.buffer.prefix(Self.intakeMax))
            state.buffer.removeFirst(entries.count)
            state.bytes -= entries.reduce(0) { $0 + $1.byteCount }
            var gaps = state.gaps
            if state.dropped > 0 {
                gaps.append(
                    "\(state.dropped) notifications were dropped, because more waited than \"buffer\" allows"
                )
            }
            state.gaps = []
            state.dropped = 0
            state.isMarkDue = false
            return JournalIntake(
                entries: entries,
                mark: state.facts?.epoch ?? "",
                gap: gaps.isEmpty ? nil : gaps.joined(separator: "; ")
            )
        }
    }

    // MARK: - The session's side

    private func changed(_ change: ListenSession.Change) {
        let wake = self.state.withLock { state in
            switch change {
            case .listening(let facts):
                if state.hasHeard {
                    state.gaps.append(
                        "what was notified while Penstock was not connected is lost; see catch_up"
                    )
                    state.isAfterGap = true
                }
                state.hasHeard = true
                state.isMarkDue = true
                state.facts = facts
                state.sequence = 0
                state.status = .connected
            case .lost(let text): state.status = .disconnected(text)
            }
            return state.wake
        }
        wake?()
    }

    private func notified(_ notifications: [PostgresNotification]) {
        let now = self.reactor.wallNow
        let wake = self.state.withLock { state in
            for notification in notifications {
                state.sequence += 1
                guard state.buffer.count < self.configuration.buffer, state.bytes < Self.bytesMax else {
                    state.dropped += 1
                    state.isAfterGap = true
                    continue
                }
                let entry = Self.entry(notification, state, now)
                state.isAfterGap = false
                state.bytes += entry.byteCount
                state.buffer.append(entry)
            }
            return state.wake
        }
        wake?()
    }

    private static func entry(
        _ notification: PostgresNotification,
        _ state: State,
        _ now: Timestamp
    ) -> JournalEntry {
        let (database, epoch) = (state.facts?.database ?? "", state.facts?.epoch ?? "")
        let digits = String(state.sequence)
        let number = String(repeating: "0", count: max(0, 12 - digits.count)) + digits
        let id = "\(epoch):\(number)"
        let arn = PostgresEventFormat.arn(database: database, "channel", notification.channel)
        let head =
            PostgresEventFormat.head(id: id, name: "NOTIFY", kind: .notify, arn: arn)
            + JSONText.member("database", database) + Array(",".utf8)
            + JSONText.member("channel", notification.channel) + Array(#","payload":"#.utf8)
        let tail =
            #","backendPid":\#(notification.backend),"receivedAt":\#(PostgresEventFormat.seconds(now)),"#
            + #""sessionEpoch":"\#(epoch)","sequence":\#(state.sequence),"possibleGap":\#(state.isAfterGap)}}"#
        return JournalEntry(
            key: id,
            timestamp: now,
            body: notification.payload,
            attributes: .postgres(id: id, channel: notification.channel, head: head, tail: Array(tail.utf8))
        )
    }
}

extension [JournalEntry.Attribute] {
    /// What a record of Postgres has besides its payload.
    static func postgres(id: String, channel: String, head: [UInt8], tail: [UInt8]) -> Self {
        [
            .init(name: PostgresAttribute.id.description, value: Array<UInt8>(id.utf8)),
            .init(name: PostgresAttribute.channel.description, value: Array<UInt8>(channel.utf8)),
            .init(name: PostgresAttribute.head.description, value: head),
            .init(name: PostgresAttribute.tail.description, value: tail),
        ]
    }
}

extension JournalEntry {
    /// Bytes that it takes in memory, about.
    fileprivate var byteCount: Int {
        self.attributes.reduce(self.body.count + 64) { $0 + $1.name.utf8.count + ($1.value?.count ?? 0) }
    }
}
