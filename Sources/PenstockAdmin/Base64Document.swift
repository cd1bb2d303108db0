// SPDX-License-Identifier: Apache-2.0

import Foundation
package import PenstockConfiguration

/// Base64 in documents of the API (RFC 4648 section 4).
enum Base64Document {
    static func text(of bytes: [UInt8]) -> String {
        Data(bytes).base64EncodedString()
    }
}

extension JSONValue {
    /// The bytes that ``bytes(_:)`` wrote; nil for null and for anything else.
    package var bytesValue: [UInt8]? {
        guard let value = self["value"]?.stringValue else { return nil }
        switch self["encoding"]?.stringValue {
        case "utf-8": return Array(value.utf8)
        case "base64": return Data(base64Encoded: value).map { [UInt8]($0) }
        default: return nil
        }
    }
}
