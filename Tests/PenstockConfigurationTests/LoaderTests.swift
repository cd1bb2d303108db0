// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import Testing

@Suite struct LoaderTests {
    @Test("What is wrong with the file itself is told with a code") func tellsFileErrors() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "penstock-\(UUID().uuidString)")
            .path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let loader = ConfigurationLoader.process
        func code(_ name: String, _ bytes: [UInt8]?) -> String? {
            if let bytes {
                _ = FileManager.default.createFile(atPath: "\(folder)/\(name)", contents: Data(bytes))
            }
            let document = loader.load("\(folder)/\(name)")
            return document.findings.first?.description.replacing(folder, with: "")
        }
        #expect(
            code("none.yaml", nil)
                == "/none.yaml: error: the file does not exist; "
                + "create it, or name another with --config [missing-file]"
        )
        #expect(
            code("", nil)
                == "/: error: the file is a directory; name a file that this user may read [unreadable-file]"
        )
        #expect(
            code("binary.yaml", Array("state: a\nx: ".utf8) + [0xFF, 0xFE])
                == "/binary.yaml:2:1: error: this line is not UTF-8; save the file as UTF-8 [bad-encoding]"
        )
        #expect(
            code("big.yaml", Array(repeating: UInt8(ascii: "#"), count: (4 << 20) + 1))
                == "/big.yaml: error: the file is larger than 4MiB; "
                + "split it, or take generated data out of it "
                + "[too-large]"
        )
        #expect(
            code("limit.yaml", Array("state: a\n#".utf8) + Array(repeating: 35, count: (4 << 20) - 10)) == nil
        )
        #expect(code("mark.yaml", [0xEF, 0xBB, 0xBF] + Array("state: a".utf8)) == nil)
        #expect(code("windows.yaml", Array("state: a\r\nfunctions: {}\r\n".utf8)) == nil)
    }

    @Test("The process's loader reads its environment") func readsEnvironment() {
        let path = ProcessInfo.processInfo.environment["PATH"]
        #expect(path != nil)
        #expect(ConfigurationLoader.process.environment("PATH") == path)
        #expect(ConfigurationLoader.process.environment("PENSTOCK_SURELY_UNSET") == nil)
    }

    @Test("Nesting beyond the limit is a finding, at whatever depth", arguments: [70, 900, 100_000])
    func limitsDepth(depth: Int) {
        let brackets = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        let document = ConfigurationLoader.fixture().parse("state: \(brackets)")
        #expect(document.findings.map(\.code) == [.tooDeep])
    }

    @Test("A mark at the beginning, as some editors write it, is nothing but that") func takesMark() {
        let loader = ConfigurationLoader.fixture()
        #expect(loader.parse("\u{FEFF}# a file\nstate: a\nadmin: {}\n").findings.isEmpty)
        let document = loader.parse("\u{FEFF}state: a\nstate: b\n")
        #expect(document.findings.map(\.place.line) == [2])
        #expect(loader.parse("\u{FEFF}").findings.map(\.code) == [.emptyFile])
    }

    @Test("Aliases of aliases end at the limit of values, not in memory") func limitsAliases() {
        let levels = (1...12).map { level in
            let alias = "*l\(level - 1)"
            return "l\(level): &l\(level) [\(Array(repeating: alias, count: 10).joined(separator: ", "))]"
        }
        let text = (["l0: &l0 [x]"] + levels).joined(separator: "\n")
        let document = ConfigurationLoader.fixture().parse(text)
        #expect(document.findings.map(\.code) == [.tooLarge])
    }

    @Test("No text of a file makes the loader crash, or accept nonsense in silence") func survivesNoise() {
        var generator = SeededGenerator(seed: 20_261_123)
        let pieces = [
            "state", ": ", ":", "\n", "\n  ", "- ", "[", "]", "{", "}", "\"", "'", "|", ">", "&a ", "*a",
            "<<", "!!x ",
            "${", "}", "${X}", "$${", "#", "~", "? ", "%", "\t", "é", "\u{0}", "functions", "local", "---\n",
            ",", "a",
        ]
        for _ in 0..<3000 {
            let count = Int.random(in: 0...14, using: &generator)
            let text = (0..<count).map { _ in pieces.randomElement(using: &generator) ?? "" }.joined()
            let document = ConfigurationLoader.fixture(["X": "1"]).parse(text)
            let result = document.read(ExampleConfiguration.self)
            #expect((result.value == nil) == result.findings.hasErrors, "\(text.debugDescription)")
        }
    }

    static let substitutions: [(source: String, text: String)] = [
        ("plain", "plain"),
        ("${A}", "1"),
        ("a${A}b${B}c", "a1b2c"),
        ("${A:-x}", "1"),
        ("${NONE:-x}", "x"),
        ("${NONE:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-x}", "x"),
        ("${NONE:-a:-b}", "a:-b"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A $", "$A $"),
        ("${PLACEHOLDER}", "${A}"),
        ("${file:/one}", "text"),
        ("${file:/windows}", "text"),
        ("${file:/two}", "text\n"),
        ("<${file:/none-at-end}>", "<text>"),
    ]

    @Test("Placeholders give way to values", arguments: Self.substitutions)
    func substitutes(source: String, text: String) throws {
        let loader = ConfigurationLoader.fixture(
            ["A": "1", "B": "2", "EMPTY": "", "PLACEHOLDER": "${A}"],
            files: ["/one": "text\n", "/windows": "text\r\n", "/two": "text\n\n", "/none-at-end": "text"]
        )
        for yaml in ["state: '\(source)'", "state: \"\(source)\"", "{ \"state\": \"\(source)\" }"] {
            let document = loader.parse(yaml)
            #expect(document.findings == [])
            let scalar = try #require(document.root["state"]?.scalar)
            #expect(scalar.text == text)
            #expect(scalar.source == source)
            let isSubstituted = source.contains("${") && !source.hasPrefix("$$")
            #expect(scalar.isSubstituted == isSubstituted)
        }
    }

    @Test("A substituted value takes the type that its field asks for, quoted or not") func retypes() throws {
        let loader = ConfigurationLoader.fixture(["N": "7", "T": "false", "W": "90s", "S": "2MiB"])
        let text = """
            functions:
              a: { local: { command: x, concurrency: "${N}", timeout: "${W}", memory: "${S}" } }
              b:
                http:
                  url: http://x:${N}
                  verify: ${T}
            """
        let result = loader.parse(text).read(ExampleConfiguration.self)
        #expect(result.findings.map(\.description) == [])
        let functions = try #require(result.value).functions
        guard case .local(let local) = functions[0].value, case .http(let http) = functions[1].value else {
            Issue.record("the functions are of other kinds")
            return
        }
        #expect(local.concurrency == 7 && local.timeout == .seconds(90) && local.memory == 2 << 20)
        #expect(http.url.port == 7 && !http.verify)
    }

    @Test("A file that is too large, or not text, is no value") func refusesSecretFiles() {
        let loader = ConfigurationLoader(
            environment: { _ in nil },
            readFile: { path, bytesMax throws(FileReadError) in
                if path == "/binary" { return [0xFF] }
                throw FileReadError(code: .tooLarge, detail: "is larger than \(bytesMax)")
            }
        )
        let document = loader.parse("a: ${file:/binary}\nb: ${file:/large}")
        #expect(
            document.findings.map(\.message) == [
                "file \"/binary\" is not UTF-8", "file \"/large\" is larger than 65536",
            ]
        )
        #expect(document.findings.map(\.code) == [.unreadableSecret, .unreadableSecret])
    }

    @Test("Nodes keep their order and their places") func keepsPlaces() throws {
        let document = ConfigurationLoader.fixture().parse(
            "b: 1\na:\n  - x\n  - é: { c: 2 }\n",
            file: "f.yaml"
        )
        #expect(document.root.entries?.map(\.key) == ["b", "a"])
        let inner = try #require(document.root["a"]?.elements?.last?["é"]?["c"])
        #expect(inner.place == Place(file: "f.yaml", line: 4, column: 13))
        #expect(document.root.json.text == #"{"b":1,"a":["x",{"é":{"c":2}}]}"#)
    }
}

/// SplitMix64: the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        self.state = seed
    }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var word = self.state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}
