// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// The stored form of a partition's window: one JSON object, with the state as the function wrote it.
enum WindowCoding {
    /// The stored form.
    static func encode(_ window: KeptWindow) -> [UInt8] {
        var text = "{\"position\":\"\(window.position)\""
        if let floor = window.floor { text += ",\"floor\":\(floor.milliseconds)" }
        guard let open = window.open else { return Array(text.utf8) + Array("}".utf8) }
        text += ",\"start\":\(open.span.start.milliseconds),\"end\":\(open.span.end.milliseconds)"
        text += ",\"early\":\(open.isEndingEarly),\"state\":"
        return Array(text.utf8) + open.state + Array("}".utf8)
    }

    /// A window from its stored form; `closed` is the position of its checkpoint.
    ///
    /// - Throws: `corrupt` when the bytes are not such a form.
    static func decode(_ bytes: [UInt8], closed: Position) throws(StoreError) -> KeptWindow {
        guard let quoted = Self.member("position", of: bytes),
            let position = Position(String(quoted.dropFirst().dropLast()))
        else { throw .unreadable("the window of a checkpoint") }
        var window = KeptWindow(position: position, closed: closed)
        window.floor = Self.member("floor", of: bytes).flatMap { Int64($0) }.map {
            Timestamp(milliseconds: $0)
        }
        guard let state = Self.member("state", of: bytes) else { return window }
        guard let start = Self.member("start", of: bytes).flatMap({ Int64($0) }),
            let end = Self.member("end", of: bytes).flatMap({ Int64($0) })
        else { throw .unreadable("the window of a checkpoint") }
        var open = OpenWindow(
            WindowSpan(start: Timestamp(milliseconds: start), end: Timestamp(milliseconds: end))
        )
        open.state = Array(state.utf8)
        open.isEndingEarly = Self.member("early", of: bytes) == "true"
        window.open = open
        return window
    }

    private static func member(_ name: StaticString, of bytes: [UInt8]) -> String? {
        unsafe bytes.withUnsafeBytes { bytes in
            unsafe JSONScanner.member(name, of: bytes).map {
                unsafe String(decoding: UnsafeRawBufferPointer(rebasing: bytes[$0]), as: UTF8.self)
            }
        }
    }
}
