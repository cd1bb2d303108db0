// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import Synchronization

/// The system's time zones by their IANA names; each is read once.
package final class ZoneDatabase: Sendable {
    /// Why there is no such zone.
    package struct Problem: Error, Sendable, CustomStringConvertible {
        /// Whether the zones themselves are missing on this machine, and the name may be right.
        package var isEnvironment: Bool

        /// What happened and the way out, in one sentence without a full stop.
        package var description: String
    }

    private let folder: String
    private let known = Mutex<[String: ZoneRules]>(["UTC": .utc])

    /// The zones in a folder of compiled ones.
    package init(folder: String) {
        self.folder = folder
    }

    /// The zones of this system.
    package static let system = ZoneDatabase(folder: "/usr/share/zoneinfo")

    /// What is in the folder and is no place's time: this machine's zone, and copies with other rules.
    private static let excluded: Set<String> = ["localtime", "posixrules", "posix", "right", "Factory"]

    /// The zone of a name, such as `Europe/Berlin`.
    package func zone(_ name: String) throws(Problem) -> ZoneRules {
        if let zone = self.known.withLock({ $0[name] }) { return zone }
        guard Self.isName(name), let data = FileManager.default.contents(atPath: "\(self.folder)/\(name)")
        else {
            throw self.unknown(name)
        }
        let zone: ZoneRules
        do throws(ZoneFileProblem) {
            zone = try ZoneFile.rules(name, [UInt8](data))
        } catch {
            if !data.starts(with: "TZif".utf8) { throw self.unknown(name) }
            throw Problem(
                isEnvironment: true,
                description: "the time zone file \(self.folder)/\(name) \(error.detail); install tzdata anew"
            )
        }
        return self.known.withLock { known in
            // Another caller may have been faster; all share one.
            if let first = known[name] { return first }
            known[name] = zone
            return zone
        }
    }

    private static func isName(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard name.utf8.count <= 64, let first = parts.first, !self.excluded.contains(String(first)) else {
            return false
        }
        return parts.allSatisfy { part in
            part.utf8.first.map { $0.isLetter } == true
                && part.utf8.allSatisfy {
                    $0.isLetter || (0x30...0x39).contains($0) || [0x2B, 0x2D, 0x5F].contains($0)
                }
        }
    }

    private func unknown(_ name: String) -> Problem {
        let names = self.names()
        guard !names.isEmpty else {
            return Problem(
                isEnvironment: true,
                description: "there are no time zones in \(self.folder); install tzdata, or use UTC"
            )
        }
        let what = "there is no time zone \"\(name)\""
        if name.first.map({ "+-0123456789".contains($0) }) == true {
            return Problem(
                isEnvironment: false,
                description:
                    "\(what); a zone is a name such as Europe/Berlin, or Etc/GMT-2 for two hours ahead of UTC"
            )
        }
        let advice =
            didYouMean(name, among: names) ?? Self.sameCity(name, among: names)
            ?? "names are those of the IANA, such as Europe/Berlin"
        return Problem(isEnvironment: false, description: "\(what); \(advice)")
    }

    /// `Berlin` for `Europe/Berlin`.
    private static func sameCity(_ name: String, among names: [String]) -> String? {
        let city = "/" + name.lowercased()
        return names.first { $0.lowercased().hasSuffix(city) }.map { "did you mean \"\($0)\"?" }
    }

    /// The names of all zones.
    private func names() -> [String] {
        let paths = FileManager.default.enumerator(atPath: self.folder)?.compactMap { $0 as? String } ?? []
        return paths.filter { path in
            Self.isName(path) && (path.contains("/") || path.count <= 9) && !path.contains(".")
        }.sorted()
    }
}

extension UInt8 {
    fileprivate var isLetter: Bool { (0x41...0x5A).contains(self) || (0x61...0x7A).contains(self) }
}
