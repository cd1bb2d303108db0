// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import PenstockConfiguration
import PenstockStore

/// Why the admin API refuses a request: a status, a stable code and a sentence for people.
struct AdminError: Error {
    var status: HTTPResponse.Status
    /// In kebab-case, safe to match on.
    var code: String
    var message: String

    init(_ status: HTTPResponse.Status, _ code: String, _ message: String) {
        self.status = status
        self.code = code
        self.message = message
    }

    /// What the store refused.
    init(_ error: StoreError) {
        self.init(.serviceUnavailable, "store", error.detail)
    }

    /// `{"error":{"code":…,"message":…}}`.
    var document: JSONValue {
        let members = [JSONValue.Member("code", .string(self.code)), .init("message", .string(self.message))]
        return .object([.init("error", .object(members))])
    }
}
