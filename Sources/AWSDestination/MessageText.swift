// SPDX-License-Identifier: Apache-2.0

/// What queues and topics take as a text: they refuse a message with U+FFFE or U+FFFF in it (AWS, SendMessage: "A message can
/// include only XML, JSON, and unformatted text").
package enum MessageText {
    /// A document with these two as JSON escapes, which means the same; they stand nowhere but in its strings.
    ///
    /// - Parameter json: A document of JSON in UTF-8.
    /// - Returns: The same document in a text that is taken.
    package static func escaped(_ json: [UInt8]) -> [UInt8] {
        guard Self.next(in: json, from: 0) != nil else { return json }
        var text: [UInt8] = []
        text.reserveCapacity(json.count + 64)
        var start = 0
        while let place = Self.next(in: json, from: start) {
            text += json[start..<place]
            text += json[place + 2] == 0xBE ? #"\ufffe"#.utf8 : #"\uffff"#.utf8
            start = place + 3
        }
        return text + json[start...]
    }

    private static func next(in json: [UInt8], from start: Int) -> Int? {
        var place = start
        while let found = json[place...].firstIndex(of: 0xEF), found + 2 < json.count {
            if json[found + 1] == 0xBF, json[found + 2] >= 0xBE { return found }
            place = found + 1
        }
        return nil
    }
}
