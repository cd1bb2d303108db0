// SPDX-License-Identifier: Apache-2.0

package import AWSClient
package import CurlClient
package import PenstockCore
package import PenstockRuntime

/// How a service of AWS takes a document: in one call, which either is durable when it has succeeded or had no effect that
/// a repetition would double.
///
/// Pure.
package protocol DocumentService: Sendable {
    /// The service's signing name, such as `sns`.
    static var signingName: String { get }

    /// What AWS's failure document is like there.
    static var form: FailureDocument.Form { get }

    /// What must be allowed, such as `sns:Publish`.
    static var permission: String { get }

    /// The error code of a target that is not there.
    static var missingCode: String { get }

    /// Shown to operators: `sns topic orders-failed in eu-west-1`.
    var summary: String { get }

    /// Bytes of a document at most, as ``size(of:)`` counts them.
    var sizeMax: Int { get }

    /// Bytes of a document as the service counts them.
    func size(of document: OutgoingDocument) -> Int

    /// What to do about an error code of the service, behind its message; nil when it speaks for itself.
    func advice(_ code: String) -> String?

    /// Whether an error says that a document is larger than the service takes, whatever ``sizeMax`` says.
    func isTooLarge(_ error: AWSError) -> Bool

    /// The call that sends a document.
    func call(_ document: OutgoingDocument) -> AWSCall

    /// What `penstock doctor` asks.
    var probes: DocumentProbes { get }

    /// Why a success (2xx) is none; nil when the document is durable.
    func refusal(in response: CurlResponse) -> String?
}

extension DocumentService {
    package static var form: FailureDocument.Form { .message }

    package func size(of document: OutgoingDocument) -> Int { document.json.count }

    package func refusal(in response: CurlResponse) -> String? { nil }

    package func isTooLarge(_ error: AWSError) -> Bool {
        if case .refused(status: 413) = error.kind { return true }
        return ["RequestTooLargeException", "RequestEntityTooLargeException", "EntityTooLarge"].contains(
            error.code
        )
    }
}

/// A document on its way to a service of AWS.
package struct OutgoingDocument: Sendable {
    /// What it tells.
    package enum Kind: Sendable {
        /// Of a record that was given up.
        case failure
        /// Of an invocation that succeeded.
        case success
    }

    /// What it tells.
    package var kind: Kind

    /// The document: one line of JSON.
    package var json: [UInt8]

    /// The trigger.
    package var trigger: String

    /// What the record's partition is called in keys of objects; nil for a success, which may have records of several.
    package var shard: String?

    /// The function's ARN with its version or alias; nil where none is known.
    package var function: String?

    /// What it is in order with: the record's key, or its partition, or the trigger.
    package var group: [UInt8]

    /// The same for the same letter or result, however often it is sent; another one for each invocation's result.
    package var identity: String

    /// When it was written.
    package var at: Timestamp

    /// The document of a letter, whose partition is called `shard` in keys.
    package init(_ letter: DeadLetter, json: [UInt8], shard: String) {
        self.kind = .failure
        self.json = json
        self.trigger = letter.trigger
        self.shard = shard
        self.function = letter.functionARN.map { FunctionARN.qualified($0) }
        self.group = letter.key ?? Array(letter.partition.utf8)
        self.identity = letter.identity
        self.at = letter.at
    }

    /// The document of an invocation.
    init(_ record: InvocationRecord) {
        self.kind = .success
        self.json = record.json
        self.trigger = record.trigger
        self.function = record.functionARN.map { FunctionARN.qualified($0) }
        self.group = Array(record.trigger.utf8)
        self.identity = record.identity
        self.at = record.at
    }
}
