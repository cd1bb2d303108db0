// SPDX-License-Identifier: Apache-2.0

import HTTPEndpoints
package import PenstockConfiguration

/// What stands under `http:` of a destination.
package struct HTTPDestinationConfiguration: ConfigurationTable {
    private static let endpointFields = HTTPEndpoint.Fields(
        url: "Where documents are POSTed.",
        timeout: "How long one POST may take."
    )

    /// The fields under `http:`.
    package static let table = FieldTable(
        "http",
        "POSTs each letter to an HTTP endpoint: AWS's failure document with the record in it.",
        [
            Self.endpointFields.url, HTTPEndpoint.headersField, Self.endpointFields.timeout,
            HTTPEndpoint.tlsField, HTTPEndpoint.http2Field,
        ]
    )

    /// Where to POST, and how.
    let endpoint: HTTPEndpoint

    /// Shown to operators.
    var summary: String { "http \(self.endpoint.url)" }

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        self.endpoint = HTTPEndpoint(&reader, Self.endpointFields)
    }
}
