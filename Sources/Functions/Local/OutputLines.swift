// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// Cuts a byte stream into lines.
///
/// Pure.
///
/// A line longer than ``lineMax`` bytes keeps its beginning and ends in `…`; invalid UTF-8 becomes U+FFFD.
struct LineSplitter {
    /// Longest line that is kept, in bytes.
    static let lineMax = 16 << 10

    private var partial: [UInt8] = []
    private var isCut = false

    /// Adds bytes and returns the lines that they complete, without line ends.
    mutating func add(_ bytes: UnsafeRawBufferPointer) -> [String] {
        var lines: [String] = []
        var start = 0
        for index in 0..<bytes.count where unsafe bytes[index] == 0x0A {
            unsafe self.append(UnsafeRawBufferPointer(rebasing: bytes[start..<index]))
            lines.append(self.takeLine())
            start = index + 1
        }
        unsafe self.append(UnsafeRawBufferPointer(rebasing: bytes[start...]))
        return lines
    }

    /// Takes what stands after the last line end; nil when there is nothing.
    mutating func flush() -> String? {
        self.partial.isEmpty && !self.isCut ? nil : self.takeLine()
    }

    private mutating func append(_ bytes: UnsafeRawBufferPointer) {
        let room = Self.lineMax - self.partial.count
        if bytes.count > room { self.isCut = true }
        unsafe self.partial.append(contentsOf: bytes.prefix(room))
    }

    private mutating func takeLine() -> String {
        if self.partial.last == 0x0D { self.partial.removeLast() }
        var line = String(decoding: self.partial, as: UTF8.self)
        if self.isCut { line += "…" }
        self.partial.removeAll(keepingCapacity: self.partial.count < 1024)
        self.isCut = false
        return line
    }
}

/// The last lines of an output, bounded in bytes.
///
/// Pure.
struct OutputTail {
    /// Bytes of UTF-8 that are kept.
    static let bytesMax = 64 << 10

    private var kept: Deque<LocalFunctionLogLine> = []
    private var bytes = 0

    /// Lines that were dropped from the front.
    private(set) var dropped = 0

    /// The lines kept, oldest first.
    var lines: [LocalFunctionLogLine] { Array(self.kept) }

    /// Adds a line, and drops the oldest ones when there are too many bytes.
    mutating func append(_ line: LocalFunctionLogLine) {
        self.kept.append(line)
        self.bytes += line.text.utf8.count + 1
        while self.bytes > Self.bytesMax, self.kept.count > 1, let first = self.kept.popFirst() {
            self.bytes -= first.text.utf8.count + 1
            self.dropped += 1
        }
    }

    /// The last `count` lines of one stream, for a message.
    func last(_ count: Int, of stream: LocalFunctionLogLine.Stream) -> [String] {
        self.kept.filter { $0.stream == stream }.suffix(count).map(\.text)
    }
}
