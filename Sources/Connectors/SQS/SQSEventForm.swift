// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// What a function gets of messages.
enum SQSEventForm: String, CaseIterable, Sendable {
    /// The Lambda event of SQS.
    case sqs
    /// A list of the bodies, as Pipes give it: JSON as it is, everything else as a text.
    case raw
    /// The Lambda event of SNS, for a queue that is subscribed to topics.
    case sns
    /// The Lambda event of S3, for a queue that a bucket notifies, by itself or through a topic.
    case s3

    /// Bytes by which a record can be larger than as one of SQS, which has the body and more in it.
    ///
    /// Of SNS: the names around the envelope, and the ARN of the subscription, which stands in the envelope once.
    var surplus: Int { self == .sns ? 640 : 0 }

    /// What a body becomes: nothing for what S3 sends to try a notification out, and nil when it is of another form; then
    /// the message is shown as one of SQS, for the function to refuse it.
    func unwrap(_ body: UnsafeRawBufferPointer?) -> [UInt8]? {
        guard let body = unsafe body else { return nil }
        let isJSON = unsafe JSONScanner.isValid(body)
        switch self {
        case .sqs: return nil
        case .raw: return isJSON ? unsafe [UInt8](body) : unsafe JSONText.escaped(body)
        case .sns: return isJSON ? try? SNSEnvelope(unsafe [UInt8](body))?.record : nil
        case .s3: return isJSON ? try? S3Notification.records(unsafe [UInt8](body)) : nil
        }
    }
}

/// What SNS puts around a message for a queue (AWS: "Raw message delivery" is off).
private struct SNSEnvelope {
    private let cursor: JSONCursor
    /// As they are in the body, with their quotes: written anew, a name might be longer than it was announced.
    private var members: [(name: Range<Int>, value: Range<Int>)] = []
    private var (hasSubject, hasAttributes) = (false, false)
    private var unsubscribeURL = ""

    /// The text of its message.
    private(set) var message: [UInt8] = []

    /// Reads a body, which is valid JSON; nil when it is no notification.
    init?(_ body: [UInt8]) throws(JSONCursor.Malformed) {
        var cursor = JSONCursor(body)
        self.cursor = cursor
        guard cursor.isNext(UInt8(ascii: "{")) else { return nil }
        var isNotification = false
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            let quoted = name.range.lowerBound - 1..<name.range.upperBound + 1
            let name = try cursor.value(name)
            if name == "Subject" { self.hasSubject = true }
            if name == "MessageAttributes" { self.hasAttributes = true }
            guard cursor.isNext(UInt8(ascii: "\"")) else {
                self.members.append((quoted, try cursor.value()))
                return
            }
            let text = try cursor.string()
            self.members.append((quoted, text.range.lowerBound - 1..<text.range.upperBound + 1))
            switch name {
            case "Type": isNotification = cursor.isEqual(text, "Notification")
            case "Message": try cursor.append(text, to: &self.message)
            case "UnsubscribeURL": self.unsubscribeURL = try cursor.value(text)
            default: break
            }
        }
        guard isNotification else { return nil }
    }

    /// A record of Lambda's event of SNS, whose names differ a little.
    var record: [UInt8] {
        var record = Array(#"{"EventSource":"aws:sns","EventVersion":"1.0","#.utf8)
        record += JSONText.member("EventSubscriptionArn", self.subscription) + Array(#","Sns":{"#.utf8)
        for (name, value) in self.members {
            switch self.cursor.bytes[name] {
            case let name where name.elementsEqual(#""SigningCertURL""#.utf8):
                record += #""SigningCertUrl""#.utf8
            case let name where name.elementsEqual(#""UnsubscribeURL""#.utf8):
                record += #""UnsubscribeUrl""#.utf8
            case let name: record += name
            }
            record.append(UInt8(ascii: ":"))
            record += self.cursor.bytes[value]
            record.append(UInt8(ascii: ","))
        }
        if !self.hasSubject { record += Array(#""Subject":null,"#.utf8) }
        if !self.hasAttributes { record += Array(#""MessageAttributes":{},"#.utf8) }
        record.removeLast()
        return record + Array("}}".utf8)
    }

    /// SNS names it in the URL alone; empty for what cannot be an ARN, whose length is announced (``SQSEventForm/surplus``).
    private var subscription: String {
        guard let start = self.unsubscribeURL.firstRange(of: "SubscriptionArn=")?.upperBound else {
            return ""
        }
        let text = self.unsubscribeURL[start...].prefix { $0 != "&" }
        let isPlain = text.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C }
        return isPlain && text.utf8.count <= 256 ? String(text) : ""
    }
}

/// What S3 tells a queue (AWS: "Event message structure").
private enum S3Notification {
    /// The records in a body, with commas between them; empty for a test event, nil when it is no notification.
    static func records(_ body: [UInt8]) throws(JSONCursor.Malformed) -> [UInt8]? {
        var cursor = JSONCursor(body)
        guard cursor.isNext(UInt8(ascii: "{")) else { return nil }
        var records: [UInt8]?
        var isTest = false
        try cursor.members { (cursor, name) throws(JSONCursor.Malformed) in
            if cursor.isEqual(name, "Event"), cursor.isNext(UInt8(ascii: "\"")) {
                let event = try cursor.string()
                isTest = cursor.isEqual(event, "s3:TestEvent")
            } else if cursor.isEqual(name, "Records"), cursor.isNext(UInt8(ascii: "[")) {
                records = try Self.elements(&cursor)
            } else {
                try cursor.skip()
            }
        }
        if let records { return records }
        if isTest { return [] }
        // Through a topic, the notification is the message's text.
        guard let message = try SNSEnvelope(body)?.message,
            unsafe message.withUnsafeBytes({ unsafe JSONScanner.isValid($0) }),
            try SNSEnvelope(message) == nil
        else { return nil }
        return try Self.records(message)
    }

    /// Nil when one of them is of another source.
    private static func elements(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) -> [UInt8]? {
        var elements: [UInt8] = []
        var isWhole = true
        try cursor.elements { (cursor) throws(JSONCursor.Malformed) in
            var element = cursor
            let place = try cursor.value()
            var isOfS3 = false
            if element.isNext(UInt8(ascii: "{")) {
                try element.members { (element, name) throws(JSONCursor.Malformed) in
                    if element.isEqual(name, "s3") { isOfS3 = true }
                    try element.skip()
                }
            }
            if !isOfS3 { isWhole = false }
            if !elements.isEmpty { elements.append(UInt8(ascii: ",")) }
            elements += cursor.bytes[place]
        }
        return isWhole && !elements.isEmpty ? elements : nil
    }
}
