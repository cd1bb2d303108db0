// SPDX-License-Identifier: Apache-2.0

import CurlClient
import Foundation
import PenstockCore
import Reactor

/// AWS's security token service, as far as roles go (AWS STS API Reference).
///
/// Its calls are repeated, and signed by its clock, as those of other services.
struct TokenService {
    let client: CurlClient
    let environment: AWSEnvironment
    let region: String
    let reactor: Reactor

    /// Its clock minus ours, once they were seen to differ.
    private(set) var skew: Duration

    private static let version = "2011-06-15"

    /// How long one attempt may take: a call waits for it.
    private static let patience = Duration.seconds(10)

    init(
        client: CurlClient,
        environment: AWSEnvironment,
        region: String,
        reactor: Reactor,
        skew: Duration
    ) {
        self.client = client
        self.environment = environment
        self.region = region
        self.reactor = reactor
        self.skew = skew
    }

    /// `AssumeRoleWithWebIdentity`: the token's file is read anew each time, because it is rotated.
    mutating func webIdentity(
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
    mutating func assumeRole(
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

    private mutating func credentials(
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
        call.timeout = Self.patience
        call.isRepeatable = true
        call.secrets = secrets
        let response: CurlResponse
        do throws(AWSError) {
            response = try await self.answer(to: call, as: source)
        } catch {
            throw Self.refusal(error, action, role)
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

    private mutating func answer(
        to call: AWSCall,
        as source: AWSCredentials?
    ) async throws(AWSError) -> CurlResponse {
        let endpoint =
            self.environment.variable("AWS_ENDPOINT_URL_STS")
            ?? AWSEndpoint.url(service: "sts", region: self.region)
        let sender = try RequestSender(
            client: self.client,
            endpoint: endpoint,
            signer: RequestSigner(region: self.region, service: "sts")
        )
        let caller = AWSClient(
            sender,
            on: self.client,
            as: .fixed(source),
            skew: self.skew,
            reactor: self.reactor
        )
        let result: Result<CurlResponse, AWSError>
        do throws(AWSError) { result = .success(try await caller.call(call)) } catch {
            result = .failure(error)
        }
        self.skew = await caller.skew
        return try result.get()
    }

    /// Told as ours: its code must not be taken for the code of the call that needs the credentials.
    private static func refusal(_ error: AWSError, _ action: String, _ role: String) -> AWSError {
        let advice =
            AWSError.isDenial(error.code)
            ? "; allow sts:\(action), and check whom the role trusts" : ""
        return AWSError(
            .noCredentials,
            code: "Client.Credentials",
            message: "STS gave no credentials for \(role): \(error)\(advice)"
        )
    }
}
