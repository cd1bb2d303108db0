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

    /// 400 for a parameter of a request; `text` goes on after its name.
    static func badParameter(_ name: String, _ text: String) -> AdminError {
        AdminError(.badRequest, "bad-parameter", "\"\(name.prefix(40))\" \(text)")
    }

    /// 404 for a name that nothing has, with the one that was probably meant.
    static func unknown(_ kind: String, _ name: String, among names: [String]) -> AdminError {
        let known = names.isEmpty ? "there is none" : "there are \(names.prefix(20).joined(separator: ", "))"
        let advice = didYouMean(name, among: names) ?? known
        return AdminError(
            .notFound,
            "no-such-\(kind)",
            "there is no \(kind) \"\(name.prefix(100))\"; \(advice)"
        )
    }

    /// `{"error":{"code":…,"message":…}}`.
    var document: JSONValue {
        let members = [JSONValue.Member("code", .string(self.code)), .init("message", .string(self.message))]
        return .object([.init("error", .object(members))])
    }
}
