// SPDX-License-Identifier: Apache-2.0

import Foundation
package import PenstockCore

/// What AWS writes to an `OnSuccess` destination (esm-spec section 6), for one invocation.
///
/// The records are not in it: `batch` names them, by partition and position, in the order of the event.
/// `requestContext.functionArn` is the function's name here.
package struct SuccessDocument: Sendable {
    /// The request id.
    package var requestID: String
    /// The trigger.
    package var trigger: String
    /// The function.
    package var function: String
    /// When it is written.
    package var at: Timestamp

    /// A document's head.
    package init(requestID: String, trigger: String, function: String, at: Timestamp) {
        self.requestID = requestID
        self.trigger = trigger
        self.function = function
        self.at = at
    }

    /// The record with the document: one line of JSON.
    ///
    /// An answer that is not JSON is a text in it, or, when it is no text, in base64 with
    /// `"responsePayloadEncoding":"base64"`.
    package func record(of batch: Batch, response: [UInt8]) -> InvocationRecord {
        var document = Array("{\"version\":\"1.0\",".utf8)
        document += JSONText.member("timestamp", self.at.sortableText)
        document += Array(",\"requestContext\":{".utf8) + JSONText.member("requestId", self.requestID)
        document += Array(",".utf8) + JSONText.member("functionArn", self.function)
        document += Array(",\"condition\":\"Success\",\"approximateInvokeCount\":\(batch.attempt)}".utf8)
        document += Array(",\"responseContext\":{\"statusCode\":200,\"executedVersion\":\"$LATEST\"}".utf8)
        let payload = document.count
        document += Self.payload(response)
        let payloadEnd = document.count
        document += Array(",".utf8) + JSONText.member("trigger", self.trigger) + Array(",\"batch\":".utf8)
        let records = document.count
        document += Array("[".utf8) + Self.records(of: batch) + Array("]".utf8)
        let recordsEnd = document.count
        document += Array("}".utf8)
        var record = InvocationRecord(
            id: self.requestID,
            trigger: self.trigger,
            function: self.function,
            attempt: batch.attempt,
            at: self.at,
            json: document
        )
        record.parts = InvocationRecord.Parts(
            payload: payload..<payloadEnd,
            answerBytes: response.count,
            batch: records..<recordsEnd
        )
        return record
    }

    private static func payload(_ response: [UInt8]) -> [UInt8] {
        let name = Array(",\"responsePayload\":".utf8)
        if response.isEmpty { return name + Array("null".utf8) }
        if unsafe response.withUnsafeBytes({ unsafe JSONScanner.isValid($0) }) {
            // A line break is only possible between values, where a blank means the same.
            return name + response.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 }
        }
        if let text = String(validating: response, as: UTF8.self) { return name + JSONText.escaped(text) }
        let base64 = Data(response).base64EncodedString()
        return Array(",\"responsePayloadEncoding\":\"base64\"".utf8) + name + JSONText.escaped(base64)
    }

    /// A member for each partition, with the positions of its records.
    private static func records(of batch: Batch) -> [UInt8] {
        var partitions: [(name: String, positions: [UInt8])] = []
        for run in batch.runs {
            if partitions.last?.name != run.partition.name { partitions.append((run.partition.name, [])) }
            let entries = run.admitted.block.entries
            var positions = partitions[partitions.count - 1].positions
            for index in run.indices {
                if !positions.isEmpty { positions.append(UInt8(ascii: ",")) }
                positions += JSONText.escaped(entries[index].position.description)
            }
            partitions[partitions.count - 1].positions = positions
        }
        return Array(
            partitions.map { partition in
                Array("{".utf8) + JSONText.member("partition", partition.name)
                    + Array(",\"positions\":[".utf8)
                    + partition.positions + Array("]}".utf8)
            }.joined(separator: Array(",".utf8))
        )
    }
}
