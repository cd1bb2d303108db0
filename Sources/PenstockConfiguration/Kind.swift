// SPDX-License-Identifier: Apache-2.0

/// A type of configuration values: what they look like, and how one is read.
///
/// Kinds compose: `.map(of: .oneOf([…]))`, `.list(of: .table(Filter.self), count: 0...5)`. For single
/// fields the factories of ``Field`` are shorter.
package struct Kind<Value: Sendable>: Sendable {
    /// What such values look like.
    package let shape: Shape

    /// Gives the value, or nil after it has recorded why not.
    let read: @Sendable (Subject, inout [Finding]) -> Value?

    /// Stands for a value after a finding, so that reading can go on; it is never used to run anything.
    let placeholder: @Sendable () -> Value

    /// A default as a configuration would write it.
    var represent: @Sendable (Value) -> JSONValue? = { _ in nil }

    /// The same kind with its values changed into others.
    package func map<Other: Sendable>(_ transform: @escaping @Sendable (Value) -> Other) -> Kind<Other> {
        Kind<Other>(
            shape: self.shape,
            read: { subject, findings in self.read(subject, &findings).map(transform) },
            placeholder: { transform(self.placeholder()) }
        )
    }
}

/// A value on its way to being read.
struct Subject: Sendable {
    let node: ConfigurationNode
    let path: ConfigurationPath

    /// The key, for messages: `"window"`.
    let label: String

    func finding(_ code: Finding.Code, _ message: String, _ suggestion: String? = nil) -> Finding {
        Finding(code, at: self.node.place, path: self.path, message, suggestion: suggestion)
    }

    /// What the value is, for messages; never what a placeholder stands for, never a secret.
    func shown(_ shape: Shape) -> String {
        switch self.node.content {
        case .sequence: return "a list"
        case .mapping: return "a mapping"
        case .invalid: return "nothing readable"
        case .scalar(let scalar):
            if scalar.isNull { return "nothing" }
            if case .secret = shape { return "another value" }
            if case .url = shape, scalar.source.contains("@") { return "another value" }
            let text = String(scalar.source.prefix(60)) + (scalar.source.count > 60 ? "…" : "")
            return JSONValue.quoted(text)
        }
    }

    func wrongType(_ shape: Shape, _ suggestion: String? = nil) -> Finding {
        if self.node.scalar?.isNull == true {
            let message = "\"\(self.label)\" has no value, and must be \(shape.noun)"
            return self.finding(.wrongType, message, "give it one, or remove the key")
        }
        return self.finding(
            .wrongType,
            "\"\(self.label)\" must be \(shape.noun), not \(self.shown(shape))",
            suggestion
        )
    }
}

/// One of several forms of a value: a key with something under it, or a word.
package struct Alternative<Value: Sendable>: Sendable {
    let shape: ShapeAlternative
    let read: @Sendable (Subject, inout [Finding]) -> Value?
    let placeholder: @Sendable () -> Value

    /// `{ kafka: … }`: the key, its meaning, and what stands under it.
    package static func key<Inner: Sendable>(
        _ name: String,
        _ documentation: String,
        _ kind: Kind<Inner>,
        _ wrap: @escaping @Sendable (Inner) -> Value
    ) -> Self {
        Self(
            shape: ShapeAlternative(name: name, documentation: documentation, shape: kind.shape),
            read: { subject, findings in kind.read(subject, &findings).map(wrap) },
            placeholder: { wrap(kind.placeholder()) }
        )
    }

    /// A word that is the whole value, as in `on_failure: dead_letters`.
    package static func word(
        _ name: String,
        _ documentation: String,
        _ value: Value
    ) -> Self {
        Self(
            shape: ShapeAlternative(name: name, documentation: documentation, shape: nil),
            read: { _, _ in value },
            placeholder: { value }
        )
    }
}

/// A value under a name that the operator chose, such as one of `triggers`.
package struct Named<Value: Sendable>: Sendable {
    package let name: String
    package var value: Value

    /// Where the name stands.
    package let place: Place
    package let path: ConfigurationPath
}

extension Named: Equatable where Value: Equatable {}

/// A value with its place, for what is said about it later.
package struct Located<Value: Sendable>: Sendable {
    package let value: Value
    package let place: Place

    /// A value that stands there.
    package init(value: Value, place: Place) {
        self.value = value
        self.place = place
    }
}

extension Kind {
    /// The same kind, each value with its place.
    package var located: Kind<Located<Value>> {
        Kind<Located<Value>>(
            shape: self.shape,
            read: { subject, findings in
                self.read(subject, &findings).map { Located(value: $0, place: subject.node.place) }
            },
            placeholder: { Located(value: self.placeholder(), place: Place(file: "")) }
        )
    }
}

/// The name of something that is defined elsewhere in the file; check it with
/// ``ConfigurationReader/resolve(_:among:)``.
package struct Reference: Hashable, Sendable {
    package let name: String

    /// The name as the file has it, for messages: a placeholder where it was substituted.
    package let source: String

    /// What it names, such as `functions`.
    package let section: String
    package let place: Place
    package let path: ConfigurationPath
}

extension Alternative {
    /// The same form, wrapped into another type of value.
    package func map<Other: Sendable>(_ wrap: @escaping @Sendable (Value) -> Other) -> Alternative<Other> {
        let read = self.read
        let placeholder = self.placeholder
        return Alternative<Other>(
            shape: self.shape,
            read: { subject, findings in read(subject, &findings).map(wrap) },
            placeholder: { wrap(placeholder()) }
        )
    }
}
