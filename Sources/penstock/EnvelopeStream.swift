// SPDX-License-Identifier: Apache-2.0

import PenstockAdmin
import PenstockConfiguration
import Synchronization

/// The envelope of a command whose result has a list without end: its elements are written as they come, and nothing of
/// them is kept.
///
/// It has the members of ``Output/envelope(_:_:)`` in another order: `ok` and `error` are known at the end.
final class EnvelopeStream: Sendable {
    private let command: String
    private let list: String
    private let write: @Sendable (String) -> Void
    private let count = Mutex(0)

    /// An envelope of which nothing is written before the first element.
    ///
    /// - Parameters:
    ///   - command: the name in the envelope.
    ///   - list: the member of the result that has the elements.
    ///   - write: takes each piece of the text.
    init(
        command: String,
        list: String,
        write: @escaping @Sendable (String) -> Void = { Terminal.write(Array($0.utf8), to: 1) }
    ) {
        self.command = command
        self.list = list
        self.write = write
    }

    /// Whether anything is written, and ``end(_:failure:)`` is due.
    var hasBegun: Bool { self.count.withLock { $0 > 0 } }

    /// One more element.
    func add(_ element: JSONValue) {
        self.count.withLock { count in
            if count == 0 {
                let name = JSONValue.string(self.command).text
                self.write(
                    "{\n  \"command\": \(name),\n  \"result\": {\n    \(JSONValue.string(self.list).text): ["
                )
            }
            count += 1
            let text = element.prettyText.split(separator: "\n").joined(separator: "\n      ")
            self.write("\(count == 1 ? "" : ",")\n      \(text)")
        }
    }

    /// Writes the rest: what else the result has, and why it did not come to its end, if it did not.
    func end(_ members: [JSONValue.Member], isOK: Bool, failure: CommandFailure? = nil) {
        var text = "\n    ]"
        for member in members {
            text += ",\n    \(JSONValue.string(member.key).text): \(member.value.text)"
        }
        let error: JSONValue =
            failure.map { .document(("code", .string($0.code)), ("message", .string($0.message))) } ?? .null
        text += "\n  },\n  \"ok\": \(isOK),\n  \"findings\": [],\n  \"error\": \(error.text)\n}\n"
        self.write(text)
    }
}
