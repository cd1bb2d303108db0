// SPDX-License-Identifier: Apache-2.0

/// Names one ownership of one partition within a run of a trigger.
///
/// A partition that is lost and assigned again gets a new id, so whatever still refers to the old ownership is
/// fenced: it no longer finds anything.
package struct PartitionID: Hashable, Sendable, CustomStringConvertible {
    /// Unique within one run of one source.
    package var rawValue: UInt32

    /// The id with this number; the source hands them out in increasing order.
    package init(_ rawValue: UInt32) {
        self.rawValue = rawValue
    }

    package var description: String { "#\(self.rawValue)" }
}

/// An ordered sub-stream of a source as this process owns it now.
package final class Partition: Sendable, CustomStringConvertible {
    /// Names this ownership.
    package let id: PartitionID

    /// The upstream's name for it, stable over time: `orders-3`.
    ///
    /// Checkpoints are kept under this name.
    package let name: String

    /// The name as a JSON string with quotes, made once.
    package let quotedName: [UInt8]

    /// The part of each record's event that is the same for the whole partition, encoded once.
    package let eventPrefix: [UInt8]

    /// The window in which it goes on, behind that window's position; nil for one that begins where upstream says.
    package let kept: KeptWindow?

    /// A partition as its source owns it.
    package init(id: PartitionID, name: String, eventPrefix: [UInt8] = [], kept: KeptWindow? = nil) {
        self.id = id
        self.kept = kept
        self.name = name
        self.quotedName = JSONText.escaped(name)
        self.eventPrefix = eventPrefix
    }

    package var description: String { self.name }
}

/// A position in a named partition, as it is kept and committed: all records up to and including it are settled.
package struct PartitionPosition: Hashable, Sendable {
    /// The ownership it was reached under.
    package var partition: PartitionID

    /// The upstream's name of the partition.
    package var name: String

    /// The last position below and at which all is settled.
    package var position: Position

    /// How far the partition has come behind it in tumbling windows; nil without them.
    ///
    /// It is kept with the position. Upstream hears nothing of it.
    package var window: KeptWindow?

    /// A position reached in a partition.
    package init(partition: PartitionID, name: String, position: Position) {
        self.partition = partition
        self.name = name
        self.position = position
    }
}

/// Names a revocation inside the engine.
package struct RevocationKey: Hashable, Sendable {
    /// The source's number for it.
    package var rawValue: UInt64

    /// The key with this number.
    package init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }
}
