// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// The place of a store on disk: its directory, its file, and the lock that keeps a second process out.
///
/// Everything here blocks for as long as the file system does; call it when opening and closing only.
final class StoreFile: Sendable {
    /// The path as the operator wrote it, for messages.
    let name: String

    /// The absolute path with links resolved, so that two names of one file share a lock.
    let path: String

    private let lock: Mutex<Int32?>

    /// Makes the directory (mode 0700) and the file (mode 0600) when they are missing, and locks the store.
    ///
    /// The lock is `flock` on `<path>.lock`, which holds our process id. The kernel drops it when the process
    /// ends, in whatever way, so there is nothing to clean up after a kill.
    ///
    /// - Throws: `inUse` when another open store holds the lock, `diskFull`, else `cannotOpen`.
    init(_ name: String) throws(StoreError) {
        guard !name.isEmpty, !name.utf8.contains(0) else {
            throw StoreError(.cannotOpen, "The state path is empty or holds a NUL; give the path of a file.")
        }
        let given = URL(fileURLWithPath: name)
        let directory = given.deletingLastPathComponent()
        try Self.makeDirectory(directory.path, for: name)
        let target = directory.resolvingSymlinksInPath().appendingPathComponent(given.lastPathComponent)
        let path = target.resolvingSymlinksInPath().path
        let lock = try Self.lock(path + ".lock", for: name)
        do throws(StoreError) {
            try Self.makeFile(path, for: name)
        } catch {
            _ = flock(lock, LOCK_UN)
            _ = Foundation.close(lock)
            throw error
        }
        self.name = name
        self.path = path
        self.lock = Mutex(lock)
    }

    deinit {
        self.unlock()
    }

    /// Lets another store open this file; idempotent.
    func unlock() {
        self.lock.withLock { lock in
            guard let descriptor = lock else { return }
            // Not left to `close`: a process that is just being started has a copy of the descriptor until it
            // executes its program, and with it the lock.
            _ = flock(descriptor, LOCK_UN)
            _ = Foundation.close(descriptor)
            lock = nil
        }
    }

    /// Whether the disk has (almost) no room left for us; decides what an unclear I/O error was.
    var isDiskFull: Bool {
        var figures = statvfs()
        guard unsafe statvfs(self.path, &figures) == 0 else { return false }
        return figures.f_bavail * UInt(figures.f_frsize) < 65_536
            || (figures.f_files > 0 && figures.f_favail == 0)
    }

    private static func makeDirectory(_ path: String, for name: String) throws(StoreError) {
        var missing: [String] = []
        var current = path
        while unsafe access(current, F_OK) != 0, current != "/", !current.isEmpty {
            missing.append(current)
            current = URL(fileURLWithPath: current).deletingLastPathComponent().path
        }
        for directory in missing.reversed() {
            guard unsafe mkdir(directory, 0o700) == 0 || errno == EEXIST else {
                throw Self.failure(errno, "its directory cannot be made", for: name)
            }
            Self.synchronize(URL(fileURLWithPath: directory).deletingLastPathComponent().path)
        }
    }

    private static func makeFile(_ path: String, for name: String) throws(StoreError) {
        let file = unsafe Foundation.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Self.failure(errno, "it cannot be opened for writing", for: name) }
        _ = Foundation.close(file)
        Self.synchronize(URL(fileURLWithPath: path).deletingLastPathComponent().path)
    }

    /// Makes new names in a directory durable.
    ///
    /// A file system that cannot do that for directories is left alone.
    private static func synchronize(_ directory: String) {
        let descriptor = unsafe Foundation.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        _ = fsync(descriptor)
        _ = Foundation.close(descriptor)
    }

    private static func lock(_ path: String, for name: String) throws(StoreError) -> Int32 {
        let file = unsafe Foundation.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Self.failure(errno, "its lock file cannot be opened", for: name) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let reason = errno
            let holder = Self.holder(file)
            _ = Foundation.close(file)
            guard reason == EWOULDBLOCK else { throw Self.failure(reason, "it cannot be locked", for: name) }
            throw Self.inUse(name, .init(process: holder))
        }
        let text = Array("\(getpid())\n".utf8)
        // Only for the message above: a store whose disk is full still opens.
        _ = ftruncate(file, 0)
        _ = unsafe pwrite(file, text, text.count, 0)
        return file
    }

    /// Who has a store open; its process id is not known while it starts.
    struct Holder {
        var process: Int32?
    }

    /// Who has the store at `path` open, as far as its lock tells; nil for nobody.
    ///
    /// Makes no file.
    static func holder(of path: String) -> Holder? {
        let target = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        let file = unsafe Foundation.open(target + ".lock", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { _ = Foundation.close(file) }
        if flock(file, LOCK_SH | LOCK_NB) == 0 {
            _ = flock(file, LOCK_UN)
            return nil
        }
        return errno == EWOULDBLOCK ? Holder(process: Self.holder(file)) : nil
    }

    /// The refusal of a store that another process has open.
    static func inUse(_ name: String, _ holder: Holder) -> StoreError {
        StoreError(
            .inUse,
            "\"\(name)\" is in use by another Penstock\(holder.process.map { " (pid \($0))" } ?? ""); "
                + "stop it, or give this one its own state path"
        )
    }

    private static func holder(_ file: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = unsafe pread(file, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        return Int32(text.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    /// What the system's refusal means.
    static func failure(_ number: Int32, _ what: String, for name: String) -> StoreError {
        let reason = unsafe String(cString: strerror(number))
        if number == ENOSPC || number == EDQUOT {
            return StoreError(.diskFull, "\"\(name)\": \(what): \(reason); free some space")
        }
        return StoreError(
            .cannotOpen,
            "\"\(name)\": \(what): \(reason); check the state path and its permissions"
        )
    }
}
