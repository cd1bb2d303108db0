// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The language once more, slow and obvious: over Foundation's trees, one pattern at a time, without a look at the
/// matcher's code.
///
/// A record is made flat: for each path the values there, each with the elements of arrays that it came through. A clause
/// holds when for each of its fields, in the order of their names, a value can be chosen that fits, and no two chosen
/// values come from different elements of one array. A field that is wanted absent must be absent from the elements that
/// were chosen before it.
enum ReferenceMatcher {
    struct Leaf {
        var path: String
        var value: Any
        /// Array number to the place of the element.
        var elements: [Int: Int]
    }

    static func isObject(_ bytes: [UInt8]) -> Bool {
        guard String(validating: bytes, as: UTF8.self) != nil else { return false }
        // Foundation takes a NUL for an end, and what comes after it for nothing.
        guard !bytes.contains(0) else { return false }
        return (try? JSONSerialization.jsonObject(with: Data(bytes))) is [String: Any]
    }

    static func matches(_ pattern: String, _ event: String) -> Bool? {
        guard let pattern = try? JSONSerialization.jsonObject(with: Data(pattern.utf8)) as? [String: Any],
            let event = try? JSONSerialization.jsonObject(with: Data(event.utf8)) as? [String: Any]
        else { return nil }
        var leaves: [Leaf] = []
        var arrays = 0
        self.flatten(event, [], [:], &leaves, &arrays)
        return self.clauses(pattern, [], [[:]]).contains { self.holds($0, leaves) }
    }

    private static func flatten(
        _ value: Any,
        _ path: [String],
        _ elements: [Int: Int],
        _ leaves: inout [Leaf],
        _ arrays: inout Int
    ) {
        if let object = value as? [String: Any] {
            for (key, inner) in object { self.flatten(inner, path + [key], elements, &leaves, &arrays) }
        } else if let array = value as? [Any] {
            let number = arrays
            arrays += 1
            for (index, inner) in array.enumerated() {
                var inside = elements
                inside[number] = index
                self.flatten(inner, path, inside, &leaves, &arrays)
            }
        } else {
            leaves.append(Leaf(path: path.joined(separator: "."), value: value, elements: elements))
        }
    }

    /// Each clause: paths to lists of rules.
    private static func clauses(
        _ pattern: [String: Any],
        _ path: [String],
        _ start: [[String: [Any]]]
    ) -> [[String: [Any]]] {
        var clauses = start
        for (key, value) in pattern {
            if key == "$or", let patterns = value as? [[String: Any]], patterns.count > 1 {
                clauses = patterns.flatMap { self.clauses($0, path, clauses) }
            } else if let inner = value as? [String: Any] {
                clauses = self.clauses(inner, path + [key], clauses)
            } else if let rules = value as? [Any] {
                let name = (path + [key]).joined(separator: ".")
                clauses = clauses.map { clause in clause.merging([name: rules]) { $1 } }
            }
        }
        return clauses
    }

    private static func holds(_ clause: [String: [Any]], _ leaves: [Leaf]) -> Bool {
        self.choose(clause.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }, clause, leaves, [:])
    }

    private static func choose(
        _ paths: [String],
        _ clause: [String: [Any]],
        _ leaves: [Leaf],
        _ elements: [Int: Int]
    ) -> Bool {
        guard let path = paths.first else { return true }
        let rest = Array(paths.dropFirst())
        let rules = clause[path] ?? []
        let wantsAbsence = rules.contains { ($0 as? [String: Any])?["exists"] as? Bool == false }
        let near = leaves.filter { leaf in
            leaf.path == path && leaf.elements.allSatisfy { elements[$0.key] ?? $0.value == $0.value }
        }
        if wantsAbsence, near.isEmpty, self.choose(rest, clause, leaves, elements) { return true }
        for leaf in near where rules.contains(where: { self.matches($0, leaf.value) }) {
            if self.choose(rest, clause, leaves, elements.merging(leaf.elements) { $1 }) { return true }
        }
        return false
    }

    // MARK: - Rules

    private static func isBoolean(_ value: Any) -> Bool {
        (value as? NSNumber).map { unsafe String(cString: $0.objCType) == "c" } ?? false
    }

    private static func number(_ value: Any) -> Double? {
        self.isBoolean(value) ? nil : (value as? NSNumber)?.doubleValue
    }

    private static func equal(_ rule: Any, _ value: Any) -> Bool {
        if let rule = rule as? String { return value as? String == rule }
        if rule is NSNull { return value is NSNull }
        if self.isBoolean(rule) { return self.isBoolean(value) && (rule as? Bool) == (value as? Bool) }
        return self.number(rule) != nil && self.number(rule) == self.number(value)
    }

    private static func matches(_ rule: Any, _ value: Any) -> Bool {
        guard let operation = rule as? [String: Any], let (name, operand) = operation.first else {
            return self.equal(rule, value)
        }
        let text = value as? String
        switch name {
        case "exists": return operand as? Bool == true
        case "exactly": return text == operand as? String
        case "equals-ignore-case": return text?.lowercased() == (operand as? String)?.lowercased()
        case "prefix", "suffix":
            guard var text, var affix = operand as? String ?? (operand as? [String: String])?.values.first
            else {
                return false
            }
            if operand is [String: String] { (text, affix) = (text.lowercased(), affix.lowercased()) }
            return name == "prefix"
                ? text.hasPrefix(affix) || affix.isEmpty : text.hasSuffix(affix) || affix.isEmpty
        case "wildcard": return text.map { self.fits(Array(operand as? String ?? ""), Array($0)) } ?? false
        case "numeric": return self.number(value).map { self.compares(operand as? [Any] ?? [], $0) } ?? false
        case "anything-but": return !self.isExcluded(operand, value)
        default: return false
        }
    }

    private static func isExcluded(_ operand: Any, _ value: Any) -> Bool {
        if let list = operand as? [Any] { return list.contains { self.equal($0, value) } }
        guard let operation = operand as? [String: Any], let (name, inner) = operation.first else {
            return self.equal(operand, value)
        }
        return (inner as? [Any] ?? [inner]).contains { self.matches([name: $0], value) }
    }

    private static func compares(_ terms: [Any], _ value: Double) -> Bool {
        stride(from: 0, to: terms.count, by: 2).allSatisfy { index in
            let bound = self.number(terms[index + 1]) ?? .nan
            switch terms[index] as? String {
            case "=": return value == bound
            case "<": return value < bound
            case "<=": return value <= bound
            case ">": return value > bound
            default: return value >= bound
            }
        }
    }

    /// Without escapes; all ways are tried.
    private static func fits(_ wildcard: [Character], _ text: [Character]) -> Bool {
        guard let first = wildcard.first else { return text.isEmpty }
        let rest = Array(wildcard.dropFirst())
        if first == "*" { return (0...text.count).contains { self.fits(rest, Array(text.dropFirst($0))) } }
        return text.first == first && self.fits(rest, Array(text.dropFirst()))
    }
}
