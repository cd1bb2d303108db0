// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
package import PenstockCore

/// A trigger's filters, checked against what its source's records have: any number of pipelines can be made of it.
package struct EventFilterPlan: Sendable {
    /// The patterns, one of which must match.
    package let patterns: [EventPattern]

    private let program: PatternProgram
    let fields: RecordFields

    /// Checks that the patterns name fields that the records have; nil when one does not.
    package init?(
        _ patterns: [EventPattern],
        fields: RecordFields,
        source: String,
        findings: inout [Finding]
    ) {
        let problems = patterns.flatMap { Self.problems(of: $0, fields, source) }.inOrder
        findings += problems
        guard !problems.hasErrors else { return nil }
        self.patterns = patterns
        self.program = PatternProgram(patterns)
        self.fields = fields
    }

    /// The filter of one pipeline.
    package func make() -> EventFilter {
        EventFilter(self.program, self.fields)
    }

    private static func problems(
        of pattern: EventPattern,
        _ fields: RecordFields,
        _ source: String
    ) -> [Finding] {
        pattern.roots.compactMap { root in
            let names = fields.fields.map(\.name)
            guard let field = fields.fields.first(where: { $0.name == root.name }) else {
                let message = "records of \(source) have no field \"\(root.name.prefix(80))\""
                let advice =
                    didYouMean(root.name, among: names) ?? "their fields are \(names.joined(separator: ", "))"
                return Finding(.badPattern, at: root.place, path: root.location, message, suggestion: advice)
            }
            guard root.isNested, !field.part.isNested else { return nil }
            let message = "\"\(root.name)\" is a single value and has no fields"
            return Finding(
                .badPattern,
                at: root.place,
                path: root.location,
                message,
                suggestion: "write \"\(root.name)\": [value]"
            )
        }
    }
}

/// Looks at records as they are received (DESIGN: EventFilter): one walk over a record, whatever the number of patterns.
///
/// Used by one pipeline at a time. No memory is allocated for a record, once the largest was seen.
package final class EventFilter: RecordFilter {
    /// A field that patterns ask for, and its node in the program.
    private struct Binding: BitwiseCopyable {
        enum Kind: UInt8 {
            case body, key, attributes, document, text, timestamp, position, tag, partition
        }

        var node: PatternProgram.Node
        var number: Int
        var kind: Kind
        /// Whether conditions that do not fit the data are left out; otherwise they do not hold.
        var leavesOut = false
    }

    private let tables: ProgramTables
    private let indexer = JSONIndexer()
    private let state: MatcherState
    private let bindings: [Binding]
    private let parts: [RecordFields.Part]
    /// The texts of a tag, by tag; empty when no pattern asks.
    private let tagTexts: [Table<UInt8>]
    /// The body comes last: what is found in it must stay readable until the record is decided.
    private let body: Binding?
    /// Texts and numbers of the block's partitions: for each partition, one for each binding.
    private var partitionValues: [(text: Table<UInt8>?, number: Int64)] = []

    init(_ program: PatternProgram, _ fields: RecordFields) {
        let tables = ProgramTables(program)
        self.tables = tables
        self.state = MatcherState(program)
        var bindings: [Binding] = []
        var parts: [RecordFields.Part] = []
        var tagTexts: [Table<UInt8>] = []
        var body: Binding?
        for field in fields.fields {
            let key = Table(Array(field.name.utf8) + [UInt8](repeating: 0, count: Scratch.tail))
            defer { key.free() }
            guard let child = tables.child(of: tables.nodes[0], key.bytes(count: field.name.utf8.count))
            else {
                continue
            }
            let number = tables.children[child].node
            var binding = Binding(node: tables.nodes[number], number: number, kind: .body)
            switch field.part {
            case .body(let mismatch):
                binding.leavesOut = mismatch == .ignored
                body = binding
                continue
            case .key(let mismatch): (binding.kind, binding.leavesOut) = (.key, mismatch == .ignored)
            case .attributes: binding.kind = .attributes
            case .document: binding.kind = .document
            case .text: binding.kind = .text
            case .timestamp: binding.kind = .timestamp
            case .position: binding.kind = .position
            case .tag(let text):
                binding.kind = .tag
                tagTexts = (0...255).map { Self.padded(text($0)) }
            case .partitionText, .partitionNumber: binding.kind = .partition
            }
            bindings.append(binding)
            parts.append(field.part)
        }
        self.bindings = bindings
        self.parts = parts
        self.tagTexts = tagTexts
        self.body = body
    }

    deinit {
        for text in self.tagTexts { text.free() }
        self.tables.free()
        self.state.free()
        self.indexer.free()
    }

    private static func padded(_ text: String) -> Table<UInt8> {
        Table(Array(text.utf8) + [UInt8](repeating: 0, count: Scratch.tail))
    }

    // MARK: - Records

    package func select(_ block: RecordBlock) -> [Range<Int>] {
        self.takePartitions(of: block)
        defer { self.dropPartitions() }
        var ranges: [Range<Int>] = []
        var start: Int?
        for index in 0..<block.count {
            if self.passes(block, index) {
                if start == nil { start = index }
            } else if let first = start {
                ranges.append(first..<index)
                start = nil
            }
        }
        if let first = start { ranges.append(first..<block.count) }
        return ranges
    }

    private func passes(_ block: RecordBlock, _ index: Int) -> Bool {
        self.state.clear()
        let entry = block.entries[index]
        for place in self.bindings.indices { self.look(at: self.bindings[place], place, entry, block, index) }
        guard let binding = self.body, let body = unsafe block.body(at: index), let bytes = unsafe Bytes(body)
        else {
            return self.isMatch
        }
        guard let text = self.walk(bytes, binding) else {
            self.takeText(bytes, binding)
            return self.isMatch
        }
        self.takeJSON(binding)
        let isMatch = self.isMatch
        // Whether all of the text is JSON is only asked when the answer would be another one for a text.
        let isSame = binding.node.fields.isEmpty && isMatch == binding.leavesOut
        if isSame || JSONValidator.isValid(text) { return isMatch }
        self.takeText(bytes, binding)
        return self.isMatch
    }

    private var isMatch: Bool { self.tables.firstMatch(self.state.flags, self.state.presences) != nil }

    private func look(
        at binding: Binding,
        _ place: Int,
        _ entry: RecordEntry,
        _ block: RecordBlock,
        _ index: Int
    ) {
        switch binding.kind {
        case .body:
            break
        case .key:
            guard let key = unsafe block.key(at: index) else { return }
            unsafe self.lookAtData(key, binding)
        case .attributes:
            self.lookAtAttributes(block, index, binding)
        case .document, .text:
            self.lookAtAttribute(block, index, binding, of: self.parts[place])
        case .timestamp:
            self.leaf(.number(JSONNumber(entry.timestamp.milliseconds)), binding)
        case .position:
            guard let offset = entry.position.offset, let number = Int64(exactly: offset) else { return }
            self.leaf(.number(JSONNumber(number)), binding)
        case .tag:
            self.leaf(.string(self.tagTexts[Int(entry.tag)].unpadded), binding)
        case .partition:
            let value = self.partitionValues[Int(entry.partitionIndex) * self.bindings.count + place]
            if let text = value.text {
                self.leaf(.string(text.unpadded), binding)
            } else {
                self.leaf(.number(JSONNumber(value.number)), binding)
            }
        }
    }

    private func lookAtData(_ data: UnsafeRawBufferPointer, _ binding: Binding) {
        guard let bytes = unsafe Bytes(data) else { return }
        if let text = self.walk(bytes, binding), JSONValidator.isValid(text) {
            self.takeJSON(binding)
        } else {
            self.takeText(bytes, binding)
        }
    }

    /// The first attribute of the part's name.
    private func lookAtAttribute(
        _ block: RecordBlock,
        _ index: Int,
        _ binding: Binding,
        of part: RecordFields.Part
    ) {
        let (wanted, isData): (String, Bool)
        switch part {
        case .document(let name): (wanted, isData) = (name, true)
        case .text(let name): (wanted, isData) = (name, false)
        case .body, .key, .attributes, .timestamp, .position, .tag, .partitionText, .partitionNumber: return
        }
        var isFound = false
        unsafe block.forEachAttribute(at: index) { name, value in
            guard !isFound, unsafe name.elementsEqual(wanted.utf8), let value = unsafe value else { return }
            isFound = true
            if isData {
                unsafe self.lookAtData(value, binding)
            } else if let bytes = unsafe Bytes(value) {
                self.leaf(JSONIndexer.isUTF8(bytes) ? .string(bytes) : .opaque, binding)
            }
        }
    }

    private func leaf(_ value: LeafValue, _ binding: Binding) {
        self.tables.leaf(value, binding.node, self.state.flags, self.state.presences, depth: 0)
    }

    private func lookAtAttributes(_ block: RecordBlock, _ index: Int, _ binding: Binding) {
        let (tables, state) = (self.tables, self.state)
        unsafe block.forEachAttribute(at: index) { name, value in
            guard let key = unsafe Bytes(name), let node = tables.node(under: binding.node, key) else {
                return
            }
            let leaf: LeafValue
            if let value = unsafe value, let bytes = unsafe Bytes(value) {
                // What is not UTF-8 is no text, but it is there.
                leaf = JSONIndexer.isUTF8(bytes) ? .string(bytes) : .opaque
            } else {
                leaf = .word(.null)
            }
            tables.leaf(leaf, node, state.flags, state.presences, depth: 0)
        }
        tables.judgeAll(below: binding.number, state.flags)
    }

    // MARK: - Data: JSON or text

    /// Walks data that looks like a JSON object or array; nil when it is not one.
    private func walk(_ bytes: Bytes, _ binding: Binding) -> IndexedJSON? {
        var start = 0
        while start < bytes.count, IndexedJSON.isBlank(bytes[start]) { start += 1 }
        guard start < bytes.count, bytes[start] == UInt8(ascii: "{") || bytes[start] == UInt8(ascii: "[")
        else {
            return nil
        }
        self.state.scratch.reserve(bytes.count)
        guard let text = self.indexer.index(bytes) else { return nil }
        var walker = PatternWalker(text, self.tables, self.state)
        return walker.walk(binding.number) ? text : nil
    }

    /// The data is JSON: conditions on its text do not fit.
    private func takeJSON(_ binding: Binding) {
        self.markPresent(binding)
        for place in binding.node.fields.range {
            self.state.flags[self.tables.fields[place].flag] = binding.leavesOut ? 1 : 0
        }
    }

    /// The data is not JSON: conditions on its fields do not fit; nor do those on its text, when it is not UTF-8.
    private func takeText(_ bytes: Bytes, _ binding: Binding) {
        let isIgnored = binding.leavesOut
        self.state.flags.fill(binding.node.flags.range, with: isIgnored ? 1 : 0)
        self.state.presences.fill(binding.node.presences.range, with: isIgnored ? 0 : 1)
        self.markPresent(binding)
        guard JSONIndexer.isUTF8(bytes) else { return }
        for place in binding.node.fields.range { self.state.flags[self.tables.fields[place].flag] = 0 }
        self.leaf(.string(bytes), binding)
    }

    private func markPresent(_ binding: Binding) {
        if binding.node.presence >= 0 { self.state.presences[binding.node.presence] = 1 }
    }

    // MARK: - Partitions

    private func takePartitions(of block: RecordBlock) {
        self.partitionValues.removeAll(keepingCapacity: true)
        for partition in block.partitions {
            for part in self.parts {
                switch part {
                case .partitionText(let text): self.partitionValues.append((Self.padded(text(partition)), 0))
                case .partitionNumber(let number): self.partitionValues.append((nil, number(partition)))
                case .body, .key, .attributes, .document, .text, .timestamp, .position, .tag:
                    self.partitionValues.append((nil, 0))
                }
            }
        }
    }

    private func dropPartitions() {
        for value in self.partitionValues { value.text?.free() }
        self.partitionValues.removeAll(keepingCapacity: true)
    }
}

extension Table where Element == UInt8 {
    fileprivate var unpadded: Bytes { self.bytes(count: self.count - Scratch.tail) }
}

extension Bytes {
    fileprivate init?(_ buffer: UnsafeRawBufferPointer) {
        guard let base = buffer.baseAddress else { return nil }
        unsafe self.init(base: base, count: buffer.count)
    }
}
