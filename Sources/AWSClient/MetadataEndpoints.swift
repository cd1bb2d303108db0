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
            guard path.hasPrefix("/") else {
                throw Self.error("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must begin with /")
            }
            url = "http://169.254.170.2\(path)"
        } else if let full = environment.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            guard ContainerEndpoint.isAllowed(full) else {
                throw Self.error(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI must begin with https://, or with http:// and this machine "
                        + "(localhost, 127.0.0.1, [::1]) or the endpoints of ECS and EKS (169.254.170.2, "
                        + "169.254.170.23, [fd00:ec2::23]): the token that is sent there would be read on the way"
                )
            }
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

/// Where a container's credentials may be asked for (AWS SDKs and Tools Reference Guide, "Container credential provider").
///
/// Pure.
enum ContainerEndpoint {
    private static let hosts: Set<String> = [
        "localhost", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]",
    ]

    /// Whether nobody can listen on the way to a URL: it is https, or leads to this machine, ECS's agent or EKS's.
    static func isAllowed(_ url: String) -> Bool {
        let text = url.lowercased()
        if text.hasPrefix("https://") { return true }
        guard text.hasPrefix("http://") else { return false }
        let authority = text.dropFirst("http://".count).prefix { !"/?#".contains($0) }
        // Behind a user's name and an @ stands another host than it seems.
        guard !authority.contains("@"), !authority.contains("\\") else { return false }
        let host: Substring
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return false }
            host = authority[...end]
            guard authority[end...].dropFirst().first ?? ":" == ":" else { return false }
        } else {
            host = authority.prefix { $0 != ":" }
        }
        return self.hosts.contains(String(host)) || self.isLoopback(host)
    }

    /// Whether it is an address of 127.0.0.0/8, in four decimal numbers.
    private static func isLoopback(_ host: Substring) -> Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127"
            && parts.allSatisfy { part in
                (1...3).contains(part.utf8.count) && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
            }
    }
}
