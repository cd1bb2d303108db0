// SPDX-License-Identifier: Apache-2.0

import CLibcurl
import PenstockCore

/// The header lines of one easy handle, in memory that is used again for its next request.
///
/// libcurl reads the list while a request runs, and keeps no copy (CURLOPT_HTTPHEADER(3)).
@safe
final class CurlHeaderLines {
    private let text = EventBuffer()
    /// Where in the text each line begins.
    private var starts: [Int] = []
    private var nodes: UnsafeMutablePointer<curl_slist>
    private var nodeCapacity = 16

    init() {
        unsafe self.nodes = .allocate(capacity: self.nodeCapacity)
    }

    deinit {
        unsafe self.nodes.deallocate()
    }

    /// What libcurl takes; valid until the next ``write(_:)``.
    var list: UnsafeMutablePointer<curl_slist> {
        @unsafe get { unsafe self.nodes }
    }

    /// `Expect: 100-continue` would cost a round trip for each body above a megabyte; a name and a colon leave a
    /// header out.
    private static let first: StaticString = "Expect:"

    /// The longest number, its sign, ": " and the end.
    private static let besidesMax = 24

    /// Replaces the lines; no request of the handle runs.
    func write(_ headers: [CurlHeader]) {
        self.starts.removeAll(keepingCapacity: true)
        self.text.write(upTo: Self.size(of: headers)) { writer in
            self.starts.append(writer.count)
            writer.literal(Self.first)
            writer.byte(0)
            for header in headers {
                self.starts.append(writer.count)
                header.write(into: &writer)
                writer.byte(0)
            }
        }
        self.link()
    }

    private static func size(of headers: [CurlHeader]) -> Int {
        headers.reduce(Self.first.utf8CodeUnitCount + 1) { sum, header in
            let value = if case .text(let text) = header.value { text.utf8.count } else { 0 }
            return sum + header.name.utf8.count + value + Self.besidesMax
        }
    }

    /// Makes the list of the lines.
    private func link() {
        if self.starts.count > self.nodeCapacity {
            unsafe self.nodes.deallocate()
            self.nodeCapacity = 2 * self.starts.count
            unsafe self.nodes = .allocate(capacity: self.nodeCapacity)
        }
        guard let text = unsafe self.text.bytes.baseAddress else { return }
        // libcurl only reads the lines, though it takes them as if it wrote.
        let lines = unsafe UnsafeMutableRawPointer(mutating: text)
        for (index, start) in self.starts.enumerated() {
            unsafe self.nodes[index].data = unsafe (lines + start).assumingMemoryBound(to: CChar.self)
            unsafe self.nodes[index].next =
                unsafe index + 1 < self.starts.count ? self.nodes + index + 1 : nil
        }
    }
}

extension CurlHeader {
    /// Writes the line without its end.
    fileprivate func write(into writer: inout EventWriter) {
        writer.utf8(self.name)
        guard !self.isBlank else {
            // libcurl takes "Name:" as an order to leave the header out; "Name;" sends it empty.
            writer.byte(UInt8(ascii: ";"))
            return
        }
        writer.literal(": ")
        switch self.value {
        case .text(let text): writer.utf8(text)
        case .number(let number): writer.decimal(number)
        }
    }
}
