// SPDX-License-Identifier: Apache-2.0

internal import PenstockConfiguration

/// Reads the values and operators in a pattern's lists (esm-spec 5.2).
struct RuleReader {
    private(set) var findings: [Finding] = []
    private let isUnderOr: Bool

    static let operators = [
        "exactly", "exists", "prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric",
        "cidr",
    ]

    init(isUnderOr: Bool = false) {
        self.isUnderOr = isUnderOr
    }

    mutating func rules(_ elements: [ConfigurationNode], at location: ConfigurationPath) -> [Rule] {
        elements.enumerated().compactMap { index, element in
            self.rule(element, at: location.index(index))
        }
    }

    private mutating func rule(_ node: ConfigurationNode, at location: ConfigurationPath) -> Rule? {
        switch node.content {
        case .invalid: return nil
        case .scalar(let scalar):
            let rule = self.value(scalar, node, at: location)
            // As Event Ruler has it, a text that is an IPv6 address means the address, however it is spelled.
            if case .string? = rule, scalar.text.contains(":"), let range = try? IPRange(scalar.text + "/128")
            {
                return .addresses(range)
            }
            return rule
        case .mapping(let entries): return self.operation(entries, node, at: location)
        case .sequence:
            return self.refuse(
                node,
                location,
                "a value must be a text, a number, true, false, null or an operator, not a list",
                "write the values into the outer list"
            )
        }
    }

    private mutating func value(
        _ scalar: ConfigurationNode.Scalar,
        _ node: ConfigurationNode,
        at location: ConfigurationPath
    ) -> Rule? {
        guard scalar.isPlain else { return .string(Array(scalar.text.utf8)) }
        if scalar.isNull { return .word(.null) }
        switch scalar.text {
        case "true": return .word(.yes)
        case "false": return .word(.no)
        default: break
        }
        if let number = JSONNumber(scalar.text) { return .number(number) }
        // YAML reads +5, .5 and 0x1F as numbers, too; to take them for texts in silence would surprise.
        let isNumeric = scalar.text.first.map { $0.isNumber || "+-.".contains($0) } == true
        if isNumeric, Int(scalar.text) != nil || Double(scalar.text) != nil {
            let advice = "write it in JSON's form, or in quotes if it is a text"
            return self.refuse(node, location, "\(scalar.source) is not a number in JSON's form", advice)
        }
        return .string(Array(scalar.text.utf8))
    }

    private mutating func operation(
        _ entries: [ConfigurationNode.Entry],
        _ node: ConfigurationNode,
        at location: ConfigurationPath
    ) -> Rule? {
        guard let entry = entries.first else {
            let advice = "write one operator into it, such as {\"prefix\": \"a\"}"
            return self.refuse(node, location, "the operator is missing", advice)
        }
        guard entries.count == 1 else {
            let names = entries.map { "\"\($0.key)\"" }.joined(separator: ", ")
            let advice = "write each into an object of its own; any one of a list is enough"
            return self.refuse(
                node,
                location,
                "only one operator may stand in an object, not \(names)",
                advice
            )
        }
        let inner = location.key(entry.key)
        switch entry.key {
        case "exactly":
            return self.text(entry, at: inner).map { .string(Array($0.utf8)) }
        case "exists":
            return self.existence(entry, at: inner)
        case "prefix":
            return self.affix(entry, at: inner, { .prefix($0) }, { .prefixIgnoringCase(CaseFolded($0)) })
        case "suffix":
            return self.affix(
                entry,
                at: inner,
                { .suffix($0) },
                { .suffixIgnoringCase(CaseFolded(reversing: $0)) }
            )
        case "equals-ignore-case":
            return self.text(entry, at: inner).map { .equalsIgnoringCase(CaseFolded($0)) }
        case "wildcard":
            return self.text(entry, at: inner).flatMap { self.wildcard($0, entry.value, at: inner) }
        case "anything-but":
            return self.anythingBut(entry, at: inner)
        case "numeric":
            return self.numeric(entry, at: inner)
        case "cidr":
            return self.text(entry, at: inner).flatMap { self.addresses($0, entry.value, at: inner) }
        default:
            var advice = didYouMean(entry.key, among: Self.operators)
            if self.isUnderOr {
                advice = "$or needs at least two patterns, none with an operator's name for a field"
            }
            let known = "the operators are \(Self.operators.joined(separator: ", "))"
            return self.refuse(entry, inner, "unknown operator \"\(entry.key.prefix(80))\"", advice ?? known)
        }
    }

    // MARK: - Texts

    /// The text of an operator that takes one.
    private mutating func text(_ entry: ConfigurationNode.Entry, at location: ConfigurationPath) -> String? {
        self.text(entry.value, of: entry.key, at: location)
    }

    private mutating func text(
        _ node: ConfigurationNode,
        of name: String,
        at location: ConfigurationPath
    ) -> String? {
        if node.isUnreadable { return nil }
        if let scalar = node.scalar, case .string(let bytes)? = self.value(scalar, node, at: location) {
            return String(decoding: bytes, as: UTF8.self)
        }
        if self.findings.last?.place == node.place { return nil }
        var advice: String?
        if let scalar = node.scalar, !scalar.isNull { advice = "put it in quotes" }
        return self.refuse(node, location, "\"\(name)\" must be a text, not \(node.noun)", advice)
    }

    /// `prefix` and `suffix`: a text, or `equals-ignore-case` with one.
    private mutating func affix(
        _ entry: ConfigurationNode.Entry,
        at location: ConfigurationPath,
        _ exact: ([UInt8]) -> Rule,
        _ folded: (String) -> Rule
    ) -> Rule? {
        guard case .mapping(let entries) = entry.value.content else {
            return self.text(entry, at: location).map { exact(Array($0.utf8)) }
        }
        guard entries.count == 1, entries[0].key == "equals-ignore-case" else {
            return self.refuse(
                entry.value,
                location,
                "\"\(entry.key)\" takes a text, or an object with \"equals-ignore-case\" alone",
                "write {\"\(entry.key)\": {\"equals-ignore-case\": \"a\"}}"
            )
        }
        return self.text(entries[0], at: location.key("equals-ignore-case")).map { folded($0) }
    }

    private mutating func wildcard(
        _ text: String,
        _ node: ConfigurationNode,
        at location: ConfigurationPath
    ) -> Rule? {
        do throws(Wildcard.Problem) {
            return .wildcard(try Wildcard(text))
        } catch {
            switch error {
            case .twoStars(let index):
                let message = "two stars stand side by side in the wildcard, at byte \(index + 1)"
                return self.refuse(
                    node,
                    location,
                    message,
                    "write one; it stands for any number of characters"
                )
            case .badEscape(let index):
                let message = "the backslash in the wildcard at byte \(index + 1) escapes neither * nor \\"
                return self.refuse(node, location, message, "write \\\\ for a backslash itself")
            }
        }
    }

    private mutating func addresses(
        _ text: String,
        _ node: ConfigurationNode,
        at location: ConfigurationPath
    ) -> Rule? {
        let sample = "write it like 10.0.0.0/24 or 2001:db8::/32"
        do throws(IPRange.Problem) {
            return .addresses(try IPRange(text))
        } catch {
            switch error {
            case .noSlash:
                return self.refuse(node, location, "\(node.shown) has no length behind one slash", sample)
            case .notAnAddress:
                return self.refuse(node, location, "\(node.shown) does not begin with an IP address", sample)
            case .badLength(let max):
                let message = "the length in \(node.shown) is not a whole number from 0 to \(max)"
                return self.refuse(node, location, message, sample)
            }
        }
    }

    private mutating func existence(
        _ entry: ConfigurationNode.Entry,
        at location: ConfigurationPath
    ) -> Rule? {
        if let scalar = entry.value.scalar, scalar.isPlain {
            if scalar.text == "true" { return .exists }
            if scalar.text == "false" { return .absent }
        }
        let message = "\"exists\" must be true or false, not \(entry.value.noun)"
        return entry.value.isUnreadable ? nil : self.refuse(entry.value, location, message, nil)
    }

    // MARK: - anything-but

    private mutating func anythingBut(
        _ entry: ConfigurationNode.Entry,
        at location: ConfigurationPath
    ) -> Rule? {
        switch entry.value.content {
        case .invalid:
            return nil
        case .mapping(let entries):
            return self.anythingBut(entries, entry.value, at: location)
        case .sequence(let elements):
            guard !elements.isEmpty else {
                return self.refuse(
                    entry.value,
                    location,
                    "\"anything-but\" has an empty list",
                    "name a value"
                )
            }
            var excluded: [Rule] = []
            for (index, element) in elements.enumerated() {
                guard let rule = self.excluded(element, at: location.index(index)) else { return nil }
                excluded.append(rule)
            }
            let numbers = excluded.count { if case .number = $0 { true } else { false } }
            guard numbers == 0 || numbers == excluded.count else {
                let message = "\"anything-but\" may list texts or numbers, not both"
                return self.refuse(entry.value, location, message, "write two filters, or quote the numbers")
            }
            return .anythingBut(excluded)
        case .scalar:
            return self.excluded(entry.value, at: location).map { .anythingBut([$0]) }
        }
    }

    /// A text or a number.
    private mutating func excluded(_ node: ConfigurationNode, at location: ConfigurationPath) -> Rule? {
        if node.isUnreadable { return nil }
        let before = self.findings.count
        if let scalar = node.scalar, let rule = self.value(scalar, node, at: location) {
            switch rule {
            case .string, .number: return rule
            default: break
            }
        }
        guard self.findings.count == before else { return nil }
        let message = "\"anything-but\" takes texts or numbers, not \(node.noun)"
        return self.refuse(node, location, message, nil)
    }

    /// `anything-but` with `prefix`, `suffix`, `equals-ignore-case` or `wildcard`, each with a text or a list of texts.
    private mutating func anythingBut(
        _ entries: [ConfigurationNode.Entry],
        _ node: ConfigurationNode,
        at location: ConfigurationPath
    ) -> Rule? {
        let names = ["prefix", "suffix", "equals-ignore-case", "wildcard"]
        guard entries.count == 1, names.contains(entries[0].key) else {
            let given = entries.map { "\"\($0.key)\"" }.joined(separator: ", ")
            let found = entries.isEmpty ? "nothing" : given
            let message = "\"anything-but\" takes one of \(names.joined(separator: ", ")), not \(found)"
            return self.refuse(entries.first?.value ?? node, location, message, nil)
        }
        let entry = entries[0]
        let inner = location.key(entry.key)
        guard let nodes = entry.value.elements else {
            return self.excluded(entry.value, by: entry.key, at: inner).map { .anythingBut([$0]) }
        }
        guard !nodes.isEmpty else {
            return self.refuse(entry.value, inner, "\"\(entry.key)\" has an empty list", "name a text")
        }
        var excluded: [Rule] = []
        for (index, element) in nodes.enumerated() {
            guard let rule = self.excluded(element, by: entry.key, at: inner.index(index)) else { return nil }
            excluded.append(rule)
        }
        return .anythingBut(excluded)
    }

    private mutating func excluded(
        _ node: ConfigurationNode,
        by name: String,
        at location: ConfigurationPath
    ) -> Rule? {
        guard let text = self.text(node, of: name, at: location) else { return nil }
        switch name {
        case "equals-ignore-case": return .equalsIgnoringCase(CaseFolded(text))
        case "wildcard": return self.wildcard(text, node, at: location)
        default:
            guard !text.isEmpty else {
                let message = "an empty \(name) is that of every text, so that nothing would match"
                return self.refuse(node, location, message, "name at least one character")
            }
            return name == "prefix" ? .prefix(Array(text.utf8)) : .suffix(Array(text.utf8))
        }
    }

    // MARK: - numeric

    private mutating func numeric(_ entry: ConfigurationNode.Entry, at location: ConfigurationPath) -> Rule? {
        let sample = "write it like [\">\", 0, \"<=\", 5]"
        if entry.value.isUnreadable { return nil }
        guard let terms = entry.value.elements else {
            let message = "\"numeric\" must be a list of comparisons, not \(entry.value.noun)"
            return self.refuse(entry.value, location, message, sample)
        }
        guard terms.count == 2 || terms.count == 4 else {
            let message = "\"numeric\" takes one comparison or two, each a sign and a number"
            return self.refuse(entry.value, location, message, sample)
        }
        guard let first = self.comparison(terms, 0, ["=", "<", "<=", ">", ">="], at: location) else {
            return nil
        }
        var range = NumberRange()
        Self.narrow(&range, first)
        guard terms.count == 4 else { return .range(range) }
        guard first.sign.hasPrefix(">") else {
            let message = "a second comparison can only follow > or >="
            return self.refuse(terms[0], location.index(0), message, sample)
        }
        guard let second = self.comparison(terms, 2, ["<", "<="], at: location) else { return nil }
        Self.narrow(&range, second)
        let isEmpty = second.number < first.number
        let isPoint = second.number == first.number && !(first.sign == ">=" && second.sign == "<=")
        guard !isEmpty, !isPoint else {
            let message = "no number is \(first.sign) \(terms[1].shown) and \(second.sign) \(terms[3].shown)"
            return self.refuse(terms[3], location.index(3), message, "the lower bound comes first")
        }
        return .range(range)
    }

    private mutating func comparison(
        _ terms: [ConfigurationNode],
        _ index: Int,
        _ signs: [String],
        at location: ConfigurationPath
    ) -> (sign: String, number: JSONNumber)? {
        let (sign, number) = (terms[index], terms[index + 1])
        if sign.isUnreadable || number.isUnreadable { return nil }
        guard let text = sign.scalar?.text, signs.contains(text) else {
            let message = "\(sign.noun) is not a comparison that can stand here"
            let advice = "use one of \(signs.joined(separator: " "))"
            return self.refuse(sign, location.index(index), message, advice)
        }
        guard let scalar = number.scalar, scalar.isTyped, let value = JSONNumber(scalar.text) else {
            let message = "\(text) must be followed by a number, not \(number.noun)"
            return self.refuse(number, location.index(index + 1), message, nil)
        }
        guard !value.isCut(from: scalar.text) else {
            let advice = "numbers go up to about 1.8e308, and down to 5e-324"
            return self.refuse(
                number,
                location.index(index + 1),
                "\(scalar.source) cannot be compared",
                advice
            )
        }
        return (text, value)
    }

    private static func narrow(_ range: inout NumberRange, _ comparison: (sign: String, number: JSONNumber)) {
        let bound = NumberRange.Bound(
            number: comparison.number,
            isIncluded: comparison.sign.hasSuffix("=")
        )
        switch comparison.sign {
        case "=": (range.lower, range.upper) = (bound, bound)
        case ">", ">=": range.lower = bound
        default: range.upper = bound
        }
    }

    // MARK: - Findings

    private mutating func refuse<Value>(
        _ node: ConfigurationNode,
        _ location: ConfigurationPath,
        _ message: String,
        _ suggestion: String?
    ) -> Value? {
        self.refuse(at: node.place, location, message, suggestion)
    }

    private mutating func refuse<Value>(
        _ entry: ConfigurationNode.Entry,
        _ location: ConfigurationPath,
        _ message: String,
        _ suggestion: String?
    ) -> Value? {
        self.refuse(at: entry.place, location, message, suggestion)
    }

    private mutating func refuse<Value>(
        at place: Place,
        _ location: ConfigurationPath,
        _ message: String,
        _ suggestion: String?
    ) -> Value? {
        self.findings.append(
            Finding(.badPattern, at: place, path: location, message, suggestion: suggestion)
        )
        return nil
    }
}
