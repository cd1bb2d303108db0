// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// What Benchmarks/run.py measures of ours; its doc comment is the contract of the subcommands.
@main struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "penstock-bench",
        abstract: "Measures parts of Penstock; prints one JSON object as its last line.",
        subcommands: [
            KafkaBench.self, StreamsBench.self, HTTPBench.self, EncodeBench.self, FilterBench.self,
            RuntimeBench.self, SettleBench.self, ScheduleBench.self, ListenBench.self,
            ChangesBench.self,
        ]
    )
}

/// Why a measurement has no figures.
struct BenchFailure: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) {
        self.description = description
    }
}
