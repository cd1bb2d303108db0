// SPDX-License-Identifier: Apache-2.0

/// The shared files of AWS's tools: `~/.aws/config` and `~/.aws/credentials` (AWS SDKs and Tools Reference Guide).
///
/// Pure: it gets the files' texts.
package struct SharedConfiguration: Sendable, Equatable {
    private var profiles: [String: [String: String]] = [:]

    /// The profiles of both files; where both have a key, the credentials file wins.
    package init(config: String = "", credentials: String = "") {
        self.read(config) { section in
            if section == "default" { return "default" }
            let words = section.split(separator: " ", maxSplits: 1).map(String.init)
            guard words.count == 2, words[0] == "profile" else { return nil }
            return Self.unquoted(words[1])
        }
        self.read(credentials) { Self.unquoted($0) }
    }

    /// The settings of a profile; nil when no file has it.
    func profile(_ name: String) -> [String: String]? { self.profiles[name] }

    private mutating func read(_ text: String, _ name: (String) -> String?) {
        var profile: String?
        // Indented lines are nested settings of the line before (s3 = …), which are not ours.
        for line in text.split(whereSeparator: \.isNewline) where line.first?.isWhitespace == false {
            let bare = Self.trimmed(line)
            if bare.isEmpty || bare.hasPrefix("#") || bare.hasPrefix(";") { continue }
            if bare.hasPrefix("["), let end = bare.firstIndex(of: "]") {
                profile = name(Self.trimmed(bare[bare.index(after: bare.startIndex)..<end]))
                if let profile, self.profiles[profile] == nil { self.profiles[profile] = [:] }
            } else if let profile, let equals = bare.firstIndex(of: "=") {
                let key = Self.trimmed(bare[..<equals]).lowercased()
                var value = bare[bare.index(after: equals)...]
                // A comment begins behind a blank.
                for mark in [" #", " ;", "\t#", "\t;"] {
                    if let comment = value.firstRange(of: mark) { value = value[..<comment.lowerBound] }
                }
                self.profiles[profile]?[key] = Self.trimmed(value)
            }
        }
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        var rest = text[...]
        while rest.first?.isWhitespace == true { rest = rest.dropFirst() }
        while rest.last?.isWhitespace == true { rest = rest.dropLast() }
        return String(rest)
    }

    private static func unquoted(_ text: String) -> String {
        let bare = Self.trimmed(text)
        guard bare.count >= 2, let first = bare.first, first == bare.last, first == "\"" || first == "'"
        else {
            return bare
        }
        return String(bare.dropFirst().dropLast())
    }
}
