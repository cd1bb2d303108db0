// SPDX-License-Identifier: Apache-2.0

extension PatternProgram {
    /// Makes one program of all patterns.
    init(_ patterns: [EventPattern]) {
        var compiler = PatternCompiler()
        for (index, pattern) in patterns.enumerated() {
            for clause in pattern.clauses { compiler.add(clause, of: index) }
        }
        self = compiler.finish()
    }
}

/// Builds the tree of paths, then lays it out.
private struct PatternCompiler {
    private typealias Slots = PatternProgram.Slots

    /// What a flag stands for at one node: equal things share a flag.
    private enum Requirement: Hashable {
        case rules([Rule])
        /// Requirements of children that must hold together, and some of which none may, by the child's node and the
        /// place of its requirement there.
        case group([Reference], unless: [Reference])
    }

    private struct Reference: Hashable {
        var node: Int
        var requirement: Int
    }

    private struct Tree {
        var children: [(key: [UInt8], node: Int)] = []
        var places: [[UInt8]: Int] = [:]
        var requirements: [Requirement] = []
        var known: [Requirement: Int] = [:]
        var isWantedAbsent = false

        mutating func place(of requirement: Requirement) -> Int {
            if let place = self.known[requirement] { return place }
            self.requirements.append(requirement)
            self.known[requirement] = self.requirements.count - 1
            return self.requirements.count - 1
        }
    }

    private struct FlatClause {
        var needs: [Reference]
        var absences: [Int]
        var pattern: Int
    }

    private var trees = [Tree()]
    private var clauses: [FlatClause] = []

    /// A condition on the way down the tree.
    private struct Field {
        /// What is left of its path.
        var path: ArraySlice<String>
        var rules: [Rule]
        /// For a path that must be absent: how many steps down the object stands that must not have it.
        var anchor: Int?
    }

    /// A condition that allows absence and values splits its clause in two.
    mutating func add(_ clause: EventPattern.Clause, of pattern: Int) {
        var variants: [(fields: [EventPattern.Condition], absences: [[String]])] = [([], [])]
        for condition in clause.fields {
            let rules = condition.rules.filter { $0 != .absent }
            guard rules.count < condition.rules.count else {
                for index in variants.indices { variants[index].fields.append(condition) }
                continue
            }
            let without = variants.map { (fields: $0.fields, absences: $0.absences + [condition.path]) }
            guard !rules.isEmpty else {
                variants = without
                continue
            }
            var present = condition
            present.rules = rules
            variants = without + variants.map { (fields: $0.fields + [present], absences: $0.absences) }
        }
        for variant in variants {
            var fields = variant.fields.map { Field(path: $0.path[...], rules: $0.rules) }
            var absences: [Int] = []
            for path in variant.absences {
                if let anchor = Self.anchor(of: path, among: variant.fields) {
                    fields.append(Field(path: path[...], rules: [.exists], anchor: anchor))
                } else {
                    let node = self.node(at: path)
                    self.trees[node].isWantedAbsent = true
                    absences.append(node)
                }
            }
            let needs = self.needs(of: fields, at: 0)
            self.clauses.append(FlatClause(needs: needs, absences: absences, pattern: pattern))
        }
    }

    /// How deep the object stands in which a path is looked for, when it shall be absent; nil for the whole record.
    ///
    /// As Event Ruler has it, conditions are taken in the order of their paths' names, and each that holds for an element
    /// of an array settles on that element. A path that is wanted absent then only has to be absent from it.
    private static func anchor(of path: [String], among fields: [EventPattern.Condition]) -> Int? {
        let name = path.joined(separator: ".")
        let shared = fields.filter {
            $0.path.joined(separator: ".").utf8.lexicographicallyPrecedes(name.utf8)
        }.map { field in
            min(zip(field.path, path).prefix { $0 == $1 }.count, field.path.count - 1, path.count - 1)
        }
        return shared.max().flatMap { $0 > 0 ? $0 : nil }
    }

    private mutating func node(at path: [String]) -> Int {
        path.reduce(0) { self.child(of: $0, named: $1) }
    }

    private mutating func child(of node: Int, named name: String) -> Int {
        let key = Array(name.utf8)
        if let known = self.trees[node].places[key] { return known }
        self.trees.append(Tree())
        let child = self.trees.count - 1
        self.trees[node].children.append((key, child))
        self.trees[node].places[key] = child
        return child
    }

    /// What the children of a node must fulfil, so that all conditions hold.
    private mutating func needs(of fields: [Field], at node: Int) -> [Reference] {
        var names: [String] = []
        var byName: [String: [Field]] = [:]
        for field in fields {
            guard let name = field.path.first else { continue }
            if byName[name] == nil { names.append(name) }
            let rest = Field(
                path: field.path.dropFirst(),
                rules: field.rules,
                anchor: field.anchor.map { $0 - 1 }
            )
            byName[name, default: []].append(rest)
        }
        return names.flatMap { name -> [Reference] in
            let child = self.child(of: node, named: name)
            let all = byName[name] ?? []
            var references = all.filter { $0.path.isEmpty }.map { field in
                Reference(node: child, requirement: self.trees[child].place(of: .rules(field.rules)))
            }
            let deeper = all.filter { !$0.path.isEmpty && $0.anchor != 0 }
            // None of an object's absent paths may be there.
            let absent = all.filter { $0.anchor == 0 }.map { Field(path: $0.path, rules: $0.rules) }
            if !deeper.isEmpty {
                let needs = self.needs(of: deeper, at: child)
                let unless = absent.flatMap { self.needs(of: [$0], at: child) }
                let group = self.trees[child].place(of: .group(needs, unless: unless))
                references.append(Reference(node: child, requirement: group))
            }
            return references
        }
    }

    // MARK: - Laying out

    private var program = PatternProgram()

    mutating func finish() -> PatternProgram {
        self.program.nodes = Array(repeating: PatternProgram.Node(), count: self.trees.count)
        self.layOut(0)
        for clause in self.clauses {
            let needs = self.append(clause.needs.map { self.flag($0) })
            let start = self.program.absences.count
            self.program.absences += clause.absences.map { self.program.nodes[$0].presence }
            self.program.clauses.append(
                PatternProgram.Clause(
                    needs: needs,
                    absences: Slots(start..<self.program.absences.count),
                    pattern: clause.pattern
                )
            )
        }
        return self.program
    }

    /// Gives flags to a node, then to all below it; groups can be written when those have theirs.
    private mutating func layOut(_ index: Int) {
        let tree = self.trees[index]
        let flags = self.program.flagCount
        let presences = self.program.presenceCount
        self.program.flagCount += tree.requirements.count
        self.program.nodes[index].ownFlags = Slots(flags..<self.program.flagCount)
        if tree.isWantedAbsent {
            self.program.nodes[index].presence = presences
            self.program.presenceCount += 1
        }
        let firstChild = self.program.children.count
        for child in tree.children {
            self.program.children.append(
                PatternProgram.Child(
                    node: child.node,
                    length: child.key.count,
                    head: PatternProgram.head(of: child.key),
                    start: self.append(bytes: child.key).lowerBound
                )
            )
        }
        self.program.nodes[index].children = Slots(firstChild..<self.program.children.count)
        self.program.nodes[index].isDeep = tree.children.contains { !self.trees[$0.node].children.isEmpty }
        for child in tree.children { self.layOut(child.node) }
        self.program.nodes[index].flags = Slots(flags..<self.program.flagCount)
        self.program.nodes[index].presences = Slots(presences..<self.program.presenceCount)
        self.layOutRequirements(of: index, tree, flags)
    }

    private mutating func layOutRequirements(of index: Int, _ tree: Tree, _ flags: Int) {
        let firstField = self.program.fields.count
        for (place, requirement) in tree.requirements.enumerated() {
            guard case .rules(let rules) = requirement else { continue }
            let range = self.append(rules: rules)
            self.program.fields.append(PatternProgram.Field(rules: range, flag: flags + place))
        }
        self.program.nodes[index].fields = Slots(firstField..<self.program.fields.count)
        let firstGroup = self.program.groups.count
        for (place, requirement) in tree.requirements.enumerated() {
            guard case .group(let references, let unless) = requirement else { continue }
            self.program.groups.append(
                PatternProgram.Group(
                    needs: self.append(references.map { self.flag($0) }),
                    unless: self.append(unless.map { self.flag($0) }),
                    flag: flags + place
                )
            )
        }
        self.program.nodes[index].groups = Slots(firstGroup..<self.program.groups.count)
    }

    private func flag(_ reference: Reference) -> Int {
        self.program.nodes[reference.node].ownFlags.lowerBound + reference.requirement
    }

    private mutating func append(_ flags: [Int]) -> Slots {
        let start = self.program.needs.count
        self.program.needs += flags
        return Slots(start..<self.program.needs.count)
    }

    private mutating func append(bytes: [UInt8]) -> Slots {
        let start = self.program.bytes.count
        self.program.bytes += bytes
        return Slots(start..<self.program.bytes.count)
    }

    /// Rules side by side; the operands of anything-but stand in front of them.
    private mutating func append(rules: [Rule]) -> Slots {
        let flat = rules.map { self.flat($0) }
        let start = self.program.rules.count
        self.program.rules += flat
        return Slots(start..<self.program.rules.count)
    }

    private mutating func flat(_ rule: Rule) -> PatternProgram.FlatRule {
        switch rule {
        case .string(let text): return self.flat(.string, text)
        case .prefix(let text): return self.flat(.prefix, text)
        case .suffix(let text): return self.flat(.suffix, text)
        case .equalsIgnoringCase(let text): return self.flat(.equalsIgnoringCase, text)
        case .prefixIgnoringCase(let text): return self.flat(.prefixIgnoringCase, text)
        case .suffixIgnoringCase(let text): return self.flat(.suffixIgnoringCase, text)
        case .exists: return PatternProgram.FlatRule(kind: .exists, start: 0, count: 0)
        case .word(let word): return PatternProgram.FlatRule(kind: .word, start: Int(word.rawValue), count: 0)
        case .number(let number):
            self.program.numbers.append(number)
            return PatternProgram.FlatRule(kind: .number, start: self.program.numbers.count - 1, count: 1)
        case .range(let range):
            self.program.ranges.append(range)
            return PatternProgram.FlatRule(kind: .range, start: self.program.ranges.count - 1, count: 1)
        case .addresses(let range):
            self.program.addresses.append(range)
            return PatternProgram.FlatRule(
                kind: .addresses,
                start: self.program.addresses.count - 1,
                count: 1
            )
        case .wildcard(let wildcard):
            let pieces = wildcard.pieces.map { self.append(bytes: $0) }
            let start = self.program.pieces.count
            self.program.pieces += pieces
            return PatternProgram.FlatRule(kind: .wildcard, start: start, count: pieces.count)
        case .anythingBut(let rules):
            let range = self.append(rules: rules)
            return PatternProgram.FlatRule(kind: .anythingBut, start: range.lowerBound, count: range.count)
        case .absent:
            preconditionFailure("absence is a matter of the clause")
        }
    }

    private mutating func flat(
        _ kind: PatternProgram.FlatRule.Kind,
        _ text: [UInt8]
    ) -> PatternProgram.FlatRule {
        let range = self.append(bytes: text)
        return PatternProgram.FlatRule(kind: kind, start: range.lowerBound, count: range.count)
    }

    private mutating func flat(
        _ kind: PatternProgram.FlatRule.Kind,
        _ text: CaseFolded
    ) -> PatternProgram.FlatRule {
        PatternProgram.FlatRule(
            kind: kind,
            start: self.append(bytes: text.bytes).lowerBound,
            count: text.count
        )
    }
}
