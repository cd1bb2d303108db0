// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration

/// The part of JSON Schema 2020-12 that the configuration's schema uses; an unknown keyword is a failure.
struct SchemaValidator {
    let root: JSONValue

    /// What does not hold, as paths with the keyword; empty when the value is valid.
    func failures(of value: JSONValue) throws -> [String] {
        try self.failures(of: value, by: self.root, at: "$")
    }

    private func failures(of value: JSONValue, by schema: JSONValue, at path: String) throws -> [String] {
        guard case .object(let keywords) = schema else {
            return schema == .boolean(true) ? [] : ["\(path) false"]
        }
        return try keywords.flatMap { keyword -> [String] in
            switch keyword.key {
            case "$schema", "$defs", "title", "description", "default", "writeOnly", "format", "properties",
                "patternProperties":
                return []
            case "additionalProperties":
                return try self.properties(of: value, by: schema, at: path)
            case "items":
                guard case .array(let elements) = value else { return [] }
                return try elements.enumerated().flatMap {
                    try self.failures(of: $0.element, by: keyword.value, at: "\(path)[\($0.offset)]")
                }
            case "propertyNames":
                guard case .object(let members) = value else { return [] }
                return try members.flatMap { member in
                    try self.failures(of: .string(member.key), by: keyword.value, at: "\(path).\(member.key)")
                }
            case "anyOf", "oneOf":
                guard case .array(let schemas) = keyword.value else {
                    return ["\(path) \(keyword.key) is no list"]
                }
                let matches = try schemas.filter { try self.failures(of: value, by: $0, at: path).isEmpty }
                    .count
                return keyword.key == "anyOf"
                    ? (matches > 0 ? [] : ["\(path) anyOf"]) : matches == 1 ? [] : ["\(path) oneOf"]
            case "$ref":
                guard keyword.value == .string("#/$defs/placeholder"),
                    let target = self.root["$defs"]?["placeholder"]
                else { return ["\(path) $ref to nothing"] }
                return try self.failures(of: value, by: target, at: path)
            default:
                return try self.holds(keyword, value) ? [] : ["\(path) \(keyword.key)"]
            }
        }
    }

    private func properties(of value: JSONValue, by schema: JSONValue, at path: String) throws -> [String] {
        guard case .object(let members) = value else { return [] }
        return try members.flatMap { member -> [String] in
            let inner = "\(path).\(member.key)"
            if let named = schema["properties"]?[member.key] {
                return try self.failures(of: member.value, by: named, at: inner)
            }
            if case .object(let patterns) = schema["patternProperties"],
                try patterns.contains(where: { try member.key.firstMatch(of: Regex($0.key)) != nil })
            {
                return []
            }
            guard let rest = schema["additionalProperties"] else { return [] }
            return try self.failures(of: member.value, by: rest, at: inner)
        }
    }

    private func holds(_ keyword: JSONValue.Member, _ value: JSONValue) throws -> Bool {
        switch (keyword.key, keyword.value, value) {
        case ("type", .string(let type), _): return Self.types(of: value).contains(type)
        case ("type", .array(let types), _):
            return types.contains { type in Self.types(of: value).contains { .string($0) == type } }
        case ("const", let constant, _): return constant == value
        case ("enum", .array(let values), _): return values.contains(value)
        case ("required", .array(let names), .object(let members)):
            return names.allSatisfy { name in members.contains { .string($0.key) == name } }
        case ("pattern", .string(let pattern), .string(let text)):
            return try text.firstMatch(of: Regex(pattern)) != nil
        case ("minimum", let bound, _):
            return Self.number(value).map { $0 >= Self.number(bound) ?? .nan } ?? true
        case ("maximum", let bound, _):
            return Self.number(value).map { $0 <= Self.number(bound) ?? .nan } ?? true
        case ("minItems", .integer(let count), .array(let elements)): return elements.count >= count
        case ("maxItems", .integer(let count), .array(let elements)): return elements.count <= count
        case ("required", .array, _), ("pattern", .string, _), ("minItems", .integer, _),
            ("maxItems", .integer, _):
            return true
        default: return false
        }
    }

    private static func number(_ value: JSONValue) -> Double? {
        switch value {
        case .integer(let number): Double(number)
        case .number(let number): number
        case .null, .boolean, .string, .array, .object: nil
        }
    }

    private static func types(of value: JSONValue) -> [String] {
        switch value {
        case .null: ["null"]
        case .boolean: ["boolean"]
        case .integer: ["integer", "number"]
        case .number: ["number"]
        case .string: ["string"]
        case .array: ["array"]
        case .object: ["object"]
        }
    }
}
