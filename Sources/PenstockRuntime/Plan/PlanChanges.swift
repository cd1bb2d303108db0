// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration

/// What a file says of each part of a plan, after substitution; secret, because passwords are in it.
package struct PlanText: Sendable, Equatable {
    var settings: [String: Secret]
    var functions: [String: Secret]
    var triggers: [String: Secret]

    /// The settings that hold from start to end of a process.
    private static let settingNames = ["state", "admin", "dead_letters", "drain_timeout"]

    init(_ root: ConfigurationNode) {
        self.settings = Self.settingNames.reduce(into: [:]) { texts, name in
            texts[name] = root[name].map { Secret($0.written.text) }
        }
        self.functions = Self.texts(root["functions"])
        self.triggers = Self.texts(root["triggers"])
    }

    private static func texts(_ node: ConfigurationNode?) -> [String: Secret] {
        (node?.entries ?? []).reduce(into: [:]) { $0[$1.key] = Secret($1.value.written.text) }
    }

    /// The settings that differ, in the order in which they are documented.
    func settings(changedTo new: PlanText) -> [String] {
        Self.settingNames.filter { self.settings[$0] != new.settings[$0] }
    }
}

extension ConfigurationNode {
    /// What stands there, scalars as they are written: as numbers, `1.10` and `1.1` would be one, and so would long tokens.
    fileprivate var written: JSONValue {
        switch self.content {
        case .sequence(let elements): .array(elements.map(\.written))
        case .mapping(let entries): .object(entries.map { JSONValue.Member($0.key, $0.value.written) })
        case .scalar(let scalar): .string((scalar.isPlain ? "plain " : "quoted ") + scalar.text)
        case .invalid: .null
        }
    }
}

/// What another plan changes.
package struct PlanChanges: Sendable, Equatable, CustomStringConvertible {
    /// Names that are new, gone, or still there with another meaning.
    package struct Names: Sendable, Equatable {
        /// In the new plan only, in its order.
        package var added: [String] = []
        /// In both, and different; in the order of the new plan.
        package var changed: [String] = []
        /// In the old plan only, in its order.
        package var removed: [String] = []

        /// Whether there is none.
        package var isEmpty: Bool { self.added.isEmpty && self.changed.isEmpty && self.removed.isEmpty }

        /// What must end before the new plan holds.
        var ending: [String] { self.changed + self.removed }

        /// What must begin.
        var starting: [String] { self.added + self.changed }

        init(from old: [String], to new: [String], isChanged: (String) -> Bool) {
            self.added = new.filter { !old.contains($0) }
            self.changed = new.filter { old.contains($0) && isChanged($0) }
            self.removed = old.filter { !new.contains($0) }
        }

        fileprivate func words(_ kind: String) -> [String] {
            [("new", self.added), ("changed", self.changed), ("removed", self.removed)].compactMap {
                word,
                names in
                names.isEmpty ? nil : "\(word) \(kind) \(names.joined(separator: ", "))"
            }
        }
    }

    /// Functions.
    package var functions: Names
    /// Triggers; one whose function changed counts as changed, and so does one that is read from other files that did.
    package var triggers: Names
    /// Settings that only a restart of Penstock applies.
    package var needingRestart: [String]

    /// What `new` changes.
    package init(from old: Plan, to new: Plan) {
        let functions = Names(from: old.functions.map(\.name), to: new.functions.map(\.name)) {
            old.text.functions[$0] != new.text.functions[$0]
        }
        let (oldFiles, newFiles) = (old.filesHashes, new.filesHashes)
        let moved = new.triggers.filter { functions.changed.contains($0.value.function.name) }.map(\.name)
        self.functions = functions
        self.triggers = Names(from: old.triggers.map(\.name), to: new.triggers.map(\.name)) {
            old.text.triggers[$0] != new.text.triggers[$0] || moved.contains($0)
                || oldFiles[$0] != newFiles[$0]
        }
        self.needingRestart = old.text.settings(changedTo: new.text)
    }

    /// Whether the two plans are one.
    package var isEmpty: Bool {
        self.functions.isEmpty && self.triggers.isEmpty && self.needingRestart.isEmpty
    }

    /// `new triggers a, b; changed functions f`.
    package var description: String {
        let words = self.triggers.words("triggers") + self.functions.words("functions")
        return words.isEmpty ? "nothing" : words.joined(separator: "; ")
    }
}

extension Plan {
    /// What stands for the files of each trigger that is read from some.
    fileprivate var filesHashes: [String: Int] {
        self.triggers.reduce(into: [:]) { $0[$1.name] = $1.value.source.filesHash }
    }
}
