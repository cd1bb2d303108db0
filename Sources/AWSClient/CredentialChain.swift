// SPDX-License-Identifier: Apache-2.0

import CurlClient
import Foundation
import PenstockCore
import Reactor

/// Where credentials are looked for, in the order of AWS's SDKs ("Standardized credential providers"): the environment; a
/// web identity; a profile of the shared files; a container's endpoint; the instance's metadata.
///
/// The first source that is there decides: when it fails, that is an error, and no later one is asked. Chains that are
/// equal find the same credentials.
struct CredentialChain: Sendable, Equatable {
    /// A profile that the configuration names: only it is looked at; nil for the whole chain.
    let profile: String?

    /// Variables and shared files.
    let environment: AWSEnvironment

    /// Where the token service is asked.
    let region: String

    /// What one look leaves to the next.
    struct Memory: Sendable {
        /// The token service's clock minus ours, once they were seen to differ.
        var skew = Duration.zero

        /// The profiles as they were read last; nil before that.
        var shared: SharedConfiguration?

        /// Whether a profile had credentials that nobody had asked for by name.
        ///
        /// From then on it counts as asked for: a file that is being written must not lead to another identity.
        var usesProfile = false
    }

    /// Credentials of the first source that is there.
    ///
    /// - Parameters:
    ///   - memory: What the last look left.
    ///   - reactor: Runs the calls; connections are made for this look, and closed at its end.
    /// - Returns: The credentials.
    /// - Throws: ``AWSError`` of the kind `noCredentials`, whatever went wrong: the call that needs them was not made.
    func resolve(_ memory: inout Memory, on reactor: Reactor) async throws(AWSError) -> AWSCredentials {
        let client: CurlClient
        do throws(CurlError) {
            client = try CurlClient(reactor: reactor, connections: 1)
        } catch {
            throw AWSError(.noCredentials, code: "Client.Failed", message: error.detail)
        }
        var look = CredentialLook(self, memory, client, reactor)
        let result: Result<AWSCredentials, AWSError>
        do throws(AWSError) {
            result = .success(try await look.credentials())
        } catch {
            var error = error
            error.kind = .noCredentials
            result = .failure(error)
        }
        await client.close()
        memory = look.memory
        return try result.get()
    }
}

/// One look at the sources of a chain.
struct CredentialLook {
    private(set) var memory: CredentialChain.Memory

    private let chain: CredentialChain
    private let shared: SharedConfiguration
    private let client: CurlClient
    private let reactor: Reactor

    /// The longest chain of `source_profile`.
    private static let depthMax = 5

    fileprivate init(
        _ chain: CredentialChain,
        _ memory: CredentialChain.Memory,
        _ client: CurlClient,
        _ reactor: Reactor
    ) {
        self.chain = chain
        self.shared = chain.environment.shared
        self.client = client
        self.reactor = reactor
        self.memory = memory
        self.memory.shared = self.shared
    }

    private var environment: AWSEnvironment { self.chain.environment }

    /// Credentials of the first source that is there.
    fileprivate mutating func credentials() async throws(AWSError) -> AWSCredentials {
        if let profile = self.chain.profile {
            return try await self.credentials(ofProfile: profile, depth: 0)
        }
        if let found = self.fromVariables() { return found }
        if let role = self.environment.variable("AWS_ROLE_ARN"),
            let file = self.environment.variable("AWS_WEB_IDENTITY_TOKEN_FILE")
        {
            return try await self.webIdentity(
                role: role,
                session: self.environment.variable("AWS_ROLE_SESSION_NAME"),
                tokenFile: file
            )
        }
        let name = self.environment.profileName
        let isAskedFor = self.environment.variable("AWS_PROFILE") != nil
        if self.hasCredentials(name) { self.memory.usesProfile = true }
        if isAskedFor || self.memory.usesProfile {
            return try await self.credentials(ofProfile: name, depth: 0)
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

    // MARK: - The token service

    private var tokens: TokenService {
        TokenService(
            client: self.client,
            environment: self.environment,
            region: self.chain.region,
            reactor: self.reactor,
            skew: self.memory.skew
        )
    }

    private mutating func webIdentity(
        role: String,
        session: String?,
        tokenFile: String
    ) async throws(AWSError) -> AWSCredentials {
        var tokens = self.tokens
        return try await tokens.webIdentity(role: role, session: session, tokenFile: tokenFile)
    }

    // MARK: - Profiles

    private static let credentialKeys = [
        "aws_access_key_id", "role_arn", "credential_process", "sso_session", "sso_start_url",
    ]

    private func hasCredentials(_ name: String) -> Bool {
        guard let profile = self.shared.profile(name) else { return false }
        return Self.credentialKeys.contains { profile[$0] != nil }
    }

    private mutating func credentials(
        ofProfile name: String,
        depth: Int
    ) async throws(AWSError) -> AWSCredentials {
        guard let profile = self.shared.profile(name) else {
            throw Self.unusable(
                name,
                "is in neither of AWS's shared files (~/.aws/config, ~/.aws/credentials)"
            )
        }
        guard depth < Self.depthMax else {
            throw Self.unusable(name, "leads round in a circle by source_profile")
        }
        if let role = profile["role_arn"] { return try await self.assume(role, profile, name, depth) }
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

    private mutating func assume(
        _ role: String,
        _ profile: [String: String],
        _ name: String,
        _ depth: Int
    ) async throws(AWSError) -> AWSCredentials {
        let session = profile["role_session_name"]
        if let file = profile["web_identity_token_file"] {
            return try await self.webIdentity(role: role, session: session, tokenFile: file)
        }
        let source: AWSCredentials
        if let other = profile["source_profile"] {
            // A profile may name itself: its own keys assume its role.
            if other == name, let key = profile["aws_access_key_id"],
                let secret = profile["aws_secret_access_key"]
            {
                source = AWSCredentials(accessKeyID: key, secretAccessKey: secret)
            } else {
                source = try await self.credentials(ofProfile: other, depth: depth + 1)
            }
        } else {
            source = try await self.credentials(ofSource: profile["credential_source"], name)
        }
        var tokens = self.tokens
        let result: Result<AWSCredentials, AWSError>
        do throws(AWSError) {
            result = .success(
                try await tokens.assumeRole(
                    role,
                    session: session,
                    externalID: profile["external_id"],
                    as: source
                )
            )
        } catch {
            result = .failure(error)
        }
        // Known even when the role was refused.
        self.memory.skew = tokens.skew
        return try result.get()
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
