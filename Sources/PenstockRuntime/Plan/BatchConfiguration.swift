// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration

/// `batch:` of a trigger (esm-spec section 2).
package struct BatchConfiguration: ConfigurationTable {
    static let size = Field.integer(
        "size",
        "Records of an invocation at most; the body never exceeds 6 MiB whatever this says.",
        default: 100,
        in: 1...10_000
    )
    static let window = Field.duration(
        "window",
        "How long to wait for a full batch, from the arrival of its first record.",
        default: .milliseconds(500),
        in: .zero ... .seconds(300)
    )
    package static let table = FieldTable("batch", "How many records are invoked together.", [size, window])

    let size: Int
    let window: Duration

    /// Each record by itself, at once.
    static let single = BatchConfiguration(size: 1, window: .zero)

    private init(size: Int, window: Duration) {
        self.size = size
        self.window = window
    }

    package init(_ reader: inout ConfigurationReader) {
        self.size = reader[Self.size]
        self.window = reader[Self.window]
    }
}
