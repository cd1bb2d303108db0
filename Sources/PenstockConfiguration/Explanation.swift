// SPDX-License-Identifier: Apache-2.0

/// The normalised configuration as YAML: defaults filled in, values in one form, secrets hidden.
///
/// Keys stand in the order of the tables, names in the order of the file; the same file gives the same
/// text. A secret is `«redacted»`, or its placeholder; so is any text that came from outside, because a
/// text may hold a secret even where the field is none.
package struct Explanation {
    /// The text, with a newline at the end.
    package let text: String

    /// Explains a document by its table; meant for a document without errors.
    package init(of document: ConfigurationDocument, by table: FieldTable) {
        self.text = Self.text(of: Self.members(of: document.root, table), indent: "")
    }

    /// A value ready to print.
    private indirect enum Value {
        case scalar(String)
        case list([Value])
        case mapping([Member])
    }

    /// A key ready to print, with a remark such as `default`.
    private struct Member {
        var key: String
        var value: Value
        var remark: String?
    }

    private static func members(of node: ConfigurationNode?, _ table: FieldTable) -> [Member] {
        table.fields.compactMap { field in
            if let value = node?[field.name] {
                return Member(key: field.name, value: Self.value(value, field.shape), remark: nil)
            }
            if let value = field.defaultValue {
                return Member(key: field.name, value: Self.value(value), remark: "default")
            }
            guard field.isFilledIn, case .table(let inner) = field.shape else { return nil }
            return Member(key: field.name, value: .mapping(Self.members(of: nil, inner)), remark: nil)
        }
    }

    private static func value(_ json: JSONValue) -> Value {
        switch json {
        case .null, .boolean, .integer, .number: .scalar(json.text)
        case .string(let text): .scalar(Self.scalar(text))
        case .array(let values): .list(values.map { Self.value($0) })
        case .object(let members):
            .mapping(members.map { Member(key: $0.key, value: Self.value($0.value), remark: nil) })
        }
    }

    private static func value(_ node: ConfigurationNode, _ shape: Shape) -> Value {
        switch (shape, node.content) {
        case (.list(let element, _, _), .sequence(let elements)):
            return .list(elements.map { Self.value($0, element) })
        case (.list(let element, _, _), .scalar):
            return .list([Self.value(node, element)])
        case (.map(let element, let names), .mapping(let entries)):
            return .mapping(
                entries.map { entry in
                    var shape = element
                    if case .any = names, NameRule.soundsSecret(entry.key) { shape = .secret }
                    return Member(key: entry.key, value: Self.value(entry.value, shape), remark: nil)
                }
            )
        case (.map, .scalar):
            return .mapping([])
        case (.table(let table), .mapping), (.table(let table), .scalar):
            return .mapping(Self.members(of: node, table))
        case (.oneOf(let alternatives), .mapping(let entries)):
            return .mapping(
                entries.map { entry in
                    let shape = alternatives.first { $0.name == entry.key }?.shape ?? .secret
                    return Member(key: entry.key, value: Self.value(entry.value, shape), remark: nil)
                }
            )
        case (_, .scalar(let scalar)):
            return .scalar(Self.scalar(scalar, shape))
        case (.node, _):
            return Self.free(node)
        case (_, .sequence), (_, .mapping), (_, .invalid):
            return .scalar("null")
        }
    }

    /// Anything, under no shape of ours; texts from outside stay placeholders.
    private static func free(_ node: ConfigurationNode) -> Value {
        switch node.content {
        case .scalar(let scalar): .scalar(Self.scalar(scalar, .node))
        case .sequence(let elements): .list(elements.map { Self.free($0) })
        case .mapping(let entries):
            .mapping(
                entries.map { entry in
                    let isHidden = NameRule.soundsSecret(entry.key) && entry.value.scalar != nil
                    let value = isHidden ? Self.value(entry.value, .secret) : Self.free(entry.value)
                    return Member(key: entry.key, value: value, remark: nil)
                }
            )
        case .invalid: .scalar("null")
        }
    }

    private static func scalar(_ scalar: ConfigurationNode.Scalar, _ shape: Shape) -> String {
        let text = scalar.text
        switch shape {
        case .duration:
            return Self.scalar(Duration(configurationText: text)?.configurationText ?? scalar.source)
        case .size:
            return Self.scalar(ByteSize.parse(text).map { ByteSize.text($0) } ?? scalar.source)
        case .integer, .number, .boolean:
            return Double(text) != nil || Bool(text) != nil ? text : Self.scalar(scalar.source)
        case .choice(let words):
            return Self.scalar(words.contains(text) ? text : scalar.source)
        case .secret:
            return Self.scalar(scalar.isFromOutside ? scalar.source : Secret.redacted)
        case .url:
            return Self.scalar(Self.withoutPassword(scalar.source))
        case .text where scalar.source.contains("://"):
            return Self.scalar(Self.withoutPassword(scalar.source))
        case .node where scalar.isPlain && !scalar.isSubstituted:
            return text.isEmpty ? "null" : text
        case .string, .text, .timestamp, .reference, .node, .list, .map, .table, .oneOf:
            return Self.scalar(scalar.isSubstituted ? scalar.source : text.replacing("${", with: "$${"))
        }
    }

    /// A URL without its password.
    private static func withoutPassword(_ url: String) -> String {
        if url.contains("password=") { return Secret.redacted }
        return ServiceURL(url)?.description ?? (url.contains("@") ? Secret.redacted : url)
    }

    /// A text as a YAML scalar: plain where that reads back as the same text, otherwise in double quotes.
    private static func scalar(_ text: String) -> String {
        let words = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n"]
        let isPlain =
            text.first?.isLetter == true && !words.contains(text.lowercased())
            && text.utf8.allSatisfy { Self.isPlain($0) } && !text.hasSuffix(":")
        let isMeasure = text.first?.isNumber == true && text.last?.isLetter == true && !text.hasPrefix("0x")
        let isUnit =
            isMeasure && text.utf8.allSatisfy { $0 < 0x80 } && text.allSatisfy { $0.isLetter || $0.isNumber }
        return isPlain || isUnit ? text : JSONValue.quoted(text)
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: ":"):
            true
        default: false
        }
    }

    private static func text(of members: [Member], indent: String) -> String {
        members.map { member in
            let remark = member.remark.map { "  # \($0)" } ?? ""
            return "\(indent)\(Self.scalar(member.key)):"
                + Self.tail(of: member.value, remark, indent: indent)
        }.joined()
    }

    /// A short list of single values on one line.
    private static func line(_ values: [Value], widthMax: Int) -> String? {
        let texts = values.compactMap { value -> String? in
            guard case .scalar(let text) = value else { return nil }
            return text
        }
        let line = "[" + texts.joined(separator: ", ") + "]"
        return texts.count == values.count && line.count <= widthMax ? line : nil
    }

    /// What follows a key: a value on the same line, or lines below it.
    private static func tail(of value: Value, _ remark: String, indent: String) -> String {
        switch value {
        case .scalar(let text): return " \(text)\(remark)\n"
        case .list(let values) where values.isEmpty: return " []\(remark)\n"
        case .mapping(let members) where members.isEmpty: return " {}\(remark)\n"
        case .mapping(let members):
            return "\(remark)\n" + Self.text(of: members, indent: indent + "  ")
        case .list(let values):
            if let line = Self.line(values, widthMax: 90 - indent.count) { return " \(line)\(remark)\n" }
            let inner = indent + "  "
            let elements = values.map { element -> String in
                guard case .mapping(let members) = element, !members.isEmpty else {
                    return "\(inner)-" + Self.tail(of: element, "", indent: inner)
                }
                let text = Self.text(of: members, indent: inner + "  ")
                return "\(inner)- " + text.dropFirst(inner.count + 2)
            }
            return "\(remark)\n" + elements.joined()
        }
    }
}
