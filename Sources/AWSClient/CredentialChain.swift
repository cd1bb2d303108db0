// SPDX-License-Identifier: Apache-2.0

package import CurlClient
import Foundation
import PenstockCore

/// Where credentials are looked for, in the order of AWS's SDKs ("Standardized credential providers"): given ones; the
/// environment; a web identity; a profile of the shared files; a container's endpoint; the instance's metadata.
///
/// The first source that is there decides: when it fails, that is an error, and no later one is asked.
package struct CredentialChain: Sendable {
    /// Credentials of the configuration.
    private let given: AWSCredentials?
    /// A profile that the configuration names: only it is looked at.
    private let profile: String?
    private let environment: AWSEnvironment
    private let region: String
    private let client: CurlClient

    /// The longest chain of `source_profile`.
    private static let depthMax = 5

    /// A chain.
    ///
    /// - Parameters:
    ///   - given: credentials of the configuration; nothing else is asked when there are some.
    ///   - profile: the only profile to be looked at; nil for the whole chain.
    ///   - environment: variables and shared files.
    ///   - region: where the token service is asked.
    ///   - client: for the endpoints.
    package init(
        given: AWSCredentials?,
        profile: String?,
        environment: AWSEnvironment,
        region: String,
        client: CurlClient
    ) {
        self.given = given
        self.profile = profile
        self.environment = environment
        self.region = region
        self.client = client
    }

    /// Credentials of the first source that is there.
    func resolve(at now: Timestamp) async throws(AWSError) -> AWSCredentials {
        if let given = self.given { return given }
        if let profile = self.profile { return try await self.credentials(ofProfile: profile, depth: 0, now) }
        if let found = self.fromVariables() { return found }
        if let role = self.environment.variable("AWS_ROLE_ARN"),
            let file = self.environment.variable("AWS_WEB_IDENTITY_TOKEN_FILE")
        {
            return try await self.tokens(now).webIdentity(
                role: role,
                session: self.environment.variable("AWS_ROLE_SESSION_NAME"),
                tokenFile: file
            )
        }
        let name = self.environment.profileName
        let isAskedFor = self.environment.variable("AWS_PROFILE") != nil
        if isAskedFor || self.hasCredentials(name) {
            return try await self.credentials(ofProfile: name, depth: 0, now)
        }
        if let found = try await self.endpoints.container(self.environment) { return found }
        if let found = try await self.endpoints.instance(self.environment) { return found }
        throw AWSError(
            .noCredentials,
            code: "Client.NoCredentials",
            message:
                "no AWS credentials: none in the configuration, AWS_ACCESS_KEY_ID is not set, no web identity, no "
                + "profile \"\(name)\" with credentials, no container or instance metadata; set one of them"
        )
    }

    private func tokens(_ now: Timestamp) -> TokenService {
        TokenService(client: self.client, environment: self.environment, region: self.region, now: now)
    }

    private var endpoints: MetadataEndpoints { MetadataEndpoints(client: self.client) }

    private func fromVariables() -> AWSCredentials? {
        guard let key = self.environment.variable("AWS_ACCESS_KEY_ID"),
            let secret = self.environment.variable("AWS_SECRET_ACCESS_KEY")
        else { return nil }
        return AWSCredentials(
            accessKeyID: key,
            secretAccessKey: secret,
            sessionToken: self.environment.variable("AWS_SESSION_TOKEN")
        )
    }

    // MARK: - Profiles

    private static let credentialKeys = [
        "aws_access_key_id", "role_arn", "credential_process", "sso_session", "sso_start_url",
    ]

    private func hasCredentials(_ name: String) -> Bool {
        guard let profile = self.environment.shared.profile(name) else { return false }
        return Self.credentialKeys.contains { profile[$0] != nil }
    }

    private func credentials(
        ofProfile name: String,
        depth: Int,
        _ now: Timestamp
    ) async throws(AWSError) -> AWSCredentials {
        guard let profile = self.environment.shared.profile(name) else {
            throw Self.unusable(
                name,
                "is in neither of AWS's shared files (~/.aws/config, ~/.aws/credentials)"
            )
        }
        guard depth < Self.depthMax else {
            throw Self.unusable(name, "leads round in a circle by source_profile")
        }
        if let role = profile["role_arn"] { return try await self.assume(role, profile, name, depth, now) }
        if let key = profile["aws_access_key_id"] {
            guard let secret = profile["aws_secret_access_key"] else {
                throw Self.unusable(name, "has an aws_access_key_id and no aws_secret_access_key")
            }
            return AWSCredentials(
                accessKeyID: key,
                secretAccessKey: secret,
                sessionToken: profile["aws_session_token"]
            )
        }
        if let command = profile["credential_process"] {
            return try await CredentialProcess.credentials(command)
        }
        if profile["sso_session"] != nil || profile["sso_start_url"] != nil {
            throw Self.unusable(
                name,
                "signs on by a browser (SSO), which a service cannot; name a credential_process such as "
                    + "`aws configure export-credentials --profile \(name)`"
            )
        }
        throw Self.unusable(name, "has no credentials")
    }

    private func assume(
        _ role: String,
        _ profile: [String: String],
        _ name: String,
        _ depth: Int,
        _ now: Timestamp
    ) async throws(AWSError) -> AWSCredentials {
        let session = profile["role_session_name"]
        if let file = profile["web_identity_token_file"] {
            return try await self.tokens(now).webIdentity(role: role, session: session, tokenFile: file)
        }
        let source: AWSCredentials
        if let other = profile["source_profile"] {
            // A profile may name itself: its own keys assume its role.
            if other == name, let key = profile["aws_access_key_id"],
                let secret = profile["aws_secret_access_key"]
            {
                source = AWSCredentials(accessKeyID: key, secretAccessKey: secret)
            } else {
                source = try await self.credentials(ofProfile: other, depth: depth + 1, now)
            }
        } else {
            source = try await self.credentials(ofSource: profile["credential_source"], name)
        }
        return try await self.tokens(now).assumeRole(
            role,
            session: session,
            externalID: profile["external_id"],
            as: source
        )
    }

    private func credentials(
        ofSource source: String?,
        _ name: String
    ) async throws(AWSError) -> AWSCredentials {
        let found: AWSCredentials? =
            switch source {
            case "Environment": self.fromVariables()
            case "EcsContainer": try await self.endpoints.container(self.environment)
            case "Ec2InstanceMetadata": try await self.endpoints.instance(self.environment)
            default: throw Self.unusable(name, "has a role_arn without source_profile or credential_source")
            }
        guard let found else {
            throw Self.unusable(name, "takes credentials from \(source ?? ""), which has none")
        }
        return found
    }

    private static func unusable(_ profile: String, _ why: String) -> AWSError {
        AWSError(.noCredentials, code: "Client.Profile", message: "the AWS profile \"\(profile)\" \(why)")
    }
}
