// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Yams

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// Why a file could not be read.
package struct FileReadError: Error, Sendable {
    /// What went wrong, for the caller.
    package enum Code: Sendable {
        case missing
        case unreadable
        case tooLarge
    }

    package var code: Code

    /// What an operator needs, as the end of a sentence that begins with the file.
    package var detail: String

    /// An error about a file.
    package init(code: Code, detail: String) {
        self.code = code
        self.detail = detail
    }
}

/// Reads a configuration file into nodes: bytes, UTF-8, YAML, substitution.
///
/// The environment and the files are injected, so that tests need neither. Reading blocks; call it at start
/// and at reload, not on the way of records.
package struct ConfigurationLoader: Sendable {
    /// The largest configuration file.
    package static let fileBytesMax = 4 << 20

    /// The largest file that a placeholder may name.
    package static let secretBytesMax = 64 << 10

    /// The deepest nesting of lists and mappings.
    package static let depthMax = 64

    /// The most values, aliases counted where they are used.
    package static let nodesMax = 200_000

    /// The value of an environment variable, or nil when it is not set.
    package var environment: @Sendable (_ name: String) -> String?

    /// The bytes of a file, at most as many as the second argument says.
    package var readFile: @Sendable (_ path: String, _ bytesMax: Int) throws(FileReadError) -> [UInt8]

    /// A loader with its own environment and files.
    package init(
        environment: @escaping @Sendable (_ name: String) -> String?,
        readFile: @escaping @Sendable (_ path: String, _ bytesMax: Int) throws(FileReadError) -> [UInt8]
    ) {
        self.environment = environment
        self.readFile = readFile
    }

    /// The environment and the file system of this process.
    package static let process = ConfigurationLoader(
        environment: { ProcessInfo.processInfo.environment[$0] },
        readFile: { path, bytesMax throws(FileReadError) in try readWholeFile(path, bytesMax: bytesMax) }
    )

    /// Reads a file; what is wrong with it is in the document's findings.
    package func load(_ path: String) -> ConfigurationDocument {
        do throws(FileReadError) {
            return self.parse(try self.readFile(path, Self.fileBytesMax), file: path)
        } catch {
            let (code, advice): (Finding.Code, String) =
                switch error.code {
                case .missing: (.missingFile, "create it, or name another with --config")
                case .unreadable: (.unreadableFile, "name a file that this user may read")
                case .tooLarge: (.tooLarge, "split it, or take generated data out of it")
                }
            return self.refused(code, Place(file: path), "the file \(error.detail)", advice)
        }
    }

    /// Reads a text that was got otherwise; `file` names it in findings.
    package func parse(_ text: String, file: String = "connectors.yaml") -> ConfigurationDocument {
        self.parse(Array(text.utf8), file: file)
    }

    func parse(_ file: [UInt8], file name: String) -> ConfigurationDocument {
        // Some editors begin a file with a mark (U+FEFF), which the YAML parser takes for a value.
        let isMarked = file.starts(with: [0xEF, 0xBB, 0xBF])
        return self.parse(unmarked: isMarked ? Array(file.dropFirst(3)) : file, file: name)
    }

    private func parse(unmarked bytes: [UInt8], file: String) -> ConfigurationDocument {
        let whole = Place(file: file)
        guard bytes.count <= Self.fileBytesMax else {
            return self.refused(
                .tooLarge,
                whole,
                "the file is larger than 4MiB",
                "take generated data out of it"
            )
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            let line = self.lineOfFirstInvalidByte(bytes)
            let place = Place(file: file, line: line, column: 1)
            return self.refused(.badEncoding, place, "this line is not UTF-8", "save the file as UTF-8")
        }
        do {
            let parser = try Parser(yaml: text, encoding: .utf8)
            guard let root = try parser.singleRoot() else {
                return self.refused(
                    .emptyFile,
                    whole,
                    "the file holds no configuration",
                    "start with `triggers:`"
                )
            }
            var builder = NodeBuilder(file: file, substitution: Substitution(loader: self))
            let node = builder.build(root)
            if node.scalar?.isNull == true {
                return self.refused(
                    .emptyFile,
                    whole,
                    "the file holds no configuration",
                    "start with `triggers:`"
                )
            }
            return ConfigurationDocument(root: node, findings: builder.findings)
        } catch {
            return self.refused(finding: YAMLProblem(error, text: text, file: file).finding)
        }
    }

    private func lineOfFirstInvalidByte(_ bytes: [UInt8]) -> Int {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        return (lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0) + 1
    }

    private func refused(
        _ code: Finding.Code,
        _ place: Place,
        _ message: String,
        _ suggestion: String
    ) -> ConfigurationDocument {
        self.refused(finding: Finding(code, at: place, path: .root, message, suggestion: suggestion))
    }

    private func refused(finding: Finding) -> ConfigurationDocument {
        ConfigurationDocument(root: ConfigurationNode(.invalid, at: finding.place), findings: [finding])
    }
}

/// A configuration file as read: its values, and what was wrong with it so far.
package struct ConfigurationDocument: Sendable {
    /// The values; invalid as a whole when the file could not be read.
    package let root: ConfigurationNode

    /// Findings of reading, YAML and substitution; those about fields come with ``read(_:)``.
    package let findings: [Finding]
}

/// Reads to the end, which is more than `stat` says for a pipe such as `<(…)` in a shell.
private func readWholeFile(_ path: String, bytesMax: Int) throws(FileReadError) -> [UInt8] {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw readError(errno) }
    defer { _ = close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while bytes.count <= bytesMax {
        let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw readError(errno) }
        guard count > 0 else { return bytes }
        bytes += chunk[..<count]
    }
    throw FileReadError(code: .tooLarge, detail: "is larger than \(ByteSize.text(bytesMax))")
}

private func readError(_ code: Int32) -> FileReadError {
    switch code {
    case ENOENT, ENOTDIR: FileReadError(code: .missing, detail: "does not exist")
    case EACCES, EPERM: FileReadError(code: .unreadable, detail: "may not be read by this user")
    case EISDIR: FileReadError(code: .unreadable, detail: "is a directory")
    default: FileReadError(code: .unreadable, detail: "cannot be read (errno \(code))")
    }
}
