// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// What AWS knows us by.
///
/// Never printed: descriptions show the key's id and no secret.
package struct AWSCredentials: Sendable, Equatable {
    /// Such as `AKIAIOSFODNN7EXAMPLE`.
    package let accessKeyID: String

    let secretAccessKey: String

    /// Goes with temporary keys.
    let sessionToken: String?

    /// What of them nobody may see.
    var secrets: [String] { [self.secretAccessKey, self.sessionToken].compactMap(\.self) }

    /// When they end; nil for keys that do not.
    package let expiration: Timestamp?

    /// Credentials with these parts.
    package init(
        accessKeyID: String,
        secretAccessKey: String,
        sessionToken: String? = nil,
        expiration: Timestamp? = nil
    ) {
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken
        self.expiration = expiration
    }
}

extension AWSCredentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "AWS credentials \(self.accessKeyID)" }
    package var debugDescription: String { self.description }
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
