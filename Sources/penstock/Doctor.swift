// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CurlClient
import Foundation
import PenstockAdmin
import PenstockConfiguration
import PenstockRuntime
import PenstockStore
import Reactor

/// `penstock doctor`.
struct Doctor: AnsweringCommand {
    static let configuration = CommandConfiguration(
        abstract: "Connects to everything in a configuration and says what would fail.",
        discussion: """
            Looks at the store, at each function, and at each trigger's source and destinations: whether they answer, \
            whether the credentials may do what is needed, and whether their settings go with Penstock's. It changes \
            nothing and reads no records. A line for each thing looked at, with the way out where something is wrong.

            Exit codes: 0 nothing would fail, warnings or not; 1 something would; 2 the configuration is not valid; 3 it \
            cannot be read.

            Example: penstock doctor --config staging.yaml --format json
            """
    )

    @OptionGroup var config: ConfigOptions
    @OptionGroup var log: LogOptions
    @OptionGroup var output: FormatOptions

    var title: String { "doctor" }

    /// One thing of the configuration, and what was found of it.
    private struct Part: Sendable {
        var name: String
        var diagnoses: [Diagnosis]
    }

    func answer() async throws -> Outcome {
        let (plan, findings) = try self.config.plan()
        let reactor = try Reactor()
        defer { reactor.stop() }
        let context = RuntimeContext(reactor: reactor, logger: self.log.logger)
        var parts = [Part(name: "store", diagnoses: await Self.store(plan, reactor))]
        parts += await Self.look(at: Self.examinations(of: plan), context)
        return Self.outcome(parts, findings)
    }

    // MARK: - Looking

    /// Everything that can be looked at, in the order of the file.
    private static func examinations(of plan: Plan) -> [(name: String, examine: Examination)] {
        var all: [(name: String, examine: Examination)] = []
        for function in plan.functions {
            guard let examine = function.value.examine else { continue }
            all.append(("function \(function.name)", examine))
        }
        for trigger in plan.triggers {
            let value = trigger.value
            if let examine = value.source.examine, let function = plan.function(value.function.name) {
                all.append(("\(trigger.name): source", { await examine(value, function, $0) }))
            }
            if case .destination(let destination) = value.onFailure, let examine = destination.examine {
                all.append(("\(trigger.name): on_failure", examine))
            }
            if let examine = value.onSuccess?.examine { all.append(("\(trigger.name): on_success", examine)) }
        }
        return all
    }

    /// All side by side: most of the time is spent with waiting.
    private static func look(
        at examinations: [(name: String, examine: Examination)],
        _ context: RuntimeContext
    ) async -> [Part] {
        await withTaskGroup(of: (Int, Part).self) { group in
            for (place, entry) in examinations.enumerated() {
                group.addTask { (place, Part(name: entry.name, diagnoses: await entry.examine(context))) }
            }
            var parts: [(Int, Part)] = []
            for await part in group { parts.append(part) }
            return parts.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    /// The store: looked at from outside, for to open it would bring it up to this version.
    private static func store(_ plan: Plan, _ reactor: Reactor) async -> [Diagnosis] {
        switch plan.state {
        case .sqlite(let path): return [await Self.file(path, plan)]
        case .postgres(let location):
            return await PostgresServerCheck.examine(location, on: reactor).map { finding in
                switch finding.grade {
                case .ok: .ok(finding.check, finding.detail)
                case .warning: .warning(finding.check, finding.detail)
                case .error: .error(finding.check, finding.detail)
                }
            }
        }
    }

    private static func file(_ path: String, _ plan: Plan) async -> Diagnosis {
        if await Self.runs(plan.admin) {
            return .ok("store", "\(plan.state) is that of the Penstock that runs at \(plan.admin.listen)")
        }
        let files = FileManager.default
        guard files.fileExists(atPath: path) else { return Self.newStore(plan.state, path) }
        guard files.isReadableFile(atPath: path), files.isWritableFile(atPath: path) else {
            let text = "\(plan.state) may not be read and written by this user"
            return .error("store", "\(text); allow it, or change state")
        }
        do throws(StoreError) {
            try SQLiteStore.examine(path: path)
        } catch {
            return .error("store", error.detail)
        }
        return .ok("store", "\(plan.state) is there, and may be written")
    }

    /// Whether a store can be made where none is yet.
    private static func newStore(_ state: StateLocation, _ path: String) -> Diagnosis {
        let files = FileManager.default
        var folder = URL(fileURLWithPath: path).deletingLastPathComponent()
        while !files.fileExists(atPath: folder.path), folder.path != "/" { folder.deleteLastPathComponent() }
        guard files.isWritableFile(atPath: folder.path) else {
            let text = "\(state) is not there, and nothing may be made in \(folder.path)"
            return .error("store", "\(text); allow it, or change state")
        }
        return .ok("store", "\(state) is not there yet; the first start makes it")
    }

    private static func runs(_ admin: AdminConfiguration) async -> Bool {
        let answer = try? await AdminClient.with(admin) { try await $0.call(.get, "/healthz") }
        return answer.flatMap(\.self) != nil
    }

    // MARK: - Telling

    private static func outcome(_ parts: [Part], _ findings: [Finding]) -> Outcome {
        let all = parts.flatMap(\.diagnoses)
        func count(_ grade: Diagnosis.Grade) -> Int { all.count { $0.grade == grade } }
        let (errors, warnings, unchecked) = (count(.error), count(.warning), count(.unchecked))
        let rows = parts.flatMap { part in
            part.diagnoses.map { [$0.grade.rawValue, part.name, $0.check, $0.detail] }
        }
        let summary =
            "\(all.count) checks: \(Self.count(errors, "error")), \(Self.count(warnings, "warning"))"
            + (unchecked > 0 ? ", \(unchecked) not checked" : "")
        let checks = parts.flatMap { part in
            part.diagnoses.map { diagnosis in
                JSONValue.document(
                    ("part", .string(part.name)),
                    ("check", .string(diagnosis.check)),
                    ("grade", .string(diagnosis.grade.rawValue)),
                    ("detail", .string(diagnosis.detail))
                )
            }
        }
        return Outcome(
            text: "\(Terminal.table(rows))\n\(summary)",
            result: .document(
                ("errors", .integer(errors)),
                ("warnings", .integer(warnings)),
                ("unchecked", .integer(unchecked)),
                ("checks", .array(checks))
            ),
            findings: findings,
            exitCode: errors > 0 ? 1 : 0
        )
    }

    private static func count(_ number: Int, _ noun: String) -> String {
        number == 1 ? "1 \(noun)" : "\(number) \(noun)s"
    }
}
