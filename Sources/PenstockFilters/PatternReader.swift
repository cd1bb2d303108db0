// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration

extension EventPattern {
    /// The most clauses that `$or` may multiply out to.
    package static let clausesMax = 1000

    /// Reads a pattern; all that is wrong with it goes into `findings`, and the pattern is nil when that is an error.
    package init?(_ node: ConfigurationNode, path: ConfigurationPath, findings: inout [Finding]) {
        var reader = PatternReader()
        let clauses = reader.pattern(node, at: path)
        findings += reader.findings
        guard !reader.findings.hasErrors else { return nil }
        self.clauses = clauses
        guard self.variants <= Self.clausesMax else {
            let message =
                "$or, and lists with both values and {\"exists\": false}, multiply out to more than "
            let advice = "make several filters of it"
            findings.append(
                Finding(
                    .badPattern,
                    at: node.place,
                    path: path,
                    message + "\(Self.clausesMax) combinations",
                    suggestion: advice
                )
            )
            return nil
        }
    }

    /// Clauses when each condition that allows absence or values stands for two.
    private var variants: Int {
        self.clauses.reduce(0) { sum, clause in
            let doubled = clause.fields.count {
                $0.rules.contains(.absent) && $0.rules.contains { $0 != .absent }
            }
            return sum + (1 << min(doubled, 20))
        }
    }
}

extension Finding.Code {
    /// A filter pattern that says nothing, or nothing that can be understood.
    package static let badPattern: Self = "bad-pattern"
}

/// Reads a pattern's structure; ``RuleReader`` reads the values in its lists.
struct PatternReader {
    private(set) var findings: [Finding] = []

    /// How deep a field may be in a record.
    private static let stepsMax = 256

    /// Names that cannot be fields of the patterns under `$or` (esm-spec 5.1): with one of them `$or` is a field itself.
    private static let reserved: Set<String> = [
        "exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric",
        "cidr",
        "=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case", "date-after",
        "date-on-or-after",
        "date-before", "date-on-or-before", "in-date-range", "ip-address-in-range", "ip-address-not-in-range",
    ]

    mutating func pattern(_ node: ConfigurationNode, at location: ConfigurationPath) -> [EventPattern.Clause]
    {
        if node.isUnreadable { return [] }
        guard case .mapping(let entries) = node.content else {
            let advice =
                node.scalar.map { !$0.isNull } == true
                ? "write it as a mapping; a pattern in JSON may stand here without quotes around it" : nil
            self.refuse(node, location, "a pattern must be a mapping of fields, not \(node.noun)", advice)
            return []
        }
        guard !entries.isEmpty else {
            self.refuse(node, location, "the pattern is empty", "name at least one field")
            return []
        }
        return self.fields(entries, under: [], at: location, adding: [EventPattern.Clause()])
    }

    private mutating func fields(
        _ entries: [ConfigurationNode.Entry],
        under path: [String],
        at location: ConfigurationPath,
        adding clauses: [EventPattern.Clause]
    ) -> [EventPattern.Clause] {
        var clauses = clauses
        for entry in entries {
            let inner = location.key(entry.key)
            if entry.key == "$or", let patterns = Self.alternatives(entry.value) {
                clauses = self.either(patterns, under: path, at: inner, adding: clauses)
            } else {
                // A dot in a name is a step of the path (esm-spec 5.1).
                let steps = entry.key.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
                guard path.count + steps.count <= Self.stepsMax else {
                    let depth = path.count + steps.count
                    self.refuse(
                        entry.value,
                        inner,
                        "the field is \(depth) steps deep, and \(Self.stepsMax) is the limit",
                        "a dot in a name is a step"
                    )
                    continue
                }
                clauses = self.field(entry, at: path + steps, inner, adding: clauses)
            }
        }
        return clauses
    }

    private mutating func field(
        _ entry: ConfigurationNode.Entry,
        at path: [String],
        _ location: ConfigurationPath,
        adding clauses: [EventPattern.Clause]
    ) -> [EventPattern.Clause] {
        switch entry.value.content {
        case .invalid:
            return clauses
        case .mapping(let entries):
            guard entries.isEmpty else {
                return self.fields(entries, under: path, at: location, adding: clauses)
            }
            let advice = "name a field in it, or use [{\"exists\": true}] for any value"
            self.refuse(entry.value, location, "\"\(entry.key)\" is an empty mapping", advice)
            return clauses
        case .scalar(let scalar):
            let sample = scalar.isNull ? "[null]" : "[\(entry.value.shown)]"
            let message =
                "\"\(entry.key)\" must be a list of values or a mapping of fields, not \(entry.value.noun)"
            self.refuse(entry.value, location, message, "write \(sample)")
            return clauses
        case .sequence(let elements):
            var advice = "name at least one value"
            if entry.key == "$or" { advice = "give it at least two patterns" }
            guard !elements.isEmpty else {
                self.refuse(entry.value, location, "\"\(entry.key)\" is an empty list", advice)
                return clauses
            }
            var reader = RuleReader(isUnderOr: entry.key == "$or")
            let rules = reader.rules(elements, at: location)
            self.findings += reader.findings
            let condition = EventPattern.Condition(
                path: path,
                rules: rules,
                place: entry.place,
                location: location
            )
            return clauses.map { self.clause($0, with: condition) }
        }
    }

    /// AWS lets the later of two conditions at one path win; so do we, and say so.
    private mutating func clause(
        _ clause: EventPattern.Clause,
        with condition: EventPattern.Condition
    ) -> EventPattern.Clause {
        var clause = clause
        if clause.fields.contains(where: { $0.path == condition.path }) {
            let name = condition.path.joined(separator: ".")
            self.findings.append(
                Finding(
                    .badPattern,
                    at: condition.place,
                    path: condition.location,
                    "\"\(name)\" has a condition already, which this one replaces",
                    suggestion: "put both into one list, or remove one"
                ).asWarning
            )
        }
        clause.set(condition)
        return clause
    }

    // MARK: - $or

    /// The patterns under `$or`; nil when it is a field of that name.
    private static func alternatives(_ node: ConfigurationNode) -> [ConfigurationNode]? {
        guard let elements = node.elements, elements.count > 1 else { return nil }
        for element in elements {
            guard case .mapping(let entries) = element.content else { return nil }
            if entries.contains(where: { Self.reserved.contains($0.key) }) { return nil }
        }
        return elements
    }

    private mutating func either(
        _ patterns: [ConfigurationNode],
        under path: [String],
        at location: ConfigurationPath,
        adding clauses: [EventPattern.Clause]
    ) -> [EventPattern.Clause] {
        var all: [EventPattern.Clause] = []
        for (index, pattern) in patterns.enumerated() {
            let inner = location.index(index)
            guard let entries = pattern.entries, !entries.isEmpty else {
                self.refuse(pattern, inner, "the pattern is empty", "name at least one field")
                continue
            }
            all += self.fields(entries, under: path, at: inner, adding: clauses)
            guard all.count <= EventPattern.clausesMax else {
                let message = "$or multiplies out to more than \(EventPattern.clausesMax) combinations"
                self.refuse(pattern, inner, message, "make several filters of it")
                return clauses
            }
        }
        return all.isEmpty ? clauses : all
    }

    private mutating func refuse(
        _ node: ConfigurationNode,
        _ location: ConfigurationPath,
        _ message: String,
        _ suggestion: String?
    ) {
        self.findings.append(
            Finding(.badPattern, at: node.place, path: location, message, suggestion: suggestion)
        )
    }
}

extension ConfigurationNode {
    var isUnreadable: Bool {
        if case .invalid = self.content { true } else { false }
    }

    /// What the node is, for messages; what a placeholder stands for is not shown.
    var noun: String {
        switch self.content {
        case .sequence: "a list"
        case .mapping: "a mapping"
        case .invalid: "nothing readable"
        case .scalar(let scalar): scalar.isNull ? "null" : self.shown(scalar)
        }
    }

    /// A scalar as it would stand in JSON.
    var shown: String {
        self.scalar.map { self.shown($0) } ?? self.noun
    }

    private func shown(_ scalar: Scalar) -> String {
        let text = scalar.source.count > 60 ? scalar.source.prefix(60) + "…" : scalar.source[...]
        let isBare =
            scalar.isPlain && (Bool(scalar.text) != nil || JSONNumber(scalar.text) != nil || scalar.isNull)
        return isBare ? String(text) : JSONValue.string(String(text)).text
    }
}
