// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting
import Testing

/// One run of the program in a folder of its own, to its end.
struct CommandRun {
    let status: Int32
    let output: String
    let errors: String

    /// Runs it beside a `connectors.yaml` with this text, or with none.
    init(_ arguments: [String], configuration: String?, environment: [String: String] = [:]) throws {
        try self.init(arguments, data: configuration.map { Data($0.utf8) }, environment: environment)
    }

    /// Runs it beside a `connectors.yaml` with these bytes, or with none.
    init(_ arguments: [String], data: Data?, environment: [String: String] = [:]) throws {
        let folder = try TemporaryFolder()
        if let data { try data.write(to: folder.url.appendingPathComponent("connectors.yaml")) }
        try self.init(arguments, in: folder.url, environment: environment)
    }

    /// Runs it in a folder.
    ///
    /// - Throws: an error when it does not end in 90 s; it is killed then.
    init(_ arguments: [String], in folder: URL, environment: [String: String] = [:]) throws {
        let process = try ForeignProcess(
            try PenstockProcess.executable(),
            arguments,
            environment: environment,
            in: folder
        )
        let status = process.status(within: .seconds(90))
        (self.output, self.errors) = (process.standardOutput, process.standardError)
        self.status = try #require(status, "\(arguments) did not end: \(self.errors.suffix(2000))")
    }

    /// The output as a JSON object.
    func document() throws -> [String: Any] {
        try #require(JSONSerialization.jsonObject(with: Data(self.output.utf8)) as? [String: Any])
    }
}

/// A folder that goes with its last reference.
final class TemporaryFolder: Sendable {
    let url: URL

    init() throws {
        let files = FileManager.default
        self.url = files.temporaryDirectory.appendingPathComponent("penstock-\(UUID().uuidString)")
        try files.createDirectory(at: self.url, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: self.url)
    }
}
