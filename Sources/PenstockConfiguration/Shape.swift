// SPDX-License-Identifier: Apache-2.0

/// What values of a kind look like, as data: the one source of the schema, the documentation and `explain`.
///
/// ``Kind`` pairs it with the code that reads such a value.
package indirect enum Shape: Sendable {
    case string
    /// Text with a form of its own, such as a cron expression: what it is called, and a regular expression.
    case text(name: String, pattern: String?)
    case secret
    case integer(ClosedRange<Int>)
    case number(ClosedRange<Double>)
    case boolean
    case duration(ClosedRange<Duration>)
    case size(ClosedRange<Int>)
    case choice([String])
    case url(schemes: [String])
    case timestamp
    /// A table's name elsewhere in the file: `function: charge` names one of `functions`.
    case reference(to: String)
    /// Anything that YAML can say.
    case node
    case list(Shape, count: ClosedRange<Int>, acceptsSingle: Bool)
    /// Names to values; with tables, names follow the rule for names.
    case map(Shape, names: NameRule)
    case table(FieldTable)
    case oneOf([ShapeAlternative])

    /// What a finding says that the value needs to be: `a duration such as 500ms, 5s, 10m or 24h`.
    package var noun: String {
        switch self {
        case .string, .secret: "a text"
        case .text(let name, _): name
        case .integer: "a whole number"
        case .number: "a number"
        case .boolean: "true or false"
        case .duration: "a duration such as 500ms, 5s, 10m or 24h"
        case .size: "a size such as 256KiB, 6MB or 512MiB"
        case .choice(let words): listed(words)
        case .url(let schemes): "a URL with " + listed(schemes.map { "\($0)://" })
        case .timestamp: "a point in time such as 2026-11-23T08:00:00Z"
        case .reference(let section): "a name from \(section)"
        case .node: "a value"
        case .list(.string, _, _): "a list of texts"
        case .list: "a list"
        case .map: "a mapping of names to values"
        case .table: "a mapping"
        case .oneOf(let alternatives): listed(alternatives.map(\.sample))
        }
    }
}

/// One of several things that a value can be.
package struct ShapeAlternative: Sendable {
    /// The key, or the word.
    package let name: String
    package let documentation: String

    /// What stands under the key; nil for a word that is the whole value.
    package let shape: Shape?

    var sample: String {
        self.shape == nil ? self.name : "{ \(self.name): … }"
    }
}

/// What the keys of a map may be.
package enum NameRule: Sendable {
    /// Names of functions and triggers: `[a-z][a-z0-9_-]{0,62}`.
    case identifier
    /// Any text, as in the properties of a client library.
    case any

    /// Whether the rule allows a name.
    package func allows(_ name: String) -> Bool {
        switch self {
        case .any: return !name.isEmpty
        case .identifier:
            let bytes = name.utf8
            guard let first = bytes.first, (0x61...0x7A).contains(first), bytes.count <= 63 else {
                return false
            }
            return bytes.allSatisfy {
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F || $0 == 0x2D
            }
        }
    }

    static let identifierPattern = "^[a-z][a-z0-9_-]{0,62}$"

    /// Whether a key of somebody else's properties looks as if its value were a secret.
    static func soundsSecret(_ name: String) -> Bool {
        let words = name.lowercased().split { !$0.isLetter && !$0.isNumber }
        guard let last = words.last else { return false }
        let nouns: [Substring] = [
            "password", "passwd", "secret", "token", "credential", "credentials", "apikey", "authorization",
            "cookie",
        ]
        if nouns.contains(where: { last.hasSuffix($0) }) { return true }
        let isKey = last == "key" || last == "pem"
        return isKey
            && words.dropLast().contains { nouns.contains($0) || ["api", "private", "key"].contains($0) }
    }
}

/// `a`, `a or b`, `a, b or c`.
func listed(_ words: [String]) -> String {
    guard let last = words.last, words.count > 1 else { return words.first ?? "nothing" }
    return words.dropLast().joined(separator: ", ") + " or " + last
}
