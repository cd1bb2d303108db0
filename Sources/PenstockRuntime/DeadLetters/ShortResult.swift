// SPDX-License-Identifier: Apache-2.0

import Foundation
package import PenstockCore

/// Results that are too large for their destination, made smaller step by step; each form says what it leaves out.
///
/// Pure. AWS does the first steps (esm-spec section 6: the payload is dropped from a record that SNS does not take).
package enum ShortResult {
    /// A smaller form of a result.
    package struct Form: Sendable {
        /// The result in it.
        package var record: InvocationRecord

        /// The members that are not whole, for the log.
        package var leftOut: String

        /// Whether nothing but the event is left out.
        package var lacksEventAlone: Bool
    }

    /// Smaller and smaller forms of a result: without its event; without the answer, too; with the first and last
    /// positions of each partition alone; with no more than the number of records.
    ///
    /// - Parameter record: a result as it was refused.
    /// - Returns: its forms, each of them smaller than the one before; empty when its parts are not known.
    package static func forms(of record: InvocationRecord) -> [Form] {
        guard let parts = record.parts, parts.request.upperBound <= parts.payload.lowerBound,
            parts.payload.upperBound <= parts.batch.lowerBound, parts.batch.upperBound <= record.json.count
        else { return [] }
        let json = record.json
        let (answer, batch) = (json[parts.payload], json[parts.batch])
        let request = Self.without("requestPayload", parts.eventBytes, than: json[parts.request])
        let mark = Self.without("responsePayload", parts.answerBytes, than: answer)
        let head = json[..<parts.request.lowerBound] + request
        let context = json[parts.request.upperBound..<parts.payload.lowerBound]
        let middle = json[parts.payload.upperBound..<parts.batch.lowerBound]
        let tail = json[parts.batch.upperBound...]
        let partitions = Self.partitions(batch)
        func document(_ payload: ArraySlice<UInt8>, _ records: ArraySlice<UInt8>) -> [UInt8] {
            Array([head, context, payload, middle, records, tail].joined())
        }
        let event = request.count < parts.request.count ? ["requestPayload"] : []
        let both = event + (mark.count < answer.count ? ["responsePayload"] : [])
        let documents: [(leftOut: [String], json: [UInt8])] = [
            (event, document(answer, batch)), (both, document(mark, batch)),
            (both + ["positions"], document(mark, Self.bounds(of: partitions)[...])),
            (both + ["batch"], document(mark, Self.count(of: partitions)[...])),
        ]
        var least = json.count
        var forms: [Form] = []
        for document in documents where document.json.count < least {
            least = document.json.count
            var shorter = record
            shorter.json = document.json
            shorter.parts = nil
            forms.append(
                Form(
                    record: shorter,
                    leftOut: document.leftOut.joined(separator: ", "),
                    lacksEventAlone: document.leftOut == event
                )
            )
        }
        return forms
    }

    /// What stands for a member that is left out; the member itself, when it is no larger.
    private static func without(
        _ name: String,
        _ bytes: Int,
        than member: ArraySlice<UInt8>
    ) -> ArraySlice<UInt8> {
        let mark = Array(",\"\(name)\":null,\"\(name)Omitted\":{\"bytes\":\(bytes)}".utf8)
        return mark.count < member.count ? mark[...] : member
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
