// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSConfiguration
import PenstockConfiguration

/// A queue as the configuration names it: by URL, by ARN, or by name alone.
struct SQSQueueName: Sendable, Equatable {
    /// Such as `orders`, or `orders.fifo`.
    var name: String

    /// Twelve digits; nil with a name alone.
    var account: String?

    /// Nil when neither an ARN nor AWS's own host says it.
    var region: String?

    /// The URL, when it was given by one.
    var url: String?

    /// Where the URL leads, without the queue's own path.
    var endpoint: String?

    /// Whether it keeps order in message groups: AWS tells by the name.
    var isFIFO: Bool { self.name.hasSuffix(Self.fifoSuffix) }

    private static let fifoSuffix = ".fifo"

    /// What the rule is, for findings.
    static let form = "a queue's URL, ARN or name"

    /// Reads `orders`, `arn:aws:sqs:region:123456789012:orders` or `https://host/123456789012/orders`; nil for anything
    /// else.
    init?(_ text: String) {
        if text.hasPrefix("arn:") {
            self.init(arn: text)
        } else if text.contains("://") {
            self.init(url: text)
        } else {
            guard Self.isName(text) else { return nil }
            self.init(bare: text)
        }
    }

    /// A name alone, unchecked.
    init(bare name: String) {
        self.name = name
    }

    private init?(arn: String) {
        guard let queue = AWSResourceName(arn, service: "sqs"), !queue.region.isEmpty,
            Self.isAccount(queue.account), Self.isName(queue.resource)
        else { return nil }
        self.name = queue.resource
        self.account = queue.account
        self.region = queue.region
    }

    private init?(url text: String) {
        guard let url = ServiceURL(text), url.scheme == "https" || url.scheme == "http" else { return nil }
        let rest = text.dropFirst(url.scheme.utf8.count + 3)
        let authority = rest.prefix { $0 != "/" }
        let path = rest.dropFirst(authority.count)
        let segments = path.split(separator: "/").map(String.init)
        guard let name = segments.last, Self.isName(name) else { return nil }
        self.name = name
        self.account = segments.dropLast().last.flatMap { Self.isAccount($0) ? $0 : nil }
        self.url = text
        self.endpoint = "\(url.scheme)://\(authority)"
        self.region = Self.region(of: url.host)
    }

    /// `sqs.eu-west-1.amazonaws.com`, `eu-west-1.queue.amazonaws.com`, `vpce-1.sqs.eu-west-1.vpce.amazonaws.com`.
    private static func region(of host: String) -> String? {
        let labels = host.split(separator: ".").map(String.init)
        guard labels.contains("amazonaws") else { return nil }
        if let index = labels.firstIndex(of: "sqs"), index + 1 < labels.count { return labels[index + 1] }
        if labels.count > 1, labels[1] == "queue" { return labels[0] }
        return nil
    }

    private static func isAccount(_ text: String) -> Bool {
        text.utf8.count == 12 && text.utf8.allSatisfy { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
    }

    /// At most 80 letters, digits, hyphens and underscores, and `.fifo` (AWS: "Amazon SQS queue and message identifiers").
    private static func isName(_ text: String) -> Bool {
        let stem = text.hasSuffix(Self.fifoSuffix) ? text.dropLast(Self.fifoSuffix.count) : text[...]
        guard !stem.isEmpty, text.utf8.count <= 80 else { return false }
        return stem.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
    }
}

/// The ARN of a queue: what its events name it by, and our partition's name.
struct SQSQueueARN: Sendable, Equatable, CustomStringConvertible {
    /// Such as `eu-west-1`.
    var region: String

    /// Twelve digits.
    var account: String

    /// The queue's name.
    var name: String

    /// What emulators call the account.
    static let unknownAccount = "000000000000"

    /// The ARN of a queue in a region; its account as far as known.
    init(region: String, account: String?, name: String) {
        self.region = region
        self.account = account ?? Self.unknownAccount
        self.name = name
    }

    var description: String {
        "arn:\(AWSEndpoint.partition(of: self.region)):sqs:\(self.region):\(self.account):\(self.name)"
    }

    /// The region in an ARN, for a partition by its name; empty when it is none.
    static func region(in arn: String) -> String {
        let parts = arn.split(separator: ":", omittingEmptySubsequences: false)
        return parts.count == 6 ? String(parts[3]) : ""
    }
}
