// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockConfiguration
import Testing

@Suite struct FindingTests {
    @Test(
        "A mistake is told with its place, its code and the way out",
        arguments: BrokenSnippet.yaml + BrokenSnippet.substitution + BrokenSnippet.structure
            + BrokenSnippet.values
    )
    func tellsMistakes(snippet: BrokenSnippet) {
        let loader = ConfigurationLoader.fixture(["WORD": "hunter2", "BIG": "99999", "BLANK": "h 2"])
        let result = loader.parse(snippet.yaml).read(ExampleConfiguration.self)
        let found = result.findings.map { finding in
            let place = [finding.place.line, finding.place.column].map { $0.map { "\($0)" } ?? "-" }
            let advice = finding.suggestion.map { "; \($0)" } ?? ""
            let head = "\(place.joined(separator: ":")) \(finding.severity.rawValue) \(finding.code.rawValue)"
            return "\(head): \(finding.message)\(advice)"
        }
        #expect(found == snippet.findings)
        #expect((result.value == nil) == snippet.findings.contains { $0.contains(" error ") })
        #expect(found.allSatisfy { !$0.contains("hunter2") }, "a secret is shown")
    }

    @Test("There are at least forty snippets, none twice") func coversEnough() {
        let all =
            BrokenSnippet.yaml + BrokenSnippet.substitution + BrokenSnippet.structure + BrokenSnippet.values
        #expect(all.count >= 40)
        #expect(Set(all.map(\.yaml)).count == all.count)
        #expect(all.allSatisfy { !$0.findings.isEmpty })
    }

    @Test("The text form is one that editors make a link of") func printsOneLine() {
        let place = Place(file: "connectors.yaml", line: 14, column: 3)
        let path = ConfigurationPath.root.key("triggers").key("a.b").index(0).key("queue_ulr")
        let finding = Finding(
            .unknownKey,
            at: place,
            path: path,
            "unknown key \"queue_ulr\" in sqs",
            suggestion: "did you mean \"queue_url\"?"
        )
        #expect(
            finding.description
                == "connectors.yaml:14:3: error: unknown key \"queue_ulr\" in sqs; "
                + "did you mean \"queue_url\"? [unknown-key]"
        )
        #expect(finding.asWarning.description.contains(": warning: "))
        #expect(path.description == "triggers[\"a.b\"][0].queue_ulr")
    }

    @Test("The JSON form has each part under its name, and leaves out what there is not") func encodes()
        throws
    {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let place = Place(file: "c.yaml", line: 1, column: 2)
        let path = ConfigurationPath.root.key("a")
        let full = Finding(.wrongType, at: place, path: path, "m", suggestion: "s").asWarning
        let bare = Finding(.missingFile, at: Place(file: "c.yaml"), path: .root, "m")
        #expect(
            String(decoding: try encoder.encode([full, bare]), as: UTF8.self)
                == #"[{"code":"wrong-type","column":2,"file":"c.yaml","line":1,"message":"m","path":"a","#
                + #""severity":"warning","suggestion":"s"},"#
                + #"{"code":"missing-file","file":"c.yaml","message":"m","path":"","severity":"error"}]"#
        )
    }

    @Test("Findings stand in the order of the file, and what an alias repeats is said once") func sorts() {
        let place = Place(file: "c", line: 2, column: 1)
        let late = Finding(.wrongType, at: place, path: .root.key("a"), "late")
        let again = Finding(.wrongType, at: place, path: .root.key("b"), "late")
        let early = Finding(.wrongType, at: Place(file: "c", line: 1, column: 9), path: .root, "early")
        let whole = Finding(.wrongType, at: Place(file: "c"), path: .root, "whole")
        #expect([late, again, early, whole].inOrder == [whole, early, late])
    }

    @Test("Each code is in kebab-case") func codesAreKebab() {
        let all =
            BrokenSnippet.yaml + BrokenSnippet.substitution + BrokenSnippet.structure + BrokenSnippet.values
        for snippet in all {
            for finding in ConfigurationLoader.fixture().parse(snippet.yaml).read(ExampleConfiguration.self)
                .findings
            {
                #expect(finding.code.rawValue.wholeMatch(of: /[a-z]+(-[a-z]+)*/) != nil)
            }
        }
    }
}
