// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// One key of a table: its name, its kind, what it means, and what holds when it is left out.
///
/// The name is written once, here; reader, schema, documentation and findings take it from here.
///
/// Documentation is one sentence, and one more for what follows from it where that is not plain.
package struct Field<Value: Sendable>: Sendable {
    package let name: String
    package let documentation: String
    package let kind: Kind<Value>
    package let absence: Absence<Value>

    /// A field of any kind; see the factories below for the common ones.
    package init(
        _ name: String,
        _ documentation: String,
        _ kind: Kind<Value>,
        absence: Absence<Value> = .refused
    ) {
        self.name = name
        self.documentation = documentation
        self.kind = kind
        self.absence = absence
    }

    /// The same field, nil when it is left out.
    package var optional: Field<Value?> {
        Field<Value?>(self.name, self.documentation, self.kind.map { $0 }, absence: .value(nil, shown: nil))
    }

    private static func with(
        _ name: String,
        _ documentation: String,
        _ kind: Kind<Value>,
        _ value: Value?
    ) -> Self {
        let absence = value.map { Absence.value($0, shown: kind.represent($0)) }
        return Self(name, documentation, kind, absence: absence ?? .refused)
    }
}

/// What it means that a key is left out.
package enum Absence<Value: Sendable>: Sendable {
    /// The key is required.
    case refused
    /// This value holds; shown as this, or not at all.
    case value(Value, shown: JSONValue?)
    /// The table's own defaults hold, as if its mapping were empty.
    case emptyTable
}

/// A field without the type of its value: what the schema, the documentation and `explain` need.
package protocol AnyField: Sendable {
    var name: String { get }
    var documentation: String { get }
    var shape: Shape { get }

    /// Whether the key must be there.
    var isRequired: Bool { get }

    /// The value that holds when the key is left out, where there is one to show.
    var defaultValue: JSONValue? { get }

    /// Whether the defaults of the field's own table hold when the key is left out.
    var isFilledIn: Bool { get }
}

extension Field: AnyField {
    package var shape: Shape { self.kind.shape }

    package var isRequired: Bool {
        guard case .refused = self.absence else { return false }
        return true
    }

    package var isFilledIn: Bool {
        guard case .emptyTable = self.absence else { return false }
        return true
    }

    package var defaultValue: JSONValue? {
        guard case .value(_, let shown) = self.absence else { return nil }
        return shown
    }
}

extension Field where Value == String {
    /// Any text.
    package static func string(_ name: String, _ documentation: String, default value: String? = nil) -> Self
    {
        .with(name, documentation, .string, value)
    }
}

extension Field where Value == Secret {
    /// A text that is never shown, and that has no default.
    package static func secret(_ name: String, _ documentation: String) -> Self {
        .with(name, documentation, .secret, nil)
    }
}

extension Field where Value == Bool {
    /// `true` or `false`.
    package static func boolean(_ name: String, _ documentation: String, default value: Bool? = nil) -> Self {
        .with(name, documentation, .boolean, value)
    }
}

extension Field where Value == Int {
    /// A whole number within limits.
    package static func integer(
        _ name: String,
        _ documentation: String,
        default value: Int? = nil,
        in range: ClosedRange<Int>
    ) -> Self {
        .with(name, documentation, .integer(in: range), value)
    }

    /// A size within limits, in bytes.
    package static func size(
        _ name: String,
        _ documentation: String,
        default value: Int? = nil,
        in range: ClosedRange<Int>
    ) -> Self {
        .with(name, documentation, .size(in: range), value)
    }
}

extension Field where Value == Double {
    /// A number within limits.
    package static func number(
        _ name: String,
        _ documentation: String,
        default value: Double? = nil,
        in range: ClosedRange<Double>
    ) -> Self {
        .with(name, documentation, .number(in: range), value)
    }
}

extension Field where Value == Duration {
    /// A duration within limits.
    package static func duration(
        _ name: String,
        _ documentation: String,
        default value: Duration? = nil,
        in range: ClosedRange<Duration> = .zero ... .seconds(365 * 86_400)
    ) -> Self {
        .with(name, documentation, .duration(in: range), value)
    }
}

extension Field where Value == ServiceURL {
    /// A URL with a host.
    package static func url(
        _ name: String,
        _ documentation: String,
        default value: ServiceURL? = nil,
        schemes: [String] = ["https", "http"]
    ) -> Self {
        .with(name, documentation, .url(schemes: schemes), value)
    }
}

extension Field where Value == Timestamp {
    /// A point in time (RFC 3339).
    package static func timestamp(
        _ name: String,
        _ documentation: String,
        default value: Timestamp? = nil
    ) -> Self {
        .with(name, documentation, .timestamp, value)
    }
}

extension Field where Value: CaseIterable & RawRepresentable, Value.RawValue == String {
    /// One of the raw values of an enumeration.
    package static func choice(
        _ name: String,
        _ documentation: String,
        of type: Value.Type = Value.self,
        default value: Value? = nil
    ) -> Self {
        .with(name, documentation, .choice(), value)
    }
}

extension Field where Value == [String] {
    /// A list of texts; a single text stands for a list of one.
    package static func strings(
        _ name: String,
        _ documentation: String,
        default value: [String]? = nil,
        count: ClosedRange<Int> = 1...1000
    ) -> Self {
        .with(name, documentation, .list(of: .string, count: count, acceptsSingle: true), value)
    }
}

extension Field where Value == [String: String] {
    /// Free text under free names; empty when left out.
    package static func properties(
        _ name: String,
        _ documentation: String,
        default value: [String: String] = [:]
    ) -> Self {
        .with(name, documentation, .properties, value)
    }
}

extension Field where Value == Reference {
    /// A name from another section of the file.
    package static func reference(_ name: String, _ documentation: String, to section: String) -> Self {
        .with(name, documentation, .reference(to: section), nil)
    }
}

extension Field where Value: ConfigurationTable {
    /// A table; it may be left out when none of its own fields is required.
    package static func table(
        _ name: String,
        _ documentation: String,
        of type: Value.Type = Value.self
    ) -> Self {
        Self(name, documentation, .table(), absence: Value.table.isRequired ? .refused : .emptyTable)
    }
}

extension Field {
    /// Text of a form of its own; see ``Kind/parsed(_:pattern:placeholder:_:)``.
    ///
    /// - Parameters:
    ///   - name: The key.
    ///   - documentation: What it means.
    ///   - form: What the text must be, for findings: `a cron or rate expression`.
    ///   - placeholder: Stands for a value that could not be read.
    ///   - parse: Throws an error whose description ends a sentence for an operator.
    /// - Returns: A required field.
    package static func parsed(
        _ name: String,
        _ documentation: String,
        _ form: String,
        placeholder: Value,
        _ parse: @escaping @Sendable (String) throws -> Value
    ) -> Self {
        .with(name, documentation, .parsed(form, placeholder: placeholder, parse), nil)
    }

    /// A list of such values; may be left out when it may be empty.
    package static func list<Element: Sendable>(
        _ name: String,
        _ documentation: String,
        of element: Kind<Element>,
        count: ClosedRange<Int> = 0...1000
    ) -> Self where Value == [Element] {
        .with(name, documentation, .list(of: element, count: count), count.contains(0) ? [] : nil)
    }

    /// Such values under names that the operator chooses; may be left out when it may be empty.
    package static func map<Element: Sendable>(
        _ name: String,
        _ documentation: String,
        of element: Kind<Element>,
        count: ClosedRange<Int> = 0...10_000
    ) -> Self where Value == [Named<Element>] {
        .with(name, documentation, .map(of: element, count: count), count.contains(0) ? [] : nil)
    }

    /// Exactly one of several forms; a default is one of the words.
    package static func oneOf(
        _ name: String,
        _ documentation: String,
        _ alternatives: [Alternative<Value>],
        default word: String? = nil
    ) -> Self {
        let kind = Kind<Value>.oneOf(alternatives)
        guard let word else { return Self(name, documentation, kind) }
        guard let match = alternatives.first(where: { $0.shape.name == word && $0.shape.shape == nil }) else {
            preconditionFailure("the default of \(name) is not one of its words: \(word)")
        }
        return Self(name, documentation, kind, absence: .value(match.placeholder(), shown: .string(word)))
    }
}
