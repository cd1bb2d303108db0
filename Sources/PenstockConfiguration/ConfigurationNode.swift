// SPDX-License-Identifier: Apache-2.0

/// A value in a configuration file, with its place: what YAML gives after merge keys, aliases and
/// substitution, and before anybody has asked for a type.
package struct ConfigurationNode: Hashable, Sendable {
    /// What a node holds.
    package enum Content: Hashable, Sendable {
        case scalar(Scalar)
        case sequence([ConfigurationNode])
        case mapping([Entry])
        /// Already the subject of a finding; readers pass over it in silence.
        case invalid
    }

    /// A key of a mapping with its value, in the order of the file.
    package struct Entry: Hashable, Sendable {
        package var key: String
        package var place: Place
        package var value: ConfigurationNode
    }

    /// A single value.
    package struct Scalar: Hashable, Sendable {
        /// The text after substitution.
        package var text: String

        /// The text as the file has it, with its placeholders: what may be shown to people.
        package var source: String

        /// Written without quotes, so that `5` is a number and `true` a truth value.
        package var isPlain: Bool

        /// At least a part of the text came from the environment or from a file.
        package var isSubstituted: Bool

        /// Nothing at all, `~` or `null`.
        package var isNull: Bool {
            self.isPlain && !self.isSubstituted && ["", "~", "null", "Null", "NULL"].contains(self.text)
        }

        /// Whether a secret in the text may stand in the file itself: as it is written, or as a placeholder's default.
        var mayStandInFile: Bool { !self.isSubstituted || self.source.contains(":-") }

        /// Whether the whole text is one placeholder without a default, so that the file holds none of it.
        var isFromOutside: Bool {
            guard self.isSubstituted, self.source.hasPrefix("${"), self.source.last == "}" else {
                return false
            }
            let body = self.source.dropFirst(2).dropLast()
            let hasDefault = body.contains(":-") && !body.hasSuffix(":-")
            return !body.contains("}") && !hasDefault
        }

        /// Whether the text may be read as a number or a truth value: a substituted scalar may, because in
        /// `{ port: "${PORT}" }` YAML itself asks for the quotes.
        package var isTyped: Bool {
            self.isPlain || self.isSubstituted
        }
    }

    package var content: Content
    package var place: Place

    /// A node at a place.
    package init(_ content: Content, at place: Place) {
        self.content = content
        self.place = place
    }

    /// The scalar, if the node is one.
    package var scalar: Scalar? {
        guard case .scalar(let scalar) = self.content else { return nil }
        return scalar
    }

    /// The elements, if the node is a list.
    package var elements: [ConfigurationNode]? {
        guard case .sequence(let elements) = self.content else { return nil }
        return elements
    }

    /// The entries, if the node is a mapping; a key without a value counts as an empty mapping.
    package var entries: [Entry]? {
        switch self.content {
        case .mapping(let entries): entries
        case .scalar(let scalar) where scalar.isNull: []
        case .scalar, .sequence, .invalid: nil
        }
    }

    /// The value of a key, if the node is a mapping that has it.
    package subscript(key: String) -> ConfigurationNode? {
        self.entry(key)?.value
    }

    func entry(_ key: String) -> Entry? {
        guard case .mapping(let entries) = self.content else { return nil }
        return entries.first { $0.key == key }
    }

    var isInvalid: Bool {
        self.content == .invalid
    }

    /// The value as JSON has it: plain scalars become numbers, truth values and null by YAML 1.2's core
    /// schema.
    package var json: JSONValue {
        switch self.content {
        case .sequence(let elements): .array(elements.map(\.json))
        case .mapping(let entries): .object(entries.map { JSONValue.Member($0.key, $0.value.json) })
        case .scalar(let scalar): scalar.json
        case .invalid: .null
        }
    }
}

extension ConfigurationNode.Scalar {
    fileprivate var json: JSONValue {
        guard self.isPlain else { return .string(self.text) }
        if self.isNull { return .null }
        if let value = Bool(self.text) { return .boolean(value) }
        if let value = Int(self.text) { return .integer(value) }
        if self.text.first.map({ $0.isNumber || "+-.".contains($0) }) == true,
            let value = Double(self.text), value.isFinite
        {
            return .number(value)
        }
        return .string(self.text)
    }
}
