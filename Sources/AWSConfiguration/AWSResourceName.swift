// SPDX-License-Identifier: Apache-2.0

/// An ARN: `arn:partition:service:region:account:resource` (AWS General Reference, "Amazon Resource Names").
package struct AWSResourceName: Sendable, Equatable {
    /// The whole.
    package var text: String

    /// Such as `eu-west-1`; empty for a resource of no region.
    package var region: String

    /// Twelve digits; empty for a resource of no account.
    package var account: String

    /// What is behind the account, such as `event-bus/orders`.
    package var resource: String

    /// Reads the ARN of a resource of `service`; nil for anything else.
    package init?(_ text: String, service: String) {
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false).map(
            String.init
        )
        guard parts.count == 6, parts[0] == "arn", parts[1].hasPrefix("aws"), parts[2] == service,
            !parts[5].isEmpty,
            text.utf8.count <= 2048, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { return nil }
        self.text = text
        self.region = parts[3]
        self.account = parts[4]
        self.resource = parts[5]
    }
}
