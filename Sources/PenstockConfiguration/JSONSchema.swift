// SPDX-License-Identifier: Apache-2.0

/// The JSON Schema (draft 2020-12) of a configuration, made from its tables, for editors and for checks.
///
/// It allows what the reader allows: where a value has a form of its own, a text with a placeholder passes
/// too, because only the machine that runs the configuration knows what it stands for. Rules between fields
/// are not in it.
package enum JSONSchema {
    /// The schema of a whole file.
    package static func schema(of table: FieldTable) -> JSONValue {
        guard case .object(let members) = Self.object(table, patterns: [.init("^x-", .boolean(true))]) else {
            preconditionFailure("the schema of a table is an object")
        }
        let placeholder = JSONValue.object([
            .init(
                "description",
                .string("A value from outside: ${NAME}, ${NAME:-default} or ${file:/path}.")
            ),
            .init("type", .string("string")),
            .init("pattern", .string("\\$\\{[^}]+\\}")),
        ])
        return .object(
            [
                .init("$schema", .string("https://json-schema.org/draft/2020-12/schema")),
                .init("title", .string(table.title)),
            ] + members + [.init("$defs", .object([.init("placeholder", placeholder)]))]
        )
    }

    private static func object(_ table: FieldTable, patterns: [JSONValue.Member] = []) -> JSONValue {
        let required = table.fields.filter(\.isRequired).map { JSONValue.string($0.name) }
        let properties = table.fields.map { field in
            JSONValue.Member(field.name, Self.schema(of: field))
        }
        var members: [JSONValue.Member] = [
            .init("description", .string(table.summary)),
            .init("type", .string("object")),
            .init("properties", .object(properties)),
        ]
        if !patterns.isEmpty { members.append(.init("patternProperties", .object(patterns))) }
        if !required.isEmpty { members.append(.init("required", .array(required))) }
        members.append(.init("additionalProperties", .boolean(false)))
        return .object(members)
    }

    private static func schema(of field: any AnyField) -> JSONValue {
        guard case .object(var members) = Self.schema(of: field.shape) else { return .boolean(true) }
        members.removeAll { $0.key == "description" }
        members.insert(.init("description", .string(field.documentation)), at: 0)
        if let value = field.defaultValue { members.append(.init("default", value)) }
        return .object(members)
    }

    private static func schema(of shape: Shape) -> JSONValue {
        switch shape {
        case .string, .reference:
            return .object([.init("type", .array(["string", "number", "boolean"].map { .string($0) }))])
        case .secret:
            return .object([
                .init("type", .array(["string", "number"].map { .string($0) })),
                .init("writeOnly", .boolean(true)),
            ])
        case .text(_, let pattern):
            // A number is read as it is written; a pattern is only about texts.
            let types = JSONValue.Member("type", .array(["string", "number"].map { .string($0) }))
            guard let pattern else { return .object([types]) }
            return Self.anyOf([.object([types, .init("pattern", .string(pattern))]), Self.placeholder])
        case .integer(let range):
            return Self.orPlaceholder("integer", Self.limits(range, whole: .min ... .max) { .integer($0) })
        case .number(let range):
            let whole = -Double.infinity...Double.infinity
            return Self.orPlaceholder("number", Self.limits(range, whole: whole) { .number($0) })
        case .boolean:
            return Self.orPlaceholder("boolean", [])
        case .duration:
            return Self.text(Duration.configurationPattern)
        case .size:
            let text = JSONValue.object([
                .init("type", .string("string")), .init("pattern", .string(ByteSize.configurationPattern)),
            ])
            let number = JSONValue.object([.init("type", .string("integer")), .init("minimum", .integer(0))])
            return Self.anyOf([text, number, Self.placeholder])
        case .choice(let words):
            return Self.anyOf([.object([.init("enum", .array(words.map { .string($0) }))]), Self.placeholder])
        case .url(let schemes):
            return Self.text("^(" + schemes.joined(separator: "|") + ")://[^/?#\\s]+\\S*$")
        case .timestamp:
            let members: [JSONValue.Member] = [
                .init("type", .string("string")), .init("format", .string("date-time")),
            ]
            return Self.anyOf([.object(members), Self.placeholder])
        case .node:
            return .object([])
        case .list(let element, let count, let acceptsSingle):
            return Self.list(Self.schema(of: element), count, acceptsSingle)
        case .map(let element, let names):
            return Self.map(Self.schema(of: element), names)
        case .table(let table):
            return Self.nullable(Self.object(table), if: !table.isRequired)
        case .oneOf(let alternatives):
            return Self.oneOf(alternatives)
        }
    }

    private static let placeholder = JSONValue.object([.init("$ref", .string("#/$defs/placeholder"))])

    private static func anyOf(_ schemas: [JSONValue]) -> JSONValue {
        .object([.init("anyOf", .array(schemas))])
    }

    private static func orPlaceholder(_ type: String, _ limits: [JSONValue.Member]) -> JSONValue {
        Self.anyOf([.object([.init("type", .string(type))] + limits), Self.placeholder])
    }

    private static func text(_ pattern: String) -> JSONValue {
        let text = JSONValue.object([.init("type", .string("string")), .init("pattern", .string(pattern))])
        return Self.anyOf([text, Self.placeholder])
    }

    private static func limits<Number: Comparable>(
        _ range: ClosedRange<Number>,
        whole: ClosedRange<Number>,
        _ value: (Number) -> JSONValue
    ) -> [JSONValue.Member] {
        var members: [JSONValue.Member] = []
        if range.lowerBound > whole.lowerBound { members.append(.init("minimum", value(range.lowerBound))) }
        if range.upperBound < whole.upperBound { members.append(.init("maximum", value(range.upperBound))) }
        return members
    }

    private static func list(
        _ element: JSONValue,
        _ count: ClosedRange<Int>,
        _ acceptsSingle: Bool
    ) -> JSONValue {
        var members: [JSONValue.Member] = [.init("type", .string("array")), .init("items", element)]
        if count.lowerBound > 0 { members.append(.init("minItems", .integer(count.lowerBound))) }
        if count.upperBound < .max { members.append(.init("maxItems", .integer(count.upperBound))) }
        return acceptsSingle ? Self.anyOf([.object(members), element]) : .object(members)
    }

    private static func map(_ element: JSONValue, _ names: NameRule) -> JSONValue {
        var members: [JSONValue.Member] = [.init("type", .array([.string("object"), .string("null")]))]
        if case .identifier = names {
            let rule = JSONValue.object([.init("pattern", .string(NameRule.identifierPattern))])
            members.append(.init("propertyNames", rule))
        }
        return .object(members + [.init("additionalProperties", element)])
    }

    /// A key without a value counts as an empty mapping.
    private static func nullable(_ object: JSONValue, if isNullable: Bool) -> JSONValue {
        guard isNullable, case .object(var members) = object else { return object }
        if let index = members.firstIndex(where: { $0.key == "type" }) {
            members[index].value = .array([.string("object"), .string("null")])
        }
        return .object(members)
    }

    private static func oneOf(_ alternatives: [ShapeAlternative]) -> JSONValue {
        let schemas = alternatives.map { alternative -> JSONValue in
            let description = JSONValue.Member("description", .string(alternative.documentation))
            guard let shape = alternative.shape else {
                return .object([description, .init("const", .string(alternative.name))])
            }
            let property = JSONValue.Member(alternative.name, Self.schema(of: shape))
            return .object([
                description,
                .init("type", .string("object")),
                .init("properties", .object([property])),
                .init("required", .array([.string(alternative.name)])),
                .init("additionalProperties", .boolean(false)),
            ])
        }
        let hasWords = alternatives.contains { $0.shape == nil }
        return .object([.init("oneOf", .array(schemas + (hasWords ? [Self.placeholder] : [])))])
    }
}
