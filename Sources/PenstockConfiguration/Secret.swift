// SPDX-License-Identifier: Apache-2.0

/// A text that is never printed: a password, a token, a private key.
///
/// Descriptions, string interpolation, `dump` and mirrors show `«redacted»`; only ``reveal()`` gives it out.
package struct Secret: Hashable, Sendable {
    /// What stands for a secret in everything that people see.
    package static let redacted = "«redacted»"

    private let text: String

    /// Keeps a text as a secret.
    package init(_ text: String) {
        self.text = text
    }

    /// The text itself; call it where it goes over the wire, and nowhere else.
    package func reveal() -> String {
        self.text
    }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { Self.redacted }
    package var debugDescription: String { Self.redacted }
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
