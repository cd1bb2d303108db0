// SPDX-License-Identifier: Apache-2.0

/// A Swift source, by line.
struct SwiftFile {
    /// From the root.
    let path: String
    /// As written.
    let lines: [String]
    /// The same without comments and without what is in string literals.
    let code: [String]

    init(path: String, text: String) {
        self.path = path
        self.lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        var blanker = CodeBlanker()
        self.code = self.lines.map { blanker.code(of: $0) }
    }

    /// What the file imports, with the line of each.
    var imports: [(module: String, line: Int)] {
        self.code.enumerated().compactMap { index, text in
            let words = text.split(separator: " ")
            guard let keyword = words.firstIndex(of: "import"), keyword + 1 < words.count else { return nil }
            let before = words[..<keyword]
            guard before.allSatisfy({ $0.hasPrefix("@") || ["package", "public", "internal"].contains($0) })
            else {
                return nil
            }
            let kinds: Set<Substring> = [
                "struct", "class", "enum", "protocol", "func", "var", "let", "typealias",
            ]
            var name = words[keyword + 1]
            if kinds.contains(name), keyword + 2 < words.count { name = words[keyword + 2] }
            return (String(name.split(separator: ".").first ?? name), index + 1)
        }
    }
}

/// Takes comments and the contents of string literals out of Swift code, line by line.
private struct CodeBlanker {
    private enum Place: Equatable {
        case code
        case comment(depth: Int)
        case literal(quotes: Int, hashes: Int)
    }

    private var place = Place.code

    mutating func code(of line: String) -> String {
        let characters = Array(line)
        var result = ""
        var index = 0
        while index < characters.count {
            let rest = characters[index...]
            switch self.place {
            case .code:
                if rest.starts(with: "//") { return result }
                if rest.starts(with: "/*") {
                    self.place = .comment(depth: 1)
                    index += 2
                } else if let (quotes, hashes) = Self.opening(rest) {
                    self.place = .literal(quotes: quotes, hashes: hashes)
                    result += "\"\""
                    index += quotes + hashes
                } else {
                    result.append(characters[index])
                    index += 1
                }
            case .comment(let depth):
                if rest.starts(with: "*/") {
                    self.place = depth == 1 ? .code : .comment(depth: depth - 1)
                    index += 2
                } else if rest.starts(with: "/*") {
                    self.place = .comment(depth: depth + 1)
                    index += 2
                } else {
                    index += 1
                }
            case .literal(let quotes, let hashes):
                let closing = String(repeating: "\"", count: quotes) + String(repeating: "#", count: hashes)
                if hashes == 0, characters[index] == "\\" {
                    index += 2
                } else if rest.starts(with: closing) {
                    self.place = .code
                    index += closing.count
                } else {
                    index += 1
                }
            }
        }
        // Only literals of three quotes go on in the next line.
        if case .literal(quotes: 1, hashes: _) = self.place { self.place = .code }
        return result
    }

    /// How many quotes and number signs open a literal here; nil when none does.
    private static func opening(_ rest: ArraySlice<Character>) -> (quotes: Int, hashes: Int)? {
        let hashes = rest.prefix { $0 == "#" }.count
        let quotes = rest.dropFirst(hashes).prefix { $0 == "\"" }.count
        guard quotes > 0 else { return nil }
        return (quotes >= 3 ? 3 : 1, hashes)
    }
}
