// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSConfiguration
package import PenstockConfiguration
import PenstockCore
import PenstockRuntime

/// What stands under `lambda:` of a function.
package struct LambdaFunctionConfiguration: ConfigurationTable {
    /// How AWS Lambda is asked to run it.
    package enum InvocationType: String, CaseIterable, Sendable {
        /// Wait for the answer: `RequestResponse`.
        case wait = "request_response"
        /// Put into AWS's own queue of the function: `Event`.
        case event
    }

    static let function = Field.string(
        "function",
        "The function's name or ARN, with `:alias` or `:version` behind it if one is meant."
    )
    static let qualifier = Field.string(
        "qualifier",
        "The alias or version, instead of writing it behind the name."
    )
    .optional
    static let invocation = Field.choice(
        "invocation",
        "`request_response` waits for the answer; `event` leaves retries and failures to AWS: accepted is succeeded.",
        default: InvocationType.wait
    )
    static let timeout = Field.duration(
        "timeout",
        "How long to wait for an answer; the function's own time-out in AWS should be shorter.",
        default: .seconds(900),
        in: .seconds(1) ... .seconds(920)
    )
    static let concurrency = Field.integer(
        "concurrency",
        "Invocations side by side at most.",
        default: 10,
        in: 1...1000
    )
    static let logTail = Field.boolean(
        "log_tail",
        "Ask for the last 4 KB of the log with each invocation, and keep its end with a failure.",
        default: false
    )

    /// The fields under `lambda:`.
    package static let table = FieldTable(
        "lambda",
        "A function in AWS Lambda, or in anything with its API.",
        [
            Self.function, Self.qualifier, Self.invocation,
        ] + AWSFields.all + [Self.timeout, Self.concurrency, Self.logTail]
    )

    let target: LambdaTarget
    let invocation: InvocationType
    let timeout: Duration
    let concurrency: Int
    let wantsLogTail: Bool
    let options: AWSOptions

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        let name = reader[Self.function]
        let qualifier = reader[Self.qualifier]
        let target = LambdaTarget(name, qualifier: qualifier)
        reader.require(
            target != nil,
            at: Self.function,
            code: .badValue,
            "\"\(name.prefix(160))\" is neither a function's name nor its ARN",
            suggestion: "write resize, resize:prod, or arn:aws:lambda:eu-west-1:123456789012:function:resize"
        )
        reader.require(
            qualifier == nil || LambdaTarget(name)?.qualifier == nil,
            at: Self.qualifier,
            "is written behind the name already",
            suggestion: "write it in one place"
        )
        self.target = target ?? LambdaTarget(path: name, qualifier: qualifier, region: nil)
        self.invocation = reader[Self.invocation]
        self.timeout = reader[Self.timeout]
        self.concurrency = reader[Self.concurrency]
        self.wantsLogTail = reader[Self.logTail]
        reader.advise(
            self.invocation == .wait || !self.wantsLogTail,
            at: Self.logTail,
            "has no effect: AWS gives no log for `invocation: event`"
        )
        self.options = AWSOptions(&reader, region: self.target.region, connections: self.concurrency)
    }
}

/// A function of AWS Lambda as a request names it.
struct LambdaTarget: Equatable {
    /// What stands in the path: a name, a partial or a whole ARN, without the qualifier.
    var path: String

    /// The alias or version.
    var qualifier: String?

    /// The region of an ARN.
    var region: String?

    init(path: String, qualifier: String?, region: String?) {
        self.path = path
        self.qualifier = qualifier
        self.region = region
    }

    /// Reads `name`, `name:qualifier`, `123456789012:function:name[:qualifier]` or
    /// `arn:aws:lambda:region:123456789012:function:name[:qualifier]`; nil for anything else.
    init?(_ text: String, qualifier: String? = nil) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        // Where the name stands.
        let head: Int
        switch parts.count {
        case 1...2: head = 0
        case 3...4 where parts[1] == "function": head = 2
        case 7...8 where parts[0] == "arn" && parts[2] == "lambda" && parts[5] == "function": head = 6
        default: return nil
        }
        guard parts.allSatisfy({ !$0.isEmpty }), text.utf8.count <= 256 else { return nil }
        guard Self.isName(parts[head]), parts.dropFirst(head + 1).allSatisfy(Self.isName) else { return nil }
        self.path = parts[...head].joined(separator: ":")
        self.qualifier = qualifier ?? (parts.count > head + 1 ? parts[head + 1] : nil)
        self.region = head == 6 ? parts[3] : nil
    }

    private static func isName(_ text: String) -> Bool {
        text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                UInt8(ascii: "$"):
                true
            default: false
            }
        }
    }
}
