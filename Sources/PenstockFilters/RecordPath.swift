// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
import Synchronization

/// A place in a record's event that records are ordered by, such as `value.customer.id`: a field of the source's
/// records, named as filters name it, and members of the JSON in it.
package struct RecordPath: Sendable, Equatable, CustomStringConvertible {
    /// Why a text is no path.
    package struct Malformed: Error, CustomStringConvertible {
        package let description: String
    }

    /// The text, as it is written.
    package let description: String

    /// The record's field.
    package let field: String

    /// What follows it: the names of members, or the name of a header.
    private let rest: Substring?

    /// The record's own key.
    package static let key = RecordPath(description: "key", field: "key", rest: nil)

    private init(description: String, field: String, rest: Substring?) {
        self.description = description
        self.field = field
        self.rest = rest
    }

    /// Reads `field`, `field.member` or `field.member.member`.
    package init(_ text: String) throws {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard !parts.contains(where: \.isEmpty) else {
            throw Malformed(description: text.isEmpty ? "it is empty" : "a name between two dots is empty")
        }
        guard parts.count <= 32 else { throw Malformed(description: "it has more than 32 names") }
        self.description = text
        self.field = String(parts[0])
        self.rest = parts.count > 1 ? text[parts[1].startIndex...] : nil
    }

    /// The key that it stands for in records with these fields.
    ///
    /// - Throws: ``Malformed``, whose description ends the sentence `"ordering_key" …`.
    package func key(in fields: RecordFields) throws -> any OrderingKey {
        let names = fields.fields.filter(\.part.isNested).map(\.name)
        guard let part = fields.fields.first(where: { $0.name == self.field })?.part, part.isNested else {
            throw Malformed(
                description:
                    "names \"\(self.field.prefix(80))\"; a key is in \(names.joined(separator: ", "))"
            )
        }
        switch (part, self.rest) {
        case (.key, nil):
            return RecordKey()
        case (.attributes, let name?):
            return RecordPathKey(.attribute, [String(name)])
        case (.key, let members?):
            return RecordPathKey(.key, members.split(separator: ".").map(String.init))
        case (.body, let members?):
            return RecordPathKey(.body, members.split(separator: ".").map(String.init))
        case (.document(let name), let members?):
            return RecordPathKey(.document(name), members.split(separator: ".").map(String.init))
        case (.attributes, nil), (.body, nil), (.document, nil):
            throw Malformed(
                description: "names all of \"\(self.field)\"; add what in it, as in \(self.field).name"
            )
        case (.text, _), (.timestamp, _), (.position, _), (.tag, _), (.partitionText, _),
            (.partitionNumber, _):
            preconditionFailure("a field without parts: \(self.field)")
        }
    }
}

/// The text at a path of each record.
///
/// A string counts by what it means, a number, `true` and `false` by how they are written. A record has no key when the
/// path is not there, leads to null, an object or an array, or when the data on the way is not JSON. Of several members of
/// one name the first counts. Safe to call from any thread; used by one engine at a time it never waits.
final class RecordPathKey: OrderingKey {
    enum Part: Sendable {
        case body, key, attribute
        /// In the JSON that the first attribute of this name holds.
        case document(String)
    }

    private let part: Part
    private let name: [UInt8]
    private let finder: Mutex<PathFinder>

    init(_ part: Part, _ names: [String]) {
        self.part = part
        self.name = Array((names.first ?? "").utf8)
        self.finder = Mutex(PathFinder(names))
    }

    func hash(of block: RecordBlock, at index: Int) -> UInt64? {
        switch self.part {
        case .body: unsafe self.hash(block.body(at: index))
        case .key: unsafe self.hash(block.key(at: index))
        case .attribute:
            unsafe self.attributeHash(of: block, at: index, self.name) { unsafe RecordKey.hash($0) }
        case .document(let name):
            unsafe self.attributeHash(of: block, at: index, Array(name.utf8)) { unsafe self.hash($0) }
        }
    }

    private func hash(_ data: UnsafeRawBufferPointer?) -> UInt64? {
        guard let data = unsafe data, let base = data.baseAddress else { return nil }
        let bytes = unsafe Bytes(base: base, count: data.count)
        return self.finder.withLock { $0.hash(in: bytes) }
    }

    /// Of the first header of that name.
    private func attributeHash(
        of block: RecordBlock,
        at index: Int,
        _ wanted: [UInt8],
        _ read: (UnsafeRawBufferPointer) -> UInt64?
    ) -> UInt64? {
        var hash: UInt64?
        var isFound = false
        unsafe block.forEachAttribute(at: index) { name, value in
            guard !isFound, unsafe name.elementsEqual(wanted) else { return }
            isFound = true
            hash = unsafe value.flatMap { unsafe read($0) }
        }
        return hash
    }
}

/// Walks to one place in JSON texts, one at a time, over their structure alone: no tree is built.
private struct PathFinder: ~Copyable, @unchecked Sendable {
    // @unchecked: it points to memory that nobody else has, and stands behind its key's lock.
    private let names: [Table<UInt8>]
    private let indexer = JSONIndexer()
    private let scratch = Scratch()

    init(_ names: [String]) {
        self.names = names.map { Table(Array($0.utf8) + [UInt8](repeating: 0, count: Scratch.tail)) }
    }

    deinit {
        for name in self.names { name.free() }
        self.indexer.free()
        self.scratch.free()
    }

    func hash(in bytes: Bytes) -> UInt64? {
        var start = 0
        while start < bytes.count, IndexedJSON.isBlank(bytes[start]) { start += 1 }
        guard start < bytes.count, bytes[start] == UInt8(ascii: "{"), let text = self.indexer.index(bytes)
        else { return nil }
        self.scratch.reserve(bytes.count)
        var index = 0
        for name in self.names {
            let wanted = name.bytes(count: name.count - Scratch.tail)
            guard self.enter(wanted, of: text, at: &index) else { return nil }
        }
        return self.hash(of: text, at: index)
    }

    /// Goes from the place of an object to the value of one of its members; false when there is none.
    private func enter(_ wanted: Bytes, of text: IndexedJSON, at index: inout Int) -> Bool {
        guard text.byte(index) == UInt8(ascii: "{") else { return false }
        index += 1
        while text.byte(index) == UInt8(ascii: "\""), text.byte(index + 1) == UInt8(ascii: ":"),
            let raw = text.string(index), let name = self.unescaped(raw, of: text)
        {
            index += 2
            if name.equals(wanted) { return true }
            guard Self.skip(text, &index), text.byte(index) == UInt8(ascii: ",") else { return false }
            index += 1
        }
        return false
    }

    private func hash(of text: IndexedJSON, at index: Int) -> UInt64? {
        switch text.byte(index) {
        case UInt8(ascii: "\""):
            guard let raw = text.string(index), let string = self.unescaped(raw, of: text) else { return nil }
            return unsafe RecordKey.hash(string.buffer)
        case 0, UInt8(ascii: "{"), UInt8(ascii: "["):
            return nil
        default:
            let scalar = text.scalar(index)
            if let word = IndexedJSON.word(scalar) {
                return word == .null ? nil : unsafe RecordKey.hash(scalar.buffer)
            }
            return unsafe JSONNumber(scalar.buffer) == nil ? nil : RecordKey.hash(scalar.buffer)
        }
    }

    private func unescaped(_ raw: Bytes, of text: IndexedJSON) -> Bytes? {
        guard text.hasEscapes, raw.contains(UInt8(ascii: "\\")) else { return raw }
        return unsafe JSONEscapes.unescape(raw, to: self.scratch.base)
    }

    /// Passes over a value; only its brackets are counted.
    private static func skip(_ text: IndexedJSON, _ index: inout Int) -> Bool {
        var depth = 0
        repeat {
            switch text.byte(index) {
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case 0: return false
            default: break
            }
            index += 1
        } while depth > 0
        return depth == 0
    }
}
