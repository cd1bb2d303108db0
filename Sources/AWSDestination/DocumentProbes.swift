// SPDX-License-Identifier: Apache-2.0

package import AWSClient

/// What `penstock doctor` asks a service of AWS that takes documents: whether what they are sent to is there, and whether
/// they may be sent.
///
/// None of the calls sends anything.
package struct DocumentProbes: Sendable {
    /// A call that looks whether what documents are sent to is there, and what must be allowed for it; nil where ``sending``
    /// tells that, too.
    package var target: (call: AWSCall, permission: String)?

    /// A call for which the same must be allowed as to send a document, and which sends none; nil where there is no such
    /// call.
    package var sending: AWSCall?

    /// Codes of the errors with which the service refuses ``sending`` for what it says, after it allowed it; without
    /// `Exception` at their ends.
    package var emptyCodes: Set<String>

    /// Codes of AWS for a request that lacks something or has something of the wrong form, without `Exception` at their
    /// ends.
    package static let emptyCodes: Set<String> = [
        "EmptyBatchRequest", "InvalidArgument", "InvalidParameter", "InvalidParameterValue",
        "MissingParameter",
        "Validation", "ValidationError",
    ]

    /// These calls.
    package init(
        target: (call: AWSCall, permission: String)?,
        sending: AWSCall?,
        emptyCodes: Set<String> = DocumentProbes.emptyCodes
    ) {
        self.target = target
        self.sending = sending
        self.emptyCodes = emptyCodes
    }
}
