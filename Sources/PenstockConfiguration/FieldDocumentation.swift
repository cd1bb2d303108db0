// SPDX-License-Identifier: Apache-2.0

/// The reference of a configuration as Markdown, made from its tables, for docs/CONFIGURATION.md.
package enum FieldDocumentation {
    /// One section for the table and one for each table below it, in order.
    ///
    /// - Parameters:
    ///   - table: The table to begin with.
    ///   - title: The heading of its section; the sections below it are called after their paths.
    ///   - level: The level of its heading, 1 to 6; all below are one deeper.
    /// - Returns: Markdown with a newline at its end.
    package static func markdown(for table: FieldTable, title: String, level: Int = 2) -> String {
        var sections = [Self.section(table, title, level)]
        var queue = Self.inner(of: table, path: "")
        while !queue.isEmpty {
            let (path, inner) = queue.removeFirst()
            sections.append(Self.section(inner, "`\(path)`", level + 1))
            queue.insert(contentsOf: Self.inner(of: inner, path: path), at: 0)
        }
        return sections.joined(separator: "\n")
    }

    private static func section(_ table: FieldTable, _ title: String, _ level: Int) -> String {
        let head = String(repeating: "#", count: min(max(level, 1), 6)) + " \(title)\n\n\(table.summary)\n"
        guard !table.fields.isEmpty else { return head + "\nIt has no keys.\n" }
        let rows = table.fields.map { field in
            let cells = ["`\(field.name)`", Self.type(field.shape), Self.absence(field), field.documentation]
            return "| " + cells.map { Self.cell($0) }.joined(separator: " | ") + " |\n"
        }
        return head + "\n| Key | Value | Default | Meaning |\n| --- | --- | --- | --- |\n" + rows.joined()
    }

    /// The tables directly below, each with its path: `triggers.NAME.source.kafka`.
    private static func inner(of table: FieldTable, path: String) -> [(String, FieldTable)] {
        table.fields.flatMap { field in
            Self.tables(in: field.shape, path: path.isEmpty ? field.name : "\(path).\(field.name)")
        }
    }

    private static func tables(in shape: Shape, path: String) -> [(String, FieldTable)] {
        switch shape {
        case .table(let table): [(path, table)]
        case .list(let element, _, _): Self.tables(in: element, path: path + "[]")
        case .map(let element, _): Self.tables(in: element, path: path + ".NAME")
        case .oneOf(let alternatives):
            alternatives.flatMap { alternative in
                alternative.shape.map { Self.tables(in: $0, path: "\(path).\(alternative.name)") } ?? []
            }
        case .string, .text, .secret, .integer, .number, .boolean, .duration, .size, .choice, .url,
            .timestamp,
            .reference, .node:
            []
        }
    }

    private static func type(_ shape: Shape) -> String {
        switch shape {
        case .string: "text"
        case .text(let name, _): name
        case .secret: "secret"
        case .integer(let range): "whole number" + Self.range(range.lowerBound, range.upperBound) { "\($0)" }
        case .number(let range): "number" + Self.range(range.lowerBound, range.upperBound, JSONValue.number)
        case .boolean: "`true`, `false`"
        case .duration(let range):
            "duration" + Self.range(range.lowerBound, range.upperBound) { $0.configurationText }
        case .size(let range): "size" + Self.range(range.lowerBound, range.upperBound, ByteSize.text)
        case .choice(let words): words.map { "`\($0)`" }.joined(separator: ", ")
        case .url(let schemes): "URL (" + schemes.joined(separator: ", ") + ")"
        case .timestamp: "time (RFC 3339)"
        case .reference(let section): "name from `\(section)`"
        case .node: "any value"
        case .list(let element, _, _): "list: " + Self.type(element)
        case .map(let element, _): "by name: " + Self.type(element)
        case .table: "table, below"
        case .oneOf(let alternatives):
            "one of "
                + alternatives.map { "`\($0.name)" + ($0.shape == nil ? "`" : ":`") }.joined(separator: ", ")
        }
    }

    private static func range<Bound: Equatable>(
        _ low: Bound,
        _ high: Bound,
        _ text: (Bound) -> String
    ) -> String {
        if (high as? Int) == .max { return " from \(text(low))" }
        return ", \(text(low)) to \(text(high))"
    }

    private static func absence(_ field: any AnyField) -> String {
        if field.isRequired { return "required" }
        guard let value = field.defaultValue else { return field.isFilledIn ? "its defaults" : "not set" }
        if case .string(let text) = value { return text.isEmpty ? "empty" : "`\(text)`" }
        return "`\(value.text)`"
    }

    /// A bar would end the cell, a newline the row.
    private static func cell(_ text: String) -> String {
        text.replacing("|", with: "\\|").replacing("\n", with: " ")
    }
}
