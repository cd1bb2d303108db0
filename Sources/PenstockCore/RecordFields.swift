// SPDX-License-Identifier: Apache-2.0

/// Which of a trigger's records are for its function.
///
/// Used by one engine; not shared between threads.
package protocol RecordFilter: AnyObject {
    /// The records of the block that pass: ranges of their indices, ascending, none empty, none touching.
    func select(_ block: RecordBlock) -> [Range<Int>]
}

/// What filters can look at in a source's records: names as its events have them, and where each is in a record.
///
/// Each connector has such a table; filters, their checks at load and `docs/FILTERS.md` follow from it.
package struct RecordFields: Sendable {
    /// A field by its name.
    package struct Field: Sendable {
        /// The first step of a pattern's path.
        package var name: String

        /// Where it is in a record.
        package var part: Part

        /// A field.
        package init(_ name: String, _ part: Part) {
            self.name = name
            self.part = part
        }
    }

    /// A part of a record.
    package enum Part: Sendable {
        /// The body: JSON, text, or absent.
        case body(Mismatch)
        /// The key: JSON, text, or absent.
        case key(Mismatch)
        /// The attributes by name; each value is a text.
        case attributes
        /// The value of one attribute: JSON or text; a condition that does not fit the data does not hold.
        case document(String)
        /// The value of one attribute as a text.
        case text(String)
        /// The record's own time, in milliseconds since 1970.
        case timestamp
        /// The position as a number; absent when it does not fit 64 bits.
        case position
        /// A text that follows from the entry's tag.
        case tag(@Sendable (UInt8) -> String)
        /// A text that all records of a partition share.
        case partitionText(@Sendable (Partition) -> String)
        /// A number that all records of a partition share.
        case partitionNumber(@Sendable (Partition) -> Int64)

        /// Whether it has parts of its own that a pattern may name.
        package var isNested: Bool {
            switch self {
            case .body, .key, .attributes, .document: true
            case .text, .timestamp, .position, .tag, .partitionText, .partitionNumber: false
            }
        }
    }

    /// What becomes of a condition that does not fit the data: one on fields in data that is not JSON, one on the text of
    /// data that is.
    package enum Mismatch: Sendable {
        /// It is left out, and the other conditions decide.
        case ignored
        /// It does not hold.
        case unmet
    }

    /// The fields, in the order of the events.
    package var fields: [Field]

    /// A table of fields.
    package init(_ fields: [Field]) {
        self.fields = fields
    }
}

/// What becomes of a record that no filter matches.
package enum FilteredDisposition: String, Sendable, CaseIterable {
    /// It is settled at once, as AWS does it.
    case acknowledge
    /// It is given back for others to receive; only where the source can.
    case release
    /// It becomes a dead letter.
    case deadLetter = "dead_letter"
}

/// A condition of a filter that a record does not meet.
package struct FilterMiss: Sendable, Hashable {
    /// The filter, from 1.
    package var filter: Int

    /// Where the condition stands: `triggers.orders.filters[0].value.status`.
    package var condition: String

    /// Whether the condition holds by itself, and only together with others does not: not in one element of an array.
    package var isJoint: Bool

    /// A condition that is not met.
    package init(filter: Int, condition: String, isJoint: Bool) {
        self.filter = filter
        self.condition = condition
        self.isJoint = isJoint
    }
}
