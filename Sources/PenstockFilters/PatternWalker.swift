// SPDX-License-Identifier: Apache-2.0

/// A value that rules are tried on.
enum LeafValue {
    case string(Bytes)
    case number(JSONNumber)
    case word(Rule.Word)
    /// Bytes that are no text: there, and equal to nothing.
    case opaque
}

/// One walk of a program over one record: sets the flags for what holds.
///
/// All its parts are plain values; it lives on the stack of ``PatternMatcher``'s calls.
struct PatternWalker {
    let tables: ProgramTables
    let flags: Table<UInt8>
    /// For each path wanted absent: 0 while nothing was seen there, else one more than the depth of arrays that it
    /// belongs to.
    let presences: Table<UInt16>
    let text: IndexedJSON
    let scratch: Scratch

    private var index = 0
    private var arrayDepth = 0
    /// Whether a key led down more than one step, so that the objects on its way did not come whole.
    private var hasPaths = false

    init(_ text: IndexedJSON, _ tables: ProgramTables, _ state: MatcherState) {
        self.text = text
        self.tables = tables
        self.flags = state.flags
        self.presences = state.presences
        self.scratch = state.scratch
    }

    /// Walks the whole text as the value at `node`; false when what was passed on the way is not JSON.
    mutating func walk(_ node: Int) -> Bool {
        self.value(node) && self.index == self.text.count
    }

    // MARK: - Values

    private mutating func value(_ number: Int) -> Bool {
        let node = self.tables.nodes[number]
        switch self.text.byte(self.index) {
        case UInt8(ascii: "{"):
            guard !node.children.isEmpty else { return self.skip() }
            return self.object(node)
        case UInt8(ascii: "["):
            return self.array(number, node)
        case UInt8(ascii: "\""):
            guard let raw = self.text.string(self.index) else { return false }
            self.index += 1
            if node.fields.isEmpty, node.presence < 0 { return true }
            guard let string = self.unescaped(raw) else { return false }
            self.tables.leaf(.string(string), node, self.flags, self.presences, depth: self.arrayDepth)
            return true
        default:
            return self.scalar(node)
        }
    }

    private mutating func scalar(_ node: PatternProgram.Node) -> Bool {
        guard self.index < self.text.count else { return false }
        let scalar = self.text.scalar(self.index)
        let value: LeafValue
        if let word = IndexedJSON.word(scalar) {
            value = .word(word)
        } else if let number = unsafe JSONNumber(scalar.buffer) {
            value = .number(number)
        } else {
            return false
        }
        self.index += 1
        self.tables.leaf(value, node, self.flags, self.presences, depth: self.arrayDepth)
        return true
    }

    @inline(__always)
    private func unescaped(_ raw: Bytes) -> Bytes? {
        guard self.text.hasEscapes, raw.contains(UInt8(ascii: "\\")) else { return raw }
        return unsafe JSONEscapes.unescape(raw, to: self.scratch.base)
    }

    private mutating func object(_ node: PatternProgram.Node) -> Bool {
        self.index += 1
        if self.text.byte(self.index) == UInt8(ascii: "}") {
            self.index += 1
            self.tables.judge(node, self.flags)
            return true
        }
        // Which children came already: the last of several equal keys wins.
        var seen: UInt64 = 0
        while true {
            guard self.text.byte(self.index) == UInt8(ascii: "\""),
                self.text.byte(self.index + 1) == UInt8(ascii: ":"),
                let key = self.text.string(self.index)
            else { return false }
            self.index += 2
            guard self.member(key, of: node, &seen) else { return false }
            let byte = self.text.byte(self.index)
            self.index += 1
            if byte == UInt8(ascii: "}") { break }
            guard byte == UInt8(ascii: ",") else { return false }
        }
        if self.hasPaths {
            for child in node.children.range {
                self.tables.judgeAll(below: self.tables.children[child].node, self.flags)
            }
        }
        self.tables.judge(node, self.flags)
        return true
    }

    @inline(__always)
    private mutating func member(_ raw: Bytes, of node: PatternProgram.Node, _ seen: inout UInt64) -> Bool {
        var key = raw
        if self.text.hasEscapes {
            guard let unescaped = self.unescaped(raw) else { return false }
            key = unescaped
        }
        if let child = self.tables.child(of: node, key) {
            let place = child - node.children.lowerBound
            let bit: UInt64 = place < 64 ? 1 << UInt64(place) : .max
            let number = self.tables.children[child].node
            if seen & bit != 0 { self.forget(number) }
            seen |= place < 64 ? bit : 0
            return self.value(number)
        }
        if node.isDeep, key.contains(UInt8(ascii: ".")) { return self.dotted(key, of: node) }
        return self.skip()
    }

    /// A key with dots is a path (esm-spec 5.1).
    private mutating func dotted(_ key: Bytes, of node: PatternProgram.Node) -> Bool {
        for place in node.children.range {
            let child = self.tables.children[place]
            guard child.length < key.count, key[child.length] == UInt8(ascii: "."),
                key.hasPrefix(self.tables.key(of: child))
            else { continue }
            let inner = self.tables.nodes[child.node]
            let rest = key.slice(child.length + 1, key.count - child.length - 1)
            let isFound: Bool
            if let next = self.tables.child(of: inner, rest) {
                isFound = self.value(self.tables.children[next].node)
            } else {
                isFound = self.dotted(rest, of: inner)
            }
            self.tables.judgePart(inner, self.flags)
            self.hasPaths = true
            return isFound
        }
        return self.skip()
    }

    /// What an earlier key of the same name set.
    private func forget(_ number: Int) {
        let node = self.tables.nodes[number]
        self.flags.fill(node.flags.range, with: 0)
        for place in node.presences.range where Int(self.presences[place]) > self.arrayDepth {
            self.presences[place] = 0
        }
    }

    /// The elements one after the other; conditions that belong together must hold for one of them.
    private mutating func array(_ number: Int, _ node: PatternProgram.Node) -> Bool {
        self.index += 1
        if self.text.byte(self.index) == UInt8(ascii: "]") {
            self.index += 1
            return true
        }
        guard self.arrayDepth < IndexedJSON.depthMax else { return false }
        self.arrayDepth += 1
        let below = node.ownFlags.upperBound..<node.flags.upperBound
        while true {
            self.flags.fill(below, with: 0)
            guard self.value(number) else { return false }
            for place in node.presences.range where Int(self.presences[place]) == self.arrayDepth + 1 {
                // From now on it belongs to the array.
                self.presences[place] -= 1
            }
            let byte = self.text.byte(self.index)
            self.index += 1
            if byte == UInt8(ascii: "]") { break }
            guard byte == UInt8(ascii: ",") else { return false }
        }
        self.arrayDepth -= 1
        return true
    }

    /// Passes over a value without a look at it; only its brackets are counted.
    @inline(__always)
    private mutating func skip() -> Bool {
        var index = self.index
        let count = self.text.count
        guard index < count else { return false }
        let first = self.text.byte(index)
        index += 1
        let steps = self.tables.depthSteps
        var depth = Int(steps[Int(first)])
        guard depth >= 0, first != UInt8(ascii: ","), first != UInt8(ascii: ":") else { return false }
        while depth > 0, index < count {
            depth += Int(steps[Int(self.text.bytes[self.text.place(index)])])
            index += 1
        }
        self.index = index
        return depth == 0
    }
}
