// SPDX-License-Identifier: Apache-2.0

import DequeModule
import Foundation
import PenstockCore

/// The messages of a ``ScriptedSQS``, and what its calls do to them.
struct SQSQueueState {
    typealias Time = ContinuousClock.Instant

    struct Message {
        let id: String
        let body: String
        let group: String?
        let sentAt: Int64
        var receives = 0
        var firstReceivedAt: Int64 = 0
        /// What names the delivery that has it.
        var receipt = ""
        var receivedAt: Time?
        var visibleAt: Time?
        var isDeleted = false

        func isInFlight(at now: Time) -> Bool { !self.isDeleted && self.visibleAt.map { $0 > now } ?? false }
    }

    /// The messages of a group that are not deleted, the first one first.
    private struct Group {
        var waiting = Deque<Int>()
        /// Those of its messages that are or were in flight, in order.
        var delivered: [Int] = []
    }

    let isFIFO: Bool
    var exists = true
    /// How often the server went down.
    var life = 0
    var figures = SQSQueueFigures()
    private(set) var messages: [Message] = []
    private var visible = Deque<Int>()
    private var hidden: Set<Int> = []
    private var groups: [String: Group] = [:]
    private var turn = Deque<String>()
    private var places: [String: Int] = [:]
    private var attempts: [String: [Int]] = [:]
    private var lastReceipt = 0

    init(isFIFO: Bool) {
        self.isFIFO = isFIFO
    }

    private static var wall: Int64 { Int64(Date().timeIntervalSince1970 * 1000) }

    mutating func send(_ body: String, group: String?, at now: Time) {
        let place = self.messages.count
        let id = UUID().uuidString.lowercased()
        self.messages.append(Message(id: id, body: body, group: group, sentAt: Self.wall))
        guard self.isFIFO, let group else { return self.visible.append(place) }
        if self.groups[group] == nil { self.turn.append(group) }
        self.groups[group, default: Group()].waiting.append(place)
    }

    func inFlight(at now: Time) -> Int {
        let places = self.isFIFO ? self.groups.values.flatMap(\.delivered) : Array(self.hidden)
        return places.count { self.messages[$0].isInFlight(at: now) }
    }

    // MARK: - Receiving

    mutating func receive(_ limit: Int, for visibility: Duration, attempt: String?, at now: Time) -> [String]
    {
        self.figures.askedMost = max(self.figures.askedMost, limit)
        var places: [Int] = []
        if let attempt, let before = self.attempts[attempt],
            before.allSatisfy({ self.messages[$0].isInFlight(at: now) })
        {
            // The same messages again, for as long.
            places = before
        } else {
            places = self.isFIFO ? self.takeGroups(limit, at: now) : self.takeVisible(limit, at: now)
            if let attempt, !places.isEmpty { self.attempts[attempt] = places }
        }
        return places.map { self.deliver($0, until: now + visibility, at: now) }
    }

    private mutating func takeVisible(_ limit: Int, at now: Time) -> [Int] {
        for place in self.hidden where !self.messages[place].isInFlight(at: now) {
            self.hidden.remove(place)
            if !self.messages[place].isDeleted { self.visible.append(place) }
        }
        var places: [Int] = []
        while places.count < limit, let place = self.visible.popFirst() {
            guard !self.messages[place].isDeleted else { continue }
            places.append(place)
            self.hidden.insert(place)
        }
        return places
    }

    /// Of groups that have nothing in flight, each one's next messages in order.
    private mutating func takeGroups(_ limit: Int, at now: Time) -> [Int] {
        var places: [Int] = []
        for _ in 0..<self.turn.count {
            guard places.count < limit, let name = self.turn.popFirst(), var group = self.groups[name] else {
                break
            }
            self.turn.append(name)
            let isLocked = group.delivered.contains { self.messages[$0].isInFlight(at: now) }
            guard !isLocked else { continue }
            // What came back is before what was never delivered.
            let back = group.delivered.filter { !self.messages[$0].isDeleted }
            group.waiting.prepend(contentsOf: back)
            group.delivered = []
            while places.count < limit, let place = group.waiting.popFirst() {
                group.delivered.append(place)
                places.append(place)
            }
            self.groups[name] = group
        }
        return places
    }

    private mutating func deliver(_ place: Int, until end: Time, at now: Time) -> String {
        self.lastReceipt += 1
        var message = self.messages[place]
        if !message.receipt.isEmpty { self.places[message.receipt] = nil }
        message.receipt = "receipt-\(self.lastReceipt)"
        message.receives += 1
        if message.receives == 1 { message.firstReceivedAt = Self.wall }
        message.receivedAt = now
        message.visibleAt = end
        self.messages[place] = message
        self.places[message.receipt] = place
        self.figures.deliveries += 1
        let group = message.group.map { #","MessageGroupId":"\#($0)","SequenceNumber":"\#(place)""# } ?? ""
        let body = String(decoding: JSONText.escaped(message.body), as: UTF8.self)
        return #"{"MessageId":"\#(message.id)","ReceiptHandle":"\#(message.receipt)","Body":\#(body),"#
            + #""MD5OfBody":"00000000000000000000000000000000","Attributes":{"SenderId":"scripted","#
            + #""SentTimestamp":"\#(message.sentAt)","ApproximateReceiveCount":"\#(message.receives)","#
            + #""ApproximateFirstReceiveTimestamp":"\#(message.firstReceivedAt)"\#(group)}}"#
    }

    // MARK: - Batches

    mutating func batch(
        _ call: SQSCall,
        failing places: Set<Int>,
        _ code: String,
        _ isSendersFault: Bool,
        at now: Time
    ) -> SQSAnswer {
        let entries = call.entries
        guard (1...10).contains(entries.count),
            Set(entries.compactMap { $0["Id"] as? String }).count == entries.count
        else { return .error("InvalidParameterValue") }
        var done: [String] = []
        var failed: [String] = []
        for (number, entry) in entries.enumerated() {
            let id = entry["Id"] as? String ?? ""
            let problem = places.contains(number) ? code : self.carryOut(call.operation, entry, at: now)
            if let problem {
                let isSenders = places.contains(number) ? isSendersFault : true
                failed.append(#"{"Id":"\#(id)","Code":"\#(problem)","SenderFault":\#(isSenders)}"#)
            } else {
                done.append(#"{"Id":"\#(id)"}"#)
            }
        }
        return SQSAnswer(
            #"{"Successful":[\#(done.joined(separator: ","))],"Failed":[\#(failed.joined(separator: ","))]}"#
        )
    }

    /// Returns the code of what is wrong with an entry.
    private mutating func carryOut(_ operation: String, _ entry: [String: Any], at now: Time) -> String? {
        if operation == "SendMessageBatch" { return self.take(entry, at: now) }
        guard let receipt = entry["ReceiptHandle"] as? String, let place = self.places[receipt] else {
            return "ReceiptHandleIsInvalid"
        }
        if operation == "DeleteMessageBatch" {
            // As on AWS: the handle of the last delivery deletes even when its visibility has ended.
            if !self.messages[place].isDeleted { self.figures.deleted += 1 }
            self.messages[place].isDeleted = true
            self.hidden.remove(place)
            return nil
        }
        guard let seconds = entry["VisibilityTimeout"] as? Int, (0...43_200).contains(seconds) else {
            return "InvalidParameterValue"
        }
        guard self.messages[place].isInFlight(at: now), let since = self.messages[place].receivedAt else {
            return "MessageNotInflight"
        }
        let end = now + .seconds(seconds)
        guard end <= since + .seconds(43_200) else { return "InvalidParameterValue" }
        self.messages[place].visibleAt = end
        self.figures.visibilities.append(seconds)
        return nil
    }

    private mutating func take(_ entry: [String: Any], at now: Time) -> String? {
        guard let body = entry["MessageBody"] as? String else { return "MissingParameter" }
        let group = entry["MessageGroupId"] as? String
        guard !self.isFIFO || group != nil else { return "MissingParameter" }
        self.send(body, group: group, at: now)
        self.figures.sent.append([body, group ?? "", entry["MessageDeduplicationId"] as? String ?? ""])
        return nil
    }
}
