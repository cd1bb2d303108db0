// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore

/// Schedules in a file of their own: JSON objects one a line, or CSV with a header.
enum ScheduleSetFile {
    /// The largest file, in bytes.
    static let bytesMax = 512 << 20

    /// Of what is wrong in a file, so much is told.
    private static let problemsMax = 20

    private static let columns = ["name", "expression", "timezone", "input"]

    /// Whether the name of a file says one of the forms.
    static func isName(_ path: String) -> Bool { self.isLines(path) || self.isCSV(path) }

    private static func isLines(_ path: String) -> Bool {
        path.lowercased().hasSuffix(".jsonl") || path.lowercased().hasSuffix(".ndjson")
    }

    private static func isCSV(_ path: String) -> Bool { path.lowercased().hasSuffix(".csv") }

    /// Adds a file's schedules; returns what is wrong, each with its line.
    static func read(_ bytes: [UInt8], path: String, into builder: inout ScheduleSetBuilder) -> [String] {
        var problems: [String] = []
        var count = 0
        func tell(_ line: Int, _ message: String) {
            count += 1
            if count <= Self.problemsMax { problems.append("line \(line) \(message)") }
        }
        let start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        if Self.isCSV(path) {
            Self.readTable(bytes[start...], &builder, tell)
        } else {
            Self.readLines(bytes[start...], &builder, tell)
        }
        if count > Self.problemsMax {
            problems.append("and \(count - Self.problemsMax) more lines are wrong")
        }
        return problems
    }

    private static func readLines(
        _ bytes: ArraySlice<UInt8>,
        _ builder: inout ScheduleSetBuilder,
        _ tell: (Int, String) -> Void
    ) {
        var (start, number) = (bytes.startIndex, 0)
        while start < bytes.endIndex {
            let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.endIndex
            number += 1
            let line = bytes[start..<end]
            start = end + 1
            guard line.contains(where: { $0 != 0x20 && $0 != 0x09 && $0 != 0x0D }) else { continue }
            do throws(ScheduleSetBuilder.Problem) {
                try Self.addObject(Array(line), to: &builder)
            } catch {
                tell(number, error.message)
            }
        }
    }

    private static func addObject(
        _ line: [UInt8],
        to builder: inout ScheduleSetBuilder
    ) throws(ScheduleSetBuilder.Problem) {
        typealias Problem = ScheduleSetBuilder.Problem
        let document = ConfigurationLoader.parseJSON(line, file: "")
        if let finding = document.findings.first {
            let isWord = line.contains(UInt8(ascii: "<"))
            let advice = isWord ? "; an input with words that are not in quotes is written as a text" : ""
            throw Problem(message: "is \(finding.message)\(advice)")
        }
        guard let entries = document.root.entries else {
            throw Problem(message: "is no JSON object; write {\"name\": …, \"expression\": …}")
        }
        var texts: [String: String] = [:]
        var input: [UInt8]?
        for entry in entries {
            guard Self.columns.contains(entry.key) else {
                let advice =
                    didYouMean(entry.key, among: Self.columns)
                    ?? "there are name, expression, timezone and input"
                throw Problem(message: "has the unknown key \"\(entry.key.prefix(80))\"; \(advice)")
            }
            guard texts[entry.key] == nil else {
                throw Problem(message: "has the key \"\(entry.key)\" twice")
            }
            texts[entry.key] = entry.value.scalar?.text ?? ""
            if entry.key == "input" {
                if let scalar = entry.value.scalar, !scalar.isPlain {
                    input = Array(scalar.text.utf8)
                } else {
                    // Any other JSON stands for itself.
                    let range = unsafe line.withUnsafeBytes { unsafe JSONScanner.member("input", of: $0) }
                    input = range.map { Array(line[$0]) }
                }
            } else if entry.value.scalar.map({ $0.isPlain }) ?? true {
                throw Problem(message: "has a \"\(entry.key)\" that is no text; put it in quotes")
            }
        }
        try Self.add(texts, input, to: &builder)
    }

    private static func add(
        _ texts: [String: String],
        _ input: [UInt8]?,
        to builder: inout ScheduleSetBuilder
    ) throws(ScheduleSetBuilder.Problem) {
        guard let name = texts["name"], let expression = texts["expression"] else {
            let missing = texts["name"] == nil ? "name" : "expression"
            throw ScheduleSetBuilder.Problem(message: "has no \"\(missing)\"")
        }
        try builder.add(name: name, expression: expression, zone: texts["timezone"], input: input)
    }

    private static func readTable(
        _ bytes: ArraySlice<UInt8>,
        _ builder: inout ScheduleSetBuilder,
        _ tell: (Int, String) -> Void
    ) {
        var reader = CSVReader(bytes)
        guard let header = reader.next() else { return tell(1, "is missing: the file is empty") }
        let unknown = header.fields.first { !Self.columns.contains($0) }
        let missing = ["name", "expression"].first { !header.fields.contains($0) }
        guard unknown == nil, missing == nil, Set(header.fields).count == header.fields.count else {
            let what =
                unknown.map { "has the unknown column \"\($0.prefix(80))\"" }
                ?? missing.map { "has no column \"\($0)\"" } ?? "has a column twice"
            return tell(
                header.line,
                "\(what); the first line names the columns: name,expression,timezone,input"
            )
        }
        while let row = reader.next() {
            if row.fields == [""] { continue }
            guard row.isFine, row.fields.count == header.fields.count else {
                tell(
                    row.line,
                    row.isFine
                        ? "has \(row.fields.count) fields, and the header \(header.fields.count)"
                        : "has a quote that does not end, or text behind one, or is not UTF-8"
                )
                continue
            }
            var texts: [String: String] = [:]
            for (column, field) in zip(header.fields, row.fields) where !field.isEmpty {
                texts[column] = field
            }
            do throws(ScheduleSetBuilder.Problem) {
                try Self.add(texts, texts["input"].map { Array($0.utf8) }, to: &builder)
            } catch {
                tell(row.line, error.message)
            }
        }
    }
}

/// Rows of comma-separated values (RFC 4180).
private struct CSVReader {
    struct Row {
        /// Where it begins, from 1.
        var line: Int
        var fields: [String]
        var isFine: Bool
    }

    private let bytes: ArraySlice<UInt8>
    private var index: Int
    private var line = 1

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        self.index = bytes.startIndex
    }

    private var current: UInt8? { self.index < self.bytes.endIndex ? self.bytes[self.index] : nil }

    /// The next row; nil at the end.
    mutating func next() -> Row? {
        guard self.index < self.bytes.endIndex else { return nil }
        var row = Row(line: self.line, fields: [], isFine: true)
        while true {
            let (field, isFine) = self.field()
            row.isFine = row.isFine && isFine
            if let text = String(validating: field, as: UTF8.self) {
                row.fields.append(text)
            } else {
                row.fields.append("")
                row.isFine = false
            }
            guard let byte = self.current else { return row }
            self.index += 1
            if byte == UInt8(ascii: ",") { continue }
            self.line += 1
            return row
        }
    }

    /// Up to a comma, the end of the line, or that of the text.
    private mutating func field() -> (bytes: [UInt8], isFine: Bool) {
        var field: [UInt8] = []
        guard self.current == UInt8(ascii: "\"") else {
            while let byte = self.current, byte != UInt8(ascii: ","), byte != 0x0A {
                field.append(byte)
                self.index += 1
            }
            if field.last == 0x0D, self.current != UInt8(ascii: ",") { field.removeLast() }
            return (field, true)
        }
        self.index += 1
        while let byte = self.current {
            self.index += 1
            if byte == UInt8(ascii: "\"") {
                guard self.current == UInt8(ascii: "\"") else { return (field, self.skipToEnd()) }
                self.index += 1
            } else if byte == 0x0A {
                self.line += 1
            }
            field.append(byte)
        }
        return (field, false)
    }

    /// Behind a closing quote; whether nothing but the end of a line is there.
    private mutating func skipToEnd() -> Bool {
        var isFine = true
        while let byte = self.current, byte != UInt8(ascii: ","), byte != 0x0A {
            isFine = isFine && byte == 0x0D
            self.index += 1
        }
        return isFine
    }
}
