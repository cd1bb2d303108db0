// SPDX-License-Identifier: Apache-2.0

/// How to log in to Kafka, and how to encrypt.
package struct KafkaSecurity: Sendable {
    /// The login; nil for none.
    package var sasl: KafkaSASL?

    /// Encryption; nil for none.
    package var tls: KafkaTLS?

    /// No login and no encryption.
    package init() {}
}

/// A login by name and password.
package struct KafkaSASL: Sendable {
    /// How the password is proved.
    package enum Mechanism: String, Sendable, CaseIterable {
        /// Sent as it is; use TLS with it.
        case plain
        /// RFC 5802 with SHA-256.
        case scramSHA256 = "scram-sha-256"
        /// RFC 5802 with SHA-512.
        case scramSHA512 = "scram-sha-512"
    }

    /// How the password is proved.
    package var mechanism: Mechanism

    /// The user.
    package var username: String

    /// The password; never logged.
    package var password: String

    /// A login.
    package init(mechanism: Mechanism, username: String, password: String) {
        self.mechanism = mechanism
        self.username = username
        self.password = password
    }
}

/// Encryption, and a certificate to log in with.
///
/// Files are PEM.
package struct KafkaTLS: Sendable {
    /// Path of the certificates to trust; nil for the system's.
    package var ca: String?

    /// Path of our certificate; nil for none.
    package var certificate: String?

    /// Path of our certificate's key.
    package var key: String?

    /// The key's password; never logged.
    package var keyPassword: String?

    /// Whether the broker's certificate and host name are checked.
    package var verify = true

    /// TLS that trusts the system's certificates.
    package init() {}
}

extension KafkaSecurity {
    /// The librdkafka properties that say so.
    var properties: [(String, String)] {
        var properties = [("security.protocol", self.securityProtocol)]
        if let sasl = self.sasl {
            properties.append(("sasl.mechanism", sasl.mechanism.rawValue.uppercased()))
            properties.append(("sasl.username", sasl.username))
            properties.append(("sasl.password", sasl.password))
        }
        guard let tls = self.tls else { return properties }
        if let ca = tls.ca { properties.append(("ssl.ca.location", ca)) }
        if let certificate = tls.certificate { properties.append(("ssl.certificate.location", certificate)) }
        if let key = tls.key { properties.append(("ssl.key.location", key)) }
        if let password = tls.keyPassword { properties.append(("ssl.key.password", password)) }
        properties.append(("enable.ssl.certificate.verification", tls.verify ? "true" : "false"))
        // 2.0 checks host names by default; older ones did not.
        properties.append(("ssl.endpoint.identification.algorithm", tls.verify ? "https" : "none"))
        return properties
    }

    private var securityProtocol: String {
        switch (self.sasl != nil, self.tls != nil) {
        case (true, true): "sasl_ssl"
        case (true, false): "sasl_plaintext"
        case (false, true): "ssl"
        case (false, false): "plaintext"
        }
    }
}
