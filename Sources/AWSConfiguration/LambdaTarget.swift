// SPDX-License-Identifier: Apache-2.0

package import AWSClient
package import CurlClient
package import PenstockConfiguration

/// A function of AWS Lambda as a request names it.
package struct LambdaTarget: Equatable, Sendable, CustomStringConvertible {
    /// What stands in the path: a name, a partial or a whole ARN, without the qualifier.
    package var path: String

    /// The alias or version.
    package var qualifier: String?

    /// The region of an ARN.
    package var region: String?

    /// `function:` of a table.
    package static let functionField = Field.string(
        "function",
        "The function's name or ARN, with `:alias` or `:version` behind it if one is meant."
    )

    /// `qualifier:` of a table.
    package static let qualifierField = Field.string(
        "qualifier",
        "The alias or version, instead of writing it behind the name."
    )
    .optional

    /// Bytes of an asynchronous request: 1 MiB (AWS Lambda quotas).
    package static let eventBytes = 1_048_576

    /// A target of these parts, unchecked.
    package init(path: String, qualifier: String?, region: String?) {
        self.path = path
        self.qualifier = qualifier
        self.region = region
    }

    /// Reads the two fields, which must be in the reader's table.
    package init(_ reader: inout ConfigurationReader) {
        let name = reader[Self.functionField]
        let qualifier = reader[Self.qualifierField]
        let target = Self(name, qualifier: qualifier)
        reader.require(
            target != nil,
            at: Self.functionField,
            code: .badValue,
            "\"\(name.prefix(160))\" is neither a function's name nor its ARN",
            suggestion: "write resize, resize:prod, or arn:aws:lambda:eu-west-1:123456789012:function:resize"
        )
        reader.require(
            qualifier == nil || Self(name)?.qualifier == nil,
            at: Self.qualifierField,
            "is written behind the name already",
            suggestion: "write it in one place"
        )
        self = target ?? Self(path: name, qualifier: qualifier, region: nil)
    }

    /// The name with the qualifier behind it.
    package var description: String { self.path + (self.qualifier.map { ":\($0)" } ?? "") }

    /// Its ARN, with the qualifier behind it; nil when the account is not known.
    ///
    /// A partial ARN is one of `region`.
    package func arn(in region: String) -> String? {
        if self.path.hasPrefix("arn:") { return self.description }
        guard self.path.contains(":") else { return nil }
        return "arn:\(AWSEndpoint.partition(of: region)):lambda:\(region):\(self.description)"
    }

    /// The call `Invoke` of a type, `RequestResponse` or `Event` (AWS Lambda API Reference).
    package func invocation(_ type: String, body: CurlBody) -> AWSCall {
        var call = AWSCall(
            method: .post,
            path: "/2015-03-31/functions/\(PercentEncoding.encode(self.path))/invocations",
            body: body
        )
        if let qualifier = self.qualifier { call.query = [("Qualifier", qualifier)] }
        call.headers = [("Content-Type", "application/json"), ("X-Amz-Invocation-Type", type)]
        return call
    }

    /// Reads `name`, `name:qualifier`, `123456789012:function:name[:qualifier]` or
    /// `arn:aws:lambda:region:123456789012:function:name[:qualifier]`; nil for anything else.
    package init?(_ text: String, qualifier: String? = nil) {
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
