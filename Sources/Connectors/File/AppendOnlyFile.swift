// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockRuntime

/// A file that only grows, by whole lines that are on disk.
///
/// Others may append to the same path at the same time, here or in another process: each append holds a lock. The
/// file may be removed or renamed between appends: the next one makes it anew.
final class AppendOnlyFile: @unchecked Sendable {
    // @unchecked: made by one thread and then used by one other.
    /// How long another process may hold the lock: who is stopped with it must not hold up a stop of ours.
    private static let patience = Duration.seconds(10)

    private let path: String
    private var handle: FileHandle

    init(path: String) throws(DestinationError) {
        self.path = path
        self.handle = try Self.open(path)
    }

    /// Opens or makes the file, and brings its name to disk: another process may have made it just now.
    private static func open(_ path: String) throws(DestinationError) -> FileHandle {
        let file = unsafe Foundation.open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0o666)
        guard file >= 0 else {
            let reason = unsafe String(cString: strerror(errno))
            throw DestinationError(
                "the file \(path) cannot be opened for writing: \(reason); "
                    + "check that its directory exists, and the owner and mode of both"
            )
        }
        let handle = FileHandle(fileDescriptor: file, closeOnDealloc: true)
        let directory = URL(fileURLWithPath: path).resolvingSymlinksInPath().deletingLastPathComponent().path
        let descriptor = unsafe Foundation.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { if descriptor >= 0 { _ = Foundation.close(descriptor) } }
        guard descriptor >= 0, fsync(descriptor) == 0 else {
            let reason = unsafe String(cString: strerror(errno))
            throw DestinationError(
                "the name of the file \(path) cannot be brought to disk: \(directory): \(reason); "
                    + "the directory must be readable, on a file system that takes fsync"
            )
        }
        return handle
    }

    /// Adds whole lines; when it fails, they are cut off again.
    func append(_ lines: [UInt8]) throws(DestinationError) {
        do {
            try self.lock()
            defer { self.unlock() }
            let end = try self.handle.seekToEnd()
            // A crash, or a failed write that could not be cut off, may have left half a line, which nobody was told
            // is kept.
            let isTorn = try !self.endsLine(at: end)
            do {
                try self.handle.write(contentsOf: Data(isTorn ? [UInt8(ascii: "\n")] + lines : lines))
                try self.handle.synchronize()
            } catch {
                try? self.handle.truncate(atOffset: end)
                throw error
            }
        } catch let error as DestinationError {
            throw error
        } catch {
            throw DestinationError(
                "the file \(self.path) did not take lines: \(error.localizedDescription)"
            )
        }
    }

    private func endsLine(at end: UInt64) throws -> Bool {
        guard end > 0 else { return true }
        try self.handle.seek(toOffset: end - 1)
        return try self.handle.read(upToCount: 1)?.first == UInt8(ascii: "\n")
    }

    /// Locks the file that has the path now, which may be another one than was opened.
    private func lock() throws {
        let deadline = ContinuousClock.now + Self.patience
        for _ in 0..<10 {
            while flock(self.handle.fileDescriptor, LOCK_EX | LOCK_NB) != 0 {
                guard errno == EINTR || errno == EWOULDBLOCK else {
                    throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
                }
                guard ContinuousClock.now < deadline else {
                    throw DestinationError(
                        "the file \(self.path) is locked by another process; see with lslocks which one it is"
                    )
                }
                usleep(10_000)
            }
            if self.hasPath { return }
            self.unlock()
            self.handle = try Self.open(self.path)
        }
        throw DestinationError("the file \(self.path) is replaced again and again; rotate it less often")
    }

    private func unlock() {
        // Not left to closing: a child process that is just starting shares the lock.
        _ = flock(self.handle.fileDescriptor, LOCK_UN)
    }

    private var hasPath: Bool {
        var opened = stat()
        var named = stat()
        return unsafe fstat(self.handle.fileDescriptor, &opened) == 0 && stat(self.path, &named) == 0
            && opened.st_dev == named.st_dev && opened.st_ino == named.st_ino
    }

    func close() {
        try? self.handle.close()
    }
}
