// SPDX-License-Identifier: Apache-2.0

import Testing

/// Who may import whom.
///
/// Package.swift declares the graph; this holds what a declaration cannot say.
@Suite struct LayeringTests {
    @Test("Imports only go down the layers")
    func layers() {
        let files = Repository.own.swiftFiles("Sources")
        #expect(files.count > 50)
        report(files.flatMap { Layers.findings(in: $0) })
    }

    @Test(
        "An import against the layers is found",
        arguments: [
            ("Sources/PenstockCore/A.swift", "import PenstockStore"),
            ("Sources/PenstockCore/A.swift", "package import Foundation"),
            ("Sources/PenstockCore/A.swift", "import struct Logging.Logger"),
            ("Sources/PenstockRuntime/A.swift", "import KafkaConnector"),
            ("Sources/PenstockRuntime/A.swift", "import CReactor"),
            ("Sources/Connectors/Kafka/A.swift", "import CLibrdkafka"),
            ("Sources/Connectors/Kafka/A.swift", "import LocalFunction"),
            ("Sources/Functions/HTTP/A.swift", "import LocalFunction"),
            ("Sources/PenstockRuntime/A.swift", "import Hummingbird"),
            ("Sources/PenstockRuntime/A.swift", "@preconcurrency import GRDB"),
            ("Sources/penstock/A.swift", "import Yams"),
            ("Sources/PenstockFilters/A.swift", "import PenstockRuntime"),
            ("Sources/PenstockRuntime/A.swift", "import CSimdjson"),
        ]
    )
    func broken(path: String, line: String) {
        let file = SwiftFile(path: path, text: "// one\n\(line)\n")
        #expect(Layers.findings(in: file).map(\.line) == [2])
    }

    @Test(
        "An import down the layers is fine",
        arguments: [
            ("Sources/PenstockCore/A.swift", "import DequeModule"),
            ("Sources/Connectors/Kafka/LibRDKafka/A.swift", "import CLibrdkafka"),
            ("Sources/Connectors/Kafka/A.swift", "package import PenstockRuntime"),
            ("Sources/PenstockStore/SQLite/A.swift", "import GRDB"),
            ("Sources/penstock/A.swift", "import KafkaConnector"),
            ("Sources/PenstockCore/A.swift", "// import Foundation"),
        ]
    )
    func fine(path: String, line: String) {
        #expect(Layers.findings(in: SwiftFile(path: path, text: line)) == [])
    }

    @Test("System libraries are a module map and headers, nothing else")
    func systemLibraries() {
        let repository = Repository.own
        let folders = repository.folders(in: "Sources").filter { Layers.isSystemLibrary($0) }
        #expect(!folders.isEmpty)
        report(
            folders.flatMap { folder in
                repository.paths(under: "Sources/\(folder)")
                    .filter { !$0.hasSuffix(".h") && !$0.hasSuffix("/module.modulemap") }
                    .filter { !Layers.shims.contains(folder) || !$0.hasSuffix("/\(folder).cpp") }
                    .map { Finding($0, "a system library holds only module.modulemap and headers") }
            }
        )
    }
}

/// The layers, and who may use what.
enum Layers {
    /// Our modules from the bottom up; a module imports only those of earlier rows.
    static let rows: [[String]] = [
        ["PenstockCore"],
        ["Reactor"],
        ["CurlClient", "PostgresClient"],
        ["AWSClient"],
        ["PenstockConfiguration", "PenstockStore"],
        ["AWSConfiguration", "PenstockFilters", "PenstockSchedules"],
        ["PenstockRuntime"],
        ["AWSDestination", "HTTPEndpoints"],
        ["connectors and functions"],
        ["PenstockAdmin", "PenstockBehavior", "PenstockTesting"],
        ["penstock"],
    ]

    /// Libraries that one module alone uses.
    static let owners = [
        "Hummingbird": ["PenstockAdmin"],
        "HummingbirdCore": ["PenstockAdmin"],
        "GRDB": ["PenstockStore"],
        "Yams": ["PenstockConfiguration"],
        "ArgumentParser": ["penstock"],
    ]

    /// What the core may import: the standard library's modules, collections, and instructions that Swift cannot name.
    static let coreImports: Set<String> = [
        "CBase64", "CJSON", "DequeModule", "HeapModule", "Synchronization",
    ]

    /// Modules that may touch C.
    ///
    /// Connectors may only in a folder of their own, the raw layer.
    static let cUsers: Set<String> = [
        "Reactor", "CurlClient", "PostgresClient", "LocalFunction", "PenstockFilters", "PenstockTesting",
    ]

    /// C++ behind a header in C: no interface in C exists.
    static let shims: Set<String> = ["CSimdjson"]

    static func isSystemLibrary(_ module: String) -> Bool {
        module.count > 1 && module.hasPrefix("C") && module != "CurlClient"
            && module.dropFirst().first?.isUppercase == true
    }

    /// The module that a source belongs to.
    static func module(of path: String) -> String {
        let parts = path.split(separator: "/").map(String.init)
        guard parts.count > 2 else { return "" }
        switch parts[1] {
        case "Connectors": return "\(parts[2])Connector"
        case "Functions": return "\(parts[2])Function"
        default: return parts[1]
        }
    }

    private static func row(of module: String) -> Int? {
        let name =
            module.hasSuffix("Connector") || module.hasSuffix("Function")
            ? "connectors and functions" : module
        return self.rows.firstIndex { $0.contains(name) }
    }

    static func findings(in file: SwiftFile) -> [Finding] {
        let module = self.module(of: file.path)
        return file.imports.compactMap { imported, line in
            self.objection(to: imported, in: module, path: file.path).map {
                Finding(file.path, line: line, $0)
            }
        }
    }

    private static func objection(to imported: String, in module: String, path: String) -> String? {
        if module == "PenstockCore", !self.coreImports.contains(imported) {
            return "PenstockCore must not import \(imported): it is values and state machines alone"
        }
        if module == "PenstockCore" { return nil }
        if self.isSystemLibrary(imported) { return self.objectionToC(imported, in: module, path: path) }
        if let owners = self.owners[imported], !owners.contains(module) {
            return "only \(owners.joined(separator: " and ")) may import \(imported)"
        }
        guard let theirs = self.row(of: imported) else { return nil }
        guard let ours = self.row(of: module) else {
            return "\(module) has no layer; give it one in LayeringTests"
        }
        if theirs < ours { return nil }
        return "\(module) must not import \(imported), which is not below it (docs/ARCHITECTURE.md)"
    }

    private static func objectionToC(_ imported: String, in module: String, path: String) -> String? {
        if self.cUsers.contains(module) { return nil }
        guard module.hasSuffix("Connector") else { return "\(module) must not touch C (\(imported))" }
        // The reactor's descriptors are for all of a connector; its C library only for the raw layer.
        let isRaw = path.split(separator: "/").count > 4
        if isRaw || imported == "CReactor" { return nil }
        return "only the raw layer, a folder inside of the connector's, may import \(imported)"
    }
}
