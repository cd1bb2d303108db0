// SPDX-License-Identifier: Apache-2.0

import CurlClient
import HTTPEndpoints
import PenstockRuntime

/// Why an answer means that a document was not taken, and what to do.
///
/// Pure. Statuses are those of RFC 9110 section 15.
struct HTTPRefusal {
    /// What happened, and the way out.
    let detail: String

    /// Whether the endpoint will never take this document: it says so of the document, not of who sends it or where to.
    let isFinal: Bool

    /// Whether less of it might be taken.
    let isTooLarge: Bool

    /// Nil for a success (2xx).
    init?(_ response: CurlResponse) {
        guard !(200..<300).contains(response.status) else { return nil }
        self.isFinal = [400, 413, 415, 422].contains(response.status)
        self.isTooLarge = response.status == 413
        if (300..<400).contains(response.status) {
            self.detail = "HTTP \(response.status): \(HTTPText.redirect(response))"
            return
        }
        let text = HTTPText.text(response.body)
        let advice =
            switch response.status {
            case 401, 403: "; check \"headers\", or the user and password of \"url\""
            case 404, 405, 410: "; check \"url\", which must take a POST"
            default: ""
            }
        self.detail = "HTTP \(response.status)\(text.isEmpty ? "" : ": \(text)")\(advice)"
    }

    var error: DestinationError {
        DestinationError(self.detail, refused: self.isFinal ? [0] : [], isTooLarge: self.isTooLarge)
    }
}
