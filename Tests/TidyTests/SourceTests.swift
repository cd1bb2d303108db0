// SPDX-License-Identifier: Apache-2.0

import Testing

/// House rules on single Swift files.
@Suite struct SourceTests {
    @Test("No source calls what the house rules ban")
    func bannedCalls() {
        let files = Repository.own.swiftFiles("Sources", "Tests", "Benchmarks/Bench")
        report(files.flatMap { BannedCalls.findings(in: $0) })
    }

    @Test(
        "A banned call is found",
        arguments: [
            ("Sources/PenstockCore/A.swift", "let x = try! f()"),
            ("Sources/PenstockCore/A.swift", "fatalError(\"no\")"),
            ("Sources/PenstockCore/A.swift", "let y = x as! Int"),
            ("Sources/PenstockCore/A.swift", "Task.detached { }"),
            ("Sources/PenstockCore/A.swift", "let t = Task { await f() }"),
            ("Sources/PenstockCore/A.swift", "Task<Void, Never> { await f() }"),
            ("Sources/PenstockCore/A.swift", "Task(priority: .high) { await f() }"),
            ("Sources/PenstockCore/A.swift", "print(\"x\")"),
            ("Sources/PenstockCore/A.swift", "DispatchQueue.global().async { }"),
            ("Tests/PenstockCoreTests/A.swift", "try await Task.sleep(for: .seconds(1))"),
            ("Tests/PenstockCoreTests/A.swift", "    usleep(10)"),
            ("Tests/PenstockCoreTests/A.swift", "sleep(1)"),
        ]
    )
    func found(path: String, line: String) {
        #expect(BannedCalls.findings(in: SwiftFile(path: path, text: "\n" + line)).map(\.line) == [2])
    }

    @Test(
        "What only looks like a banned call is fine",
        arguments: [
            ("Sources/PenstockCore/A.swift", "group.addTask { await f() }"),
            ("Sources/PenstockCore/A.swift", "/// Like `try! f()`"),
            ("Sources/PenstockCore/A.swift", "let text = \"print(1)\""),
            ("Sources/PenstockCore/A.swift", "let t = try? f()"),
            ("Sources/PenstockCore/A.swift", "footprint(x)"),
            ("Sources/penstock/A.swift", "print(\"x\")"),
            ("Sources/PenstockTesting/A.swift", "Task { await f() }"),
            ("Tests/PenstockCoreTests/A.swift", "await loop.sleep(for: .seconds(1))"),
        ]
    )
    func looksAlike(path: String, line: String) {
        #expect(BannedCalls.findings(in: SwiftFile(path: path, text: line)) == [])
    }

    @Test("Text of several lines is not taken for code")
    func literals() {
        let text =
            "let a = \"\"\"\n    try! x\n    \"\"\"\n/* try! y\n try! z */ try! w\nlet b = #\"\\\"#; try! v"
        let file = SwiftFile(path: "Sources/PenstockCore/A.swift", text: text)
        #expect(BannedCalls.findings(in: file).map(\.line) == [5, 6])
    }

    @Test("Each Swift file begins with its licence and has at most 500 lines")
    func form() {
        let files = Repository.own.swiftFiles("Sources", "Tests", "Benchmarks/Bench")
        #expect(files.count > 100)
        report(files.flatMap { Form.findings(in: $0) })
    }

    @Test("A file without licence, and a long one, are found")
    func badForm() {
        let bare = SwiftFile(path: "A.swift", text: "import Testing\n")
        #expect(
            Form.findings(in: bare) == [Finding("A.swift", line: 1, "the first line must be \(Form.licence)")]
        )
        let long = SwiftFile(path: "A.swift", text: Form.licence + String(repeating: "\n", count: 501))
        #expect(Form.findings(in: long).count == 1)
        let fitting = SwiftFile(path: "A.swift", text: Form.licence + String(repeating: "\n", count: 500))
        #expect(Form.findings(in: fitting) == [])
    }

    @Test(
        "Each file of the web page says its licence, has at most 500 lines, and is one that the program holds"
    )
    func page() throws {
        let folder = "Sources/PenstockAdmin/Page"
        let package = try #require(Repository.own.text("Package.swift"))
        let paths = Repository.own.paths(under: folder)
        #expect(paths.count == 7)
        for path in paths {
            let lines = try #require(Repository.own.text(path)).split(separator: "\n")
            #expect(lines.count <= Form.linesMax, "\(path)")
            #expect(
                lines.prefix(2).contains { $0.contains("SPDX-License-Identifier: Apache-2.0") },
                "\(path)"
            )
            #expect(package.contains("\"\(path.dropFirst(folder.count + 1))\""), "\(path)")
        }
    }

    @Test("Suites that start other programs have threads of their own, which waiting may block")
    func ownThreads() {
        let files = Repository.own.swiftFiles("Tests/Connectors", "Tests/IntegrationTests")
        report(files.flatMap { Form.blockingFindings(in: $0) })
    }

    @Test("A suite that blocks Swift's pool is found")
    func ownThreadsFound() {
        let path = "Tests/IntegrationTests/A.swift"
        let call = "\nstruct A {\n    let run = try CommandRun([])\n}"
        #expect(Form.blockingFindings(in: SwiftFile(path: path, text: "@Suite" + call)).map(\.line) == [1])
        #expect(Form.blockingFindings(in: SwiftFile(path: path, text: "@Suite(.ownThreads)" + call)) == [])
        #expect(Form.blockingFindings(in: SwiftFile(path: path, text: "@Suite struct A {}")) == [])
    }

    @Test("Each @unchecked Sendable says why beside it")
    func unchecked() {
        report(
            Repository.own.swiftFiles("Sources", "Benchmarks/Bench").flatMap {
                Form.uncheckedFindings(in: $0)
            }
        )
    }

    @Test("An @unchecked Sendable without a word is found")
    func uncheckedFound() {
        let bare = SwiftFile(path: "A.swift", text: "\nfinal class A: @unchecked Sendable {\n}\n")
        #expect(Form.uncheckedFindings(in: bare).map(\.line) == [2])
        let explained = SwiftFile(
            path: "A.swift",
            text: "/// Only the reactor's thread.\nclass A: @unchecked Sendable {}"
        )
        #expect(Form.uncheckedFindings(in: explained) == [])
    }

    @Test("What is inlinable can be compiled into other modules")
    func inlinable() {
        report(Repository.own.swiftFiles("Sources").flatMap { Form.inlinableFindings(in: $0) })
    }

    @Test("An inlinable member of a type that other modules cannot inline is found")
    func inlinableFound() {
        let body = "package struct A {\n    @inlinable package var a: Int { 1 }\n}\n"
        #expect(Form.inlinableFindings(in: SwiftFile(path: "A.swift", text: body)).map(\.line) == [1])
        let usable = SwiftFile(path: "A.swift", text: "@usableFromInline\n\(body)package struct B {\n}\n")
        #expect(Form.inlinableFindings(in: usable) == [])
    }
}

/// Calls that are not wanted, by place.
enum BannedCalls {
    struct Rule {
        var pattern: @Sendable () -> Regex<Substring>
        var message: String
        var applies: @Sendable (_ path: String) -> Bool
    }

    static let rules: [Rule] = [
        Rule(
            pattern: { /\btry!/ },
            message: "try! ends the program; handle the error",
            applies: Self.isSource
        ),
        Rule(
            pattern: { /\bfatalError\(/ },
            message: "fatalError is not for what input can reach",
            applies: Self.isSource
        ),
        Rule(
            pattern: { /\bas!/ },
            message: "as! ends the program; use as? and say what was wrong",
            applies: Self.isSource
        ),
        Rule(
            pattern: { /\bTask\.detached\b/ },
            message: "nobody waits for a detached task; use a task group",
            applies: { Self.isSource($0) && !$0.hasPrefix("Benchmarks/") }
        ),
        Rule(
            pattern: { /\bTask(?:<[^>]*>)?(?:\([^)]*\))? \{/ },
            message: "nobody waits for an unstructured task; use a task group",
            applies: { Self.isSource($0) && !$0.hasPrefix("Sources/PenstockTesting/") }
        ),
        Rule(
            pattern: { /(?:^|[^\w.])print\(/ },
            message: "only the command line prints; use the logger",
            applies: { $0.hasPrefix("Sources/") && !$0.hasPrefix("Sources/penstock/") }
        ),
        Rule(
            pattern: { /\bDispatchQueue\.global\b/ },
            message: "work goes to the reactor, or to a thread that has a name",
            applies: Self.isSource
        ),
        Rule(
            pattern: { /\bTask\.sleep\b|\bClock\(\)\.sleep\(for|(?:^|[^\w.])(?:u|nano)?sleep\(/ },
            message: "a test waits for what it needs, not for time to pass",
            applies: { $0.hasPrefix("Tests/") }
        ),
    ]

    private static func isSource(_ path: String) -> Bool {
        path.hasPrefix("Sources/") || path.hasPrefix("Benchmarks/")
    }

    static func findings(in file: SwiftFile) -> [Finding] {
        self.rules.filter { $0.applies(file.path) }.flatMap { rule in
            let pattern = rule.pattern()
            return file.code.enumerated().compactMap { index, code in
                code.contains(pattern) ? Finding(file.path, line: index + 1, rule.message) : nil
            }
        }
    }
}

/// How a file looks.
enum Form {
    static let licence = "// SPDX-License-Identifier: Apache-2.0"
    static let linesMax = 500

    static func findings(in file: SwiftFile) -> [Finding] {
        var findings: [Finding] = []
        // Package.swift must begin with the version of its tools.
        if file.lines.first != self.licence {
            findings.append(Finding(file.path, line: 1, "the first line must be \(self.licence)"))
        }
        // The text behind the last line break is no line.
        let count = file.lines.last == "" ? file.lines.count - 1 : file.lines.count
        if count > self.linesMax {
            findings.append(
                Finding(
                    file.path,
                    line: self.linesMax,
                    "\(count) lines; split it, \(self.linesMax) are enough"
                )
            )
        }
        return findings
    }

    /// What waits for another program, on its thread.
    private static let blocking = [
        "Broker(", "Front(", "Certificates(", "Process(", "World(", "CommandRun(", "BoundedWait",
    ]

    static func blockingFindings(in file: SwiftFile) -> [Finding] {
        guard let line = file.code.firstIndex(where: { $0.hasPrefix("@Suite") }),
            file.code.contains(where: { code in Self.blocking.contains { code.contains($0) } }),
            !file.code[line].contains(".ownThreads")
        else { return [] }
        return [Finding(file.path, line: line + 1, "it waits for other programs, and needs .ownThreads")]
    }

    static func uncheckedFindings(in file: SwiftFile) -> [Finding] {
        file.code.indices.compactMap { index in
            guard file.code[index].contains("@unchecked Sendable") else { return nil }
            let near = file.lines[max(0, index - 3)...min(file.lines.count - 1, index + 3)]
            if near.contains(where: { $0.contains("//") && !$0.contains("SPDX") }) { return nil }
            return Finding(
                file.path,
                line: index + 1,
                "@unchecked Sendable without a comment that says why it holds"
            )
        }
    }

    /// Swift puts no code of a `package` type into its module's interface, `@inlinable` or not, unless the type itself is
    /// `@usableFromInline`.
    static func inlinableFindings(in file: SwiftFile) -> [Finding] {
        var findings: [Finding] = []
        var type: Int?
        for (index, code) in file.code.enumerated() {
            if code.hasPrefix("package "), code.hasSuffix("{") {
                let attributes = file.code[..<index].reversed().prefix { $0.hasPrefix("@") }
                type = attributes.contains("@usableFromInline") ? nil : index
            } else if code == "}" {
                type = nil
            } else if code.contains("@inlinable"), let found = type {
                findings.append(
                    Finding(
                        file.path,
                        line: found + 1,
                        "it has inlinable members, and needs @usableFromInline"
                    )
                )
                type = nil
            }
        }
        return findings
    }
}
