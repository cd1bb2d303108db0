// SPDX-License-Identifier: Apache-2.0

internal import Yams

/// Makes nodes of the parser's: resolves merge keys and placeholders, holds the limits.
struct NodeBuilder {
    private(set) var findings: [Finding] = []

    private let file: String
    private let substitution: Substitution
    private var nodes = 0

    init(file: String, substitution: Substitution) {
        self.file = file
        self.substitution = substitution
    }

    mutating func build(_ node: Yams.Node) -> ConfigurationNode {
        self.build(node, path: .root, depth: 0)
    }

    private mutating func build(_ node: Yams.Node, path: ConfigurationPath, depth: Int) -> ConfigurationNode {
        let place = self.place(of: node)
        self.nodes += 1
        if self.nodes > ConfigurationLoader.nodesMax {
            let message = "the file has more than \(ConfigurationLoader.nodesMax) values, aliases counted"
            return self.refuse(.tooLarge, place, path, message, "use fewer aliases")
        }
        if depth > ConfigurationLoader.depthMax {
            let message = "lists and mappings are nested more than \(ConfigurationLoader.depthMax) deep"
            return self.refuse(.tooDeep, place, path, message, "flatten the value")
        }
        switch node {
        case .scalar(let scalar):
            return self.scalar(scalar, place, path)
        case .sequence(let sequence):
            var elements: [ConfigurationNode] = []
            for (index, element) in sequence.enumerated() {
                elements.append(self.build(element, path: path.index(index), depth: depth + 1))
            }
            return ConfigurationNode(.sequence(elements), at: place)
        case .mapping(let mapping):
            return self.mapping(mapping, place, path, depth)
        case .alias:
            return self.refuse(
                .unsupportedYAML,
                place,
                path,
                "this alias is not resolved",
                "write the value out"
            )
        }
    }

    private mutating func scalar(
        _ scalar: Yams.Node.Scalar,
        _ place: Place,
        _ path: ConfigurationPath
    ) -> ConfigurationNode {
        let tag = scalar.tag.description
        guard ["", "!", "tag:yaml.org,2002:str"].contains(tag) else {
            let advice = "remove it; each field knows its type"
            return self.refuse(
                .unsupportedYAML,
                place,
                path,
                "the YAML tag \"\(tag)\" is not used here",
                advice
            )
        }
        let outcome = self.substitution.apply(to: scalar.string)
        guard outcome.problems.isEmpty else {
            self.findings += outcome.problems.map {
                Finding($0.code, at: place, path: path, $0.message, suggestion: $0.suggestion)
            }
            return ConfigurationNode(.invalid, at: place)
        }
        let content = ConfigurationNode.Scalar(
            text: outcome.text,
            source: scalar.string,
            isPlain: scalar.style == .plain && tag.isEmpty,
            isSubstituted: outcome.isSubstituted
        )
        return ConfigurationNode(.scalar(content), at: place)
    }

    /// A mapping's own keys win over merged ones, and earlier merged mappings over later ones (YAML 1.1,
    /// merge).
    private mutating func mapping(
        _ mapping: Yams.Node.Mapping,
        _ place: Place,
        _ path: ConfigurationPath,
        _ depth: Int
    ) -> ConfigurationNode {
        var entries: [ConfigurationNode.Entry] = []
        var merged: [ConfigurationNode.Entry] = []
        var keys: Set<String> = []
        for (key, value) in mapping {
            let keyPlace = self.place(of: key)
            guard case .scalar(let scalar) = key else {
                _ = self.refuse(
                    .unsupportedYAML,
                    keyPlace,
                    path,
                    "a key must be a text",
                    "write it as one word"
                )
                continue
            }
            if scalar.string == "<<", scalar.style == .plain {
                merged += self.merge(value, path, depth)
                continue
            }
            guard keys.insert(scalar.string).inserted else {
                let message = "key \"\(scalar.string)\" is given twice"
                _ = self.refuse(
                    .duplicateKey,
                    keyPlace,
                    path.key(scalar.string),
                    message,
                    "remove one of them"
                )
                continue
            }
            let child = self.build(value, path: path.key(scalar.string), depth: depth + 1)
            entries.append(ConfigurationNode.Entry(key: scalar.string, place: keyPlace, value: child))
        }
        for entry in merged where keys.insert(entry.key).inserted {
            entries.append(entry)
        }
        return ConfigurationNode(.mapping(entries), at: place)
    }

    private mutating func merge(
        _ node: Yams.Node,
        _ path: ConfigurationPath,
        _ depth: Int
    ) -> [ConfigurationNode.Entry] {
        let built = self.build(node, path: path, depth: depth + 1)
        if case .mapping(let entries) = built.content { return entries }
        let parts = built.elements ?? []
        let mappings = parts.compactMap { part -> [ConfigurationNode.Entry]? in
            guard case .mapping(let entries) = part.content else { return nil }
            return entries
        }
        if !built.isInvalid, parts.isEmpty || mappings.count != parts.count {
            let message = "the merge key << needs a mapping or a list of mappings"
            _ = self.refuse(.unsupportedYAML, built.place, path, message, "write <<: *anchor")
        }
        return mappings.flatMap(\.self)
    }

    private func place(of node: Yams.Node) -> Place {
        Place(file: self.file, line: node.mark?.line, column: node.mark?.column)
    }

    /// A limit is told once, however often it is crossed.
    private mutating func refuse(
        _ code: Finding.Code,
        _ place: Place,
        _ path: ConfigurationPath,
        _ message: String,
        _ suggestion: String
    ) -> ConfigurationNode {
        let isLimit = code == .tooLarge || code == .tooDeep
        if !isLimit || !self.findings.contains(where: { $0.code == code }) {
            let path = isLimit ? .root : path
            self.findings.append(Finding(code, at: place, path: path, message, suggestion: suggestion))
        }
        return ConfigurationNode(.invalid, at: place)
    }
}
