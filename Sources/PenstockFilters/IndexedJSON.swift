// SPDX-License-Identifier: Apache-2.0

internal import CSimdjson

/// A JSON text with the places of its structure: of each bracket, colon and comma, and of the first byte of each string,
/// number and word.
@safe
struct IndexedJSON {
    let bytes: Bytes
    private let places: UnsafePointer<UInt32>
    /// How many places.
    let count: Int
    /// Whether a backslash stands anywhere; without one, strings are what they look like.
    let hasEscapes: Bool

    /// The deepest nesting of a text that counts as JSON.
    static let depthMax = 512

    fileprivate init(bytes: Bytes, places: UnsafePointer<UInt32>, count: Int) {
        self.bytes = bytes
        unsafe self.places = unsafe places
        self.count = count
        self.hasEscapes = bytes.contains(UInt8(ascii: "\\"))
    }

    /// Where the `index`th piece of structure begins; behind the last one, the text's end.
    @inline(__always)
    func place(_ index: Int) -> Int {
        assert(index >= 0 && index <= self.count)
        return unsafe Int(self.places[index])
    }

    /// The first byte of the `index`th piece of structure; 0 behind the last one.
    @inline(__always)
    func byte(_ index: Int) -> UInt8 {
        index < self.count ? self.bytes[self.place(index)] : 0
    }

    /// The string, number or word that begins at `index`, without blanks behind it.
    @inline(__always)
    func scalar(_ index: Int) -> Bytes {
        let start = self.place(index)
        var end = self.place(index + 1)
        while end > start, Self.isBlank(self.bytes[end - 1]) { end -= 1 }
        return self.bytes.slice(start, end - start)
    }

    /// What stands between the quotes of the string that begins at `index`; nil when there is more than a string.
    @inline(__always)
    func string(_ index: Int) -> Bytes? {
        let scalar = self.scalar(index)
        guard scalar.count >= 2, scalar[scalar.count - 1] == UInt8(ascii: "\"") else { return nil }
        return scalar.slice(1, scalar.count - 2)
    }

    @inline(__always)
    static func isBlank(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    /// null, true or false.
    @inline(__always)
    static func word(_ scalar: Bytes) -> Rule.Word? {
        switch scalar.head {
        case PatternProgram.nullHead where scalar.count == 4: .null
        case PatternProgram.trueHead where scalar.count == 4: .yes
        case PatternProgram.falseHead where scalar.count == 5: .no
        default: nil
        }
    }
}

extension PatternProgram {
    static let nullHead = UInt64(0x6C6C_756E)
    static let trueHead = UInt64(0x6575_7274)
    static let falseHead = UInt64(0x65_736C_6166)
}

/// Finds the structure of texts, one at a time; simdjson behind it.
@safe
struct JSONIndexer {
    private let parser: OpaquePointer?

    /// Without memory it finds every text unreadable.
    init() {
        unsafe self.parser = csimdjson_parser_make()
    }

    func free() {
        unsafe csimdjson_parser_free(self.parser)
    }

    /// The longest text for which there is memory now.
    var capacity: Int { unsafe self.parser.map { unsafe csimdjson_capacity($0) } ?? 0 }

    /// The text with its structure, valid until the next call; nil when it is not JSON for sure.
    @inline(__always)
    func index(_ bytes: Bytes) -> IndexedJSON? {
        guard let parser = unsafe self.parser else { return nil }
        var places: UnsafePointer<UInt32>?
        let text = unsafe bytes.base.assumingMemoryBound(to: UInt8.self)
        let count = unsafe csimdjson_index(parser, text, bytes.count, &places)
        guard count > 0, let places = unsafe places else { return nil }
        return unsafe IndexedJSON(bytes: bytes, places: places, count: count)
    }

    /// Whether the bytes are UTF-8.
    static func isUTF8(_ bytes: Bytes) -> Bool {
        unsafe csimdjson_is_utf8(bytes.base.assumingMemoryBound(to: UInt8.self), bytes.count)
    }
}
