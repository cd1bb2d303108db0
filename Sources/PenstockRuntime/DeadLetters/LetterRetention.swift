// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
package import PenstockCore
package import PenstockStore

/// `dead_letters:`: how long letters stay in the embedded store, and how much they may take.
package struct LetterRetention: ConfigurationTable, Equatable {
    static let maxAge = Field.duration(
        "max_age",
        "How long a letter is kept after it was given up; for ever when left out.",
        in: .seconds(60) ... .seconds(3650 * 86_400)
    ).optional
    static let maxSize = Field.size(
        "max_size",
        "What all letters may take: keys, bodies, headers and histories; as much as the disk has when left out.",
        in: 1 << 20...Int.max
    ).optional
    package static let table = FieldTable(
        "dead_letters",
        "When letters of the embedded store are dropped, the oldest first: never, unless one of these is set.",
        [maxAge, maxSize]
    )

    /// How long a letter is kept; nil for ever.
    package var maxAge: Duration?

    /// Bytes of all letters at most; nil for any number.
    package var maxBytes: Int?

    /// From this part of a limit on there is a warning.
    package static let warnedFrom = 0.8

    /// Keeps letters within these limits.
    package init(maxAge: Duration? = nil, maxBytes: Int? = nil) {
        self.maxAge = maxAge
        self.maxBytes = maxBytes
    }

    package init(_ reader: inout ConfigurationReader) {
        self.maxAge = reader[Self.maxAge]
        self.maxBytes = reader[Self.maxSize]
    }

    /// Whether anything is ever dropped.
    package var isLimited: Bool { self.maxAge != nil || self.maxBytes != nil }

    /// How much of what is allowed the letters use, by the limit that is nearer: 1 for all of it; nil without limits.
    package func use(of letters: DeadLetterCount, now: Timestamp) -> Double? {
        [self.useOfAge(letters, now), self.useOfSize(letters)].compactMap(\.self).max()
    }

    private func useOfAge(_ letters: DeadLetterCount, _ now: Timestamp) -> Double? {
        self.maxAge.map { age in
            letters.oldest.map { max(0, (now - $0).inSeconds) / age.inSeconds } ?? 0
        }
    }

    private func useOfSize(_ letters: DeadLetterCount) -> Double? {
        self.maxBytes.map { Double(letters.bytes) / Double($0) }
    }

    /// What an operator has to know before letters are dropped; nil while that is far off.
    package func warning(_ letters: DeadLetterCount, now: Timestamp) -> String? {
        var reasons: [String] = []
        if let maxAge = self.maxAge, let oldest = letters.oldest,
            self.useOfAge(letters, now) ?? 0 >= Self.warnedFrom
        {
            let age = Duration.seconds(Int64((now - oldest).inSeconds))
            reasons.append(
                "the oldest dead letter is \(age.configurationText) old, and dropped at "
                    + "\(maxAge.configurationText) (dead_letters.max_age)"
            )
        }
        if let maxBytes = self.maxBytes, self.useOfSize(letters) ?? 0 >= Self.warnedFrom {
            reasons.append(
                "dead letters take \(letters.bytes) bytes, and the oldest are dropped above \(maxBytes) "
                    + "(dead_letters.max_size)"
            )
        }
        guard !reasons.isEmpty else { return nil }
        return reasons.joined(separator: "; ") + "; redrive or drop them, or raise the limit"
    }

    /// The same of all letters of a store, which is not asked when there are no limits.
    package func warning(in store: any StateStore, now: Timestamp) async throws(StoreError) -> String? {
        guard self.isLimited else { return nil }
        return self.warning(try await store.countDeadLetters(matching: DeadLetterQuery()), now: now)
    }

    /// How many of the oldest letters, given earliest first, are beyond the limits.
    package func excess(of oldest: [StoredDeadLetter.Age], bytes: Int, now: Timestamp) -> Int {
        var bytes = bytes
        for (index, letter) in oldest.enumerated() {
            let isTooOld = self.maxAge.map { now - letter.at > $0 } ?? false
            let isTooMuch = self.maxBytes.map { bytes > $0 } ?? false
            guard isTooOld || isTooMuch else { return index }
            bytes -= letter.bytes
        }
        return oldest.count
    }
}
