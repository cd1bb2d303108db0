// SPDX-License-Identifier: Apache-2.0

/// The two ways in which AWS's documents name a function: as it is mapped, and with its version or alias in any case.
///
/// Pure.
package enum FunctionARN {
    /// The version of a function that is invoked without a qualifier.
    package static let latest = "$LATEST"

    /// The ARN with `:$LATEST` behind it, unless it has an alias or a version
    /// (`arn:aws:lambda:region:account:function:name[:qualifier]`).
    package static func qualified(_ arn: String) -> String {
        arn.utf8.count { $0 == UInt8(ascii: ":") } > 6 ? arn : "\(arn):\(Self.latest)"
    }
}
