// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB

extension SQLiteStore {
    /// Looks whether ``open(path:)`` would take the file at `path`, which must be there, and changes nothing: no file is
    /// made beside it, which whoever looks would own.
    ///
    /// Blocks as opening does.
    ///
    /// - Throws: `inUse` with the other's process id, `tooNew`, `corrupt`, else `cannotOpen`.
    package static func examine(path: String) throws(StoreError) {
        if let holder = StoreFile.holder(of: path) { throw StoreFile.inUse(path, holder) }
        var isDirectory: ObjCBool = false
        if unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory),
            isDirectory.boolValue
        {
            throw StoreFile.failure(EISDIR, "it cannot be opened for writing", for: path)
        }
        do {
            var configuration = Configuration()
            configuration.readonly = true
            configuration.busyMode = .timeout(5)
            let database = try DatabaseQueue(path: Self.readable(path), configuration: configuration)
            try database.unsafeRead { try Self.check($0, path) }
        } catch {
            throw StoreError(error, name: path, isDiskFull: false, opening: true)
        }
    }

    /// The name under which SQLite reads a file without a write-ahead log and makes none; one with a log is read with it.
    ///
    /// Nobody has it open, so it may be called immutable (sqlite.org/uri.html). A SQLite that knows no URIs finds no such
    /// file, which is an error of opening.
    private static func readable(_ path: String) -> String {
        let log = (try? FileManager.default.attributesOfItem(atPath: path + "-wal"))?[.size] as? Int ?? 0
        guard log == 0 else { return path }
        let plain = CharacterSet(charactersIn: "/-._~").union(.alphanumerics)
        let absolute = URL(fileURLWithPath: path).path
        return "file:\(absolute.addingPercentEncoding(withAllowedCharacters: plain) ?? absolute)?immutable=1"
    }
}
