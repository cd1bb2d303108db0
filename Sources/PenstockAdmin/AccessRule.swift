// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import PenstockConfiguration
import PenstockRuntime

/// Who may ask: whoever has the token; without one, whoever reached us by a name of this machine.
///
/// The second rule is against pages in a browser on this machine. One can make its own name resolve to 127.0.0.1 (DNS
/// rebinding), but the `Host` header still says that name. Any page can send a POST to 127.0.0.1 without being asked,
/// but its `Origin` header says whose page it is (Fetch Standard, section 3.1).
struct AccessRule {
    let settings: AdminServer.Settings

    /// `isOpen` says that no token is needed, because the path tells nothing of what this Penstock does.
    ///
    /// - Throws: ``AdminError`` when the request is not allowed.
    func check(_ request: Request, isOpen: Bool) throws(AdminError) {
        guard let token = self.settings.token else { return try self.checkSite(request) }
        if isOpen { return }
        let given = request.headers[.authorization] ?? ""
        guard TokenComparison.matches(given, "Bearer \(token.reveal())") else {
            throw AdminError(
                .unauthorized,
                "token",
                given.isEmpty ? "a bearer token is required" : "the bearer token is not the right one"
            )
        }
    }

    /// Without a token a request must come to this machine's own name, and from no other site's page.
    private func checkSite(_ request: Request) throws(AdminError) {
        guard self.settings.listen.isLoopback else { return }
        let authority = request.head.authority ?? ""
        guard Self.isLoopback(authority: authority) else {
            throw AdminError(
                .forbidden,
                "host",
                "only requests to localhost are answered without a token; set admin.token to allow other names"
            )
        }
        guard let origin = request.headers[.origin] else { return }
        guard origin.lowercased() == "http://\(authority.lowercased())" else {
            throw AdminError(
                .forbidden,
                "origin",
                "pages of other sites are not answered without a token; set admin.token to allow them"
            )
        }
    }

    /// Whether a `Host` header names this machine itself, with or without a port.
    static func isLoopback(authority: String) -> Bool {
        var host = authority
        if host.hasPrefix("[") {
            guard let end = host.firstIndex(of: "]") else { return false }
            return host[host.index(after: host.startIndex)..<end] == "::1"
        }
        if let colon = host.lastIndex(of: ":") { host = String(host[..<colon]) }
        if host.lowercased() == "localhost" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}

/// Compares what was given with a secret.
package enum TokenComparison {
    /// Compares in a time that depends on the lengths alone.
    package static func matches(_ given: String, _ wanted: String) -> Bool {
        let given = Array(given.utf8)
        let wanted = Array(wanted.utf8)
        var difference = given.count == wanted.count ? UInt8(0) : 1
        for index in wanted.indices {
            difference |= wanted[index] ^ (index < given.count ? given[index] : 0)
        }
        return difference == 0
    }
}
