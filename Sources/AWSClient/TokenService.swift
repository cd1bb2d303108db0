// SPDX-License-Identifier: Apache-2.0

import CurlClient
import Foundation
import PenstockCore

/// AWS's security token service, as far as roles go (AWS STS API Reference).
struct TokenService {
    let client: CurlClient
    let environment: AWSEnvironment
    let region: String
    let now: Timestamp

    private static let version = "2011-06-15"

    /// `AssumeRoleWithWebIdentity`: the token's file is read anew each time, because it is rotated.
    func webIdentity(
        role: String,
        session: String?,
        tokenFile: String
    ) async throws(AWSError) -> AWSCredentials {
        guard let text = try? String(contentsOfFile: tokenFile, encoding: .utf8) else {
            throw AWSError(
                .noCredentials,
                code: "Client.WebIdentity",
                message: "cannot read the web identity token in \(tokenFile)"
            )
        }
        let token = text.trimmingCharacters(in: .whitespacesAndNewlines)
        return try await self.credentials(
            "AssumeRoleWithWebIdentity",
            role: role,
            session: session,
            more: [("WebIdentityToken", token)],
            hiding: [token],
            as: nil
        )
    }

    /// `AssumeRole`.
    func assumeRole(
        _ role: String,
        session: String?,
        externalID: String?,
        as source: AWSCredentials
    ) async throws(AWSError) -> AWSCredentials {
        try await self.credentials(
            "AssumeRole",
            role: role,
            session: session,
            more: externalID.map { [("ExternalId", $0)] } ?? [],
            hiding: [],
            as: source
        )
    }

    private func credentials(
        _ action: String,
        role: String,
        session: String?,
        more: [(String, String)],
        hiding secrets: [String],
        as source: AWSCredentials?
    ) async throws(AWSError) -> AWSCredentials {
        let fields =
            [
                ("Action", action), ("Version", Self.version), ("RoleArn", role),
                ("RoleSessionName", session ?? "penstock"),
            ] + more
        let form = fields.map { "\($0.0)=\(PercentEncoding.encode($0.1))" }.joined(separator: "&")
        var call = AWSCall(method: .post, path: "/", body: .bytes(Array(form.utf8)))
        call.headers = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
        call.timeout = .seconds(20)
        let endpoint =
            self.environment.variable("AWS_ENDPOINT_URL_STS")
            ?? AWSEndpoint.url(service: "sts", region: self.region)
        let sender = try RequestSender(
            client: self.client,
            endpoint: endpoint,
            signer: RequestSigner(region: self.region, service: "sts")
        )
        let response = try await sender.send(call, as: source, at: self.now)
        guard response.status == 200 else {
            throw AWSAnswer.error(in: response, hiding: secrets + (source?.secrets ?? []))
        }
        let text = String(decoding: response.body, as: UTF8.self)
        guard let key = XMLText.first("AccessKeyId", in: text),
            let secret = XMLText.first("SecretAccessKey", in: text)
        else {
            throw AWSError(
                .noCredentials,
                code: "Client.Credentials",
                message: "STS answered without credentials"
            )
        }
        return AWSCredentials(
            accessKeyID: key,
            secretAccessKey: secret,
            sessionToken: XMLText.first("SessionToken", in: text),
            expiration: XMLText.first("Expiration", in: text).flatMap { Timestamp(configurationText: $0) }
        )
    }
}
