// SPDX-License-Identifier: Apache-2.0

internal import Yams

/// Makes a finding of what the YAML parser threw.
struct YAMLProblem {
    private let error: any Error
    private let lines: [Substring]
    private let file: String

    init(_ error: any Error, text: String, file: String) {
        self.error = error
        self.lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        self.file = file
    }

    var finding: Finding {
        switch self.error as? YamlError {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _):
            return self.syntax(problem, context: context, at: mark.line, mark.column)
        case .composer(let context, let problem, let mark, _):
            if context?.text.contains("single document") == true {
                return self.finding(
                    .severalDocuments,
                    at: self.place(mark.line, mark.column),
                    "the file holds more than one YAML document",
                    "keep one, and remove the line `---`"
                )
            }
            return self.syntax(problem, context: context, at: mark.line, mark.column)
        case .reader(let problem, let offset, _, let yaml):
            let before = yaml.prefix(offset ?? 0)
            let line = before.count { $0 == "\n" || $0 == "\r\n" } + 1
            let column =
                (before.split(separator: "\n", omittingEmptySubsequences: false).last?.count ?? 0) + 1
            return self.syntax(problem, context: nil, at: line, column)
        case .duplicatedKeysInMapping(let keys, let context):
            return self.duplicate(keys.first ?? "", first: context.mark)
        case .no, .memory, .writer, .emitter, .representer, .dataCouldNotBeDecoded, nil:
            return self.finding(
                .badSyntax,
                at: Place(file: self.file),
                "the file cannot be read as YAML",
                nil
            )
        }
    }

    private func syntax(
        _ problem: String,
        context: YamlError.Context?,
        at line: Int,
        _ column: Int
    ) -> Finding {
        if problem.contains("nesting level") {
            let message = "lists and mappings are nested more than \(ConfigurationLoader.depthMax) deep"
            return self.finding(.tooDeep, at: self.place(line, column), message, "flatten the value")
        }
        var message = "not YAML: \(problem)"
        if let context {
            message += " \(context.text)"
            if context.mark.line != line { message += " that starts at line \(context.mark.line)" }
        }
        return self.finding(.badSyntax, at: self.place(line, column), message, self.advice(problem, line))
    }

    /// The way out of the mistakes that people make most.
    private func advice(_ problem: String, _ line: Int) -> String? {
        let text = self.lines.indices.contains(line - 1) ? self.lines[line - 1] : ""
        if text.prefix(while: { $0.isWhitespace }).contains("\t") {
            return "indent with blanks, not with tabs"
        }
        let placeholders = text.ranges(of: "${").count
        if placeholders > 0, text.contains("[") || text.count(where: { $0 == "{" }) > placeholders {
            return "inside { } and [ ] put a placeholder in quotes: \"${NAME}\""
        }
        if problem.contains("mapping values are not allowed") {
            return "check the indent, and put a text that holds `: ` in quotes"
        }
        if problem.contains("undefined alias") { return "define it with & above" }
        if problem.contains("unexpected end of stream") { return "close the quote" }
        return problem.contains("did not find expected key") ? "check the indent of this line" : nil
    }

    /// The parser names the first of the two; the second is looked for in the lines below, as far as the
    /// mapping goes on in block style.
    private func duplicate(_ key: String, first: Mark) -> Finding {
        let indent = first.column - 1
        var second: Int?
        for (index, line) in self.lines.enumerated().dropFirst(first.line) {
            let blanks = line.prefix { $0 == " " }.count
            let content = line.dropFirst(blanks)
            if content.isEmpty || content.hasPrefix("#") || blanks > indent { continue }
            guard blanks == indent else { break }
            if ["\(key):", "\"\(key)\":", "'\(key)':"].contains(where: { content.hasPrefix($0) }) {
                second = index + 1
                break
            }
        }
        let place = self.place(second ?? first.line, first.column)
        let message = "key \"\(key)\" is given twice" + (second == nil ? "" : ", first at line \(first.line)")
        return self.finding(.duplicateKey, at: place, message, "remove one of them")
    }

    private func place(_ line: Int, _ column: Int) -> Place {
        Place(file: self.file, line: line, column: column)
    }

    private func finding(
        _ code: Finding.Code,
        at place: Place,
        _ message: String,
        _ advice: String?
    ) -> Finding {
        Finding(code, at: place, path: .root, message, suggestion: advice)
    }
}
