// SPDX-License-Identifier: Apache-2.0

/// Patterns as the matcher runs them: flat tables, no references.
///
/// All paths of all patterns are one tree. A *flag* says that something holds for the record read so far: a field's rules
/// hold for a value at its node, or a *group* of flags below a node holds for one value there, which for arrays means one
/// and the same element. The flags of a node and all below it stand side by side, so that they are cleared at once.
struct PatternProgram: Sendable {
    /// A range of places in one of the tables, in eight bytes.
    struct Slots: BitwiseCopyable, Sendable {
        private var start: Int32
        private var end: Int32

        init(_ range: Range<Int>) {
            self.start = Int32(range.lowerBound)
            self.end = Int32(range.upperBound)
        }

        static let none = Slots(0..<0)

        var lowerBound: Int { Int(self.start) }
        var upperBound: Int { Int(self.end) }
        var isEmpty: Bool { self.start == self.end }
        var count: Int { Int(self.end - self.start) }

        @inline(__always)
        var range: Range<Int> { unsafe Range(uncheckedBounds: (Int(self.start), Int(self.end))) }
    }

    /// A step of the paths.
    struct Node: BitwiseCopyable, Sendable {
        var children = Slots.none
        /// Rules for values that stand here.
        var fields = Slots.none
        /// What must hold together below.
        var groups = Slots.none
        /// Its own flags, and those of all nodes below it.
        var flags = Slots.none
        /// Its own flags: the first of them.
        var ownFlags = Slots.none
        /// Paths at and below it that patterns want to be absent.
        var presences = Slots.none
        /// Its own place among them, or -1.
        var presence = -1
        /// Whether one of the children has children, so that a key with a dot may lead there.
        var isDeep = false
    }

    /// A key and where it leads.
    struct Child: BitwiseCopyable, Sendable {
        var node: Int
        var length: Int
        /// The first eight bytes, the first one lowest, zeros behind the end.
        var head: UInt64
        /// Where the key stands in `bytes`.
        var start: Int
    }

    /// Rules, one of which must hold.
    struct Field: BitwiseCopyable, Sendable {
        var rules: Slots
        var flag: Int
    }

    /// Flags that must hold together, and flags of which none may.
    struct Group: BitwiseCopyable, Sendable {
        var needs: Slots
        var unless: Slots
        var flag: Int
    }

    /// Flags that must hold and paths that must be absent: when they do, a pattern matches.
    struct Clause: BitwiseCopyable, Sendable {
        var needs: Slots
        var absences: Slots
        /// The pattern's place in the list.
        var pattern: Int
    }

    /// A rule without references: `start` and `count` say where its operands are.
    struct FlatRule: BitwiseCopyable, Sendable {
        enum Kind: UInt8, Sendable {
            case string, number, word, exists, prefix, suffix, wildcard, range, addresses, anythingBut
            case equalsIgnoringCase, prefixIgnoringCase, suffixIgnoringCase
        }

        var kind: Kind
        /// In `bytes` for texts, in `pieces` for wildcards, in `rules` for anything-but, in `numbers`, `ranges`,
        /// `addresses`; the word itself.
        var start: Int
        /// Bytes, pieces, rules, or letters.
        var count: Int
    }

    var nodes: [Node] = []
    var children: [Child] = []
    var fields: [Field] = []
    var groups: [Group] = []
    var needs: [Int] = []
    var clauses: [Clause] = []
    var absences: [Int] = []
    var rules: [FlatRule] = []
    var pieces: [Slots] = []
    var numbers: [JSONNumber] = []
    var ranges: [NumberRange] = []
    var addresses: [IPRange] = []
    var bytes: [UInt8] = []
    var flagCount = 0
    var presenceCount = 0

    /// The head of a key.
    static func head(of key: some Sequence<UInt8>) -> UInt64 {
        key.prefix(8).enumerated().reduce(0) { $0 | UInt64($1.element) << UInt64($1.offset * 8) }
    }
}
