// SPDX-License-Identifier: Apache-2.0

import Foundation
package import PenstockCore

/// Results that are too large for their destination, made smaller step by step; each form says what it leaves out.
///
/// Pure. AWS does the first step (esm-spec section 6: the payload is dropped from a record that SNS does not take).
package enum ShortResult {
    /// Smaller and smaller forms of a result: without its payload; with the first and last positions of each partition
    /// alone; with no more than the number of records.
    ///
    /// - Parameter record: a result as it was refused.
    /// - Returns: its forms, none of them larger than the one before; empty when its parts are not known.
    package static func forms(of record: InvocationRecord) -> [InvocationRecord] {
        guard let parts = record.parts, parts.payload.upperBound <= parts.batch.lowerBound,
            parts.batch.upperBound <= record.json.count
        else { return [] }
        let json = record.json
        let head =
            Array(json[..<parts.payload.lowerBound])
            + Array(
                ",\"responsePayload\":null,\"responsePayloadOmitted\":{\"bytes\":\(parts.answerBytes)}".utf8
            )
            + json[parts.payload.upperBound..<parts.batch.lowerBound]
        let tail = json[parts.batch.upperBound...]
        let batch = json[parts.batch]
        let partitions = Self.partitions(batch)
        let documents = [
            head + batch + tail, head + Self.bounds(of: partitions) + tail,
            head + Self.count(of: partitions) + tail,
        ]
        return documents.map { document in
            var shorter = record
            shorter.json = document
            shorter.parts = nil
            return shorter
        }
    }

    private static func partitions(_ json: ArraySlice<UInt8>) -> [(name: String, positions: [String])] {
        let object = try? JSONSerialization.jsonObject(with: Data(json))
        return (object as? [[String: Any]] ?? []).map {
            ($0["partition"] as? String ?? "", $0["positions"] as? [String] ?? [])
        }
    }

    private static func bounds(of partitions: [(name: String, positions: [String])]) -> [UInt8] {
        let entries = partitions.map { partition -> [UInt8] in
            let all = partition.positions
            let shown = all.count > 2 ? [all[0], all[all.count - 1]] : all
            let positions = shown.map { JSONText.escaped($0) }.joined(separator: Array(",".utf8))
            let omitted = all.count > shown.count ? ",\"positionsOmitted\":\(all.count - shown.count)" : ""
            return Array("{".utf8) + JSONText.member("partition", partition.name)
                + Array(",\"positions\":[".utf8) + Array(positions) + Array("]\(omitted)}".utf8)
        }
        return Array("[".utf8) + Array(entries.joined(separator: Array(",".utf8))) + Array("]".utf8)
    }

    private static func count(of partitions: [(name: String, positions: [String])]) -> [UInt8] {
        let records = partitions.reduce(0) { $0 + $1.positions.count }
        return Array("[],\"batchOmitted\":{\"partitions\":\(partitions.count),\"records\":\(records)}".utf8)
    }
}
