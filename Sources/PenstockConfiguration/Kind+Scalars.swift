// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

extension Kind {
    /// A kind of single values; `parse` gets a scalar that is not null.
    private static func scalar(
        _ shape: Shape,
        placeholder: Value,
        represent: @escaping @Sendable (Value) -> JSONValue?,
        parse: @escaping @Sendable (ConfigurationNode.Scalar, Subject, inout [Finding]) -> Value?
    ) -> Self {
        Self(
            shape: shape,
            read: { subject, findings in
                if subject.node.isInvalid { return nil }
                guard let scalar = subject.node.scalar, !scalar.isNull else {
                    findings.append(subject.wrongType(shape))
                    return nil
                }
                return parse(scalar, subject, &findings)
            },
            placeholder: { placeholder },
            represent: represent
        )
    }

    /// Text that is read by `parse`, which throws an error whose description ends the sentence `"key" …`.
    ///
    /// `name` says what the text must be (`a cron or rate expression`); `pattern` is for the schema. A password that
    /// `holdsPassword` finds in a text of the file itself is a warning; `explain` shows none that stands in a URL.
    package static func parsed(
        _ name: String,
        pattern: String? = nil,
        placeholder: Value,
        holdsPassword: @escaping @Sendable (Value) -> Bool = { _ in false },
        _ parse: @escaping @Sendable (String) throws -> Value
    ) -> Self {
        .scalar(
            .text(name: name, pattern: pattern),
            placeholder: placeholder,
            represent: { .string("\($0)") }
        ) {
            scalar,
            subject,
            findings in
            do {
                let value = try parse(scalar.text)
                if holdsPassword(value), scalar.mayStandInFile {
                    findings.append(subject.literalSecret("the URL in \"\(subject.label)\" holds a password"))
                }
                return value
            } catch {
                let reason = scalar.isSubstituted ? "" : ": \(error)"
                let message = "\"\(subject.label)\" must be \(name)\(reason)"
                findings.append(subject.finding(.badValue, message))
                return nil
            }
        }
    }

    /// One of the raw values of an enumeration.
    package static func choice(of type: Value.Type = Value.self) -> Self
    where Value: CaseIterable & RawRepresentable, Value.RawValue == String {
        let words = Value.allCases.map(\.rawValue)
        guard let first = Value.allCases.first else { preconditionFailure("\(Value.self) has no cases") }
        let shape = Shape.choice(words)
        return .scalar(shape, placeholder: first, represent: { .string($0.rawValue) }) {
            scalar,
            subject,
            findings in
            if let value = Value(rawValue: scalar.text) { return value }
            let message = "\"\(subject.label)\" must be \(listed(words)), not \(subject.shown(shape))"
            let advice = scalar.isSubstituted ? nil : didYouMean(scalar.text, among: words)
            findings.append(subject.finding(.badEnum, message, advice))
            return nil
        }
    }
}

extension Kind where Value == String {
    /// Any text; a number or a truth value is taken as it is written.
    package static var string: Self {
        .scalar(.string, placeholder: "", represent: { .string($0) }) { scalar, _, _ in scalar.text }
    }
}

extension Kind where Value == Secret {
    /// Text that is never shown; one that stands in the file itself is a warning.
    package static var secret: Self {
        .scalar(.secret, placeholder: Secret(""), represent: { _ in nil }) { scalar, subject, findings in
            if !scalar.isFromOutside, !scalar.source.isEmpty {
                findings.append(
                    subject.literalSecret("\"\(subject.label)\" is a secret and stands in the file")
                )
            }
            return Secret(scalar.text)
        }
    }

    /// Text that is never shown; one that stands in the file itself is a warning only under a name that sounds like a
    /// secret's.
    package static var hidden: Self { .hidden { _ in false } }

    /// ``hidden`` for a URL or the like: a password that `holdsPassword` finds in a text of the file itself is a warning,
    /// too.
    package static func hidden(holdsPassword: @escaping @Sendable (String) -> Bool) -> Self {
        .scalar(.secret, placeholder: Secret(""), represent: { _ in nil }) { scalar, subject, findings in
            if scalar.mayStandInFile, holdsPassword(scalar.text) {
                findings.append(subject.literalSecret("the URL in \"\(subject.label)\" holds a password"))
            }
            let isLiteral = !scalar.isFromOutside && !scalar.source.isEmpty
            if isLiteral, NameRule.soundsSecret(subject.label) {
                findings.append(
                    subject.literalSecret("\"\(subject.label)\" looks like a secret and stands in the file")
                )
            }
            return Secret(scalar.text)
        }
    }
}

extension Subject {
    func literalSecret(_ message: String) -> Finding {
        let advice = "take it from the environment with ${NAME}, or from a file with ${file:/path}"
        return self.finding(.literalSecret, message, advice).asWarning
    }
}

extension Kind where Value == Bool {
    /// `true` or `false`; the `yes` and `on` of YAML 1.1 are refused.
    package static var boolean: Self {
        .scalar(.boolean, placeholder: false, represent: { .boolean($0) }) { scalar, subject, findings in
            if scalar.isTyped, let value = Bool(scalar.text) { return value }
            if !scalar.isTyped, Bool(scalar.text) != nil {
                findings.append(subject.wrongType(.boolean, "write it without quotes"))
                return nil
            }
            let word = scalar.isSubstituted ? "" : scalar.text.lowercased()
            let advice: String? =
                switch word {
                case "yes", "on", "y", "1", "true": "write true"
                case "no", "off", "n", "0", "false": "write false"
                default: nil
                }
            findings.append(subject.wrongType(.boolean, advice))
            return nil
        }
    }
}

extension Kind where Value == Int {
    /// A whole number in decimal digits.
    package static func integer(in range: ClosedRange<Int>) -> Self {
        let shape = Shape.integer(range)
        return .scalar(shape, placeholder: range.lowerBound, represent: { .integer($0) }) {
            scalar,
            subject,
            findings in
            let digits = scalar.text.hasPrefix("-") ? scalar.text.dropFirst() : scalar.text[...]
            let isDecimal = digits == "0" || !digits.hasPrefix("0") && !digits.hasPrefix("+")
            guard scalar.isTyped, isDecimal, let value = Int(scalar.text) else {
                let isQuoted = !scalar.isTyped && Int(scalar.text) != nil
                findings.append(subject.wrongType(shape, isQuoted ? "write it without quotes" : nil))
                return nil
            }
            return subject.limited(value, to: range, &findings) { "\($0)" }
        }
    }

    /// A size in bytes: `256KiB`, `6MB`, or a bare number of bytes.
    package static func size(in range: ClosedRange<Int>) -> Self {
        let shape = Shape.size(range)
        return .scalar(shape, placeholder: range.lowerBound, represent: { .string(ByteSize.text($0)) }) {
            scalar,
            subject,
            findings in
            guard let value = ByteSize.parse(scalar.text) else {
                let message = "\"\(subject.label)\" must be \(shape.noun), not \(subject.shown(shape))"
                findings.append(
                    subject.finding(.badSize, message, "the units are B, kB, KiB, MB, MiB, GB, GiB")
                )
                return nil
            }
            return subject.limited(value, to: range, &findings, ByteSize.text)
        }
    }
}

extension Kind where Value == Double {
    /// A number, with or without a fraction.
    package static func number(in range: ClosedRange<Double>) -> Self {
        let shape = Shape.number(range)
        return .scalar(shape, placeholder: range.lowerBound, represent: { .number($0) }) {
            scalar,
            subject,
            findings in
            let isNumber = scalar.text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || $0 == 0x2E || $0 == 0x2D
            }
            guard scalar.isTyped, isNumber, let value = Double(scalar.text) else {
                findings.append(subject.wrongType(shape))
                return nil
            }
            return subject.limited(value, to: range, &findings, JSONValue.number)
        }
    }
}

extension Kind where Value == Duration {
    /// A duration: `500ms`, `5s`, `10m`, `24h`, `1h30m`; a number without a unit is refused.
    package static func duration(in range: ClosedRange<Duration>) -> Self {
        let shape = Shape.duration(range)
        return .scalar(shape, placeholder: range.lowerBound, represent: { .string($0.configurationText) }) {
            scalar,
            subject,
            findings in
            guard let value = Duration(configurationText: scalar.text) else {
                let message = "\"\(subject.label)\" must be \(shape.noun), not \(subject.shown(shape))"
                findings.append(subject.finding(.badDuration, message, Self.advice(scalar)))
                return nil
            }
            return subject.limited(value, to: range, &findings) { $0.configurationText }
        }
    }

    private static func advice(_ scalar: ConfigurationNode.Scalar) -> String {
        guard !scalar.isSubstituted, let number = Double(scalar.text), number >= 0, number < 1e6 else {
            return "the units are ms, s, m, h and d, whole numbers, larger units first"
        }
        return number == number.rounded()
            ? "a number needs a unit: \(Int(number))ms, \(Int(number))s, \(Int(number))m or \(Int(number))h"
            : "a number needs a unit, and no fraction: \(Int(number * 1000))ms"
    }
}

extension Kind where Value == ServiceURL {
    /// A URL with one of these schemes and a host; a password in it is a warning unless it was substituted.
    package static func url(schemes: [String]) -> Self {
        let shape = Shape.url(schemes: schemes)
        guard let placeholder = ServiceURL("\(schemes.first ?? "https")://invalid") else {
            preconditionFailure("not a URL scheme: \(schemes)")
        }
        return .scalar(shape, placeholder: placeholder, represent: { .string($0.description) }) {
            scalar,
            subject,
            findings in
            guard let url = ServiceURL(scalar.text), schemes.contains(url.scheme) else {
                let message = "\"\(subject.label)\" must be \(shape.noun), not \(subject.shown(shape))"
                findings.append(subject.finding(.badURL, message))
                return nil
            }
            if scalar.mayStandInFile {
                let secrets = [
                    ("a password", url.hasPassword), ("a secret in its query", url.hasQuerySecret),
                ]
                for (what, isThere) in secrets where isThere {
                    findings.append(subject.literalSecret("the URL in \"\(subject.label)\" holds \(what)"))
                }
            }
            return url
        }
    }
}

extension Kind where Value == Timestamp {
    /// A point in time with its offset (RFC 3339).
    package static var timestamp: Kind<Timestamp> {
        let zero = Timestamp(milliseconds: 0)
        return .scalar(.timestamp, placeholder: zero, represent: { .string($0.configurationText) }) {
            scalar,
            subject,
            findings in
            if let value = Timestamp(configurationText: scalar.text) { return value }
            let message =
                "\"\(subject.label)\" must be \(Shape.timestamp.noun), not \(subject.shown(.timestamp))"
            findings.append(subject.finding(.badTimestamp, message, "give date, time and offset (RFC 3339)"))
            return nil
        }
    }
}

extension Kind where Value == Reference {
    /// A name from another section of the file.
    package static func reference(to section: String) -> Self {
        let whole = Place(file: "")
        let nobody = Reference(name: "", source: "", section: section, place: whole, path: .root)
        return .scalar(.reference(to: section), placeholder: nobody, represent: { .string($0.name) }) {
            scalar,
            subject,
            _ in
            Reference(
                name: scalar.text,
                source: scalar.source,
                section: section,
                place: subject.node.place,
                path: subject.path
            )
        }
    }
}

extension Subject {
    fileprivate func limited<Value: Comparable>(
        _ value: Value,
        to range: ClosedRange<Value>,
        _ findings: inout [Finding],
        _ text: (Value) -> String
    ) -> Value? {
        if range.contains(value) { return value }
        let bound =
            value < range.lowerBound
            ? "at least \(text(range.lowerBound))" : "at most \(text(range.upperBound))"
        let shown = self.node.scalar?.isSubstituted == true ? self.shown(.string) : text(value)
        findings.append(self.finding(.outOfRange, "\"\(self.label)\" must be \(bound), not \(shown)"))
        return nil
    }
}
