// SPDX-License-Identifier: Apache-2.0

/// One thing that is wrong, or unwise, in a configuration file.
///
/// A finding says what, where and the way out. It never holds a secret: values of secret fields are not
/// quoted, and a substituted value is shown as its placeholder.
package struct Finding: Hashable, Sendable {
    /// An error keeps the configuration from being used; a warning does not.
    package enum Severity: String, Sendable, Encodable, CaseIterable {
        case error
        case warning
    }

    /// What kind of finding it is: stable, in kebab-case, safe to match on.
    package struct Code: Hashable, Sendable, RawRepresentable, ExpressibleByStringLiteral {
        package let rawValue: String

        package init(rawValue: String) {
            self.rawValue = rawValue
        }

        package init(stringLiteral value: String) {
            self.rawValue = value
        }
    }

    package var severity: Severity
    package var code: Code
    package var place: Place
    package var path: ConfigurationPath

    /// One sentence without a full stop, for an operator.
    package var message: String

    /// The way out, where one is known.
    package var suggestion: String?

    /// An error, unless said otherwise.
    package init(
        _ code: Code,
        at place: Place,
        path: ConfigurationPath,
        _ message: String,
        suggestion: String? = nil
    ) {
        self.severity = .error
        self.code = code
        self.place = place
        self.path = path
        self.message = message
        self.suggestion = suggestion
    }

    /// The same finding as a warning.
    package var asWarning: Self {
        var copy = self
        copy.severity = .warning
        return copy
    }
}

extension Finding.Code {
    /// The file is not there.
    package static let missingFile: Self = "missing-file"
    /// The file is there and cannot be read: permission, a directory, an I/O error.
    package static let unreadableFile: Self = "unreadable-file"
    /// The file is larger than the limit, or grows beyond it by its aliases.
    package static let tooLarge: Self = "too-large"
    /// Lists and mappings are nested beyond the limit.
    package static let tooDeep: Self = "too-deep"
    /// The file holds bytes that are not UTF-8.
    package static let badEncoding: Self = "bad-encoding"
    /// The file holds no configuration.
    package static let emptyFile: Self = "empty-file"
    /// The file is not YAML.
    package static let badSyntax: Self = "bad-syntax"
    /// The file holds more than one YAML document.
    package static let severalDocuments: Self = "several-documents"
    /// A mapping gives a key twice.
    package static let duplicateKey: Self = "duplicate-key"
    /// A YAML construct that a configuration has no use for.
    package static let unsupportedYAML: Self = "unsupported-yaml"
    /// A placeholder that is not one of the known forms.
    package static let badSubstitution: Self = "bad-substitution"
    /// A placeholder names a variable that is not set and gives no default.
    package static let unsetVariable: Self = "unset-variable"
    /// A placeholder names a file that cannot be read.
    package static let unreadableSecret: Self = "unreadable-secret"
    /// A key that the table does not have.
    package static let unknownKey: Self = "unknown-key"
    /// A key that must be there and is not.
    package static let missingKey: Self = "missing-key"
    /// A value of another type than the field's.
    package static let wrongType: Self = "wrong-type"
    /// A value, or a count of values, outside the field's limits.
    package static let outOfRange: Self = "out-of-range"
    /// A duration that cannot be read.
    package static let badDuration: Self = "bad-duration"
    /// A size that cannot be read.
    package static let badSize: Self = "bad-size"
    /// A word that is not among the field's words.
    package static let badEnum: Self = "bad-enum"
    /// A URL that cannot be used.
    package static let badURL: Self = "bad-url"
    /// A point in time that cannot be read.
    package static let badTimestamp: Self = "bad-timestamp"
    /// A name that breaks the rule for names.
    package static let badName: Self = "bad-name"
    /// Text that its field cannot read.
    package static let badValue: Self = "bad-value"
    /// Fields that do not go together.
    package static let conflict: Self = "conflict"
    /// A name that nothing is defined under.
    package static let unknownReference: Self = "unknown-reference"
    /// A program that is not on this machine.
    package static let missingProgram: Self = "missing-program"
    /// A secret written into the file itself.
    package static let literalSecret: Self = "literal-secret"
}

extension Finding: CustomStringConvertible {
    /// One line, place first: `connectors.yaml:14:3: error: unknown key "queue_ulr" in sqs; did you mean
    /// "queue_url"? [unknown-key]`.
    package var description: String {
        let advice = self.suggestion.map { "; \($0)" } ?? ""
        return "\(self.place): \(self.severity.rawValue): \(self.message)\(advice) [\(self.code.rawValue)]"
    }
}

extension Finding: Encodable {
    private enum Key: String, CodingKey {
        case severity, code, file, line, column, path, message, suggestion
    }

    /// One flat object; `line`, `column` and `suggestion` are left out where there is none.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(self.severity, forKey: .severity)
        try container.encode(self.code.rawValue, forKey: .code)
        try container.encode(self.place.file, forKey: .file)
        try container.encodeIfPresent(self.place.line, forKey: .line)
        try container.encodeIfPresent(self.place.column, forKey: .column)
        try container.encode(self.path.description, forKey: .path)
        try container.encode(self.message, forKey: .message)
        try container.encodeIfPresent(self.suggestion, forKey: .suggestion)
    }
}

extension Array where Element == Finding {
    /// Whether one of them keeps the configuration from being used.
    package var hasErrors: Bool {
        self.contains { $0.severity == .error }
    }

    /// In the order of the file; what an alias or a second look repeats is said once.
    package var inOrder: [Finding] {
        var seen: Set<Sentence> = []
        let once = self.filter {
            seen.insert(Sentence(place: $0.place, code: $0.code, message: $0.message)).inserted
        }
        return once.enumerated()
            .sorted { ($0.element.place, $0.offset) < ($1.element.place, $1.offset) }
            .map(\.element)
    }
}

/// What makes two findings one.
private struct Sentence: Hashable {
    var place: Place
    var code: Finding.Code
    var message: String
}
