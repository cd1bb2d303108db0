// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import PenstockConfiguration
import PenstockCore
import PenstockFilters

/// The filter of a trigger on bodies of a file, again and again.
struct FilterBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "filter",
        abstract: "Tries a filter on three fields on bodies."
    )

    @Option(help: "A file with one JSON body a line.") var bodies: String
    @Option(help: "For how long.") var seconds = 1.0

    private static let pattern =
        #"{"value":{"status":["paid"],"total":[{"numeric":[">",100]}],"customer":{"country":["DE"]}}}"#

    func run() throws {
        let block = try self.block()
        let filter = try Self.filter()
        var records = 0
        var matches = 0
        let started = Reading.now
        var ended = started
        while ended.seconds(since: started) < self.seconds {
            matches = filter.select(block).reduce(0) { $0 + $1.count }
            records += block.count
            ended = .now
        }
        var line = JSONLine()
        line.add("records", records)
        line.add("matches", matches)
        line.add("us_per_record", ended.seconds(since: started) * 1e6 / Double(records))
        line.add("cpu_us_per_record", ended.cpu(since: started, per: records))
        line.print()
    }

    private static func filter() throws -> EventFilter {
        let document = ConfigurationLoader.parseJSON(Array(self.pattern.utf8), file: "pattern")
        var findings = document.findings
        let fields = RecordFields([RecordFields.Field("value", .body(.ignored))])
        guard let pattern = EventPattern(document.root, path: .root, findings: &findings),
            let plan = EventFilterPlan([pattern], fields: fields, source: "bench", findings: &findings)
        else { throw BenchFailure("the pattern is invalid: \(findings)") }
        return plan.make()
    }

    private func block() throws -> RecordBlock {
        guard let data = FileManager.default.contents(atPath: self.bodies) else {
            throw BenchFailure("\(self.bodies) cannot be read")
        }
        let lines = [UInt8](data).split(separator: 0x0A)
        guard !lines.isEmpty else { throw BenchFailure("\(self.bodies) has no bodies") }
        var builder = RecordBlockBuilder(byteCapacity: data.count, recordCapacity: lines.count)
        let place = builder.add(Partition(id: PartitionID(1), name: "bench-0"))
        for (index, line) in lines.enumerated() {
            unsafe line.withUnsafeBytes { body in
                unsafe builder.append(
                    position: Position(UInt64(index)),
                    timestamp: Timestamp(milliseconds: 0),
                    tag: 1,
                    partitionIndex: place,
                    payload: RecordPayload(key: nil, body: body)
                )
            }
        }
        return builder.finish()
    }
}
