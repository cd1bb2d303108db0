// SPDX-License-Identifier: Apache-2.0

/// Where something stands in a configuration file.
package struct Place: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The file as the operator named it.
    package var file: String

    /// Counted from 1; nil when the whole file is meant.
    package var line: Int?

    /// Counted from 1 in Unicode scalars, as libYAML counts; nil when the whole line or file is meant.
    package var column: Int?

    /// A place in a file, or the whole file.
    package init(file: String, line: Int? = nil, column: Int? = nil) {
        self.file = file
        self.line = line
        self.column = column
    }

    /// `connectors.yaml:14:3`, the form that editors and terminals make a link of.
    package var description: String {
        [self.file, self.line?.description, self.column?.description].compactMap(\.self).joined(
            separator: ":"
        )
    }

    package static func < (lhs: Self, rhs: Self) -> Bool {
        (lhs.file, lhs.line ?? 0, lhs.column ?? 0) < (rhs.file, rhs.line ?? 0, rhs.column ?? 0)
    }
}

/// The way from the root of a configuration to a value, such as `triggers.orders.filters[0]`.
package struct ConfigurationPath: Hashable, Sendable, CustomStringConvertible {
    /// The path as text; empty for the root.
    package let description: String

    /// The path of the whole configuration.
    package static let root = ConfigurationPath(description: "")

    private init(description: String) {
        self.description = description
    }

    /// The path of the value of a key; a key that holds a dot is put in brackets.
    package func key(_ name: String) -> Self {
        if name.contains(".") || name.isEmpty {
            return Self(description: "\(self.description)[\"\(name)\"]")
        }
        return Self(description: self.description.isEmpty ? name : "\(self.description).\(name)")
    }

    /// The path of an element of a list, counted from 0.
    package func index(_ index: Int) -> Self {
        Self(description: "\(self.description)[\(index)]")
    }
}
