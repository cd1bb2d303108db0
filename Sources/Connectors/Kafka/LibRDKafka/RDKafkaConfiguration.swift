// SPDX-License-Identifier: Apache-2.0

import CLibrdkafka

/// Settings for one librdkafka client.
///
/// Freed unless a client takes it over.
@safe
struct RDKafkaConfiguration: ~Copyable {
    private let handle: OpaquePointer

    /// A property that librdkafka refused, or a combination of them.
    ///
    /// Its text names the property, and never the value of a secret.
    struct Refusal: Error, Sendable, Equatable, CustomStringConvertible {
        /// The property's name; nil when it is about several.
        var property: String?

        /// Whether librdkafka does not know the name, as opposed to refusing the value.
        var isUnknown = false

        /// What librdkafka said; without it for secrets, whose values it repeats.
        var reason: String

        var description: String {
            guard let property = self.property else {
                return "librdkafka refused the settings: \(self.reason)"
            }
            return self.isUnknown
                ? "librdkafka \(RDKafkaConfiguration.libraryVersion) has no property \"\(property)\""
                : "librdkafka refused property \"\(property)\": \(self.reason)"
        }
    }

    /// librdkafka's defaults.
    init() {
        unsafe self.handle = rd_kafka_conf_new()
    }

    deinit {
        unsafe rd_kafka_conf_destroy(self.handle)
    }

    /// The version of the library in use, which may be newer than the headers: `2.0.2`.
    static var libraryVersion: String { unsafe String(cString: rd_kafka_version_str()) }

    /// Properties whose values librdkafka repeats in its errors and we must not.
    private static let secrets: Set<String> = [
        "sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem", "ssl_key",
        "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config", "sasl.username",
    ]

    /// Sets one property.
    ///
    /// - Throws: ``Refusal`` when the name is unknown or the value invalid.
    func set(_ property: String, to value: String) throws(Refusal) {
        var text = [CChar](repeating: 0, count: 512)
        let result = unsafe rd_kafka_conf_set(self.handle, property, value, &text, text.count)
        guard result != RD_KAFKA_CONF_OK else { return }
        let message = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        throw Refusal(
            property: property,
            isUnknown: result == RD_KAFKA_CONF_UNKNOWN,
            reason: Self.secrets.contains(property) ? "the value is not valid" : message
        )
    }

    /// Sets a property that older libraries do not have; those go without it.
    func setIfKnown(_ property: String, to value: String) {
        do {
            try self.set(property, to: value)
        } catch {
            // Only a preference of ours: 2.0.2 has no such property, and no such behaviour to tune.
        }
    }

    /// The value that stands now, or nil for an unknown or unset property.
    func value(of property: String) -> String? {
        var size = 0
        guard unsafe rd_kafka_conf_get(self.handle, property, nil, &size) == RD_KAFKA_CONF_OK, size > 0 else {
            return nil
        }
        var text = [CChar](repeating: 0, count: size)
        guard unsafe rd_kafka_conf_get(self.handle, property, &text, &size) == RD_KAFKA_CONF_OK else {
            return nil
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The C handle, for the callbacks of a client that is about to be made.
    ///
    /// Must not outlive `self`.
    @unsafe
    var pointer: OpaquePointer { unsafe self.handle }

    /// Makes a client of these settings.
    ///
    /// - Throws: ``Refusal`` when librdkafka refuses the combination or cannot use a file.
    consuming func makeClient(_ type: rd_kafka_type_t) throws(Refusal) -> OpaquePointer {
        var text = [CChar](repeating: 0, count: 512)
        // Only a client that was made owns the handle; else `deinit` frees it.
        if let client = unsafe rd_kafka_new(type, self.handle, &text, text.count) {
            discard self
            return unsafe client
        }
        let message = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        _ = consume self
        throw Refusal(ofClient: message)
    }
}

extension RDKafkaConfiguration.Refusal {
    /// What librdkafka says when it makes no client: `ssl.key.location failed: …` when that is about one property.
    init(ofClient message: String) {
        if let middle = message.firstRange(of: " failed: "), !message[..<middle.lowerBound].contains(" ") {
            self.init(
                property: String(message[..<middle.lowerBound]),
                reason: String(message[middle.upperBound...])
            )
        } else {
            self.init(property: nil, reason: message)
        }
    }
}
