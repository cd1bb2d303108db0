// SPDX-License-Identifier: Apache-2.0

package import PenstockCore
package import PenstockRuntime

/// Appends dead letters to a file, a ``FailureDocument`` a line.
package final class FileDestination: Destination {
    private let writer: FileWriter
    private let document: FailureDocument

    /// Opens the file, which is made when it does not exist.
    package init(path: String, document: FailureDocument) throws(DestinationError) {
        self.writer = try FileWriter(path: path)
        self.document = document
    }

    package var name: String { self.writer.name }

    package func deliver(_ letters: [DeadLetter]) async throws(DestinationError) {
        try await self.writer.append(letters.map { self.document.json(of: $0) })
    }

    package func close() async { await self.writer.close() }
}

/// Appends results to a file, a document a line.
package final class FileResultDestination: ResultDestination {
    private let writer: FileWriter

    /// Opens the file, which is made when it does not exist.
    package init(path: String) throws(DestinationError) {
        self.writer = try FileWriter(path: path)
    }

    package var name: String { self.writer.name }

    package func deliver(_ record: InvocationRecord) async throws(DestinationError) {
        try await self.writer.append([record.json])
    }

    package func close() async { await self.writer.close() }
}
