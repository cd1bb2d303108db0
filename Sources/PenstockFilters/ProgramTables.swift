// SPDX-License-Identifier: Apache-2.0

/// A ``PatternProgram`` in tables, and what one value means to it.
struct ProgramTables {
    let nodes: Table<PatternProgram.Node>
    let children: Table<PatternProgram.Child>
    let fields: Table<PatternProgram.Field>
    let groups: Table<PatternProgram.Group>
    let needs: Table<Int>
    let clauses: Table<PatternProgram.Clause>
    let absences: Table<Int>
    /// 1 for an opening bracket, -1 for a closing one, 0 for every other byte.
    let depthSteps: Table<Int8>
    private let rules: Table<PatternProgram.FlatRule>
    private let pieces: Table<PatternProgram.Slots>
    private let numbers: Table<JSONNumber>
    private let ranges: Table<NumberRange>
    private let addresses: Table<IPRange>
    private let memory: Table<UInt8>
    private let bytes: Bytes

    init(_ program: PatternProgram) {
        self.nodes = Table(program.nodes)
        self.children = Table(program.children)
        self.fields = Table(program.fields)
        self.groups = Table(program.groups)
        self.needs = Table(program.needs)
        self.clauses = Table(program.clauses)
        self.absences = Table(program.absences)
        self.depthSteps = Table(
            (0...255).map { "{[".utf8.contains($0) ? 1 : "}]".utf8.contains($0) ? -1 : 0 }
        )
        self.rules = Table(program.rules)
        self.pieces = Table(program.pieces)
        self.numbers = Table(program.numbers)
        self.ranges = Table(program.ranges)
        self.addresses = Table(program.addresses)
        self.memory = Table(program.bytes + [UInt8](repeating: 0, count: Scratch.tail))
        self.bytes = self.memory.bytes(count: program.bytes.count)
    }

    func free() {
        self.nodes.free()
        self.children.free()
        self.fields.free()
        self.groups.free()
        self.needs.free()
        self.clauses.free()
        self.absences.free()
        self.depthSteps.free()
        self.rules.free()
        self.pieces.free()
        self.numbers.free()
        self.ranges.free()
        self.addresses.free()
        self.memory.free()
    }

    // MARK: - Keys

    /// The place of the child with that key; nil when there is none.
    @inline(__always)
    func child(of node: PatternProgram.Node, _ key: Bytes) -> Int? {
        let head = key.head
        for place in node.children.range {
            let child = self.children[place]
            guard child.head == head, child.length == key.count else { continue }
            if child.length <= 8 || self.key(of: child).equals(key) { return place }
        }
        return nil
    }

    /// The node that a key leads to, whose dots are steps; nil when there is none.
    func node(under node: PatternProgram.Node, _ key: Bytes) -> PatternProgram.Node? {
        if let place = self.child(of: node, key) { return self.nodes[self.children[place].node] }
        guard node.isDeep else { return nil }
        for place in node.children.range {
            let child = self.children[place]
            guard child.length < key.count, key[child.length] == UInt8(ascii: "."),
                key.hasPrefix(self.key(of: child))
            else { continue }
            let rest = key.slice(child.length + 1, key.count - child.length - 1)
            return self.node(under: self.nodes[child.node], rest)
        }
        return nil
    }

    func key(of child: PatternProgram.Child) -> Bytes {
        self.bytes.slice(child.start, child.length)
    }

    // MARK: - Flags

    /// Tries a node's rules on a value that stands there.
    @inline(__always)
    func leaf(
        _ value: LeafValue,
        _ node: PatternProgram.Node,
        _ flags: Table<UInt8>,
        _ presences: Table<UInt16>,
        depth: Int
    ) {
        if node.presence >= 0 {
            let mark = UInt16(truncatingIfNeeded: depth + 1)
            let before = presences[node.presence]
            if before == 0 || before > mark { presences[node.presence] = mark }
        }
        for place in node.fields.range {
            let field = self.fields[place]
            if flags[field.flag] == 0, self.matches(anyOf: field.rules.range, value) { flags[field.flag] = 1 }
        }
    }

    /// Sets the flags of a node's groups that hold now that all of an object was seen.
    @inline(__always)
    func judge(_ node: PatternProgram.Node, _ flags: Table<UInt8>) {
        for place in node.groups.range {
            let group = self.groups[place]
            guard flags[group.flag] == 0, self.allHold(group.needs, flags),
                group.unless.isEmpty || self.noneHolds(group.unless, flags)
            else { continue }
            flags[group.flag] = 1
        }
    }

    /// The same when a key with dots reached into the object: what is absent so far may still come, and what came now
    /// may have been taken for absent.
    func judgePart(_ node: PatternProgram.Node, _ flags: Table<UInt8>) {
        for place in node.groups.range {
            let group = self.groups[place]
            if !self.noneHolds(group.unless, flags) {
                flags[group.flag] = 0
            } else if group.unless.isEmpty, self.allHold(group.needs, flags) {
                flags[group.flag] = 1
            }
        }
    }

    /// Sets the flags of the groups at and below a node, when its values did not come as one object.
    func judgeAll(below number: Int, _ flags: Table<UInt8>) {
        let node = self.nodes[number]
        for place in node.children.range { self.judgeAll(below: self.children[place].node, flags) }
        self.judge(node, flags)
    }

    /// The place of the first pattern that holds; nil when none does.
    @inline(__always)
    func firstMatch(_ flags: Table<UInt8>, _ presences: Table<UInt16>) -> Int? {
        for place in 0..<self.clauses.count {
            let clause = self.clauses[place]
            guard self.allHold(clause.needs, flags) else { continue }
            var isAbsent = true
            for absence in clause.absences.range where presences[self.absences[absence]] != 0 {
                isAbsent = false
            }
            if isAbsent { return clause.pattern }
        }
        return nil
    }

    @inline(__always)
    private func allHold(_ needs: PatternProgram.Slots, _ flags: Table<UInt8>) -> Bool {
        for need in needs.range where flags[self.needs[need]] == 0 { return false }
        return true
    }

    private func noneHolds(_ flags: PatternProgram.Slots, _ table: Table<UInt8>) -> Bool {
        for flag in flags.range where table[self.needs[flag]] != 0 { return false }
        return true
    }

    // MARK: - Rules

    @inline(__always)
    private func matches(anyOf rules: Range<Int>, _ value: LeafValue) -> Bool {
        for place in rules where self.matches(self.rules[place], value) { return true }
        return false
    }

    private func matches(_ rule: PatternProgram.FlatRule, _ value: LeafValue) -> Bool {
        switch rule.kind {
        case .exists:
            return true
        case .anythingBut:
            return !self.matches(anyOf: rule.start..<rule.start + rule.count, value)
        case .word:
            guard case .word(let word) = value else { return false }
            return Int(word.rawValue) == rule.start
        case .number:
            guard case .number(let number) = value else { return false }
            return self.numbers[rule.start] == number
        case .range:
            guard case .number(let number) = value else { return false }
            return self.ranges[rule.start].contains(number)
        case .string, .prefix, .suffix, .wildcard, .addresses, .equalsIgnoringCase, .prefixIgnoringCase,
            .suffixIgnoringCase:
            guard case .string(let text) = value else { return false }
            return self.matches(rule, text: text)
        }
    }

    private func matches(_ rule: PatternProgram.FlatRule, text: Bytes) -> Bool {
        switch rule.kind {
        case .string: text.equals(self.bytes.slice(rule.start, rule.count))
        case .prefix: text.hasPrefix(self.bytes.slice(rule.start, rule.count))
        case .suffix: text.hasSuffix(self.bytes.slice(rule.start, rule.count))
        case .wildcard: self.matches(wildcard: rule, text)
        case .equalsIgnoringCase: self.folded(rule, text) == text.count
        case .prefixIgnoringCase: self.folded(rule, text) != nil
        case .suffixIgnoringCase: self.endsFolded(rule, text)
        case .addresses:
            unsafe IPAddress(text.buffer).map { self.addresses[rule.start].contains($0) } ?? false
        case .exists, .anythingBut, .word, .number, .range: false
        }
    }

    /// Each piece is taken where it first fits behind the one before, so that no star is tried twice.
    private func matches(wildcard rule: PatternProgram.FlatRule, _ text: Bytes) -> Bool {
        func piece(_ index: Int) -> Bytes {
            let range = self.pieces[rule.start + index]
            return self.bytes.slice(range.lowerBound, range.count)
        }
        let first = piece(0)
        guard rule.count > 1 else { return text.equals(first) }
        let last = piece(rule.count - 1)
        guard text.count >= first.count + last.count, text.hasPrefix(first), text.hasSuffix(last) else {
            return false
        }
        let middle = text.slice(0, text.count - last.count)
        var start = first.count
        for index in 1..<rule.count - 1 {
            let next = piece(index)
            guard let found = middle.firstIndex(of: next, from: start) else { return false }
            start = found + next.count
        }
        return true
    }

    /// How many bytes of the text the rule's letters take from its start, in either case; nil when it begins otherwise.
    private func folded(_ rule: PatternProgram.FlatRule, _ text: Bytes) -> Int? {
        var cursor = rule.start
        var index = 0
        for _ in 0..<rule.count {
            let (lower, upper) = self.spellings(&cursor)
            let rest = text.slice(index, text.count - index)
            if rest.hasPrefix(lower) {
                index += lower.count
            } else if rest.hasPrefix(upper) {
                index += upper.count
            } else {
                return nil
            }
        }
        return index
    }

    /// The same from the end: the rule's letters stand last one first.
    private func endsFolded(_ rule: PatternProgram.FlatRule, _ text: Bytes) -> Bool {
        var cursor = rule.start
        var end = text.count
        for _ in 0..<rule.count {
            let (lower, upper) = self.spellings(&cursor)
            let rest = text.slice(0, end)
            if rest.hasSuffix(lower) {
                end -= lower.count
            } else if rest.hasSuffix(upper) {
                end -= upper.count
            } else {
                return false
            }
        }
        return true
    }

    private func spellings(_ cursor: inout Int) -> (lower: Bytes, upper: Bytes) {
        let lower = self.bytes.slice(cursor + 1, Int(self.bytes[cursor]))
        cursor += 1 + lower.count
        let upper = self.bytes.slice(cursor + 1, Int(self.bytes[cursor]))
        cursor += 1 + upper.count
        return (lower, upper)
    }
}

extension Table where Element == UInt8 {
    /// The first bytes as bytes.
    func bytes(count: Int) -> Bytes {
        unsafe Bytes(base: UnsafeRawPointer(self.address), count: count)
    }
}
