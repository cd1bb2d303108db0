// SPDX-License-Identifier: Apache-2.0

/// Puts values from outside into scalars: `${VAR}`, `${VAR:-default}`, `${file:/path}`.
///
/// `$${` is a literal `${`.
///
/// As in a shell, `:-` also counts for a variable that is set and empty. What was put in is not looked into
/// again. A trailing newline of a file is taken off.
struct Substitution {
    /// What a scalar's text became.
    struct Outcome {
        var text: String
        var isSubstituted: Bool
        var problems: [Problem]
    }

    /// Why a placeholder has no value.
    struct Problem {
        var code: Finding.Code
        var message: String
        var suggestion: String
    }

    let loader: ConfigurationLoader

    /// Replaces the placeholders of one scalar; one without a value becomes nothing and a problem.
    func apply(to source: String) -> Outcome {
        var outcome = Outcome(text: "", isSubstituted: false, problems: [])
        var rest = source[...]
        while let dollar = rest.firstRange(of: "${") {
            let before = rest[..<dollar.lowerBound]
            if before.hasSuffix("$") {
                outcome.text += before.dropLast() + "${"
                rest = rest[dollar.upperBound...]
                continue
            }
            outcome.text += before
            guard let end = rest[dollar.upperBound...].firstIndex(of: "}") else {
                outcome.problems.append(Self.malformed(String(rest[dollar.lowerBound...])))
                return outcome
            }
            let body = String(rest[dollar.upperBound..<end])
            rest = rest[rest.index(after: end)...]
            self.resolve(body, into: &outcome)
        }
        outcome.text += rest
        return outcome
    }

    private func resolve(_ body: String, into outcome: inout Outcome) {
        outcome.isSubstituted = true
        if body.hasPrefix("file:") {
            self.readFile(String(body.dropFirst(5)), into: &outcome)
            return
        }
        let parts = body.firstRange(of: ":-").map {
            (name: String(body[..<$0.lowerBound]), fallback: String(body[$0.upperBound...]))
        }
        let name = parts?.name ?? body
        guard Self.isVariableName(name) else {
            outcome.problems.append(Self.malformed("${\(body)}"))
            return
        }
        let value = self.loader.environment(name)
        if let value, parts == nil || !value.isEmpty {
            outcome.text += value
        } else if let parts {
            outcome.text += parts.fallback
        } else {
            let problem = Problem(
                code: .unsetVariable,
                message: "environment variable \(name) is not set",
                suggestion: "set it, or give a default: ${\(name):-value}"
            )
            outcome.problems.append(problem)
        }
    }

    private func readFile(_ path: String, into outcome: inout Outcome) {
        do throws(FileReadError) {
            let bytes = try self.loader.readFile(path, ConfigurationLoader.secretBytesMax)
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw FileReadError(code: .unreadable, detail: "is not UTF-8")
            }
            outcome.text += text.hasSuffix("\r\n") || text.hasSuffix("\n") ? String(text.dropLast()) : text
        } catch {
            let problem = Problem(
                code: .unreadableSecret,
                message: "file \"\(path)\" \(error.detail)",
                suggestion: "check the path and who may read it"
            )
            outcome.problems.append(problem)
        }
    }

    private static func malformed(_ placeholder: String) -> Problem {
        Problem(
            code: .badSubstitution,
            message: "cannot read the placeholder \"\(placeholder.prefix(60))\"",
            suggestion: "write ${NAME}, ${NAME:-default} or ${file:/path}, and $${ for a literal ${"
        )
    }

    private static func isVariableName(_ name: String) -> Bool {
        guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return false }
        return name.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                || $0 == 0x5F
        }
    }
}
