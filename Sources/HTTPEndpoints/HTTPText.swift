// SPDX-License-Identifier: Apache-2.0

package import CurlClient

/// What may be shown of an endpoint's answer.
///
/// Pure. Nothing of the request is in it: neither URL nor payload.
package enum HTTPText {
    /// Bytes of an answer's body that are kept.
    package static let bytesMax = 512

    /// The headers that a request must want for ``redirect(_:)``.
    package static let wantedHeaders: [StaticString] = ["location"]

    /// Why a redirect is none that is followed, and what to do.
    package static func redirect(_ response: CurlResponse) -> String {
        let target = response.header("location").map { " to \(Self.withoutSecrets($0))" } ?? ""
        return "the endpoint redirects\(target), and redirects are not followed; set the url to where it is"
    }

    /// The first bytes of a body that is text; empty for anything else.
    package static func text(_ body: [UInt8]) -> String {
        var prefix = body.prefix(Self.bytesMax)
        // A character that the cut went through goes away whole.
        var cut = 0
        while prefix.count < body.count, cut < 3, String(validating: prefix, as: UTF8.self) == nil {
            prefix.removeLast()
            cut += 1
        }
        guard let text = String(validating: prefix, as: UTF8.self) else { return "" }
        let isText = text.utf8.allSatisfy {
            $0 >= 0x20 && $0 != 0x7F || $0 == 0x0A || $0 == 0x0D || $0 == 0x09
        }
        return isText ? text : ""
    }

    /// A URL without user, password, query and fragment, each of which may hold a secret.
    package static func withoutSecrets(_ url: String) -> String {
        let bare = url.prefix { $0 != "?" && $0 != "#" }
        let printable = bare.filter {
            $0.isASCII && !$0.isWhitespace && $0.asciiValue.map { $0 > 0x20 } == true
        }
        guard let start = printable.firstRange(of: "//")?.upperBound else {
            return String(printable.prefix(256))
        }
        let authority = printable[start...].prefix { $0 != "/" }
        let host = authority.lastIndex(of: "@").map { authority[authority.index(after: $0)...] } ?? authority
        return String((printable[..<start] + host + printable[authority.endIndex...]).prefix(256))
    }
}
