// SPDX-License-Identifier: Apache-2.0

extension Kind {
    /// A table, read by its own initializer.
    package static func table(_ type: Value.Type = Value.self) -> Self where Value: ConfigurationTable {
        .table(Value.table) { Value(&$0) }
    }

    /// A table that is put together at run time, read by a closure.
    package static func table(
        _ table: FieldTable,
        _ read: @escaping @Sendable (inout ConfigurationReader) -> Value
    ) -> Self {
        Self(
            shape: .table(table),
            read: { subject, findings in
                if subject.node.isInvalid { return nil }
                guard subject.node.entries != nil else {
                    findings.append(subject.wrongType(.table(table)))
                    return nil
                }
                var reader = ConfigurationReader(table, subject)
                let value = read(&reader)
                findings += reader.findings
                return value
            },
            placeholder: {
                let nowhere = ConfigurationNode(.mapping([]), at: Place(file: ""))
                var reader = ConfigurationReader(
                    table,
                    Subject(node: nowhere, path: .root, label: table.title)
                )
                return read(&reader)
            }
        )
    }

    /// Exactly one of several forms.
    package static func oneOf(_ alternatives: [Alternative<Value>]) -> Self {
        guard let first = alternatives.first else { preconditionFailure("a choice of nothing") }
        let shape = Shape.oneOf(alternatives.map(\.shape))
        return Self(
            shape: shape,
            read: { subject, findings in
                guard let (alternative, inner) = subject.pick(among: alternatives, shape, &findings) else {
                    return nil
                }
                return alternative.read(inner, &findings)
            },
            placeholder: first.placeholder
        )
    }
}

extension Kind {
    /// A list with so many elements; a single element may stand without the list where it says so.
    package static func list<Element: Sendable>(
        of element: Kind<Element>,
        count: ClosedRange<Int> = 0...1000,
        acceptsSingle: Bool = false
    ) -> Self where Value == [Element] {
        let shape = Shape.list(element.shape, count: count, acceptsSingle: acceptsSingle)
        return Self(
            shape: shape,
            read: { subject, findings in
                if subject.node.isInvalid { return nil }
                let isSingle = acceptsSingle && subject.node.scalar.map { !$0.isNull } == true
                guard let nodes = subject.node.elements ?? (isSingle ? [subject.node] : nil) else {
                    findings.append(subject.wrongType(shape))
                    return nil
                }
                guard subject.checkCount(nodes.count, count, "element", &findings) else { return nil }
                let values = nodes.enumerated().map { index, node in
                    let path = isSingle ? subject.path : subject.path.index(index)
                    return element.read(Subject(node: node, path: path, label: subject.label), &findings)
                }
                return values.contains { $0 == nil } ? nil : values.compactMap(\.self)
            },
            placeholder: { [] },
            represent: { .array($0.compactMap(element.represent)) }
        )
    }

    /// Values under names that the operator chooses, in the order of the file.
    package static func map<Element: Sendable>(
        of element: Kind<Element>,
        names: NameRule = .identifier,
        count: ClosedRange<Int> = 0...10_000
    ) -> Self where Value == [Named<Element>] {
        let shape = Shape.map(element.shape, names: names)
        return Self(
            shape: shape,
            read: { subject, findings in
                if subject.node.isInvalid { return nil }
                guard let entries = subject.node.entries else {
                    findings.append(subject.wrongType(shape))
                    return nil
                }
                guard subject.checkCount(entries.count, count, "entry", &findings) else { return nil }
                return entries.compactMap { entry in
                    let path = subject.path.key(entry.key)
                    if !names.allows(entry.key) {
                        findings.append(.badName(entry, path))
                    }
                    let inner = Subject(node: entry.value, path: path, label: entry.key)
                    return element.read(inner, &findings).map {
                        Named(name: entry.key, value: $0, place: entry.place, path: path)
                    }
                }
            },
            placeholder: { [] },
            represent: { $0.isEmpty ? .object([]) : nil }
        )
    }
}

extension Kind where Value == [String: String] {
    /// Free text under free names, as for the settings of a client library or the environment of a process.
    ///
    /// A literal under a name that sounds like a secret's is a warning, and `explain` hides it.
    package static var properties: Self {
        let texts = Kind<[Named<String>]>.map(of: .string, names: .any)
        return Self(
            shape: texts.shape,
            read: { subject, findings in
                for entry in subject.node.entries ?? [] where NameRule.soundsSecret(entry.key) {
                    guard let scalar = entry.value.scalar, !scalar.isFromOutside, !scalar.text.isEmpty else {
                        continue
                    }
                    let inner = Subject(
                        node: entry.value,
                        path: subject.path.key(entry.key),
                        label: entry.key
                    )
                    findings.append(
                        inner.literalSecret("\"\(entry.key)\" looks like a secret and stands in the file")
                    )
                }
                return texts.read(subject, &findings).map { named in
                    Dictionary(named.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
                }
            },
            placeholder: { [:] },
            represent: { texts in
                .object(texts.sorted { $0.key < $1.key }.map { JSONValue.Member($0.key, .string($0.value)) })
            }
        )
    }
}

extension Kind {
    /// Values of a language of their own that stand in the file as mappings and lists, such as event patterns.
    ///
    /// `read` gives nil after it has recorded why.
    package static func language(
        placeholder: @escaping @Sendable () -> Value,
        _ read: @escaping @Sendable (ConfigurationNode, ConfigurationPath, inout [Finding]) -> Value?
    ) -> Self {
        Self(
            shape: .node,
            read: { subject, findings in
                subject.node.isInvalid ? nil : read(subject.node, subject.path, &findings)
            },
            placeholder: placeholder
        )
    }
}

extension Kind where Value == ConfigurationNode {
    /// Anything, as it stands: an event pattern, a payload.
    ///
    /// Its ``ConfigurationNode/json`` is what it means.
    package static var node: Self {
        Self(
            shape: .node,
            read: { subject, _ in subject.node.isInvalid ? nil : subject.node },
            placeholder: { ConfigurationNode(.invalid, at: Place(file: "")) },
            represent: { $0.json }
        )
    }
}

extension Finding {
    fileprivate static func badName(_ entry: ConfigurationNode.Entry, _ path: ConfigurationPath) -> Self {
        let message = "\"\(entry.key.prefix(80))\" cannot be a name"
        let rule = "begin with a to z; go on with a to z, 0 to 9, _ and -; at most 63 characters"
        return Finding(.badName, at: entry.place, path: path, message, suggestion: rule)
    }
}

extension Subject {
    fileprivate func checkCount(
        _ count: Int,
        _ range: ClosedRange<Int>,
        _ noun: String,
        _ findings: inout [Finding]
    ) -> Bool {
        if range.contains(count) { return true }
        let plural = noun == "entry" ? "entries" : noun + "s"
        let bound = count < range.lowerBound ? range.lowerBound : range.upperBound
        let limit =
            (count < range.lowerBound ? "at least " : "at most ") + "\(bound) \(bound == 1 ? noun : plural)"
        findings.append(self.finding(.outOfRange, "\"\(self.label)\" must have \(limit), not \(count)"))
        return false
    }

    /// Finds the alternative that the value is, and what stands under its key.
    fileprivate func pick<Value>(
        among alternatives: [Alternative<Value>],
        _ shape: Shape,
        _ findings: inout [Finding]
    ) -> (Alternative<Value>, Subject)? {
        let keys = alternatives.filter { $0.shape.shape != nil }.map(\.shape.name)
        switch self.node.content {
        case .invalid:
            return nil
        case .sequence:
            findings.append(self.wrongType(shape))
            return nil
        case .scalar(let scalar):
            if let word = alternatives.first(where: { $0.shape.shape == nil && $0.shape.name == scalar.text })
            {
                return (word, self)
            }
            findings.append(self.notAWord(scalar, keys, alternatives.map(\.shape), shape))
            return nil
        case .mapping(let entries):
            for entry in entries where !keys.contains(entry.key) {
                let message = "unknown key \"\(entry.key.prefix(80))\" in \(self.path)"
                let advice =
                    didYouMean(entry.key, among: keys) ?? "use one of \(keys.joined(separator: ", "))"
                let path = self.path.key(entry.key)
                findings.append(
                    Finding(.unknownKey, at: entry.place, path: path, message, suggestion: advice)
                )
            }
            let known = entries.filter { keys.contains($0.key) }
            if known.count > 1 {
                let names = known.map { "\"\($0.key)\"" }.joined(separator: " and ")
                let message = "\"\(self.label)\" takes one key, not \(names)"
                let path = self.path.key(known[1].key)
                findings.append(
                    Finding(
                        .conflict,
                        at: known[1].place,
                        path: path,
                        message,
                        suggestion: "keep one of them"
                    )
                )
            } else if entries.isEmpty {
                findings.append(self.finding(.missingKey, "\"\(self.label)\" needs \(shape.noun)"))
            }
            guard known.count == 1, let entry = known.first,
                let alternative = alternatives.first(where: {
                    $0.shape.shape != nil && $0.shape.name == entry.key
                })
            else { return nil }
            return (alternative, Subject(node: entry.value, path: self.path.key(entry.key), label: entry.key))
        }
    }

    private func notAWord(
        _ scalar: ConfigurationNode.Scalar,
        _ keys: [String],
        _ alternatives: [ShapeAlternative],
        _ shape: Shape
    ) -> Finding {
        if scalar.isNull {
            return self.finding(.missingKey, "\"\(self.label)\" needs \(shape.noun)")
        }
        if keys.contains(scalar.text), !scalar.isSubstituted {
            return self.wrongType(shape, "write { \(scalar.text): … }")
        }
        let message = "\"\(self.label)\" must be \(shape.noun), not \(self.shown(shape))"
        let advice = scalar.isSubstituted ? nil : didYouMean(scalar.text, among: alternatives.map(\.name))
        return self.finding(.badEnum, message, advice)
    }
}
