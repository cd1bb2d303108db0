// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// Buffers that wait for another body: as many as ran side by side, but not more memory than is worth keeping.
///
/// One large batch for each of a thousand invocations would otherwise take it for good.
struct SpareBuffers {
    /// Bytes that are kept at most.
    static let bytesMax = 32 << 20

    private var buffers: [EventBuffer] = []
    private(set) var bytes = 0

    /// One that was given back last, or a new one.
    mutating func take() -> EventBuffer {
        guard let buffer = self.buffers.popLast() else { return EventBuffer() }
        self.bytes -= buffer.capacity
        return buffer
    }

    /// Keeps one that nobody reads any more, if there is room.
    mutating func giveBack(_ buffer: EventBuffer) {
        guard self.bytes + buffer.capacity <= Self.bytesMax else { return }
        self.bytes += buffer.capacity
        self.buffers.append(buffer)
    }
}
