// SPDX-License-Identifier: Apache-2.0

package import Foundation

/// The Python environment with the programs and libraries that tests run: `.venv`, which `make setup` fills, or what
/// PENSTOCK_VENV names.
package enum TestEnvironment {
    /// Why a test has not what it needs.
    package struct Unavailable: Error, CustomStringConvertible {
        /// What is missing or failed, and how to get it.
        package let description: String
    }

    /// Its folder.
    package static var folder: URL {
        URL(fileURLWithPath: ProcessInfo.processInfo.environment["PENSTOCK_VENV"] ?? ".venv")
    }

    /// A program in it, such as `python`.
    package static func program(_ name: String) -> URL { self.folder.appendingPathComponent("bin/\(name)") }

    /// Python, with the packages that tests need.
    package static var python: URL { self.program("python") }

    /// The folder with the newer librdkafka, for LD_LIBRARY_PATH.
    package static var libraries: String { self.folder.appendingPathComponent("rdk").path }

    /// A file in one of its packages.
    package static func file(_ path: String) throws -> URL {
        let lib = self.folder.appendingPathComponent("lib")
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: lib.path)) ?? []
        for version in versions.sorted() {
            let file = lib.appendingPathComponent(version).appendingPathComponent("site-packages/\(path)")
            if FileManager.default.fileExists(atPath: file.path) { return file }
        }
        throw Unavailable(description: "\(path) is not in \(lib.path); run make setup, or set PENSTOCK_VENV")
    }
}
