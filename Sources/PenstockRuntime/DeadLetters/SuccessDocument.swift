// SPDX-License-Identifier: Apache-2.0

import Foundation
package import PenstockCore

/// What AWS writes to an `OnSuccess` destination (esm-spec section 6), for one invocation.
///
/// `requestPayload` is the event, with all of its records. Beside AWS's members there are `trigger`, and `batch`, which
/// names the records by partition and position, in the order of the event. A function without an ARN is named as it is in
/// the configuration, and one without versions has AWS's word for the only one.
package struct SuccessDocument: Sendable {
    /// The request id.
    package var requestID: String
    /// The trigger.
    package var trigger: String
    /// The function.
    package var function: String
    /// When it is written.
    package var at: Timestamp
    /// The function's ARN; nil where none is known.
    package var functionARN: String?
    /// The version of the function that ran; nil where none is known.
    package var executedVersion: String?

    /// A document's head.
    package init(requestID: String, trigger: String, function: String, at: Timestamp) {
        self.requestID = requestID
        self.trigger = trigger
        self.function = function
        self.at = at
    }

    /// The record with the document: one line of JSON.
    ///
    /// An event or an answer that is not JSON is a text in it, or, when it is no text, in base64 with
    /// `"requestPayloadEncoding":"base64"` or `"responsePayloadEncoding":"base64"`.
    package func record(of batch: Batch, event: EventBuffer, response: [UInt8]) -> InvocationRecord {
        let arn = self.functionARN.map { FunctionARN.qualified($0) }
        var document = Array("{\"version\":\"1.0\",".utf8)
        document.reserveCapacity(event.count + response.count + 1024)
        document += JSONText.member("timestamp", self.at.sortableText)
        document += Array(",\"requestContext\":{".utf8) + JSONText.member("requestId", self.requestID)
        document += Array(",".utf8) + JSONText.member("functionArn", arn ?? self.function)
        document += Array(",\"condition\":\"Success\",\"approximateInvokeCount\":\(batch.attempt)}".utf8)
        let request = document.count
        unsafe Self.append("requestPayload", event.bytes, to: &document)
        let requestEnd = document.count
        document += Array(",\"responseContext\":{\"statusCode\":200,".utf8)
        document += JSONText.member("executedVersion", self.executedVersion ?? FunctionARN.latest)
        document += Array("}".utf8)
        let payload = document.count
        unsafe response.withUnsafeBytes { unsafe Self.append("responsePayload", $0, to: &document) }
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
        record.functionARN = self.functionARN
        record.parts = InvocationRecord.Parts(
            request: request..<requestEnd,
            eventBytes: event.count,
            payload: payload..<payloadEnd,
            answerBytes: response.count,
            batch: records..<recordsEnd
        )
        return record
    }

    /// A member of a document, with the comma before it, of bytes of any kind.
    private static func append(_ name: String, _ bytes: UnsafeRawBufferPointer, to document: inout [UInt8]) {
        let member = Array(",\"\(name)\":".utf8)
        if unsafe bytes.isEmpty {
            document += member + Array("null".utf8)
        } else if unsafe JSONScanner.isValid(bytes) {
            document += member
            let start = document.count
            unsafe document.append(contentsOf: bytes)
            // A line break is only possible between values, where a blank means the same.
            for place in start..<document.count where document[place] == 0x0A || document[place] == 0x0D {
                document[place] = 0x20
            }
        } else if let text = unsafe String(validating: bytes, as: UTF8.self) {
            document += member + JSONText.escaped(text)
        } else {
            let base64 = unsafe Data(bytes).base64EncodedString()
            document += Array(",\"\(name)Encoding\":\"base64\"".utf8) + member + JSONText.escaped(base64)
        }
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
