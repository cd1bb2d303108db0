// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// House rules on texts of all kinds.
@Suite struct DocumentTests {
    @Test("Each relative link in a document leads somewhere")
    func links() {
        let repository = Repository.own
        let paths = repository.paths(under: "", endingWith: ".md")
        #expect(paths.contains("README.md"))
        report(
            paths.flatMap { path in
                Links.findings(in: repository.text(path) ?? "", of: path) { repository.exists($0) }
            }
        )
    }

    @Test("A link that leads nowhere is found")
    func brokenLink() {
        let text =
            "[a](A.md) and [b](missing.md#part)\n[c](https://example.com/x) [d](#here)\n```\n[e](x.md)\n```\n"
        let findings = Links.findings(in: text, of: "docs/B.md") { $0 == "docs/A.md" }
        #expect(findings == [Finding("docs/B.md", line: 1, "the link missing.md leads nowhere")])
    }

    @Test("No text names a place of the machine it was written on")
    func workplaces() {
        let repository = Repository.own
        let paths = repository.paths(under: "").filter { !Workplaces.isExempt($0) }
        report(
            paths.flatMap { path in
                repository.text(path).map { Workplaces.findings(in: $0, of: path) } ?? []
            }
        )
    }

    @Test("A place of somebody's machine is found")
    func workplaceFound() {
        let place = Workplaces.places[0]
        #expect(Workplaces.findings(in: "a\nb \(place)x", of: "A.md").map(\.line) == [2])
        #expect(Workplaces.findings(in: "a/work/b", of: "A.md") == [])
    }
}

/// Links of Markdown documents.
enum Links {
    /// The links in `text` that lead to no file or folder; `exists` is asked with paths from the root.
    static func findings(in text: String, of path: String, exists: (String) -> Bool) -> [Finding] {
        let folder = path.split(separator: "/").dropLast().joined(separator: "/")
        var findings: [Finding] = []
        var isFenced = false
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.hasPrefix("```") { isFenced.toggle() }
            guard !isFenced else { continue }
            for match in line.matches(of: /\]\(([^)\s]+)\)/) {
                let target = match.output.1
                guard !target.contains("://"), !target.hasPrefix("#"), !target.hasPrefix("mailto:") else {
                    continue
                }
                let file = String(target.split(separator: "#").first ?? "")
                let full = folder.isEmpty ? file : "\(folder)/\(file)"
                if !exists(full) {
                    findings.append(Finding(path, line: index + 1, "the link \(file) leads nowhere"))
                }
            }
        }
        return findings
    }
}

/// Paths that are only true on one machine.
enum Workplaces {
    /// Put together here, so that this file is not found by its own test.
    static let places = ["/" + "work/", "/opt/" + "swift", "/home/" + "user/"]

    static func isExempt(_ path: String) -> Bool {
        path == "Package.resolved"
    }

    static func findings(in text: String, of path: String) -> [Finding] {
        guard Self.places.contains(where: { text.contains($0) }) else { return [] }
        var findings: [Finding] = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            for place in self.places {
                guard let range = line.range(of: place) else { continue }
                // In the middle of a longer path it is something else.
                if range.lowerBound > line.startIndex {
                    let before = line[line.index(before: range.lowerBound)]
                    if before.isLetter || before.isNumber || before == "." || before == "-" { continue }
                }
                findings.append(Finding(path, line: index + 1, "\(place) is a place of one machine"))
            }
        }
        return findings
    }
}
