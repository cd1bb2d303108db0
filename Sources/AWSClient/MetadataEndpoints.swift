// SPDX-License-Identifier: Apache-2.0

import CurlClient
import Foundation
import PenstockCore

/// The endpoints that give a container or an instance its role's credentials.
struct MetadataEndpoints {
    let client: CurlClient

    /// A container's (ECS, EKS pod identity); nil when the environment names none.
    func container(_ environment: AWSEnvironment) async throws(AWSError) -> AWSCredentials? {
        let url: String
        if let path = environment.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            url = "http://169.254.170.2\(path)"
        } else if let full = environment.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            url = full
        } else {
            return nil
        }
        var request = Self.request(url)
        var token = environment.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        if let file = environment.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
                throw Self.error("cannot read AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
            }
            token = text.trimmingCharacters(in: .whitespacesAndNewlines)
        }
        if let token {
            guard let header = CurlHeader("Authorization", token) else {
                throw Self.error("the container's authorization token has characters that no header may have")
            }
            request.headers.append(header)
        }
        let body = try await self.body(request, of: "the container's credentials endpoint")
        return try CredentialDocument.credentials(in: body, of: "the container's credentials endpoint")
    }

    /// The instance's, by version 2 of the metadata service; nil when there is no such service, or no role.
    func instance(_ environment: AWSEnvironment) async throws(AWSError) -> AWSCredentials? {
        if environment.variable("AWS_EC2_METADATA_DISABLED")?.lowercased() == "true" { return nil }
        let base = environment.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT") ?? "http://169.254.169.254"
        let root = base.hasSuffix("/") ? String(base.dropLast()) : base
        var ask = Self.request("\(root)/latest/api/token")
        ask.method = .put
        ask.headers = [CurlHeader("X-aws-ec2-metadata-token-ttl-seconds", number: 21_600)]
        // Elsewhere than on an instance nobody answers at that address.
        guard let token = try? await self.body(ask, of: "the instance's metadata"),
            let header = CurlHeader("X-aws-ec2-metadata-token", String(decoding: token, as: UTF8.self))
        else { return nil }
        var list = Self.request("\(root)/latest/meta-data/iam/security-credentials/")
        list.headers = [header]
        guard let roles = try? await self.body(list, of: "the instance's metadata"),
            let role = String(decoding: roles, as: UTF8.self).split(whereSeparator: \.isNewline).first
        else { return nil }
        var get = Self.request("\(root)/latest/meta-data/iam/security-credentials/\(role)")
        get.headers = [header]
        let body = try await self.body(get, of: "the instance's metadata")
        return try CredentialDocument.credentials(in: body, of: "the instance's metadata")
    }

    private static func request(_ url: String) -> CurlRequest {
        var request = CurlRequest(url: url)
        request.method = .get
        request.timeout = .seconds(5)
        request.connectTimeout = .seconds(1)
        request.responseLimit = 65_536
        return request
    }

    private func body(_ request: CurlRequest, of source: String) async throws(AWSError) -> [UInt8] {
        let response: CurlResponse
        do throws(CurlError) {
            response = try await self.client.perform(request)
        } catch {
            throw Self.error("\(source) did not answer: \(error.detail)")
        }
        guard response.status == 200 else {
            throw Self.error("\(source) answered with status \(response.status)")
        }
        return response.body
    }

    private static func error(_ message: String) -> AWSError {
        AWSError(.noCredentials, code: "Client.Credentials", message: message)
    }
}
