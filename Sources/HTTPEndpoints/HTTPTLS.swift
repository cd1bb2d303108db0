// SPDX-License-Identifier: Apache-2.0

package import CurlClient
package import PenstockConfiguration

/// What stands under `tls:`.
package struct HTTPTLS: ConfigurationTable {
    static let ca = Field.string("ca", "A PEM file with the authorities to trust, instead of the system's.")
        .optional
    static let certificate = Field.string("certificate", "A PEM file with the certificate to present.")
        .optional
    static let key = Field.string("key", "A PEM file with the certificate's key.").optional
    static let verify = Field.boolean("verify", "Whether the server's certificate is checked.", default: true)

    /// The fields under `tls:`.
    package static let table = FieldTable(
        "tls",
        "How https connections are made.",
        [Self.ca, Self.certificate, Self.key, Self.verify]
    )

    /// As libcurl takes it.
    package let options: CurlTLS

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        let certificate = reader[Self.certificate]
        let key = reader[Self.key]
        self.options = CurlTLS(
            authorities: reader[Self.ca],
            certificate: certificate,
            key: key,
            verify: reader[Self.verify]
        )
        reader.require(key == nil || certificate != nil, at: Self.key, "needs \"certificate\" beside it")
        reader.advise(
            self.options.verify,
            at: Self.verify,
            "is off: anybody on the way can read and change requests",
            suggestion: "name the authority in \"ca\" instead"
        )
    }
}
