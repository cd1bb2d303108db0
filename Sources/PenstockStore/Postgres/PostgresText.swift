// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PostgresClient

/// Values as they stand in the store's tables, and in the text of statements.
///
/// Postgres keeps no NUL in a text. U+0000 is kept as U+0001 U+0001 and U+0001 as U+0001 U+0002: no two texts become one,
/// and the order of their bytes stays.
enum PostgresText {
    /// A text as a column holds it.
    static func stored(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 < 2 }) else { return text }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count + 8)
        for byte in text.utf8 {
            if byte < 2 { bytes.append(1) }
            bytes.append(byte < 2 ? byte + 1 : byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The text that a column holds.
    static func read(_ bytes: UnsafeRawBufferPointer) -> String {
        guard unsafe bytes.contains(1) else { return unsafe String(decoding: bytes, as: UTF8.self) }
        var text: [UInt8] = []
        var isEscaped = false
        for byte in unsafe Array(bytes) {
            if isEscaped {
                text.append(byte - 1)
            } else if byte != 1 {
                text.append(byte)
            }
            isEscaped = byte == 1 && !isEscaped
        }
        return String(decoding: text, as: UTF8.self)
    }

    // MARK: - Literals

    /// A text in a statement.
    static func literal(_ text: String?) -> String {
        text.map { PostgresName.literal(Self.stored($0)) + "::text" } ?? "NULL::text"
    }

    /// Bytes in a statement.
    static func literal(_ bytes: [UInt8]?) -> String {
        guard let bytes else { return "NULL::bytea" }
        let digits = Array("0123456789abcdef".utf8)
        let hex = unsafe String(unsafeUninitializedCapacity: 2 * bytes.count) { buffer in
            for (index, byte) in bytes.enumerated() {
                unsafe buffer[2 * index] = digits[Int(byte >> 4)]
                unsafe buffer[2 * index + 1] = digits[Int(byte & 15)]
            }
            return 2 * bytes.count
        }
        return "E'\\\\x\(hex)'::bytea"
    }

    /// A number in a statement.
    static func literal(_ number: Int64?) -> String {
        number.map { "\($0)::bigint" } ?? "NULL::bigint"
    }

    /// Texts in a statement, in parentheses.
    static func list(_ texts: some Sequence<String>) -> String {
        "(" + texts.map { Self.literal($0) }.joined(separator: ", ") + ")"
    }

    /// An array of texts in a statement.
    static func array(_ texts: some Sequence<String>) -> String {
        "ARRAY[" + texts.map { Self.literal($0) }.joined(separator: ", ") + "]::text[]"
    }
}

extension PostgresText {
    /// The texts of an array in its text form (Postgres: "Array Input and Output Syntax"); nil when it is none of one dimension
    /// without NULL.
    static func elements(of array: String) -> [String]? {
        guard array.first == "{", array.last == "}" else { return nil }
        var elements: [String] = []
        var element: [UInt8] = []
        var (isQuoted, isEscaped, isOpen) = (false, false, false)
        for byte in array.utf8.dropFirst().dropLast() {
            switch byte {
            case _ where isEscaped:
                element.append(byte)
                isEscaped = false
            case UInt8(ascii: "\\"): isEscaped = true
            case UInt8(ascii: "\""):
                isQuoted.toggle()
                isOpen = true
            case UInt8(ascii: ",") where !isQuoted:
                elements.append(unsafe element.withUnsafeBytes { unsafe Self.read($0) })
                element = []
                isOpen = true
            default:
                element.append(byte)
                isOpen = true
            }
        }
        guard !isQuoted, !isEscaped else { return nil }
        if isOpen { elements.append(unsafe element.withUnsafeBytes { unsafe Self.read($0) }) }
        return elements
    }
}

/// The columns of a row of Postgres, whose values came in their binary form.
struct PostgresColumns: StoredColumns {
    let what: String
    private let rows: PostgresResult
    private let row: Int
    private var column = 0

    /// The columns of one of the rows.
    init(_ rows: PostgresResult, _ row: Int, _ what: String) {
        self.rows = rows
        self.row = row
        self.what = what
    }

    mutating func optionalNumber() throws(StoreError) -> Int64? {
        let column = try self.next()
        guard unsafe self.rows.bytes(self.row, column) != nil else { return nil }
        guard let number = self.rows.integer(self.row, column) else { throw .unreadable(self.what) }
        return number
    }

    mutating func optionalText() throws(StoreError) -> String? {
        let column = try self.next()
        return unsafe self.rows.bytes(self.row, column).map { unsafe PostgresText.read($0) }
    }

    mutating func bytes() throws(StoreError) -> [UInt8]? {
        let column = try self.next()
        return unsafe self.rows.bytes(self.row, column).map { unsafe Array($0) }
    }

    private mutating func next() throws(StoreError) -> Int {
        guard self.column < self.rows.columns else { throw .unreadable(self.what) }
        defer { self.column += 1 }
        return self.column
    }
}
