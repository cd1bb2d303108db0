// SPDX-License-Identifier: Apache-2.0

import Testing

/// No step is forgotten when a connector or a kind of function is added (docs/CONNECTORS.md).
@Suite struct PartsTests {
    @Test("Each connector and function is declared, tested and listed")
    func parts() throws {
        let repository = Repository.own
        let package = try #require(repository.text("Package.swift"))
        let list = repository.text(Parts.listPath)
        for group in [Parts.connectors, Parts.functions] {
            let names = repository.folders(in: "Sources/\(group.folder)")
            #expect(!names.isEmpty)
            for name in names {
                let tests = repository.paths(under: "Tests/\(group.folder)/\(name)", endingWith: ".swift")
                let hasTests = tests.contains { repository.text($0)?.contains("@Test") == true }
                report(group.findings(name, package: package, list: list, hasTests: hasTests))
            }
        }
    }

    @Test("The image is built with the libraries that setup installs")
    func imageLibraries() throws {
        let setup = try #require(Repository.own.text("scripts/setup"))
        let image = try #require(Repository.own.text("docker/Dockerfile"))
        let (wanted, there) = (Self.developmentPackages(in: setup), Self.developmentPackages(in: image))
        #expect(!wanted.isEmpty && wanted == there)
    }

    /// Debian's packages of headers that a script names.
    private static func developmentPackages(in text: String) -> Set<Substring> {
        Set(
            text.split(whereSeparator: \.isWhitespace).filter {
                $0.wholeMatch(of: /lib[a-z0-9.+-]+-dev/) != nil
            }
        )
    }

    @Test("Each step that is forgotten is found")
    func forgotten() {
        let package = #"(name: "Kafka", clients: [])"#
        let list = "[KafkaConnector.self]"
        let group = Parts.connectors
        #expect(group.findings("Kafka", package: package, list: list, hasTests: true) == [])
        #expect(group.findings("Kafka", package: package, list: list, hasTests: false).count == 1)
        #expect(group.findings("Kafka", package: "", list: list, hasTests: true).count == 1)
        #expect(group.findings("Kafka", package: package, list: "[]", hasTests: true).count == 1)
        #expect(group.findings("Kafka", package: package, list: nil, hasTests: true) == [])
    }
}

/// A family of parts: where its folders are, and what its types are called.
struct Parts {
    var folder: String
    var suffix: String
    var what: String

    static let connectors = Parts(folder: "Connectors", suffix: "Connector", what: "connector")
    static let functions = Parts(folder: "Functions", suffix: "Function", what: "kind of function")
    static let listPath = "Sources/penstock/ConnectorList.swift"

    /// What is missing for one part.
    ///
    /// `list` is the text of the one list in `penstock/`; nil as long as there is none.
    func findings(_ name: String, package: String, list: String?, hasTests: Bool) -> [Finding] {
        let source = "Sources/\(self.folder)/\(name)"
        var findings: [Finding] = []
        if !package.contains(#"(name: "\#(name)", clients:"#) {
            findings.append(Finding("Package.swift", "the \(self.what) \(name) of \(source) has no entry"))
        }
        if !hasTests {
            findings.append(
                Finding("Tests/\(self.folder)/\(name)", "the \(self.what) of \(source) has no tests")
            )
        }
        // `KafkaConnector.self`, `LocalFunctionKind.self`
        if let list, !list.contains("\(name)\(self.suffix)") {
            findings.append(Finding(Self.listPath, "the \(self.what) of \(source) is not in the list"))
        }
        return findings
    }
}
