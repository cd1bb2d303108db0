// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// The tree that these tests read.
struct Repository {
    /// The root of the tree.
    let root: URL

    /// The tree that this file is in.
    static let own = Repository(
        root: URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    )

    /// Every file below a folder, by path from the root; hidden folders such as `.build` are left out.
    func paths(under folder: String, endingWith suffix: String = "") -> [String] {
        let manager = FileManager.default
        let start = folder.isEmpty ? self.root : self.root.appendingPathComponent(folder)
        let names = (try? manager.contentsOfDirectory(atPath: start.path)) ?? []
        return names.sorted().flatMap { name -> [String] in
            guard !name.hasPrefix("."), name != "__pycache__" else { return [] }
            let path = folder.isEmpty ? name : "\(folder)/\(name)"
            if self.isFolder(path) { return self.paths(under: path, endingWith: suffix) }
            return path.hasSuffix(suffix) ? [path] : []
        }
    }

    /// The names of the folders in a folder.
    func folders(in folder: String) -> [String] {
        let full = self.root.appendingPathComponent(folder)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: full.path)) ?? []
        return names.filter { self.isFolder("\(folder)/\($0)") }.sorted()
    }

    /// Whether there is a folder of that path.
    func isFolder(_ path: String) -> Bool {
        let url = self.root.appendingPathComponent(path)
        return (try? url.resourceValues(forKeys: [.isDirectoryKey]))?.isDirectory == true
    }

    /// Whether there is a file or folder of that path.
    func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(
            atPath: self.root.appendingPathComponent(path).standardizedFileURL.path
        )
    }

    /// A file's text; nil when it is not text, or not there.
    func text(_ path: String) -> String? {
        try? String(contentsOf: self.root.appendingPathComponent(path), encoding: .utf8)
    }

    /// The Swift files below these folders.
    func swiftFiles(_ folders: String...) -> [SwiftFile] {
        folders.flatMap { self.paths(under: $0, endingWith: ".swift") }.compactMap { path in
            self.text(path).map { SwiftFile(path: path, text: $0) }
        }
    }
}

/// One thing that is not as it should be.
struct Finding: Equatable, CustomStringConvertible {
    var path: String
    /// From 1; nil when it is about the whole file.
    var line: Int?
    var message: String

    init(_ path: String, line: Int? = nil, _ message: String) {
        self.path = path
        self.line = line
        self.message = message
    }

    var description: String {
        "\(self.path)\(self.line.map { ":\($0)" } ?? ""): \(self.message)"
    }
}

/// Fails the test with one message for each finding.
func report(_ findings: [Finding], sourceLocation: SourceLocation = #_sourceLocation) {
    for finding in findings { Issue.record("\(finding)", sourceLocation: sourceLocation) }
}
