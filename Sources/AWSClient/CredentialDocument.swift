// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore

/// Credentials as the instance metadata, a container's endpoint and a `credential_process` write them.
///
/// Pure.
struct CredentialDocument: Decodable {
    var code: String?
    var accessKeyID: String?
    var secretAccessKey: String?
    var token: String?
    var sessionToken: String?
    var expiration: String?

    enum CodingKeys: String, CodingKey {
        case code = "Code"
        case accessKeyID = "AccessKeyId"
        case secretAccessKey = "SecretAccessKey"
        case token = "Token"
        case sessionToken = "SessionToken"
        case expiration = "Expiration"
    }

    /// The credentials in a JSON text of `source`; the error never shows what was read.
    static func credentials(in body: [UInt8], of source: String) throws(AWSError) -> AWSCredentials {
        guard let document = try? JSONDecoder().decode(Self.self, from: Data(body)) else {
            throw AWSError(
                .noCredentials,
                code: "Client.Credentials",
                message: "\(source) answered with no JSON of credentials"
            )
        }
        if let code = document.code, code != "Success" {
            throw AWSError(
                .noCredentials,
                code: "Client.Credentials",
                message: "\(source) answered \(code.prefix(80))"
            )
        }
        guard let key = document.accessKeyID, let secret = document.secretAccessKey, !key.isEmpty,
            !secret.isEmpty
        else {
            throw AWSError(
                .noCredentials,
                code: "Client.Credentials",
                message: "\(source) answered without AccessKeyId and SecretAccessKey"
            )
        }
        return AWSCredentials(
            accessKeyID: key,
            secretAccessKey: secret,
            sessionToken: document.token ?? document.sessionToken,
            expiration: document.expiration.flatMap { Timestamp(configurationText: $0) }
        )
    }
}
