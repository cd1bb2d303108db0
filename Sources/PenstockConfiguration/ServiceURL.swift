// SPDX-License-Identifier: Apache-2.0

/// The address of a service: a URL with a scheme and a host, kept as it was written.
///
/// Its description hides a password and the values of the query, which hold keys of many endpoints; ``text`` has
/// them, for whoever connects.
package struct ServiceURL: Hashable, Sendable {
    /// The whole URL, with credentials if it has any; not for logs.
    package let text: String

    /// In lower case.
    package let scheme: String

    /// Without the brackets of an IPv6 address; in lower case.
    package let host: String

    /// Nil when the URL leaves it to its scheme.
    package let port: Int?

    private let passwordRange: Range<String.Index>?

    /// Reads `scheme://[user[:password]@]host[:port][/…]` (RFC 3986); nil for anything else.
    ///
    /// Blanks, control characters and characters outside ASCII must be percent-encoded.
    package init?(_ text: String) {
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x3C && $0 != 0x3E })
        else {
            return nil
        }
        guard let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://") else { return nil }
        let scheme = text[..<colon].lowercased()
        guard scheme.first?.isLetter == true,
            scheme.allSatisfy({ $0.isLetter || $0.isNumber || "+-.".contains($0) })
        else { return nil }
        let rest = text[text.index(colon, offsetBy: 3)...]
        let authority = rest.prefix { !"/?#".contains($0) }
        let at = authority.lastIndex(of: "@")
        let hostAndPort = at.map { authority[authority.index(after: $0)...] } ?? authority
        guard let (host, port) = Self.split(hostAndPort) else { return nil }
        let password = at.flatMap { end -> Range<String.Index>? in
            guard let start = authority[..<end].firstIndex(of: ":") else { return nil }
            return authority.index(after: start)..<end
        }
        self.text = text
        self.scheme = scheme
        self.host = host
        self.port = port
        self.passwordRange = password
    }

    /// Whether a password is written into the URL.
    package var hasPassword: Bool {
        self.passwordRange.map { !$0.isEmpty } ?? false
    }

    /// Whether the query has a parameter with a value whose name sounds like a secret's, such as `token` or `sig`.
    package var hasQuerySecret: Bool {
        self.queryParameters.contains { name, value in
            let lower = name.lowercased()
            return !value.isEmpty
                && (NameRule.soundsSecret(lower) || ["key", "sig", "signature"].contains(lower))
        }
    }

    /// The parameters of the query that have a value, in order, as they are written.
    private var queryParameters: [(name: Substring, value: Substring)] {
        guard let range = self.queryRange else { return [] }
        return self.text[range].split(separator: "&").compactMap { parameter in
            guard let equals = parameter.firstIndex(of: "=") else { return nil }
            return (parameter[..<equals], parameter[parameter.index(after: equals)...])
        }
    }

    /// What stands between `?` and `#`; nil without `?`.
    private var queryRange: Range<String.Index>? {
        let end = self.text.firstIndex(of: "#") ?? self.text.endIndex
        guard let mark = self.text[..<end].firstIndex(of: "?") else { return nil }
        return self.text.index(after: mark)..<end
    }

    private static func split(_ text: Substring) -> (host: String, port: Int?)? {
        var host = text
        var port: Substring?
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { return nil }
            port = rest.isEmpty ? nil : rest.dropFirst()
        } else if let colon = text.firstIndex(of: ":") {
            host = text[..<colon]
            port = text[text.index(after: colon)...]
        }
        guard !host.isEmpty else { return nil }
        guard let port else { return (host.lowercased(), nil) }
        guard let number = Int(port), (1...65535).contains(number), port.first != "+" else { return nil }
        return (host.lowercased(), number)
    }
}

extension ServiceURL: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The URL with `«redacted»` in place of a password, and of each value in its query.
    package var description: String {
        // From the end, so that the indices before stay right.
        var shown = self.text
        for (_, value) in self.queryParameters.reversed() where !value.isEmpty {
            shown = shown.replacingSubrange(value.startIndex..<value.endIndex, with: Secret.redacted)
        }
        guard let range = self.passwordRange, self.hasPassword else { return shown }
        return shown.replacingSubrange(range, with: Secret.redacted)
    }

    package var debugDescription: String { self.description }
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension String {
    fileprivate func replacingSubrange(_ range: Range<String.Index>, with other: String) -> String {
        self[..<range.lowerBound] + other + self[range.upperBound...]
    }
}
