// SPDX-License-Identifier: Apache-2.0

/// What a server sends while it replicates (Postgres: "Streaming Replication Protocol").
@safe
package enum ReplicationMessage {
    /// A piece of the log, as the output plugin wrote it; the bytes are those of the message.
    case data(at: LogSequenceNumber, UnsafeRawBufferPointer)
    /// The server is there, and has sent all that there is before this place.
    case keepalive(end: LogSequenceNumber, isReplyRequested: Bool)

    /// Reads a message of the COPY; nil for what is none.
    @unsafe
    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard let kind = unsafe bytes.first else { return nil }
        switch kind {
        case UInt8(ascii: "w"):
            guard bytes.count >= 25 else { return nil }
            let start = unsafe Self.number(bytes, at: 1)
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[25...])
            unsafe self = .data(at: LogSequenceNumber(start), rest)
        case UInt8(ascii: "k"):
            guard bytes.count >= 18 else { return nil }
            let end = unsafe Self.number(bytes, at: 1)
            unsafe self = .keepalive(end: LogSequenceNumber(end), isReplyRequested: bytes[17] != 0)
        default: return nil
        }
    }

    private static func number(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        UInt64(bigEndian: unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}

/// What a reader tells the server that replicates to it.
package struct StandbyStatus: Sendable, Equatable {
    /// Everything before this place has arrived.
    package var received: LogSequenceNumber

    /// Everything before this place is durable with the reader, and may go; ``LogSequenceNumber/none`` says nothing of it.
    package var flushed: LogSequenceNumber

    /// Microseconds since 2000-01-01.
    package var clock: Int64

    /// Whether the server is to answer at once.
    package var wantsReply: Bool

    /// A status.
    package init(
        received: LogSequenceNumber,
        flushed: LogSequenceNumber,
        clock: Int64,
        wantsReply: Bool
    ) {
        self.received = received
        self.flushed = flushed
        self.clock = clock
        self.wantsReply = wantsReply
    }

    /// The message.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = [UInt8(ascii: "r")]
        let numbers = [
            self.received.rawValue, self.flushed.rawValue, self.flushed.rawValue,
            UInt64(bitPattern: self.clock),
        ]
        for number in numbers {
            for shift in stride(from: 56, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: number >> UInt64(shift)))
            }
        }
        bytes.append(self.wantsReply ? 1 : 0)
        return bytes
    }
}
