// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PenstockTesting

/// The lines of a file that a function appends to, as they come.
struct ArrivedLines {
    private let file: URL
    private var consumed: UInt64 = 0
    private var partial = ""

    /// The lines of a file that need not be there yet.
    init(_ file: URL) {
        self.file = file
    }

    /// The lines that were ended since the last call.
    mutating func next() -> [Substring] {
        guard let handle = try? FileHandle(forReadingFrom: self.file) else { return [] }
        defer { try? handle.close() }
        try? handle.seek(toOffset: self.consumed)
        let data = (try? handle.readToEnd()) ?? Data()
        self.consumed += UInt64(data.count)
        self.partial += String(decoding: data, as: UTF8.self)
        var lines = self.partial.split(separator: "\n", omittingEmptySubsequences: false)
        self.partial = String(lines.removeLast())
        return lines
    }
}

/// The lock that functions of a kill test share for as long as they live.
enum WriterLock {
    /// Waits until nobody holds it, so that nobody is left who could still write.
    ///
    /// - Throws: ``PenstockProcess/Failure`` when a function outlives its Penstock by a minute.
    static func waitUntilFree(_ file: URL) throws {
        let descriptor = unsafe open(file.path, O_RDONLY)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        guard BoundedWait.until(within: .seconds(60), { flock(descriptor, LOCK_EX | LOCK_NB) == 0 }) else {
            throw PenstockProcess.Failure("a function outlived its Penstock")
        }
    }
}

extension PenstockProcess {
    /// Whether its log says that its source is connected, or says nothing of it.
    var isSourceConnected: Bool {
        let log = self.log
        guard let lost = log.range(of: "source disconnected", options: .backwards) else { return true }
        return log[lost.upperBound...].contains("source connected")
    }
}
